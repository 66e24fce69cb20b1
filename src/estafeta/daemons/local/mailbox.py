"""A user's mailbox: in the home directory (home_mailbox) or in the mail spool directory.

Everything is done with the user's rights. In a mail spool directory the user may not make files; there the lock and
a new mailbox are made with the group of the directory, if the group may write in it (Debian's /var/mail, root:mail
2775), or else as the directory's owner, and given to the user.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable

from estafeta.accounts.system import User
from estafeta.base import log
from estafeta.config.expand import ExpandError, expand
from estafeta.config.instance import Config
from estafeta.mail.outcome import Bounced, Deferred, Outcome, Sent
from estafeta.store import letter
from estafeta.store.depot import Depot
from estafeta.store.identity import Identity, NotAllowed
from estafeta.store.letter import Content
from estafeta.store.mbox import Locks, Mailbox, Mboxes
from estafeta.store.problem import MailboxProblem

RELAY = "local"


class UserMailboxes:
    """One a process."""

    def __init__(self, conf: Config) -> None:
        self._conf = conf
        self._depot = Depot(batch=conf.estafeta_mailbox_sync == "batch")
        self._mboxes = Mboxes(Locks.of(conf, conf.mailbox_delivery_lock))

    async def close(self) -> None:
        await self._depot.close()
        await self._mboxes.close()

    async def obstacle(self, user: User, expansions: Callable[[str], str | None]) -> Outcome | None:
        """What keeps mail from the mailbox: a home directory that is away, or a forward file. None: nothing does.

        `expansions` gives the values of $user, $home and so on, for forward_path.
        """
        try:
            paths = [expand(path, expansions, recursive=False) for path in _words(self._conf.forward_path)]
        except ExpandError as error:
            log.warning(f"forward_path: {error}")
            return Deferred("4.3.5", "mail system configuration error", RELAY)
        home = user.home if self._conf.require_home_directory else ""
        try:
            return await asyncio.to_thread(_look, user, home, paths)
        except NotAllowed as error:
            return Deferred("4.3.0", str(error.strerror), RELAY)

    async def deliver(self, user: User, sender: str, opening: bytes, content: Content) -> Outcome:
        """Put one message into the user's mailbox."""
        conf = self._conf
        in_spool = not conf.home_mailbox
        if in_spool:
            path = f"{conf.mail_spool_directory.rstrip('/')}/{user.name}"
            maildir = conf.mail_spool_directory.endswith("/")
            path += "/" if maildir else ""
        else:
            path = f"{user.home}/{conf.home_mailbox}"
            maildir = path.endswith("/")
        try:
            if maildir:
                await self._depot.put(
                    path,
                    lambda: letter.maildir_pieces(opening, content),
                    uid=user.uid,
                    gid=user.gid,
                    limit=conf.mailbox_size_limit,
                )
                return Sent("2.0.0", "delivered to maildir", RELAY, action="delivered")
            mailbox = Mailbox(
                path,
                user.uid,
                user.gid,
                conf.mailbox_size_limit,
                keeper=_keeper(conf.mail_spool_directory, user) if in_spool else None,
                strict_owner=conf.strict_mailbox_ownership,
            )
            now = time.time()
            await self._mboxes.put(mailbox, lambda: letter.mbox_pieces(sender, now, opening, content))
            return Sent("2.0.0", "delivered to mailbox", RELAY, action="delivered")
        except NotAllowed as error:
            return Deferred("4.3.0", str(error.strerror), RELAY)
        except MailboxProblem as problem:
            for remark in problem.remarks:
                log.warning(remark)
            where = "maildir delivery failed:" if maildir else f"cannot update mailbox {path} for user {user.name}."
            if problem.final and in_spool and not await asyncio.to_thread(os.path.isdir, conf.mail_spool_directory):
                # A disk that is not mounted, or a slip in main.cf, is no fault of the sender's.
                setting = f"mail_spool_directory = {conf.mail_spool_directory}"
                log.warning(
                    f"{conf.origin('mail_spool_directory')}: {setting}: there is no such directory, so mail waits: "
                    "make it, or correct the name"
                )
                return Deferred(f"4{problem.dsn[1:]}", f"{where} {problem}", RELAY)
            kind = Bounced if problem.final else Deferred
            return kind(problem.dsn, f"{where} {problem}", RELAY, diagnostic=problem.diagnostic)

    @property
    def kind(self) -> str:
        """maildir or mailbox, for `delivers to`."""
        path = self._conf.home_mailbox or self._conf.mail_spool_directory
        return "maildir" if path.endswith("/") else "mailbox"


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _keeper(spool: str, user: User) -> tuple[int, int]:
    """Whose rights make lock file and mailbox in the mail spool directory."""
    if os.geteuid() != 0:
        return user.uid, user.gid
    try:
        status = os.stat(spool)
    except OSError:  # then making the lock file fails too, and says why
        return user.uid, user.gid
    if status.st_mode & stat.S_IWOTH:
        return user.uid, user.gid
    if status.st_mode & stat.S_IWGRP:
        return user.uid, status.st_gid
    return status.st_uid, user.gid


def _look(user: User, home: str, paths: list[str]) -> Outcome | None:
    identity = Identity()
    identity.become(user.uid, user.gid)
    try:
        if home:
            try:
                os.stat(home)
            except OSError as error:
                return Deferred("4.3.0", f"cannot access home directory {home}: {error.strerror}", RELAY)
        for path in paths:
            try:
                size = os.stat(path).st_size
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            except OSError as error:
                return Deferred("4.3.0", f"cannot look at {path}: {error.strerror}", RELAY)
            if size:
                return Deferred(
                    "4.3.0", f"{path}: forward files are not supported yet; remove it, or write an alias", RELAY
                )
            break
    finally:
        identity.itself()
    return None
