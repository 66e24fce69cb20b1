"""SCRAM: neither side shows the password, and the server need not know it. RFC 5802, RFC 7677.

A user who does not exist gets a salt as well, always the same, and fails only at the end: who guesses names learns
nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

from estafeta.wire.sasl.events import FAILED, Event, Failure, Given, Password, ScramKeys, Secret, Send
from estafeta.wire.sasl.mechanism import BadResponse, Mechanism, name_from
from estafeta.wire.sasl.saslprep import saslprep

LONGEST_NONCE = 256
LONGEST_MESSAGE = 2048
MOST_ITERATIONS = 1_000_000
SALT_LENGTH = 16
HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
_FIRST = re.compile(rb"(n|y|p=([A-Za-z0-9.-]{1,64})),(?:a=([^,]*))?,(n=([^,]*),r=([!-+\x2d-~]+)(?:,.*)?)", re.DOTALL)
_FINAL = re.compile(rb"(c=([A-Za-z0-9+/=]*),r=([!-+\x2d-~]+)(?:,[^p].*)?),p=([A-Za-z0-9+/=]+)", re.DOTALL)
_BINDINGS = (b"tls-exporter", b"tls-unique")


def scram_keys(form: str, password: str, salt: bytes, iterations: int) -> ScramKeys:
    """What to keep for a password. `form` is SCRAM-SHA-1 or SCRAM-SHA-256. Takes milliseconds: the rounds are the
    point. RFC 5802 3"""
    try:
        prepared = saslprep(password)
    except ValueError:
        prepared = password
    return _keys(HASHES[form], prepared.encode("utf-8", "surrogateescape"), salt, iterations)


def _keys(digest: str, password: bytes, salt: bytes, iterations: int) -> ScramKeys:
    salted = hashlib.pbkdf2_hmac(digest, password, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", digest)
    stored_key = hashlib.new(digest, client_key).digest()
    return ScramKeys(salt, iterations, stored_key, hmac.digest(salted, b"Server Key", digest))


class Scram(Mechanism):
    """One exchange, by any hash, with or without channel binding."""

    _keys: ScramKeys | None = None
    _given: Password | ScramKeys | None = None

    @property
    def _form(self) -> str:
        return self.name.removesuffix("-PLUS")

    def _step(self, response: bytes) -> Event:
        if len(response) > LONGEST_MESSAGE:
            raise BadResponse
        return self._client_first(response) if self._keys is None else self._client_final(response)

    # --- names and nonces

    def _client_first(self, response: bytes) -> Event:
        found = _FIRST.fullmatch(response)
        if found is None or len(found[6]) > LONGEST_NONCE:
            raise BadResponse
        flag, binding, authzid, self._bare, user, nonce = found.groups()
        if not self._may_bind(flag, binding):
            return Failure(FAILED, _unescaped(user))
        self._header = response[: -len(self._bare)]
        self._bound = flag.startswith(b"p")
        self.authzid = _unescaped(authzid) if authzid else ""
        try:
            self.user = name_from(saslprep(_unescaped(user)).encode())
        except ValueError:
            raise BadResponse from None
        self._nonce = nonce + self.setting.nonce.encode()
        return Secret(self.user, self.setting.realm, self._form)

    def _may_bind(self, flag: bytes, binding: bytes | None) -> bool:
        """RFC 5802 6"""
        if self.name.endswith("-PLUS"):
            return binding in _BINDINGS and bool(self.setting.channel_binding)
        # `y`: the client could bind, and thinks that we cannot. If we can, somebody has changed our offer.
        return flag == b"n" or (flag == b"y" and not self.setting.channel_binding)

    def _answer(self, given: Given) -> Event:
        self._given = given if isinstance(given, Password | ScramKeys) else None
        keys = given if isinstance(given, ScramKeys) else self._invented()
        self._keys = keys
        salt = base64.b64encode(keys.salt)
        self._server_first = b"r=%b,s=%b,i=%d" % (self._nonce, salt, keys.iterations)
        return Send(self._server_first)

    def _invented(self) -> ScramKeys:
        """Salt and rounds for a password that is kept as text, or is not there at all. The keys come later."""
        setting = self.setting
        salt = hmac.digest(setting.pepper, f"salt {self._form} {self.user}".encode(), "sha256")[:SALT_LENGTH]
        return ScramKeys(salt, setting.iterations, b"", b"")

    # --- the proof

    def _client_final(self, response: bytes) -> Event:
        found = _FINAL.fullmatch(response)
        if found is None:
            raise BadResponse
        without_proof, binding, nonce, proof = found.groups()
        if not hmac.compare_digest(nonce, self._nonce):
            raise BadResponse
        if not hmac.compare_digest(_decoded(binding), self._header + self._binding_data()):
            return self._denied()
        keys = self._real_keys()
        message = b",".join((self._bare, self._server_first, without_proof))
        digest = HASHES[self._form]
        signature = hmac.digest(keys.stored_key, message, digest)
        client_key = bytes(a ^ b for a, b in zip(_decoded(proof), signature, strict=False))
        good = hmac.compare_digest(hashlib.new(digest, client_key).digest(), keys.stored_key)
        if not good or self._given is None:
            return self._denied()
        return self._logged_in(self.user, b"v=" + base64.b64encode(hmac.digest(keys.server_key, message, digest)))

    def _binding_data(self) -> bytes:
        return self.setting.channel_binding if self._bound else b""

    def _real_keys(self) -> ScramKeys:
        """Of a user who does not exist, keys that nothing fits, after the time that real ones take."""
        keys = self._keys
        assert keys is not None
        if isinstance(self._given, ScramKeys):
            return keys
        if self._given is not None:
            return scram_keys(self._form, self._given.text, keys.salt, keys.iterations)
        rounds = keys.iterations if self.setting.keeps_passwords else 1
        return _keys(HASHES[self._form], self.setting.pepper, keys.salt, rounds)


def _unescaped(raw: bytes) -> str:
    """A name as SCRAM writes it: `,` and `=` are =2C and =3D. RFC 5802 5.1"""
    parts = raw.split(b"=")
    plain = parts[0]
    for part in parts[1:]:
        if part[:2] not in (b"2C", b"3D"):
            raise BadResponse
        plain += (b"," if part[:2] == b"2C" else b"=") + part[2:]
    return name_from(plain)


def _decoded(raw: bytes) -> bytes:
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error:
        raise BadResponse from None
