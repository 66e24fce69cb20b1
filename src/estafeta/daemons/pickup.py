"""pickup(8): takes what `sendmail` left in the maildrop into the spool.

Told by a trigger on its socket when something is there, and woken by master in case a trigger was lost. A file is
removed after its message is on stable storage, so a crash between the two delivers it twice and never loses it.
What cannot be taken in now stays for the next round.

Users who may write to the maildrop but not reach our socket cannot send a trigger; so while the process lives it also
looks once a second whether the folder has changed.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import time
from typing import ClassVar

from estafeta.base import log
from estafeta.intake.intake import Intake
from estafeta.intake.maildrop import FOLDER, BadDrop, Dropped, ready
from estafeta.intake.verdict import Queued, Refused, Verdict
from estafeta.mail.dates import mail_date
from estafeta.mail.envelope import TRACE_REPORT, TRACE_VERIFY
from estafeta.mail.header import line
from estafeta.mail.logline import shown
from estafeta.queue.journal import SpoolError
from estafeta.services.notice import NoticeSender
from estafeta.skeleton.service import Context, Service

LOOK = 1.0
"""Seconds between looks at the folder."""

AT_ONCE = 50
"""Messages taken in together, so that they share one sync of the journal."""


class PickupService(Service):
    """The one process of the pickup entry."""

    style: ClassVar[str] = "trigger"

    def __init__(self, context: Context, *, folder: str = FOLDER) -> None:
        super().__init__(context)
        self._folder = folder
        self._seen_bad: set[str] = set()
        self._taken: set[str] = set()
        """Files that are in the spool, but could not be removed."""
        self._own_uid = -1

    async def open(self) -> None:
        self.intake = Intake.open(self.conf, context=self.context)
        try:
            self._own_uid = pwd.getpwnam(self.conf.mail_owner).pw_uid
        except KeyError:
            self._own_uid = os.geteuid()  # an instance of an ordinary user: the skeleton has said what is missing

    async def start(self) -> None:
        self._busy = asyncio.Lock()
        await self.intake.start(NoticeSender())
        self._watch = asyncio.get_running_loop().create_task(self._watch_folder())

    async def stop(self) -> None:
        self._watch.cancel()
        async with self._busy:
            await self.intake.stop()

    async def _watch_folder(self) -> None:
        before = -1  # so the first look always looks inside: something may have come since we were started
        while True:
            await asyncio.sleep(LOOK)
            try:
                changed = os.stat(self._folder).st_mtime_ns
            except OSError:
                continue  # `triggered` says so, at every wakeup
            if changed != before:
                await self.triggered(b"W")
            before = changed

    async def triggered(self, requests: bytes) -> None:
        """Take in all there is, and what arrives meanwhile."""
        async with self._busy:
            await self._take_all()

    async def _take_all(self) -> None:
        tried: set[str] = set()
        while True:
            try:
                names = await asyncio.to_thread(ready, self._folder)
            except OSError as error:
                log.warning(f"scan {self._folder}: {error.strerror}: run 'postfix check'")
                return
            self._seen_bad.intersection_update(names)
            self._taken.intersection_update(names)
            names = [name for name in names if name not in tried]
            if not names:
                return
            for at in range(0, len(names), AT_ONCE):
                batch = names[at : at + AT_ONCE]
                await asyncio.gather(*(self._pick_up(name) for name in batch))
            tried.update(names)

    async def _pick_up(self, name: str) -> None:
        path = os.path.join(self._folder, name)
        if name in self._taken:
            self._remove(name, path)
            return
        try:
            dropped = await asyncio.to_thread(Dropped, path)
        except FileNotFoundError:
            return
        except BadDrop as problem:
            self._refuse_file(name, path, problem)
            return
        except OSError as error:
            log.warning(f"open {path}: {error.strerror}: it stays there; check owner and rights of {self._folder}")
            return
        try:
            answer = await self._take_in(dropped)
        except BadDrop as problem:
            self._refuse_file(name, path, problem)
            return
        except (SpoolError, OSError) as error:
            log.warning(f"{path}: {error}: the message stays and is tried again")
            return
        finally:
            dropped.close()
        if isinstance(answer, Queued):
            self._remove(name, path)
        elif isinstance(answer, Refused):
            # Without recipients it goes nowhere, and there is nobody to return it to.
            self._set_aside(name, path, answer)
        else:
            log.warning(f"{path}: {answer.dsn} {answer.text}: the message stays and is tried again")

    async def _take_in(self, dropped: Dropped) -> Verdict:
        uid = dropped.uid
        envelope = dropped.drop.envelope
        if uid == self._own_uid and envelope.owner_uid >= 0:
            uid = envelope.owner_uid
        envelope.queue_id = queue_id = self.intake.new_id()
        envelope.owner_uid = uid
        envelope.trace &= TRACE_VERIFY | TRACE_REPORT  # a user cannot speak for verify(8)
        # A file that waited while the system was down arrived when it was written, but never in the future.
        envelope.arrived = min(dropped.modified, time.time())
        submission = self.intake.begin(envelope, from_network=False, bounce=True)
        submission.full_name = dropped.drop.full_name
        log.info(f"{queue_id}: uid={uid} from=<{shown(envelope.sender)}>")
        submission.prepend(
            line(
                "Received",
                f"by {self.conf.myhostname} ({self.conf.mail_name}, from userid {uid})\r\n"
                f"\tid {queue_id}; {mail_date(envelope.arrived)}",
            )
        )
        for piece in dropped.content():
            if submission.feed(piece):
                await submission.drain()
        return await submission.finish()

    def _remove(self, name: str, path: str) -> None:
        """Its message is in the spool. If the file stays, it must not be taken in at each round."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._taken.add(name)
            log.warning(
                f"remove {path}: {error.strerror}: its message is in the queue, and is taken in once more after a "
                "restart: run 'postfix check' and 'postfix set-permissions', or remove it"
            )

    def _set_aside(self, name: str, path: str, answer: Refused) -> None:
        try:
            os.rename(path, os.path.join("corrupt", name))
        except OSError as error:
            log.warning(f"{path}: {answer.dsn} {answer.text}: it stays, as corrupt/ does not take it: {error.strerror}")
            return
        log.warning(f"{path}: {answer.dsn} {answer.text}: moved to corrupt/{name}")

    def _refuse_file(self, name: str, path: str, problem: BadDrop) -> None:
        """Said once for each file: it stays, since only a person can tell what it is."""
        if name not in self._seen_bad:
            self._seen_bad.add(name)
            remedy = "it is left alone" if problem.foreign else "it is left there: remove it, or send its content anew"
            log.warning(f"{path}: {problem}: {remedy}")
