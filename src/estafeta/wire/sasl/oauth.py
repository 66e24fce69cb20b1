"""Bearer tokens in place of passwords: OAUTHBEARER (RFC 7628) and the older XOAUTH2 (Google, Microsoft).

A token that is refused is answered with a challenge that says so in JSON; the client acknowledges it, and only then
has failed.
"""

from __future__ import annotations

import json
import re

from estafeta.wire.sasl.events import Event, Given, Send, Token
from estafeta.wire.sasl.mechanism import BadResponse, Mechanism, name_from

LONGEST_TOKEN = 8192
LONGEST_MESSAGE = 10240
_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z]{1,32}")


class _WithToken(Mechanism):
    _refused = False

    def _step(self, response: bytes) -> Event:
        if self._refused:
            return self._denied()
        if len(response) > LONGEST_MESSAGE:
            raise BadResponse
        values = self._values(response)
        found = _BEARER.fullmatch(values.get("auth", ""))
        if found is None or len(found[1]) > LONGEST_TOKEN:
            raise BadResponse
        return Token(self.user, found[1])

    def _values(self, response: bytes) -> dict[str, str]:
        """What the client says beside its name, which becomes self.user."""
        raise NotImplementedError

    def _answer(self, given: Given) -> Event:
        if isinstance(given, str):
            return self._logged_in(given)
        self._refused = True
        return Send(self._why_not())

    def _why_not(self) -> bytes:
        raise NotImplementedError


class OauthBearer(_WithToken):
    """`n,a=user,` and then key=value pairs between bytes 1."""

    def _values(self, response: bytes) -> dict[str, str]:
        header, separator, rest = response.partition(b"\x01")
        parts = header.split(b",")
        if not separator or len(parts) != 3 or parts[0] not in (b"n", b"y") or parts[2]:
            raise BadResponse
        if parts[1]:
            if not parts[1].startswith(b"a="):
                raise BadResponse
            # gs2-header: the same escapes as in SCRAM. RFC 5801 4
            self.user = name_from(parts[1][2:].replace(b"=2C", b",").replace(b"=3D", b"="))
        return _pairs(rest)

    def _why_not(self) -> bytes:
        return json.dumps({"status": "invalid_token"}).encode()


class Xoauth2(_WithToken):
    """`user=...` and `auth=Bearer ...`, each before a byte 1."""

    def _values(self, response: bytes) -> dict[str, str]:
        values = _pairs(response)
        self.user = name_from(values.get("user", "").encode())
        return values

    def _why_not(self) -> bytes:
        return json.dumps({"status": "401", "schemes": "bearer", "scope": "mail"}).encode()


def _pairs(raw: bytes) -> dict[str, str]:
    """key=value pairs, each before a byte 1, another of which ends them. RFC 7628 3.1"""
    if not raw.endswith(b"\x01\x01"):
        raise BadResponse
    values: dict[str, str] = {}
    for pair in raw[:-2].split(b"\x01"):
        try:
            key, equals, value = pair.decode("utf-8").partition("=")
        except UnicodeDecodeError:
            raise BadResponse from None
        if not equals or not _KEY.fullmatch(key) or key in values:
            raise BadResponse
        values[key] = value
    return values
