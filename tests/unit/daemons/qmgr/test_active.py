from __future__ import annotations

import asyncio
import gc

import pytest

from estafeta.daemons.qmgr import active
from estafeta.daemons.qmgr.message import Message
from estafeta.mail.envelope import (
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    TRACE_VERIFY,
    Recipient,
    Trouble,
)
from estafeta.queue.journal import SpoolError
from estafeta.queue.keeper import Found
from estafeta.queue.place import Place
from estafeta.queue.spool import MessageGone
from estafeta.services.delivery import ENDING, Ready, Report, Result

from .post_office import BOUNCED, DEFERRED, SENT, PostOffice, run


def test_a_message_that_is_delivered_is_removed() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@x", sender="odd name@s")
        await post.settle()
        assert post.delivered == [("smtp", "Q1", ["a@x"])]
        assert post.keeper.released == ["Q1"]
        assert post.keeper.marks == []
        assert lines == ['Q1: from=<"odd name"@s>, size=10, nrcpt=1 (queue active)', "Q1: removed"]
        assert not post.queue.active
        assert post.queue.recipients == 0

    run(case)


def test_messages_that_have_left_are_freed_without_the_collector() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        before = sum(isinstance(each, Message) for each in gc.get_objects())
        post.agent.answer = lambda delivery: [SENT if int(delivery.queue_id[1:]) % 2 else DEFERRED]
        for number in range(100):
            post.letter(f"a@{number % 3}")
        await post.settle(300)
        assert (len(post.keeper.released), len(post.queue.deferred)) == (50, 50)
        assert sum(isinstance(each, Message) for each in gc.get_objects()) == before

    gc.collect()
    gc.disable()
    try:
        run(case)
    finally:
        gc.enable()


def test_a_file_that_is_read_because_it_is_due_is_told_to_a_successor() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        reading = asyncio.Event()
        loop = asyncio.get_running_loop()
        told: list[str] = []

        def load(path: str) -> Found:
            told.extend(post.queue.unfinished(post.now))
            loop.call_soon_threadsafe(reading.set)
            raise MessageGone(2, "gone", path)

        post.keeper.load = load  # type: ignore[method-assign]
        post.queue.deferred.add("Q1", 0.0, "deferred/Q1")
        await post.later(0)
        await reading.wait()
        assert told == ["deferred/Q1"]

    run(case)


def test_the_null_sender_is_shown_empty() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@x", sender="")
        await post.settle()
        assert lines[0] == "Q1: from=<>, size=10, nrcpt=1 (queue active)"

    run(case)


def test_recipients_are_grouped_by_transport_and_next_hop() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@x", "b@y", "c@x", "d@here", "e@here")
        await post.settle()
        assert sorted(post.delivered) == [
            ("local", "Q1", ["d@here"]),
            ("local", "Q1", ["e@here"]),
            ("smtp", "Q1", ["a@x", "c@x"]),
            ("smtp", "Q1", ["b@y"]),
        ]
        assert post.keeper.released == ["Q1"]

    run(case)


def test_progress_is_marked_while_others_are_pending() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None if delivery.nexthop == "y" else [SENT]
        post.letter("a@x", "b@y")
        await post.settle()
        assert post.keeper.marks == [("done", "Q1", [0])]
        assert post.keeper.released == []

    run(case)


def test_a_deferred_message_goes_to_deferred_with_its_reason_and_is_tried_again_after_the_backoff() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED]
        post.letter("a@x")
        await post.settle()
        _, envelope = post.keeper.files["deferred/Q1"]
        assert envelope.troubles == {0: Trouble("4.0.0", "later")}
        assert (envelope.attempt_after, envelope.attempts) == (post.now + 300, 1)
        assert not post.queue.active
        post.agent.answer = lambda delivery: [SENT]
        await post.later(299)
        assert len(post.agent.seen) == 1
        await post.later(2)
        assert len(post.agent.seen) == 2
        assert post.keeper.released == ["Q1"]
        assert not post.keeper.files

    run(case)


