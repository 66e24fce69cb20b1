"""Maildir: one message, one file. Written under tmp/, then renamed into new/.

The functions here run in threads, each as the mailbox's owner (identity.py); depot.py says when. The name of a file
is unique without asking anyone: the second, the device and inode of the file itself, the microsecond, and the host.
Folders are made on first delivery, open to their owner only.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import time
from collections.abc import Iterable

from estafeta.base.durable import write_all
from estafeta.store.problem import MailboxProblem

HOST = socket.gethostname().replace("/", "_").replace(":", "_") or "localhost"
FOLDER_MODE = 0o700
FILE_MODE = 0o600
CREATE_THEM = "perhaps you need to create the maildirs in advance"

_serials = itertools.count()


class Draft:
    """A message under tmp/, written but not yet visible. `fd` is open until the message is in new/ or given up."""

    __slots__ = ("device", "fd", "final", "folder", "made_folders", "path")

    def __init__(self, folder: str, path: str, fd: int, device: int, final: str, made_folders: bool) -> None:
        self.folder = folder
        self.path = path
        self.fd = fd
        self.device = device
        self.final = final
        self.made_folders = made_folders
        """Folders were made on the way: their names must become durable as well."""


def write(folder: str, pieces: Iterable[bytes], limit: int, uid: int, gid: int) -> Draft:
    """Write a message below the Maildir `folder` (which ends in `/`). `limit`: bytes, 0 for none.

    `uid` and `gid` are whose rights the thread has now, for messages.

    Raises MailboxProblem, or what `pieces` raises; nothing is left behind then.
    """
    now = time.time()
    path = f"{folder}tmp/{int(now)}.P{os.getpid()}T{next(_serials)}.{HOST}"
    made = False
    try:
        try:
            fd = _create(path)
        except FileNotFoundError:
            make_folders(folder)
            made = True
            fd = _create(path)
    except OSError as error:
        raise _no_access(f"create maildir file {path}", error, uid, gid) from error
    try:
        _write_pieces(fd, pieces, limit, path)
        status = os.fstat(fd)
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise
    second = int(now)
    final = f"{folder}new/{second}.V{status.st_dev:x}I{status.st_ino:x}M{int((now - second) * 1e6)}.{HOST}"
    return Draft(folder, path, fd, status.st_dev, final, made)


def publish(draft: Draft, uid: int, gid: int) -> None:
    """Let the message appear. Its bytes must be durable before, or a crash could show a message without its end.

    Raises MailboxProblem.
    """
    try:
        try:
            os.rename(draft.path, draft.final)
        except FileNotFoundError:
            make_folders(draft.folder)
            draft.made_folders = True
            os.rename(draft.path, draft.final)
    except OSError as error:
        raise _no_access(f"create maildir file {draft.final}", error, uid, gid) from error


def _no_access(doing: str, error: OSError, uid: int, gid: int) -> MailboxProblem:
    problem = MailboxProblem.of(doing, error)
    if error.errno == errno.EACCES:
        problem.remarks = (f"maildir access problem for UID/GID={uid}/{gid}: {problem}", CREATE_THEM)
    return problem


def discard(draft: Draft) -> None:
    """Give up: remove what is under tmp/. What cannot be removed stays there, where no reader looks."""
    try:
        os.unlink(draft.path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EROFS, errno.EIO, errno.EACCES, errno.ESTALE):
            raise


def make_folders(folder: str) -> None:
    """The Maildir and what is missing above it."""
    for name in ("tmp", "new", "cur"):
        _make_path(folder + name)


def _make_path(path: str) -> None:
    try:
        os.mkdir(path, FOLDER_MODE)  # noqa: PTH102 - as everywhere here, plain text paths
    except FileExistsError:
        pass  # it is there, or another delivery made it meanwhile; a file in the way shows when it is used
    except FileNotFoundError:
        above = os.path.dirname(path.rstrip("/"))
        if not above or above == path:
            raise
        _make_path(above)
        _make_path(path)


def _create(path: str) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)


def _write_pieces(fd: int, pieces: Iterable[bytes], limit: int, path: str) -> None:
    written = 0
    for piece in pieces:
        written += len(piece)
        if limit and written > limit:
            raise MailboxProblem.writing(OSError(errno.EFBIG, path))
        try:
            write_all(fd, (piece,))
        except OSError as error:
            raise MailboxProblem.writing(error) from error
