"""Both sides of a handover, in memory: what the old qmgr keeps, what the new one makes of it."""

from __future__ import annotations

from collections.abc import Iterable

from estafeta.mail.envelope import NOTIFY_SUCCESS, TRACE_VERIFY, Envelope, Recipient, Trouble
from estafeta.queue.handover import DELETE, HOLD, Heard, Kept
from estafeta.queue.keeper import Found, Returned
from estafeta.queue.place import Place
from estafeta.services.delivery import ENDING, Ready, Report, Result

from .post_office import DEFERRED, SENT, PostOffice, run

PLACE = Place("incoming/1.journal", 7, 0, 0, 0)
HEARD_SENT, HEARD_LATER = Heard("sent", "2.0.0", "ok", action="relayed"), Heard("deferred", "4.0.0", "later")
HEARD_NEVER = Heard("bounced", "5.0.0", "never")


def envelope(*to: str | Recipient, trace: int = 0, done: Iterable[int] = ()) -> Envelope:
    recipients = [each if isinstance(each, Recipient) else Recipient(each) for each in to]
    return Envelope("Q7", 1_000_000.0, "s@sender.example", recipients, size=10, trace=trace, done=list(done))


def test_what_agents_have_is_kept_and_reports_on_it_are_diverted() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        told: list[tuple[str, dict[int, Heard]]] = []
        post.agent.answer = lambda delivery: (
            None if delivery.nexthop == "slow" else [DEFERRED] if delivery.nexthop == "later" else [SENT]
        )
        post.letter("a@slow", "b@later", "c@quick")
        await post.settle()
        kept = post.queue.leave(lambda queue_id, heard: told.append((queue_id, heard)))
        place = Place("incoming/1.journal", 1, 0, 0, 0)
        assert kept == {"Q1": Kept(place, [0], {1: HEARD_LATER})}
        marks = list(post.keeper.marks)
        post.agent.answer = lambda delivery: [SENT]
        for link in post.agent.links:
            link.work()
        await post.settle()
        assert told == [("Q1", {0: HEARD_SENT})]
        assert not post.queue.busy
        assert (post.keeper.marks, post.keeper.released) == (marks, [])
        assert not any(link.open for link in post.agent.links)

    run(case)


def test_an_idle_connection_closes_at_once_and_what_waits_is_for_the_next() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None if delivery.nexthop == "slow" else [SENT]
        post.letter("a@slow", "b@slow", "c@slow")
        post.letter("d@here")
        await post.settle()
        kept = post.queue.leave(lambda queue_id, heard: None)
        assert [sorted(each.recipients) for each in kept.values()] == [[0, 1, 2]]
        assert [link.open for link in post.agent.links if link.name == "local"] == [False]
        post.letter("e@x")
        await post.settle()
        assert len(post.delivered) == 2, "nothing more is scheduled"

    run(case)


def test_an_agent_that_dies_then_is_a_reason_to_put_off() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        told: list[dict[int, Heard]] = []
        post.agent.answer = lambda delivery: None
        post.letter("a@slow")
        await post.settle()
        post.queue.leave(lambda queue_id, heard: told.append(heard))
        post.agent.links[0].die()
        await post.settle()
        assert told == [{0: Heard("deferred", "4.3.0", "unknown mail transport error")}]
        assert "status=deferred (unknown mail transport error)" in lines[-1]
        assert not post.queue.busy

    run(case)


def test_a_destination_that_turns_out_dead_then_does_not_touch_other_mail() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("a@slow")
        post.letter("b@slow")
        await post.settle()
        post.queue.leave(lambda queue_id, heard: None)
        before = len(lines)
        (link,) = post.agent.links
        link.say(Ready(ENDING))
        for delivery in list(link.held):
            link.say(Report(delivery.number, [DEFERRED], Result("deferred", "4.4.1", "connect: refused")))
        await post.settle()
        assert lines[before:] == []

    run(case, default_destination_concurrency_limit="1", default_destination_concurrency_failed_cohort_limit="1")


