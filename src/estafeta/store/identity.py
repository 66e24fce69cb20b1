"""Acting as the receiving user: the file-system identity of one thread.

A mailbox is written with its owner's rights, so that neither a symbolic link nor a permission of root's leads
anywhere its owner could not go. Linux keeps these rights (fsuid, fsgid) for each thread; setting them takes the
file capabilities of root away from that thread, and only from that one: the loop and qmgr's socket are not touched.
setfsuid(2), setfsgid(2), capabilities(7).

Supplementary groups have no per-thread call in the C library; a process that acts for users gives its own up once,
when it starts (`give_up_groups`). They would add root's groups to the user's rights.

Not started as root, a process can only be who it is: acting for anyone else raises NotAllowed, and the mail waits.
"""

from __future__ import annotations

import ctypes
import os

_TELL = ctypes.c_uint(0xFFFFFFFF)
"""An id that nobody has: the call then changes nothing and tells the present one."""
_libc = ctypes.CDLL(None, use_errno=True)
_setfsuid, _setfsgid = _libc.setfsuid, _libc.setfsgid


class NotAllowed(PermissionError):
    """This process may not act as that user. The text says why and what to do."""


class Identity:
    """Who one thread is towards the file system. Made and used in that thread alone."""

    __slots__ = ("_gid", "_own", "_root", "_uid")

    def __init__(self) -> None:
        self._own = self._uid, self._gid = os.geteuid(), os.getegid()
        self._root = self._uid == 0

    def become(self, uid: int, gid: int) -> None:
        """From now on this thread touches files as `uid` and `gid`. Raises NotAllowed; it is then itself again."""
        if uid == self._uid and gid == self._gid:
            return
        if not self._root:
            raise NotAllowed(1, f"cannot deliver as uid {uid}, gid {gid}: {refusal(uid, gid)}")
        # The group first: as the user alone we would create files in a group that is not the user's.
        _setfsgid(ctypes.c_uint(gid))
        _setfsuid(ctypes.c_uint(uid))
        self._uid, self._gid = uid, gid
        if _setfsuid(_TELL) != uid or _setfsgid(_TELL) != gid:
            self.itself()
            raise NotAllowed(1, f"cannot deliver as uid {uid}, gid {gid}: the kernel does not allow it")

    def itself(self) -> None:
        """Back to the process's own identity."""
        uid, gid = self._own
        if self._uid != uid or self._gid != gid:
            _setfsuid(ctypes.c_uint(uid))
            _setfsgid(ctypes.c_uint(gid))
            self._uid, self._gid = uid, gid


def refusal(uid: int, gid: int) -> str:
    """Why this process cannot act as that user; empty if it can."""
    own_uid, own_gid = os.geteuid(), os.getegid()
    if own_uid == 0 or (uid == own_uid and gid == own_gid):
        return ""
    return (
        f"the mail system was not started as root, so it delivers only as uid {own_uid}, gid {own_gid}; "
        "start it as root, or give these numbers"
    )


def give_up_groups() -> None:
    """Drop the supplementary groups of the whole process, where it is root."""
    if os.geteuid() == 0:
        os.setgroups([])
