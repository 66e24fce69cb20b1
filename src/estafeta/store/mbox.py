"""mbox: all messages in one file, each from a `From ` line to an empty line.

Mail readers change the same file, so it is locked, in each of the ways that the site's readers know (fcntl, flock, a
file with `.lock` at the end of its name). A lock that somebody else holds is asked for again and again, without
keeping a thread waiting. Deliveries of this process to one file stand in a queue of their own, since fcntl locks do not
keep one process from itself.

What is opened is looked at before anything is written: a mailbox is a plain file with one name, and belongs to its
user. What goes wrong while writing is undone: the file gets its old length back.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from estafeta.base.durable import fsync_folder, write_all
from estafeta.config.instance import Config
from estafeta.store.identity import Identity
from estafeta.store.problem import MailboxProblem

THREADS = 8
MODE = 0o600
IGNORE_OWNER = 'specify "strict_mailbox_ownership = no" to ignore mailbox ownership mismatch'


@dataclass(frozen=True, slots=True)
class Locks:
    """How to lock, from mailbox_delivery_lock (or virtual_mailbox_lock), deliver_lock_* and stale_lock_time."""

    methods: tuple[str, ...] = ("fcntl", "dotlock")
    attempts: int = 20
    delay: float = 1.0
    stale: float = 500.0

    @classmethod
    def of(cls, conf: Config, methods: Sequence[str]) -> Locks:
        """`methods`; how often, how long and what is stale is the same for all of them."""
        return cls(tuple(methods), conf.deliver_lock_attempts, conf.deliver_lock_delay, conf.stale_lock_time)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Which file, and with whose rights. Messages are appended as `uid`, `gid`, who also own the file.

    `keeper`: who makes lock file and mailbox where the user may not, as in a mail spool directory; None for the user.
    """

    path: str
    uid: int
    gid: int
    limit: int = 0
    """Largest size of the file in bytes; 0 for none."""
    keeper: tuple[int, int] | None = None
    strict_owner: bool = True


class _Busy(Exception):
    """Somebody holds the lock, `str()` tells which."""