def test_the_next_qmgr_delivers_to_the_others_and_finishes_when_it_has_heard_of_all() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.queue.away(Found(PLACE, envelope("a@x", "b@y", "c@z", done=[2]), out=[0]))
        await post.settle()
        assert post.delivered == [("smtp", "Q7", ["b@y"])]
        assert "Q7" in post.queue.active
        assert post.keeper.released == []
        post.queue.returned(Returned("Q7", [0], {0: HEARD_SENT}, True))
        await post.settle()
        assert post.keeper.released == ["Q7"]
        assert "Q7: removed" in lines
        assert len(post.delivered) == 1
        assert (post.queue.recipients, post.queue.active) == (0, {})

    run(case)


def test_each_fate_of_what_came_back() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.queue.away(
            Found(PLACE, envelope("a@x", "b@x", "c@x", "d@x", "e@x"), out=[0, 1, 2, 3], heard={4: HEARD_LATER})
        )
        await post.settle()
        assert post.delivered == []
        post.queue.returned(Returned("Q7", [0, 1, 2, 3], {0: HEARD_SENT, 1: HEARD_LATER, 2: HEARD_NEVER}, True))
        await post.settle()
        assert post.delivered == [("smtp", "Q7", ["d@x"])], "what nobody knows anything of is tried anew"
        assert post.reporter.asked == [("bounce", "Q7", [2])]
        _, after = post.keeper.files["deferred/Q7"]
        assert after.troubles == {1: Trouble("4.0.0", "later"), 4: Trouble("4.0.0", "later")}
        assert sorted(after.done) == [0, 2, 3]
        assert after.attempt_after == post.now + 300

    run(case)


def test_while_another_process_works_on_it_a_message_is_not_finished() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.queue.away(Found(PLACE, envelope("a@x", "b@x"), out=[0, 1]))
        post.queue.returned(Returned("Q7", [1], {1: HEARD_SENT}, False))
        await post.settle()
        assert post.keeper.marks == [("done", "Q7", [1])]
        assert "Q7" in post.queue.active
        post.queue.returned(Returned("Q7", [0], {0: HEARD_SENT}, True))
        await post.settle()
        assert post.keeper.released == ["Q7"]

    run(case)


def test_wishes_are_followed_when_it_is_back() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.queue.away(Found(PLACE, envelope("a@x", "b@x"), out=[0], wishes=[HOLD]))
        await post.settle()
        assert post.delivered == []
        post.queue.returned(Returned("Q7", [0], {}, True))
        await post.settle()
        assert "hold/Q7" in post.keeper.files
        other = envelope("a@x")
        other.queue_id = "Q8"
        post.queue.away(Found(PLACE, other, out=[0], wishes=[DELETE]))
        post.queue.returned(Returned("Q8", [0], {0: HEARD_LATER}, True))
        await post.settle()
        assert post.keeper.released == ["Q8"]
        assert not any("Q8" in path for path in post.keeper.files)

    run(case)


def test_reports_of_success_and_of_probes_are_written_by_the_next() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        asked = envelope(Recipient("a@x", notify=NOTIFY_SUCCESS), Recipient("b@x", notify=NOTIFY_SUCCESS), done=[1])
        post.queue.away(Found(PLACE, asked, out=[0], heard={1: HEARD_SENT}))
        post.queue.returned(Returned("Q7", [0], {0: HEARD_SENT}, True))
        await post.settle()
        probe = envelope("a@x", "b@x", trace=TRACE_VERIFY)
        probe.queue_id = "Q8"
        post.queue.recovered(Found(PLACE, probe, heard={0: HEARD_NEVER, 1: HEARD_LATER}))
        await post.settle()
        assert post.reporter.asked == [("success", "Q7", [0, 1]), ("verify", "Q8", [0, 1])]
        assert post.keeper.released == ["Q7", "Q8"]

    run(case)


def test_a_recovered_message_goes_on_where_the_attempt_was() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.queue.recovered(Found(PLACE, envelope("a@x", "b@y"), heard={0: HEARD_LATER}))
        await post.settle()
        assert post.delivered == [("smtp", "Q7", ["b@y"])]
        assert post.keeper.files["deferred/Q7"][1].done == [1]

    run(case)
