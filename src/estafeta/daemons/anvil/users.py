"""What users who have logged in send within the time unit, against their limits. A feature of our own; docs/limits.md.

A user's time unit begins with the first message and ends `unit` seconds later. The counts are kept in a small file, as
the time unit may be long, and a restart is no reason to let a stolen password send another thousand messages. What the
last seconds before a crash have counted is lost with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from estafeta.base import log
from estafeta.services.anvil import MESSAGES_OVER, RECIPIENTS_OVER, Sending, Standing, UserCounts

NAME = "user_limits"
"""Of the file in data_directory."""
MOST = 200_000
"""Users remembered at the most; the oldest are forgotten."""
LARGEST_FILE = 64 * 1024 * 1024


class User(msgspec.Struct, array_like=True):
    """One user's time unit, as it stands in the file, too. `told`: it has been said that the user is over a limit."""

    name: str
    started: float
    messages: int = 0
    recipients: int = 0
    most_messages: int = 0
    most_recipients: int = 0
    told: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[User]).decode


class Users:
    """`unit` in seconds; `clock` gives seconds since the epoch."""

    def __init__(self, unit: int, clock: Callable[[], float], *, most: int = MOST) -> None:
        self.unit = unit
        self._clock = clock
        self._most = most
        self._users: dict[str, User] = {}
        """In the order in which their time units began."""
        self.changed = False
        """Whether the file is behind."""

    def send(self, asked: Sending) -> Standing:
        """Count a message, unless it would be over a limit and is not to be taken in that case."""
        user = self._current(asked.user)
        messages, recipients = user.messages + 1, user.recipients + asked.recipients
        over = MESSAGES_OVER if 0 < asked.most_messages < messages else 0
        if 0 < asked.most_recipients < recipients:
            over |= RECIPIENTS_OVER
        user.most_messages, user.most_recipients = asked.most_messages, asked.most_recipients
        if asked.anyway or not over:
            user.messages, user.recipients = messages, recipients
        first = bool(over) and not user.told
        user.told = user.told or first
        self.changed = True
        return Standing(asked.number, messages, recipients, over, first, self.unit)

    def _current(self, name: str) -> User:
        now = self._clock()
        user = self._users.get(name)
        # A clock that was set back must not make a time unit last for days.
        if user is not None and 0 <= now - user.started < self.unit:
            return user
        if user is not None:
            del self._users[name]
        elif len(self._users) >= self._most:
            del self._users[next(iter(self._users))]
        user = self._users[name] = User(name, now)
        return user

    def forget(self) -> None:
        """Forget users whose time unit has ended."""
        now = self._clock()
        while self._users:
            name, user = next(iter(self._users.items()))
            if 0 <= now - user.started < self.unit:
                return
            del self._users[name]
            self.changed = True

    def near(self, share: float) -> list[UserCounts]:
        """Who has used at least `share` of a limit."""
        self.forget()
        now = self._clock()
        return [
            UserCounts(
                user.name,
                user.messages,
                user.recipients,
                user.most_messages,
                user.most_recipients,
                round(user.started + self.unit - now),
            )
            for user in self._users.values()
            if _reaches(user.messages, user.most_messages, share)
            or _reaches(user.recipients, user.most_recipients, share)
        ]

    # --- the file

    def save(self, folder: int) -> None:
        """Write the file in the folder (a descriptor). Raises OSError."""
        draft = f"{NAME}.new"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with open(fd, "wb") as file:
            file.write(_encode(list(self._users.values())))
        os.rename(draft, NAME, src_dir_fd=folder, dst_dir_fd=folder)
        self.changed = False

    def load(self, folder: int) -> None:
        """Take up what an earlier process has counted. A file that cannot be read counts as none, with a warning."""
        try:
            with open(os.open(NAME, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
                users = _decode(file.read(LARGEST_FILE))
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning(f"{NAME} in data_directory: {error}: counts of users begin anew; remove the file if this stays")
            return
        self._users = {user.name: user for user in sorted(users, key=lambda each: each.started)}
        self.forget()


def _reaches(count: int, limit: int, share: float) -> bool:
    return 0 < limit * share <= count
