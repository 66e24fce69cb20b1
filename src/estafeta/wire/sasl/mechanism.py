"""What all mechanisms on the server's side have in common."""

from __future__ import annotations

from typing import ClassVar

from estafeta.wire.sasl.events import (
    BAD_PROTOCOL,
    FAILED,
    Authorize,
    Event,
    Failure,
    Given,
    Send,
    Setting,
    Success,
)

LONGEST_NAME = 255
"""Of a user name, a realm or an authorisation name, in bytes."""
LONGEST_PASSWORD = 1024


class BadResponse(Exception):
    """The client does not speak the mechanism, or says more than anybody needs to."""


class Mechanism:
    """One exchange. `begin` comes first, then `step` after each Send and `answer` after each question."""

    client_first: ClassVar[bool] = True
    """The client has the first word: without an initial response it is asked for it with an empty challenge."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.name = name
        self.setting = setting
        self.user = ""
        self.authzid = ""
        self.over = False
        self._last_word: bytes | None = None
        """What goes with success, while the owner is asked whether the user may act as somebody else."""

    def begin(self, initial: bytes | None) -> Event:
        """The first event. `initial`: the response that came along with the command, None for none."""
        if initial is not None:
            return self.step(initial)
        return Send(b"") if self.client_first else self._guarded(self._first())

    def step(self, response: bytes) -> Event:
        """The next event, after the client's response to a Send."""
        if self.over:
            return Failure(BAD_PROTOCOL, self.user)
        try:
            return self._guarded(self._step(response))
        except BadResponse:
            return self._guarded(Failure(BAD_PROTOCOL, self.user))

    def answer(self, given: Given) -> Event:
        """The next event, after an answer to a question."""
        if self._last_word is None:
            return self._guarded(self._answer(given))
        return self._guarded(Success(given, self._last_word) if isinstance(given, str) else self._denied())

    def _guarded(self, event: Event) -> Event:
        self.over = isinstance(event, Success | Failure)
        return event

    def _first(self) -> Event:
        """The first challenge, where the server has the first word."""
        raise NotImplementedError

    def _step(self, response: bytes) -> Event:
        raise NotImplementedError

    def _answer(self, given: Given) -> Event:
        raise NotImplementedError

    def _logged_in(self, user: str, text: bytes = b"") -> Event:
        """The end, unless the user wants to act as somebody else."""
        if self.authzid and self.authzid not in (user, self.user):
            self._last_word = text
            return Authorize(user, self.authzid)
        return Success(user, text)

    def _out_of_turn(self) -> Failure:
        """The client spoke first where the server does. RFC 4422 5"""
        return Failure(BAD_PROTOCOL, self.user)

    def _denied(self) -> Failure:
        return Failure(FAILED, self.user)


def name_from(raw: bytes) -> str:
    """A name as text. Raises BadResponse if it is none: empty, endless, not UTF-8, with control characters."""
    if not raw or len(raw) > LONGEST_NAME:
        raise BadResponse
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadResponse from None
    if not text.isprintable():
        raise BadResponse
    return text
