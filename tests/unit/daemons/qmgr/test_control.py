from __future__ import annotations

import asyncio

import pytest

from estafeta.daemons.qmgr.control import QueueControl
from estafeta.mail.envelope import Envelope
from estafeta.queue.keeper import Found
from estafeta.queue.place import Place
from estafeta.services.queue_control import (
    DELETE,
    EXPIRE,
    FLUSH,
    HOLD,
    LIST,
    RELEASE,
    REQUEUE,
    Control,
    ControlReply,
)

from .post_office import DEFERRED, SENT, PostOffice, collect, run


def control_of(post: PostOffice) -> QueueControl:
    async def rescan() -> None:
        post.queue.deferred.scan_begins(post.keeper.leaving)
        post.queue.deferred.found(post.keeper.deferred(), {*post.queue.active, *post.queue.loading})
        post.queue.deferred.scan_ends()

    return QueueControl(post.queue, post.keeper, rescan, post.clock)


async def ask(post: PostOffice, operation: str, *ids: str, queues: tuple[str, ...] = ()) -> ControlReply:
    replies = await collect(control_of(post).answer(Control(operation, list(ids), list(queues))))
    assert [reply.last for reply in replies] == [False] * (len(replies) - 1) + [True]
    await post.settle()
    last: ControlReply = replies[-1]
    return last


async def put_off(post: PostOffice, *to: str) -> None:
    """One message a recipient, each in deferred/."""
    post.agent.answer = lambda delivery: [DEFERRED] * len(delivery.recipients)
    for address in to:
        post.letter(address)
    await post.settle()
    post.agent.answer = lambda delivery: [SENT] * len(delivery.recipients)


def test_what_is_active_and_what_waits_is_listed() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("a@x")
        post.letter("b@x")
        await post.settle()
        replies = await collect(control_of(post).answer(Control(LIST)))
        listed = [(each.queue, each.envelope.queue_id) for reply in replies for each in reply.messages]
        assert listed == [("active", "Q1"), ("incoming", "Q2")]

    run(case, qmgr_message_active_limit="1")


def test_a_deferred_message_is_deleted_and_an_unknown_id_is_named() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x", "b@x")
        reply = await ask(post, DELETE, "Q1", "NONE")
        assert (reply.count, reply.unknown, reply.queue_ids) == (1, ["NONE"], ["Q1"])
        assert list(post.keeper.files) == ["deferred/Q2"]
        assert post.keeper.released == ["Q1"]

    run(case)


def test_all_of_one_queue_is_deleted() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x", "b@x")
        await ask(post, HOLD, "Q2")
        reply = await ask(post, DELETE, queues=("deferred",))
        assert reply.queue_ids == ["Q1"]
        assert list(post.keeper.files) == ["hold/Q2"]
        assert (await ask(post, DELETE)).queue_ids == ["Q2"]
        assert post.keeper.files == {}

    run(case)


def test_a_message_that_is_being_delivered_is_deleted_when_the_agent_has_reported() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("a@x", *[f"u{number}@here" for number in range(5)])
        await post.settle()
        assert (await ask(post, DELETE, "Q1")).count == 1
        assert post.keeper.released == []
        post.agent.answer = lambda delivery: [DEFERRED] * len(delivery.recipients)
        for link in post.agent.links:
            link.work()
        await post.settle()
        assert post.keeper.released == ["Q1"]
        assert post.keeper.files == {}
        assert post.reporter.asked == []
        assert "Q1: removed" not in lines

    run(case)


def test_a_message_that_waits_for_room_can_be_deleted() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("a@x")
        post.letter("b@x")
        await post.settle()
        assert (await ask(post, DELETE, "Q2")).count == 1
        assert post.keeper.released == ["Q2"]
        assert len(post.queue.incoming) == 0

    run(case, qmgr_message_active_limit="1")


def test_an_active_message_is_held_with_what_is_undone() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("a@x", "b@y")
        await post.settle()
        assert (await ask(post, HOLD, "Q1")).count == 1
        post.agent.answer = lambda delivery: [SENT] if delivery.nexthop == "x" else [DEFERRED]
        for link in post.agent.links:
            link.work()
        await post.settle()
        assert post.keeper.files["hold/Q1"][1].done == [0]

    run(case)


