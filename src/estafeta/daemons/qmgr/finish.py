"""The end of an attempt: removed, returned to its sender, or put off until later.

The order is what makes it safe: reports are on stable storage before the recipients they tell about are done, a put-off
message is in deferred/ before its journal record goes. What cannot be written stays where it is and is tried again.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from estafeta.base import log
from estafeta.daemons.qmgr.flush_notes import FlushNotes
from estafeta.daemons.qmgr.message import Message
from estafeta.mail.envelope import (
    TRACE_PROBE,
    TRACE_REPORT,
    TRACE_VERIFY,
    Envelope,
    Told,
    Trouble,
)
from estafeta.mail.logline import shown
from estafeta.queue.journal import SpoolError
from estafeta.queue.keeper import Found
from estafeta.queue.place import Place
from estafeta.queue.record import Damaged
from estafeta.services.delivery import Result
from estafeta.services.report import BOUNCE, DELAY, SUCCESS, VERIFY
from estafeta.services.verify import DEFER, STATUS_OF

if TYPE_CHECKING:
    from estafeta.daemons.qmgr.active import ActiveQueue


EXPIRED = Trouble("4.7.0", "message is administratively expired")


class Asks(Protocol):
    """What we need of services.report.Reporter."""

    async def ask(self, kind: str, place: Place, envelope: Envelope, results: dict[int, Result]) -> str: ...


class Hears(Protocol):
    """What we need of services.verify.Verifier."""

    async def update(self, address: str, status: int, text: str) -> None: ...


class Finish:
    """`reporters`: kind of report -> who writes it. `resubmit(message)` sends a message through intake once more and
    returns why that failed, or ""."""

    def __init__(
        self,
        conf: Any,
        keeper: Any,
        reader: Any,
        reporters: dict[str, Asks],
        resubmit: Callable[[Message], Any] | None = None,
        clock: Callable[[], float] = time.time,
        verifier: Hears | None = None,
    ) -> None:
        self.queue: ActiveQueue
        self.reader = reader
        self._conf = conf
        self._keeper = keeper
        self._reporters = reporters
        self._resubmit = resubmit
        self._verifier = verifier
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.flush_notes: FlushNotes | None = None
        """Who is told what is put off; None where fast_flush_domains is empty."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._moves: dict[str, list[Message]] = {"deferred": [], "hold": [], "saved": []}
        self._end = self._save if conf.dont_remove else self._release
        """What becomes of a message that is over."""
        self._moving = False
        self._stopped = False

    def finish(self, message: Message) -> None:
        """`message` has been tried. The common case, everything sent, needs no waiting."""
        if message.plain or message.deleted:
            self._end(message)
            return
        task = self._loop.create_task(self._conclude(message))
        self._tasks.add(task)
        task.add_done_callback(self._concluded)

    def _concluded(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(f"cannot finish a message: {error!r}: it is taken up again at the next start")

    def _release(self, message: Message) -> None:
        self._keeper.release(message.place, message.queue_id)
        if message.place.path.startswith("deferred/"):
            self.queue.deferred.finished(message.queue_id)
        if not message.deleted:
            log.info(f"{message.queue_id}: removed")
        self.queue.left(message)

    def _save(self, message: Message) -> None:
        """dont_remove: what would be removed goes to saved/. What an operator deletes is deleted all the same."""
        if message.deleted:
            self._release(message)
        else:
            self._move("saved", message)

    async def _save_batch(self, messages: list[Message]) -> None:
        """An aid for finding errors gives way to delivery: what cannot be saved is removed."""
        try:
            places = await self._keeper.save([(message.place, message.envelope) for message in messages])
        except (SpoolError, Damaged) as error:
            if len(messages) > 1:
                for message in messages:
                    await self._save_batch([message])
                return
            log.warning(f"{messages[0].queue_id}: cannot be saved: {error}: it is removed")
            self._release(messages[0])
            return
        for message, place in zip(messages, places, strict=True):
            if message.place.path.startswith("deferred/"):
                self.queue.deferred.finished(message.queue_id)
            log.info(f"{message.queue_id}: removed")
            message.place = place
            self.queue.left(message)

    async def _conclude(self, message: Message) -> None:
        envelope = message.envelope
        if envelope.trace & TRACE_VERIFY:
            await self._conclude_question(message)
            return
        untold: dict[int, Result] = {}
        if (message.deferred or message.expire) and not message.deleted:
            self._expire(message)
        if message.failed and not message.deleted:
            # Also of those who do not want to hear of it, because the postmaster may.
            if await self._report(BOUNCE, message, message.failed):
                envelope.done += message.failed
                if message.deferred:
                    self._keeper.done(message.queue_id, list(message.failed))
            else:
                untold |= message.failed
        if not message.deleted:
            untold |= await self._report_delivery(message)
        undelivered = len(envelope.done) < len(envelope.recipients)
        if message.requeue and undelivered and not message.deleted and await self._requeued(message):
            message.deleted = True
        waits = untold or envelope.expanded
        if message.deleted or (not waits and len(envelope.done) >= len(envelope.recipients)):
            self._end(message)
            return
        if message.deferred and self._delay_is_due(envelope):
            envelope.warned = await self._report(DELAY, message, message.deferred)
        self._wait_for_report(message, untold)

    # --- reports

    async def _conclude_question(self, message: Message) -> None:
        """The end of what delivers nothing: sendmail -bv, or a probe of verify(8)."""
        envelope = message.envelope
        untold: dict[int, Result] = {}
        known = True
        if envelope.trace & TRACE_PROBE:
            known = message.deleted or await self._verifier_knows(message)
        elif not message.deleted:
            everything = _everything(message)
            untold = {} if await self._report(VERIFY, message, everything) else everything
        if untold and not message.deleted:
            self._wait_for_report(message, untold)
        elif known:
            self._end(message)
        else:
            self._put_off(message)

    async def _report_delivery(self, message: Message) -> dict[int, Result]:
        """To senders who want to know that it was delivered, or asked for a trace. What they could not be told."""
        envelope, sent = message.envelope, message.sent or {}
        if envelope.trace & TRACE_REPORT:
            envelope.expanded = None  # a trace says where it went, not what it was called before
            return {} if await self._report(VERIFY, message, _everything(message)) else sent
        if not sent and not envelope.expanded:
            return {}
        if not await self._report(SUCCESS, message, sent):
            return sent
        envelope.expanded = None
        return {}

    async def _report(self, kind: str, message: Message, results: dict[int, Result]) -> bool:
        """Have a report written. False when that cannot be done now: the message has to wait for it."""
        if message.deleted or not (results or (kind == SUCCESS and message.envelope.expanded)):
            return True
        reason = await self._reporters[kind].ask(kind, message.place, message.envelope, results)
        if not reason:
            return True
        log.warning(f"{message.queue_id}: {kind} report: {reason}: the message waits, and the report is tried again")
        return False

    def _wait_for_report(self, message: Message, untold: dict[int, Result]) -> None:
        """To deferred/, with what the sender is still to be told: it is not delivered again for that."""
        envelope = message.envelope
        envelope.unreported = {index: _told(result) for index, result in untold.items()} or None
        self._put_off(message)

    async def _verifier_knows(self, message: Message) -> bool:
        """Tell verify(8) what became of its probe: under the address that was asked for, and the one that it became."""
        envelope = message.envelope
        results = {**(message.sent or {}), **(message.failed or {}), **(message.deferred or {})}
        if self._verifier is None or self._clock() > envelope.arrived + self._conf.bounce_queue_lifetime:
            return True
        try:
            for index, result in results.items():
                recipient = envelope.recipients[index]
                status = STATUS_OF.get(result.status, DEFER)
                for address in {recipient.orcpt.partition(";")[2] or recipient.address, recipient.address}:
                    await self._verifier.update(address, status, result.text)
        except OSError as error:
            service = self._conf.address_verify_service_name
            log.warning(
                f"{message.queue_id}: {service} service failure: {error.strerror or error}: it is probed again later"
            )
            message.deferred, message.sent = results, None
            envelope.done = []
            return False
        return True

    def _expire(self, message: Message) -> None:
        """A message that has waited too long is returned with the reasons of its last attempt."""
        envelope = message.envelope
        lifetime = self._conf.maximal_queue_lifetime
        if not envelope.sender:
            lifetime = min(lifetime, self._conf.bounce_queue_lifetime)
        if message.hold or message.requeue:
            return
        if not message.expire and self._clock() < envelope.arrived + lifetime:
            return
        how = "force-expired" if message.expire else "expired"
        log.info(f"{message.queue_id}: from=<{shown(envelope.sender)}>, status={how}, returned to sender")
        deferred = message.deferred or {}
        failed = message.failed = message.failed or {}
        settled = {*envelope.done, *failed}
        for index in range(len(envelope.recipients)):
            if index not in settled:
                failed[index] = deferred.get(index) or _result(envelope.troubles.get(index, EXPIRED))
        self._keeper.failed(message.queue_id, {index: _trouble(result) for index, result in failed.items()})
        message.deferred = None
        message.expire = False

    def _delay_is_due(self, envelope: Envelope) -> bool:
        after = self._conf.delay_warning_time
        return bool(after) and not envelope.warned and self._clock() >= envelope.arrived + after

    async def _requeued(self, message: Message) -> bool:
        """Through intake once more: a new message with a new id takes its place."""
        if self._resubmit is None:
            return False
        reason = await self._resubmit(message)
        if not reason:
            return True
        log.warning(f"{message.queue_id}: cannot requeue: {reason}")
        message.requeue = False
        return False

    # --- putting off

    def _put_off(self, message: Message) -> None:
        envelope = message.envelope
        now = self._clock()
        if message.deferred:
            envelope.troubles = {index: _trouble(result) for index, result in message.deferred.items()}
            envelope.attempts += 1
        for index, told in (envelope.unreported or {}).items():
            if told.status == "bounced":
                envelope.troubles[index] = Trouble(told.dsn, told.text, told.remote_mta, told.diagnostic)
        envelope.attempt_after = now + backoff(
            now - envelope.arrived, self._conf.minimal_backoff_time, self._conf.maximal_backoff_time
        )
        self._move("hold" if message.hold else "deferred", message)

    def _move(self, queue: str, message: Message) -> None:
        if self._stopped:
            return
        self._moves[queue].append(message)
        if not self._moving:
            self._moving = True
            # At the end of this turn of the loop: what is put off together is written together.
            self._loop.call_soon(self._start_moving)

    def _start_moving(self) -> None:
        task = self._loop.create_task(self._move_all())
        self._tasks.add(task)
        task.add_done_callback(self._concluded)

    async def _move_all(self) -> None:
        try:
            while any(self._moves.values()):
                for queue in self._moves:
                    messages, self._moves[queue] = self._moves[queue], []
                    if messages and queue == "saved":
                        await self._save_batch(messages)
                    elif messages:
                        await self._move_batch(queue, messages)
        finally:
            self._moving = False

    async def _move_batch(self, queue: str, messages: list[Message]) -> None:
        store = self._keeper.hold if queue == "hold" else self._keeper.defer
        try:
            places = await store([(message.place, message.envelope) for message in messages])
        except (SpoolError, Damaged) as error:
            if len(messages) > 1:
                # One that cannot be moved must not keep the others.
                for message in messages:
                    await self._move_batch(queue, [message])
                return
            self._cannot_move(queue, messages[0], error)
            return
        for message, place in zip(messages, places, strict=True):
            if message.deleted:
                self._keeper.release(place, message.queue_id)
                self.queue.deferred.finished(message.queue_id)
            elif _asked_late(message, queue):
                self._once_more(message, place)
                continue
            elif queue == "deferred":
                self.queue.deferred.add(message.queue_id, message.envelope.attempt_after, place.path)
                if self.flush_notes is not None and message.deferred:
                    self.flush_notes.put_off(message.envelope, message.deferred)
            self.queue.left(message)

    def _once_more(self, message: Message, place: Place) -> None:
        """An operator asked for something while the message was on its way to a file: it is done now."""
        self.queue.left(message)
        found = Found(place, message.envelope)
        found.recall()
        again = self.queue.adopt(found)
        again.hold, again.requeue, again.expire = message.hold, message.requeue, message.expire
        self.queue.withdraw(again)

    def _cannot_move(self, queue: str, message: Message, error: Exception) -> None:
        if isinstance(error, Damaged) or (isinstance(error, OSError) and error.errno == errno.ENOENT):
            log.warning(f"{message.queue_id}: {message.place.path} is gone or damaged ({error}): dropped from memory")
            self.queue.left(message)
            return
        # It is safe where it is; only what we know about it is not written yet.
        log.warning(f"{message.queue_id}: {error}: will try again")
        self._loop.call_later(self._conf.transport_retry_time, self._move, queue, message)

    async def stop(self, patience: float = 0.0) -> None:
        """What is being written is finished; other services have `patience` seconds to answer, and what they do not
        is left for the next start."""
        if self._tasks and patience:
            await asyncio.wait(self._tasks, timeout=patience)
        while self._moving:  # noqa: ASYNC110 - once in the life of the process
            await asyncio.sleep(0.01)
        if self.flush_notes is not None:
            await self.flush_notes.stop(patience)
        self._stopped = True
        for task in list(self._tasks):
            task.cancel()


def backoff(age: float, least: float, most: float) -> float:
    """How long to wait until the next attempt: as long as the message is old, within limits. Seconds."""
    return min(max(age, least), most)


def _asked_late(message: Message, queue: str) -> bool:
    """Whether an operator asked for something that the conclusion of the message cannot have known of."""
    if message.envelope.trace & TRACE_VERIFY:
        return False
    return message.requeue or (queue != "hold" and (message.hold or message.expire))


def _result(trouble: Trouble) -> Result:
    return Result("deferred", trouble.dsn, trouble.text, trouble.remote_mta, trouble.diagnostic)


def _everything(message: Message) -> dict[int, Result]:
    return {**(message.sent or {}), **(message.failed or {}), **(message.deferred or {})}


def _told(result: Result) -> Told:
    return Told(*(getattr(result, name) for name in Told.__struct_fields__))


def _trouble(result: Result) -> Trouble:
    return Trouble(result.dsn, result.text, result.remote_mta, result.diagnostic)
