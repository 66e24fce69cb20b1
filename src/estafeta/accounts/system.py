"""The system's users, for a process that serves many at a time.

The C library may ask a server, so the question is put in a thread, and answers are kept for a few seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from estafeta.base.users import User, UsersDown, find_user

__all__ = ["User", "Users", "UsersDown", "find_user"]

KEPT = 5.0
"""Seconds an answer is kept."""
KEPT_AT_MOST = 1024
WAIT = 30.0
"""Seconds for one answer."""


class Users:
    """`await users.find("ana")`. One a process; `ask` and `clock` are for tests."""

    def __init__(
        self, *, ask: Callable[[str], User | None] = find_user, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._kept: dict[str, tuple[float, User | None]] = {}

    async def find(self, name: str) -> User | None:
        """None: there is no such user. Raises UsersDown."""
        kept = self._kept.get(name)
        now = self._clock()
        if kept is not None and now < kept[0]:
            return kept[1]
        try:
            async with asyncio.timeout(WAIT):
                user = await asyncio.to_thread(self._ask, name)
        except TimeoutError:
            raise UsersDown(f"cannot find user {name}: no answer within {WAIT:.0f} seconds") from None
        if len(self._kept) >= KEPT_AT_MOST:
            self._kept.clear()
        self._kept[name] = (now + KEPT, user)
        return user
