from collections.abc import Collection

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
    numbered = incoming.numbered()[0]
    assert incoming.remove(*numbered) and not incoming.remove(*numbered)
    assert len(incoming) == 1
    taken = incoming.take()
    assert isinstance(taken, Found) and taken.envelope.queue_id == "Q2"
    assert len(incoming) == 0


def scan(deferred: Deferred, *files: tuple[str, float, str], leaving: Collection[str] = ()) -> int:
    deferred.scan_begins(leaving)
    new = deferred.found(files, ())
    deferred.scan_ends()
    return new


def test_deferred_mail_comes_when_it_is_due() -> None:
    deferred = Deferred("deferred/{}".format)
    deferred.add("B", 20.0, "deferred/B")
    deferred.add("A", 10.0, "deferred/A")
    assert (deferred.next_due, deferred.take(9.9)) == (10.0, None)
    assert deferred.take(25.0) == ("A", "deferred/A")
    assert deferred.take(25.0) == ("B", "deferred/B")
    assert (deferred.take(25.0), deferred.next_due, len(deferred)) == (None, None, 0)


def test_a_scan_adds_what_is_new_follows_what_an_operator_changed_and_leaves_what_is_active() -> None:
    deferred = Deferred("deferred/{}".format)
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
    deferred = Deferred("deferred/{}".format)
    deferred.add("A", 10.0, "deferred/A")
    assert deferred.take(10.0) is not None
    deferred.finished("A")
    for _ in range(2):
        assert scan(deferred, ("A", 10.0, "deferred/A"), leaving={"A"}) == 0
    assert scan(deferred, ("A", 10.0, "deferred/A")) == 1


def test_a_message_that_is_finished_while_a_scan_is_under_way_does_not_come_back_with_the_next() -> None:
    deferred = Deferred("deferred/{}".format)
    deferred.scan_begins(())
    assert deferred.found([("A", 10.0, "deferred/A")], {"A"}) == 0
    deferred.finished("A")
    # Read before it was removed, told of afterwards.
    assert deferred.found([("A", 10.0, "deferred/A")], ()) == 0
    deferred.scan_ends()
    assert scan(deferred, ("A", 10.0, "deferred/A"), leaving={"A"}) == 0


def test_a_scan_that_fails_forgets_nothing() -> None:
    deferred = Deferred("deferred/{}".format)
    deferred.finished("A")
    deferred.scan_begins({"A"})
    assert scan(deferred, ("A", 10.0, "deferred/A"), leaving={"A"}) == 0


def test_a_finished_message_that_is_put_back_by_hand_is_taken_up_by_the_next_scan() -> None:
    deferred = Deferred("deferred/{}".format)
    deferred.add("A", 10.0, "deferred/A")
    deferred.remove("A")
    deferred.finished("A")
    assert scan(deferred, ("A", 10.0, "deferred/A")) == 1


def test_a_flush_makes_messages_due() -> None:
    deferred = Deferred("deferred/{}".format)
    deferred.add("A", 1e9, "deferred/A")
    assert deferred.make_due(["A", "X"], 50.0) == 1
    assert deferred.take(50.0) == ("A", "deferred/A")
    assert deferred.next_due is None


def test_a_flush_is_not_undone_by_a_scan_that_reads_the_old_time() -> None:
    deferred = Deferred("deferred/{}".format)
    deferred.add("A", 1e9, "deferred/A")
    deferred.make_due(["A"], 50.0)
    assert scan(deferred, ("A", 1e9, "deferred/A")) == 0
    assert deferred.take(50.0) == ("A", "deferred/A")


def test_a_flush_takes_what_waits_the_longest_first_and_a_second_one_changes_nothing() -> None:
    deferred = Deferred("deferred/{}".format)
    for name in "ABCD":
        deferred.add(name, 1e9, f"deferred/{name}")
    deferred.make_due("AB", 50.0)
    assert deferred.make_due("DABC", 60.0) == 4
    assert [deferred.take(70.0) for _ in range(5)] == [*((name, f"deferred/{name}") for name in "ABDC"), None]


def test_a_message_is_taken_once_however_often_its_time_changed() -> None:
    deferred = Deferred("deferred/{}".format)
    for due in (10.0, 20.0, 10.0, 9.5, 10.0, 30.2):
        deferred.add("A", due, "deferred/A")
    assert (deferred.next_due, deferred.take(30.9), deferred.take(31.0)) == (31, None, ("A", "deferred/A"))
    assert (deferred.take(99.0), len(deferred), list(deferred)) == (None, 0, [])
    deferred.add("A", 10.0, "deferred/A")
    deferred.remove("A")
    assert deferred.next_due is None


def test_a_file_that_somebody_put_elsewhere_is_taken_from_there() -> None:
    deferred = Deferred("deferred/{}".format)
    deferred.add("A", 10.0, "deferred/A")
    scan(deferred, ("A", 10.0, "deferred/X/A"), ("B", 10.0, "deferred/B"))
    assert (deferred.path("A"), deferred.path("B")) == ("deferred/X/A", "deferred/B")
    assert {deferred.take(10.0), deferred.take(10.0)} == {("A", "deferred/X/A"), ("B", "deferred/B")}
    deferred.add("A", 20.0, "deferred/A")
    assert deferred.take(20.0) == ("A", "deferred/A")


def test_what_is_due_and_not_yet_taken_can_be_told_to_a_successor() -> None:
    deferred = Deferred("deferred/{}".format)
    deferred.add("A", 1e9, "deferred/A")
    deferred.add("B", 1e9, "deferred/B")
    deferred.make_due(["B"], 50.0)
    assert deferred.overdue(60.0) == ["deferred/B"]


def test_a_message_waits_as_long_as_it_is_old_within_limits() -> None:
    assert [backoff(age, 300, 4000) for age in (-5, 10, 1000, 9000)] == [300, 300, 1000, 4000]