def test_the_backoff_doubles_with_age_within_limits() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED]
        post.letter("a@x", arrived=post.now - 1000)
        post.letter("b@y", arrived=post.now - 9000)
        await post.settle()
        assert post.keeper.files["deferred/Q1"][1].attempt_after == post.now + 1000
        assert post.keeper.files["deferred/Q2"][1].attempt_after == post.now + 4000

    run(case)


def test_only_what_is_undone_is_tried_again() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [SENT, DEFERRED][: len(delivery.recipients)]
        post.letter("a@x", "b@x")
        await post.settle()
        await post.later(400)
        assert [each[2] for each in post.delivered] == [["a@x", "b@x"], ["b@x"]]
        assert post.keeper.released == ["Q1"]

    run(case)


def test_messages_that_are_put_off_together_are_written_together() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        for _ in range(5):
            post.letter("a@x")
        await post.settle()
        post.agent.answer = lambda delivery: [DEFERRED]
        for link in post.agent.links:
            link.work()
        await post.settle()
        assert post.keeper.batches == [5]

    run(case)


def test_a_bounce_is_reported_before_the_message_goes() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [BOUNCED]
        post.reporter.reason = "bounce is away"
        post.letter("a@x")
        await post.settle()
        assert post.reporter.asked == [("bounce", "Q1", [0])]
        assert post.keeper.released == []
        assert post.keeper.marks == [("failed", "Q1", [0])]
        warning = "Q1: bounce report: bounce is away: the message waits, and the report is tried again"
        assert lines[-1] == f"warning: {warning}"

    run(case)


def test_a_message_that_waits_for_its_report_is_out_of_the_way_and_not_delivered_again() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [SENT, BOUNCED, DEFERRED][: len(delivery.recipients)]
        post.reporter.reason = "bounce is away"
        envelope = post.letter("sent@x", "failed@x", "later@x")
        await post.settle()
        assert post.queue.active == {}
        assert envelope.troubles[1].text == BOUNCED.text  # what mailq shows
        post.agent.answer = lambda delivery: [SENT]
        await post.later(400)
        post.reporter.reason = ""
        await post.later(1000)
        assert [each[2] for each in post.delivered] == [["sent@x", "failed@x", "later@x"], ["later@x"]]
        assert post.reporter.asked[-1] == ("bounce", "Q1", [1])
        assert post.keeper.released == ["Q1"]

    run(case)


def test_a_success_report_that_could_not_be_written_is_written_later() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        sent = Result("sent", "2.0.0", "ok", action="relayed", relay="mx")
        post.agent.answer = lambda delivery: [sent]
        post.reporter.reason = "trace is away"
        post.letter(Recipient("a@x", notify=NOTIFY_SUCCESS))
        await post.settle()
        assert post.keeper.released == []
        post.reporter.reason = ""
        await post.later(400)
        assert len(post.delivered) == 1
        assert post.reporter.asked == [("success", "Q1", [0])] * 2
        assert post.reporter.results[-1][0] == sent
        assert post.keeper.released == ["Q1"]

    run(case)


@pytest.mark.parametrize("confirm, asked", [("no", []), ("yes", [("success", "Q1", [0])])])
def test_who_was_told_of_a_delay_is_told_of_its_end(confirm: str, asked: list[object]) -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [Result("sent", "2.0.0", "ok")] * len(delivery.recipients)
        post.letter("a@x", Recipient("b@x", notify=NOTIFY_NEVER), warned=True)
        await post.settle()
        assert post.reporter.asked == asked
        assert post.keeper.released == ["Q1"]

    run(case, confirm_delay_cleared=confirm)


def test_the_sender_hears_once_that_an_alias_was_reached() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED]
        alias = Recipient("alias@x", notify=NOTIFY_SUCCESS)
        envelope = post.letter(Recipient("a@x", "alias@x", NOTIFY_NEVER), expanded=[alias])
        await post.settle()
        assert post.reporter.asked == [("success", "Q1", [])]
        assert envelope.expanded is None
        post.agent.answer = lambda delivery: [SENT]
        await post.later(400)
        assert len(post.reporter.asked) == 1
        assert post.keeper.released == ["Q1"]

    run(case)