def test_a_held_message_that_was_delivered_after_all_is_removed() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: None
        post.letter("a@x")
        await post.settle()
        await ask(post, HOLD, "Q1")
        post.agent.answer = lambda delivery: [SENT]
        for link in post.agent.links:
            link.work()
        await post.settle()
        assert post.keeper.files == {}
        assert post.keeper.released == ["Q1"]

    run(case)


def test_released_mail_is_tried_at_once() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x", "b@x")
        assert (await ask(post, HOLD)).count == 2
        await post.later(10_000)
        assert len(post.agent.seen) == 2
        assert (await ask(post, RELEASE, "Q1")).count == 1
        await post.later(0)
        assert [each[1] for each in post.delivered[2:]] == ["Q1"]
        assert list(post.keeper.files) == ["hold/Q2"]
        assert (await ask(post, RELEASE)).queue_ids == ["Q2"]

    run(case)


def test_requeued_mail_goes_through_intake_and_the_old_message_goes() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x", "b@x")
        await ask(post, HOLD, "Q2")
        assert (await ask(post, REQUEUE)).count == 2
        assert sorted(post.resubmitted) == ["Q1", "Q2"]
        assert sorted(post.keeper.released) == ["Q1", "Q2"]

    run(case)


def test_forced_expiration_returns_with_the_reason_of_the_delay_or_a_general_one() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x")
        assert (await ask(post, EXPIRE, "Q1")).count == 1
        assert "Q1: from=<s@sender.example>, status=force-expired, returned to sender" in lines
        assert post.reporter.asked == [("bounce", "Q1", [0])]
        assert post.keeper.released == ["Q1"]
        assert len(post.agent.seen) == 1

    run(case)


def test_a_message_that_is_taken_up_while_a_command_wants_it_is_not_taken_twice() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, *[f"u{number}@x" for number in range(40)])
        post.agent.answer = lambda delivery: [DEFERRED]
        post.now += 10_000
        post.queue.wake()
        reply = await ask(post, EXPIRE)
        await post.later(0)
        assert reply.count == 40
        assert sorted(each[1] for each in post.reporter.asked) == sorted(f"Q{number}" for number in range(1, 41))
        assert len(post.keeper.released) == 40
        assert not any("error" in line for line in lines)

    run(case)


def test_a_flush_tries_everything() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x", "b@y")
        assert (await ask(post, FLUSH)).count == 2
        await post.later(0)
        assert sorted(post.keeper.released) == ["Q1", "Q2"]

    run(case)


def test_a_flush_of_some_messages_leaves_the_others() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x", "b@Y", "c@z")
        assert (await ask(post, FLUSH, "Q2", "Q9")).queue_ids == ["Q2"]
        await post.later(0)
        assert post.keeper.released == ["Q2"]
        assert (await ask(post, FLUSH, "Q3")).queue_ids == ["Q3"]
        await post.later(0)
        assert post.keeper.released == ["Q2", "Q3"]

    run(case)


def test_an_unknown_operation_is_refused() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        assert (await ask(post, "explode")).reason == "unknown operation 'explode'"

    run(case)


def test_held_mail_is_marked_as_expired_once_and_returned_when_it_is_released() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x")
        await ask(post, HOLD, "Q1")
        assert (await ask(post, EXPIRE, "Q1")).queue_ids == ["Q1"]
        assert list(post.keeper.files) == ["hold/Q1"]
        assert (await ask(post, EXPIRE)).count == 0
        await ask(post, RELEASE, "Q1")
        await post.later(0)
        assert "Q1: from=<s@sender.example>, status=force-expired, returned to sender" in lines
        assert post.reporter.asked == [("bounce", "Q1", [0])]
        assert len(post.agent.seen) == 1

    run(case)


def test_a_file_that_cannot_be_removed_is_not_said_to_be_deleted() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x", "b@x")
        post.keeper.stuck = ["deferred/Q1"]
        reply = await ask(post, DELETE)
        assert reply.queue_ids == ["Q2"]
        assert "cannot remove deferred/Q1" in reply.reason

    run(case)


