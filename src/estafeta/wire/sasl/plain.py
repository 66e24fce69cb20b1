"""The mechanisms that send the password: PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login)."""

from __future__ import annotations

from estafeta.wire.sasl.events import Event, Given, Send, Verify
from estafeta.wire.sasl.mechanism import LONGEST_PASSWORD, BadResponse, Mechanism, name_from
from estafeta.wire.sasl.saslprep import saslprep

USERNAME, PASSWORD = b"Username:", b"Password:"


class _WithPassword(Mechanism):
    def _verify(self, raw: bytes) -> Event:
        if len(raw) > LONGEST_PASSWORD or b"\0" in raw:
            raise BadResponse
        if not raw:
            return self._denied()
        password = raw.decode("utf-8", "surrogateescape")
        try:
            prepared = saslprep(password)
        except ValueError:
            prepared = password
        return Verify(self.user, password, prepared)

    def _answer(self, given: Given) -> Event:
        if not isinstance(given, str):
            return self._denied()
        return self._logged_in(given)


class Plain(_WithPassword):
    """authzid NUL user NUL password, in one response."""

    def _step(self, response: bytes) -> Event:
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise BadResponse
        self.authzid = name_from(parts[0]) if parts[0] else ""
        self.user = name_from(parts[1])
        return self._verify(parts[2])


class Login(_WithPassword):
    """The user name and the password, each asked for. Many clients put the name into the initial response."""

    client_first = False

    def _first(self) -> Event:
        return Send(USERNAME)

    def _step(self, response: bytes) -> Event:
        if not self.user:
            self.user = name_from(response)
            return Send(PASSWORD)
        return self._verify(response)