def test_verp_gives_each_recipient_a_delivery_and_a_sender_of_its_own() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@x", "b@x", sender="list@s.example", verp="+=")
        await post.settle()
        assert sorted(each[2] for each in post.delivered) == [["a@x"], ["b@x"]]
        assert sorted(each.sender for each in post.agent.seen) == ["list+a=x@s.example", "list+b=x@s.example"]

    run(case)


def test_a_bounced_message_is_removed_after_its_report() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [BOUNCED]
        post.letter("a@x")
        await post.settle()
        assert post.reporter.asked == [("bounce", "Q1", [0])]
        assert post.keeper.released == ["Q1"]
        assert lines[-1] == "Q1: removed"

    run(case)


def test_the_sender_hears_of_what_he_wants_to_hear_of() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [BOUNCED] * len(delivery.recipients)
        post.letter(
            Recipient("never@x", notify=NOTIFY_NEVER),
            Recipient("success@x", notify=NOTIFY_SUCCESS),
            Recipient("failure@x", notify=NOTIFY_FAILURE),
            Recipient("unsaid@x"),
        )
        await post.settle()
        # All of them: bounce(8) leaves out who does not want to hear of it, but the postmaster may.
        assert post.reporter.asked == [("bounce", "Q1", [0, 1, 2, 3])]
        assert post.keeper.released == ["Q1"]

    run(case)


def test_success_is_reported_to_those_who_asked_unless_the_next_host_does_it() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        quiet = Result("sent", "2.0.0", "ok", action="")
        post.agent.answer = lambda delivery: [SENT, quiet, SENT]
        wants = NOTIFY_SUCCESS | NOTIFY_FAILURE
        post.letter(Recipient("a@x", notify=wants), Recipient("b@x", notify=wants), Recipient("c@x"))
        await post.settle()
        assert post.reporter.asked == [("success", "Q1", [0])]
        assert post.keeper.released == ["Q1"]

    run(case)


def test_verification_reports_everything_and_delivers_nothing() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [SENT, DEFERRED, BOUNCED]
        post.letter("a@x", "b@x", "c@x", trace=TRACE_VERIFY)
        await post.settle()
        assert post.reporter.asked == [("verify", "Q1", [0, 1, 2])]
        assert post.keeper.released == ["Q1"]
        assert post.keeper.marks == []

    run(case)


def test_a_message_that_waited_too_long_is_returned_with_its_reasons() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED]
        post.letter("a@x", arrived=post.now - 86400 * 5)
        await post.settle()
        assert "Q1: from=<s@sender.example>, status=expired, returned to sender" in lines
        assert post.reporter.asked == [("bounce", "Q1", [0])]
        assert post.keeper.released == ["Q1"]

    run(case)


def test_bounces_have_a_lifetime_of_their_own() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED]
        post.letter("a@x", sender="", arrived=post.now - 3700)
        post.letter("a@x", arrived=post.now - 3700)
        await post.settle()
        assert "Q1: from=<>, status=expired, returned to sender" in lines
        assert list(post.keeper.files) == ["deferred/Q2"]

    run(case, bounce_queue_lifetime="1h")


def test_bounces_do_not_live_longer_than_other_mail() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED]
        post.letter("a@x", sender="", arrived=post.now - 3700)
        await post.settle()
        assert "Q1: from=<>, status=expired, returned to sender" in lines

    run(case, maximal_queue_lifetime="1h", bounce_queue_lifetime="2h")


def test_the_sender_is_warned_once_of_a_delay() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED] * len(delivery.recipients)
        post.letter("a@x", Recipient("b@x", notify=NOTIFY_DELAY), Recipient("c@x", notify=NOTIFY_FAILURE))
        await post.settle()
        assert post.reporter.asked == []
        await post.later(3700)
        assert post.reporter.asked == [("delay", "Q1", [0, 1, 2])]
        await post.later(5000)
        assert len(post.agent.seen) == 3
        assert len(post.reporter.asked) == 1

    run(case, delay_warning_time="1h")