def test_new_mail_that_is_taken_up_while_an_operator_holds_everything_is_held_too() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.queue._message_limit = 0
        for _ in range(6):
            post.letter("a@x", "b@x")  # more recipients than are kept in memory: envelopes are read
        await post.settle()
        assert len(post.queue.incoming) == 6
        post.agent.answer = lambda delivery: [DEFERRED] * len(delivery.recipients)
        asking = asyncio.ensure_future(ask(post, HOLD))
        await asyncio.sleep(0)  # it reads the first
        post.queue._message_limit = post.queue._recipient_limit = 100
        post.queue.wake()
        reply = await asking
        assert sorted(reply.queue_ids) == ["Q1", "Q2", "Q3", "Q4", "Q5", "Q6"]
        assert sorted(post.keeper.files) == [f"hold/{each}" for each in sorted(reply.queue_ids)]
        assert len(post.queue.incoming) == 0 and not post.queue.active
        assert not [line for line in lines if "error" in line]

    run(case, qmgr_message_recipient_limit="1")


@pytest.mark.parametrize(("operation", "end"), [(HOLD, ["hold/Q1"]), (REQUEUE, []), (EXPIRE, []), (DELETE, [])])
def test_what_is_asked_while_a_message_is_being_put_off_is_done(operation: str, end: list[str]) -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED] * len(delivery.recipients)
        store = post.keeper.defer
        replies: list[ControlReply] = []

        async def slowly(moves: list[tuple[Place, Envelope]]) -> list[Place]:
            post.keeper.defer = store  # type: ignore[method-assign]
            asking = asyncio.ensure_future(ask(post, operation, "Q1"))
            await asyncio.sleep(0.01)
            places = await store(moves)
            asking.add_done_callback(lambda asked: replies.append(asked.result()))
            return places

        post.keeper.defer = slowly  # type: ignore[method-assign]
        post.letter("a@x")
        while not replies:
            await asyncio.sleep(0.01)
        await post.settle()
        assert replies[0].queue_ids == ["Q1"]
        assert list(post.keeper.files) == end
        assert not post.queue.active and not len(post.queue.deferred)
        if operation == EXPIRE:
            assert ("bounce", "Q1", [0]) in [(kind, name, who) for kind, name, who in post.reporter.asked]

    run(case)


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_held() -> None:
    async def case(post: PostOffice, lines: list[str]) -> None:
        await put_off(post, "a@x", "b@x", "c@x")
        load = post.keeper.load

        def refused(path: str) -> Found:
            if path == "deferred/Q2":
                raise PermissionError(13, "Permission denied", path)
            return load(path)

        post.keeper.load = refused  # type: ignore[method-assign]
        reply = await ask(post, HOLD)
        assert reply.queue_ids == ["Q1", "Q3"]
        assert sorted(post.keeper.files) == ["deferred/Q2", "hold/Q1", "hold/Q3"]
        assert [line for line in lines if line.startswith("warning: deferred/Q2: Permission denied")]
        post.keeper.load = load  # type: ignore[method-assign]
        assert (await ask(post, HOLD)).queue_ids == ["Q2"]
        assert not post.queue.loading

    run(case)


def test_what_another_command_has_just_removed_from_hold_is_not_released() -> None:
    """Its file is still there for a moment; it would come back, or keep all others from being released."""

    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED] * len(delivery.recipients)
        for _ in range(2):
            post.letter("a@x")
        await post.settle()
        assert sorted((await ask(post, HOLD)).queue_ids) == ["Q1", "Q2"]
        post.keeper.leaving = {"Q1"}
        assert (await ask(post, RELEASE)).queue_ids == ["Q2"]
        assert "hold/Q1" in post.keeper.files and "hold/Q2" not in post.keeper.files

    run(case)


def test_what_is_released_twice_at_once_is_not_lost() -> None:
    """The second command has it on its list of what is on hold; by then it is waiting to be delivered."""

    async def case(post: PostOffice, lines: list[str]) -> None:
        post.agent.answer = lambda delivery: [DEFERRED] * len(delivery.recipients)
        post.letter("a@x")
        await post.settle()
        assert (await ask(post, HOLD)).queue_ids == ["Q1"]
        control = control_of(post)
        found = post.keeper.load("hold/Q1")
        message = post.queue.adopt(found)
        message.todo = [0]
        assert await control._change_files(RELEASE, "hold", [("Q1", "hold/Q1")]) == []
        assert message.todo == [0] and not message.withdrawn

    run(case)