class Mboxes:
    """One a process. Needs a running event loop."""

    def __init__(self, locks: Locks, *, threads: int = THREADS) -> None:
        self._locks = locks
        self._pool = ThreadPoolExecutor(threads, "mbox")
        self._queues: dict[str, _Turn] = {}

    async def put(self, mailbox: Mailbox, pieces: Callable[[], Iterable[bytes]]) -> None:
        """Append `pieces()`, which begins with the `From ` line; on stable storage when this returns.

        Raises MailboxProblem, identity.NotAllowed, or what `pieces` raises; the mailbox is as before then.
        """
        loop = asyncio.get_running_loop()
        turn = self._queues.setdefault(mailbox.path, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                for left in reversed(range(self._locks.attempts)):
                    try:
                        await loop.run_in_executor(self._pool, _append, mailbox, pieces, self._locks)
                        return
                    except _Busy as busy:
                        if not left:
                            raise MailboxProblem(str(busy)) from None
                    await asyncio.sleep(self._locks.delay)
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._queues[mailbox.path]

    async def close(self) -> None:
        """Finish what was begun and end the threads."""
        await asyncio.to_thread(self._pool.shutdown)


@contextlib.contextmanager
def locked(path: str, locks: Locks, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Keep everybody else from a mailbox file, which is made if it is not there: postlock(1). Blocks. Raises
    MailboxProblem."""
    with contextlib.ExitStack() as held:
        for attempt in range(max(locks.attempts, 1)):
            if attempt:
                sleep(locks.delay)
            try:
                if "dotlock" in locks.methods:
                    held.enter_context(_dotlock(path + ".lock", locks))
                fd, _ = _open(Mailbox(path, os.geteuid(), os.getegid()))
                held.callback(os.close, fd)
                _kernel_locks(path, fd, locks)
                break
            except _Busy as busy:
                held.close()
                reason = str(busy)
        else:
            raise MailboxProblem(reason)
        yield


class _Turn:
    __slots__ = ("lock", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


# --- in a thread


def _append(mailbox: Mailbox, pieces: Callable[[], Iterable[bytes]], locks: Locks) -> None:
    identity = Identity()
    user = (mailbox.uid, mailbox.gid)
    keeper = mailbox.keeper or user
    try:
        identity.become(*keeper)
        with _dotlock(mailbox.path + ".lock", locks) if "dotlock" in locks.methods else contextlib.nullcontext():
            fd, created = _open(mailbox)
            try:
                _check(mailbox, fd)
                _kernel_locks(mailbox.path, fd, locks)
                identity.become(*user)
                _add(fd, mailbox, pieces())
            finally:
                os.close(fd)  # and the kernel's locks with it
                identity.become(*keeper)
            if created:
                identity.itself()  # the user may write in the folder, but not list it
                fsync_folder(os.path.dirname(mailbox.path))
                identity.become(*keeper)
    finally:
        identity.itself()


@contextlib.contextmanager
def _dotlock(path: str, locks: Locks) -> Iterator[None]:
    try:
        os.close(_create_lock(path, locks))
    except FileExistsError:
        raise _Busy(f"unable to create lock file {path}: {os.strerror(errno.EEXIST)}") from None
    except OSError as error:
        raise MailboxProblem.of(f"unable to create lock file {path}", error) from error
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):  # somebody took it for stale
            os.unlink(path)


def _create_lock(path: str, locks: Locks) -> int:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0)
    except FileExistsError as held:
        # Its maker died if it is that old: nobody takes that long over one mailbox. (It may also have gone by now.)
        try:
            if time.time() - os.lstat(path).st_mtime < locks.stale:
                raise
            os.unlink(path)
        except FileNotFoundError:
            raise held from None
    return os.open(path, flags, 0)


def _open(mailbox: Mailbox) -> tuple[int, bool]:
    """(descriptor, whether the file was made)."""
    path = mailbox.path
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK  # not to wait for the reader of a named pipe
    try:
        try:
            return os.open(path, flags | (0 if _trusted_link(path) else os.O_NOFOLLOW)), False
        except FileNotFoundError:
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, MODE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise MailboxProblem("file is a symbolic link", "5.2.0") from error
        raise MailboxProblem.of("cannot open file", error) from error
    try:
        if mailbox.keeper is not None and mailbox.keeper[0] != mailbox.uid:
            os.fchown(fd, mailbox.uid, -1)
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise
    return fd, True


def _trusted_link(path: str) -> bool:
    """A symbolic link that only root can have made, and only root can change."""
    try:
        link = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISLNK(link.st_mode) or link.st_uid != 0:
        return False
    folder = os.stat(os.path.dirname(path) or ".")
    return folder.st_uid == 0 and not folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _check(mailbox: Mailbox, fd: int) -> None:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise MailboxProblem(f"destination {mailbox.path} is not a regular file", "5.2.0")
    if status.st_nlink != 1:
        raise MailboxProblem(f"file has {status.st_nlink} hard links", "5.2.0")
    if mailbox.strict_owner and status.st_uid != mailbox.uid:
        raise MailboxProblem(f"destination {mailbox.path} is not owned by recipient", remarks=(IGNORE_OWNER,))


def _kernel_locks(path: str, fd: int, locks: Locks) -> None:
    for method, lock in (("fcntl", fcntl.lockf), ("flock", fcntl.flock)):
        if method not in locks.methods:
            continue
        try:
            lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            reason = f"unable to lock for exclusive access: {os.strerror(error.errno or 0)}"
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise _Busy(reason) from None
            raise MailboxProblem(reason) from error
    # While we waited, a mail reader may have put another file in its place.
    held = os.fstat(fd)
    try:
        named = os.stat(path)
    except FileNotFoundError:
        raise _Busy("file was removed while it was locked") from None
    if (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino):
        raise _Busy("file was replaced while it was locked")


def _add(fd: int, mailbox: Mailbox, pieces: Iterable[bytes]) -> None:
    before = os.fstat(fd).st_size
    size = before
    try:
        for piece in pieces:
            size += len(piece)
            if mailbox.limit and size > mailbox.limit:
                raise MailboxProblem.writing(OSError(errno.EFBIG, mailbox.path))
            _checked(lambda piece=piece: write_all(fd, (piece,)))  # type: ignore[misc]  # mypy infers no default
        _checked(lambda: os.fsync(fd))
    except BaseException:
        os.ftruncate(fd, before)
        raise


def _checked(step: Callable[[], object]) -> None:
    try:
        step()
    except OSError as error:
        raise MailboxProblem.writing(error) from error