def test_a_table_that_is_down_puts_off() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@down")
        await post.settle()
        assert post.delivered == [("retry", "Q1", ["a@down"])]
        assert post.keeper.files["deferred/Q1"][1].troubles == {0: Trouble("4.3.0", "address resolver failure")}
        assert "warning: Q1: <a@down>: hash:/etc/down: no such file" in lines

    run(case)


def test_a_slow_table_does_not_stop_the_others() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.routing.waits = asyncio.Event()
        post.letter("a@slow")
        post.letter("b@x")
        await post.settle()
        assert post.delivered == [("smtp", "Q2", ["b@x"])]
        post.routing.waits.set()
        await post.settle()
        assert post.keeper.released == ["Q2", "Q1"]

    run(case)


def test_a_transport_that_nobody_serves_is_left_alone_for_a_while() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.refused.add("smtp")
        post.letter("a@x", "b@x")
        await post.settle()
        assert "warning: connect to transport private/smtp: No such file or directory" in lines
        assert post.delivered == [("retry", "Q1", ["a@x", "b@x"])]
        assert post.keeper.files["deferred/Q1"][1].troubles[1] == Trouble("4.3.0", "mail transport unavailable")
        post.letter("c@x")
        await post.settle()
        assert lines.count("warning: connect to transport private/smtp: No such file or directory") == 1
        post.agent.refused.clear()
        post.queue.flush_transports()
        post.letter("d@x")
        await post.settle()
        assert post.delivered[-1] == ("smtp", "Q3", ["d@x"])

    run(case)


def test_without_the_retry_service_qmgr_puts_off_by_itself() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.refused |= {"smtp", "retry"}
        post.letter("a@x")
        await post.settle()
        assert post.keeper.files["deferred/Q1"][1].troubles == {0: Trouble("4.3.0", "mail transport unavailable")}
        assert any(
            line.startswith("Q1: to=<a@x>, relay=none, delay=") and line.endswith("(mail transport unavailable)")
            for line in lines
        )

    run(case)


def test_a_dead_destination_is_not_tried_by_the_others() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        refused = Result("deferred", "4.4.1", "connect to x: Connection refused")
        post.agent.answer = lambda delivery: Report(delivery.number, [refused], refused)
        for _ in range(12):
            post.letter("a@x")
        await post.settle(200)
        assert post.agent.transports.count("smtp") <= 5
        reasons = {envelope.troubles[0].text for _, envelope in post.keeper.files.values()}
        assert reasons == {
            "connect to x: Connection refused",
            "delivery temporarily suspended: connect to x: Connection refused",
        }
        assert len(post.keeper.files) == 12
        post.letter("b@x")
        await post.settle()
        assert post.delivered[-1][0] == "retry"

    run(case)


def test_an_agent_that_dies_takes_no_mail_along() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("z@x")
        await post.settle()
        post.agent.answer = lambda delivery: None
        post.letter("a@x")
        await post.settle()
        post.agent.links[0].die()
        await post.settle()
        assert post.keeper.files["deferred/Q2"][1].troubles == {0: Trouble("4.3.0", "unknown mail transport error")}
        assert "warning: private/smtp socket: lost connection; 1 deliveries are tried again later" in lines
        assert any(line.endswith("dsn=4.3.0, status=deferred (unknown mail transport error)") for line in lines)
        post.agent.answer = lambda delivery: [SENT]
        post.letter("b@x")
        await post.settle()
        assert post.delivered[-1] == ("smtp", "Q3", ["b@x"])
        assert "Q3" in post.keeper.released

    run(case)


def test_what_agents_have_when_we_end_stays_as_it_is() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("a@x")
        post.letter("b@y")
        await post.settle()
        ending = asyncio.create_task(post.queue.stop(5))
        await post.settle()
        post.agent.answer = lambda delivery: [SENT] if delivery.nexthop == "x" else None
        post.agent.links[0].work()
        post.agent.links[0].die()
        await ending
        assert post.keeper.released == ["Q1"]
        assert post.keeper.marks == []
        assert post.keeper.files == {}
        assert not any("lost connection" in line for line in lines)

    run(case)


