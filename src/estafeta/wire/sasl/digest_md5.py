"""DIGEST-MD5: as CRAM-MD5, with realms, a nonce of the client's, and a proof that the server knows the password too.

RFC 2831, which RFC 6331 calls historic; old clients have nothing better. Only qop=auth: what comes after is
TLS's business.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from estafeta.wire.sasl.events import DigestKey, Event, Given, Password, Secret, Send
from estafeta.wire.sasl.mechanism import BadResponse, Mechanism, name_from

LONGEST_RESPONSE = 4096
LONGEST_VALUE = 512
_DIRECTIVE = re.compile(
    rb'[ \t\r\n,]*([A-Za-z0-9-]{1,32})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^ \t\r\n,"]*))[ \t\r\n]*(?:,|$)'
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ONCE = frozenset({"username", "realm", "nonce", "cnonce", "nc", "qop", "digest-uri", "response", "charset", "authzid"})


class DigestMd5(Mechanism):
    """Challenge, response; the proof for the client is the last word."""

    client_first = False

    def begin(self, initial: bytes | None) -> Event:
        if initial is not None:
            # RFC 2831 2.2 knows initial responses, for sessions that are taken up again; we keep none.
            return self._guarded(self._out_of_turn())
        return super().begin(None)

    @property
    def _realm(self) -> str:
        return self.setting.realm or self.setting.host

    def _first(self) -> Event:
        realm = _quoted(self._realm)
        return Send(
            f'nonce="{self.setting.nonce}",realm="{realm}",qop="auth",charset=utf-8,algorithm=md5-sess'.encode()
        )

    def _step(self, response: bytes) -> Event:
        said = parse(response)
        text = "utf-8" if said.get("charset", b"").lower() == b"utf-8" else "latin-1"
        if "charset" in said and text != "utf-8":
            raise BadResponse
        self.user = _name(said.get("username", b""), text)
        realm = _name(said["realm"], text) if said.get("realm") else ""
        self.authzid = name_from(said["authzid"]) if said.get("authzid") else ""
        self._check(said)
        self._said, self._text, self._realm_said = said, text, realm
        return Secret(self.user, realm or self._realm, self.name)

    def _check(self, said: dict[str, bytes]) -> None:
        """What has to be there and can be checked without the password."""
        service = said.get("digest-uri", b"").partition(b"/")[0].lower().decode("latin-1")
        if (
            not hmac.compare_digest(said.get("nonce", b""), self.setting.nonce.encode())
            or said.get("nc") != b"00000001"  # a nonce is good for once
            or said.get("qop", b"auth").lower() != b"auth"
            or not said.get("cnonce")
            or service != self.setting.service.lower()
            or len(said.get("response", b"")) != 32
        ):
            raise BadResponse

    def _answer(self, given: Given) -> Event:
        if isinstance(given, DigestKey):
            key = given.key
        else:
            password = given.text if isinstance(given, Password) else self.setting.nonce
            key = digest_key(self.user, self._realm_said, password, utf8=self._text == "utf-8")
        expected = self._digest(key, b"AUTHENTICATE:")
        good = hmac.compare_digest(expected, self._said["response"].lower())
        if not good or not isinstance(given, DigestKey | Password):
            return self._denied()
        return self._logged_in(self.user, b"rspauth=" + self._digest(key, b":"))

    def _digest(self, key: bytes, method: bytes) -> bytes:
        """RFC 2831 2.1.2.1"""
        said = self._said
        a1 = key + b":" + said["nonce"] + b":" + said["cnonce"]
        if said.get("authzid"):
            a1 += b":" + said["authzid"]
        a2 = method + said["digest-uri"]
        middle = b":".join((said["nonce"], said["nc"], said["cnonce"], b"auth"))
        return _hex(b":".join((_hex(a1), middle, _hex(a2))))


def digest_key(user: str, realm: str, password: str, *, utf8: bool = True) -> bytes:
    """What DigestKey holds. Texts that Latin-1 can say are hashed in it. RFC 2831 2.1.2.1"""
    return hashlib.md5(
        b":".join(_narrow(part, utf8) for part in (user, realm, password)), usedforsecurity=False
    ).digest()


def _narrow(text: str, utf8: bool) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8" if utf8 else "latin-1", "surrogateescape")


def parse(response: bytes) -> dict[str, bytes]:
    """The directives of a response, by name in lower case. Raises BadResponse. RFC 2831 7.1"""
    if len(response) > LONGEST_RESPONSE:
        raise BadResponse
    said: dict[str, bytes] = {}
    place = 0
    while place < len(response):
        found = _DIRECTIVE.match(response, place)
        if found is None:
            raise BadResponse
        name, quoted, token = found[1].decode().lower(), found[2], found[3]
        value = token if quoted is None else _ESCAPE.sub(rb"\1", quoted)
        if len(value) > LONGEST_VALUE or (name in said and name in _ONCE):
            raise BadResponse
        said[name] = value
        place = found.end()
    return said


def _name(raw: bytes, charset: str) -> str:
    if charset == "latin-1":
        raw = raw.decode("latin-1").encode("utf-8")
    return name_from(raw)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _hex(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
