from estafeta.daemons.qmgr.backlog import Deferred, Incoming
from estafeta.daemons.qmgr.finish import backoff
from estafeta.mail.envelope import Envelope, Recipient, Trouble
from estafeta.queue.keeper import Found
from estafeta.queue.place import Place


def found(number: int, recipients: int = 1) -> Found:
    envelope = Envelope(f"Q{number}", 0.0, "s@x", [Recipient("a@x")] * recipients)
    return Found(Place("incoming/1.journal", number, 0, 0, 0), envelope)


def test_envelopes_beyond_the_limit_are_not_kept_unless_they_cannot_be_read_again() -> None:
    incoming = Incoming(3)
    incoming.add(found(1, 2))
    incoming.add(found(2, 2))
    recovered = found(3, 2)
    recovered.failed[0] = Trouble("5.0.0", "no")
    incoming.add(recovered)
    assert [type(each).__name__ for each in incoming] == ["Found", "Place", "Found"]
    assert incoming.take() is not None and incoming.take() == found(2).place and incoming.take() is recovered
    assert incoming.take() is None
    incoming.add(found(4, 3))
    assert isinstance(incoming.take(), Found)


def test_a_removed_message_is_passed_over() -> None:
    incoming = Incoming(10)
    first = found(1)
    incoming.add(first)
    incoming.add(found(2))
    incoming.remove(first)
    assert len(incoming) == 1
    taken = incoming.take()
    assert isinstance(taken, Found) and taken.envelope.queue_id == "Q2"
    assert len(incoming) == 0


def test_deferred_mail_comes_when_it_is_due() -> None:
    deferred = Deferred()
    deferred.add("B", 20.0, "deferred/B")
    deferred.add("A", 10.0, "deferred/A")
    assert (deferred.next_due, deferred.take(9.9)) == (10.0, None)
    assert deferred.take(25.0) == ("A", "deferred/A")
    assert deferred.take(25.0) == ("B", "deferred/B")
    assert (deferred.take(25.0), deferred.next_due, len(deferred)) == (None, None, 0)


def test_a_scan_adds_what_is_new_follows_what_an_operator_changed_and_leaves_what_is_active() -> None:
    deferred = Deferred()
    deferred.add("A", 10.0, "deferred/A")
    deferred.add("B", 20.0, "deferred/B")
    listing = [
        ("A", 10.0004, "deferred/A"),
        ("B", 5.0, "deferred/B"),
        ("C", 7.0, "deferred/C"),
        ("D", 1.0, "deferred/D"),
    ]
    assert deferred.found(listing, {"D"}) == 1
    assert [deferred.take(100.0) for _ in range(4)] == [
        ("B", "deferred/B"),
        ("C", "deferred/C"),
        ("A", "deferred/A"),
        None,
    ]


def test_a_finished_message_whose_file_is_still_there_does_not_come_back() -> None:
    deferred = Deferred()
    deferred.add("A", 10.0, "deferred/A")
    assert deferred.take(10.0) is not None
    deferred.finished("A")
    for _ in range(2):
        assert deferred.found([("A", 10.0, "deferred/A")], ()) == 0
    assert deferred.found([], ()) == 0
    assert deferred.found([("A", 10.0, "deferred/A")], ()) == 1


def test_a_flush_makes_messages_due() -> None:
    deferred = Deferred()
    deferred.add("A", 1e9, "deferred/A")
    assert deferred.make_due(["A", "X"], 50.0) == 1
    assert deferred.take(50.0) == ("A", "deferred/A")
    assert deferred.next_due is None


def test_what_is_due_and_not_yet_taken_can_be_told_to_a_successor() -> None:
    deferred = Deferred()
    deferred.add("A", 1e9, "deferred/A")
    deferred.add("B", 1e9, "deferred/B")
    deferred.make_due(["B"], 50.0)
    assert deferred.overdue(60.0) == ["deferred/B"]


def test_a_message_waits_as_long_as_it_is_old_within_limits() -> None:
    assert [backoff(age, 300, 4000) for age in (-5, 10, 1000, 9000)] == [300, 300, 1000, 4000]