def test_an_agent_that_ends_gets_nothing_more_and_is_closed_when_it_has_answered() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("a@x")
        await post.settle()
        first = post.agent.links[0]
        first.say(Ready(ENDING))
        post.letter("b@x")
        await post.settle()
        assert first.open
        assert [delivery.queue_id for delivery in first.held] == ["Q1"]
        assert len(post.agent.links) == 2
        post.agent.answer = lambda delivery: [SENT]
        for link in list(post.agent.links):
            link.work()
        await post.settle()
        assert not first.open
        assert sorted(post.keeper.released) == ["Q1", "Q2"]

    run(case)


def test_more_workers_are_called_in_when_there_is_work_for_them() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.agent.slots = 3
        for number in range(10):
            post.letter(f"a@x{number}")
        await post.settle()
        assert [len(link.held) for link in post.agent.links] == [3, 3]

    run(case)


def test_a_worker_that_never_speaks_gets_no_mail() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.silent = True
        post.letter("a@x")
        await post.settle()
        assert post.agent.seen == []
        agents = post.queue.agents("smtp")
        post.agent.silent = False
        agents._check_ready(agents._workers[0])
        await post.settle()
        assert "warning: timeout connecting to transport: private/smtp" in lines
        assert post.delivered == [("retry", "Q1", ["a@x"])]

    run(case)


def test_deferred_transports_wait_until_somebody_asks() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@x")
        await post.settle()
        assert post.delivered == [("retry", "Q1", ["a@x"])]
        assert post.keeper.files["deferred/Q1"][1].troubles == {0: Trouble("4.3.2", "deferred transport")}
        post.queue.flushed.add("Q1")
        post.queue.deferred.make_due(["Q1"], 0)
        await post.later(0)
        assert post.delivered[-1] == ("smtp", "Q1", ["a@x"])

    run(case, defer_transports="smtp")


def test_a_content_filter_overrides_routing() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@x", "b@y", content_filter="scan:[127.0.0.1]:10025")
        post.letter("c@x", content_filter="scan")
        await post.settle()
        assert post.delivered == [("scan", "Q1", ["a@x", "b@y"]), ("scan", "Q2", ["c@x"])]
        assert post.agent.seen[0].nexthop == "[127.0.0.1]:10025"
        assert post.agent.seen[1].nexthop == "x"

    run(case)


def test_a_redirected_message_goes_to_one_address_only() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@x", "b@y", redirect="warden@z")
        await post.settle()
        assert post.delivered == [("smtp", "Q1", ["warden@z"])]
        assert post.agent.seen[0].recipients[0].original == "a@x"
        assert post.keeper.released == ["Q1"]

    run(case)


def test_mail_for_double_bounce_is_thrown_away() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("double-bounce@here")
        await post.settle()
        assert post.delivered == []
        assert post.keeper.released == ["Q1"]
        assert lines[1].endswith("dsn=2.0.0, status=sent (undeliverable postmaster notification discarded)")

    run(case)


def test_no_more_messages_than_the_limit_are_active_and_the_rest_follows() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        for number in range(5):
            post.letter(f"a@x{number}")
        await post.settle()
        assert len(post.queue.active) == 2
        assert len(post.queue.incoming) == 3
        post.agent.answer = lambda delivery: [SENT]
        for link in post.agent.links:
            link.work()
        await post.settle(200)
        assert sorted(post.keeper.released) == ["Q1", "Q2", "Q3", "Q4", "Q5"]

    run(case, qmgr_message_active_limit="2")


def test_recipients_beyond_the_limit_wait_and_envelopes_are_read_again() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter(*[f"u{number}@x" for number in range(30)])
        post.letter(*[f"v{number}@x" for number in range(30)])
        post.agent.answer = lambda delivery: None
        await post.later(0)
        # The second was taken up while the first was read; it gets its minimum.
        assert post.queue.recipients == 14
        post.agent.answer = lambda delivery: [SENT] * len(delivery.recipients)
        for link in post.agent.links:
            link.work()
        await post.later(0)
        assert sorted(post.keeper.released) == ["Q1", "Q2"]
        assert sum(len(delivery.recipients) for delivery in post.agent.seen) == 60

    run(
        case,
        qmgr_message_recipient_limit="12",
        qmgr_message_recipient_minimum="2",
        smtp_destination_recipient_limit="5",
    )


def test_new_mail_goes_before_a_backlog_of_deferred_mail() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        for number in range(20):
            place = Place(f"deferred/D{number}", 0, 0, 0, 0)
            envelope = post.letter("old@x")
            post.queue.incoming.take()
            envelope.queue_id = f"D{number}"
            post.keeper.files[place.path] = (place, envelope)
            post.queue.deferred.add(f"D{number}", 0.0, place.path)
        post.letter("new@y")
        await post.later(0)
        assert len(post.keeper.released) == 21
        assert post.keeper.released.index("Q21") <= 2

    run(case, qmgr_message_active_limit="1")


def test_what_cannot_be_written_stays_in_memory_and_is_tried_again() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED]
        post.keeper.failure = SpoolError(28, "No space left on device")
        post.letter("a@x")
        post.letter("b@x")
        await post.settle()
        assert sorted(post.queue.active) == ["Q1", "Q2"]
        assert post.keeper.released == []
        assert sum("No space left on device: will try again" in line for line in lines) == 2
        post.keeper.failure = None
        for message in list(post.queue.active.values()):
            post.finish._move("deferred", message)
        await post.settle()
        assert sorted(post.keeper.files) == ["deferred/Q1", "deferred/Q2"]

    run(case)


def test_a_bounce_that_a_crash_cut_short_is_finished() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        envelope = post.letter("a@x", "b@x")
        post.queue.incoming.take()
        envelope.done = [1]
        post.queue.recovered(Found(Place("incoming/1.journal", 1, 0, 0, 0), envelope, {0: Trouble("5.1.1", "no")}))
        await post.settle()
        assert post.delivered == []
        assert post.reporter.asked == [("bounce", "Q1", [0])]
        assert post.keeper.released == ["Q1"]

    run(case)


def test_a_message_held_by_intake_goes_to_hold() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.letter("a@x", hold_reason="smtpd_recipient_restrictions")
        await post.settle()
        assert list(post.keeper.files) == ["hold/Q1"]
        assert post.delivered == []
        assert lines == []

    run(case)


def test_one_recipient_a_delivery_tells_destinations_apart_by_recipient_without_its_extension() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("joe@here", "joe+list@here", "Joe@here", "ann@here")
        await post.settle()
        # local_destination_concurrency_limit = 2: the third for joe waits.
        assert sorted(each[2][0] for each in post.delivered) == ["ann@here", "joe+list@here", "joe@here"]

    run(case, recipient_delimiter="+")


def test_a_transport_holds_no_more_recipients_than_its_limit_but_short_messages_get_in() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter(*[f"u{number}@x{number}" for number in range(20)])
        post.letter("short@y")
        await post.settle()
        assert post.queue.agents("smtp").scheduler.recipients == 6
        post.agent.answer = lambda delivery: [SENT] * len(delivery.recipients)
        for link in post.agent.links:
            link.work()
        await post.later(0)
        assert sorted(post.keeper.released) == ["Q1", "Q2"]

    run(case, smtp_recipient_limit="5", smtp_extra_recipient_limit="2")


def test_a_destination_that_fills_the_queue_is_named() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        for _ in range(20):
            post.letter("a@x")
        await post.settle()
        assert "warning: mail for x is using up 10 of 10 active queue entries" in lines

    run(case, qmgr_message_active_limit="10")


def test_a_new_message_that_the_disk_does_not_give_is_listed_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "READ_AGAIN", 0.05)

    async def case(post: PostOffice, lines: list[str]) -> None:
        post.reader.failures = [OSError(5, "Input/output error")]
        # More recipients than are kept in memory: its envelope is to be read.
        post.letter("a@x", "b@x")
        while not lines:
            await asyncio.sleep(0.001)
        assert lines == ["warning: incoming/1.journal: Input/output error: will try again"]
        assert [each.path for each in post.queue.incoming] == ["incoming/1.journal"]
        while not post.keeper.released:
            await asyncio.sleep(0.01)
        assert post.keeper.released == ["Q1"]

    run(case, qmgr_message_recipient_limit="1")
