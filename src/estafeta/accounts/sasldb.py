"""The password file of Cyrus SASL, /etc/sasldb2, that saslpasswd2(8) writes.

A key is user, realm and property with NULs between them. `userPassword` is the password itself, so that every
mechanism works with it. Files of the time before 2.1 have hashes for one mechanism each in its place.
"""

from __future__ import annotations

import hashlib
import hmac

from estafeta.accounts.authenticator import Circumstances
from estafeta.accounts.berkeley_db import read_pairs
from estafeta.accounts.local import Checking
from estafeta.accounts.source import SECRET_FORMS, Source
from estafeta.accounts.watched import Watched
from estafeta.wire.sasl.events import DigestKey, Kept, Password

DEFAULT_PATH = "/etc/sasldb2"
_PASSWORD, _PLAIN, _DIGEST = b"userPassword", b"cmusaslsecretPLAIN", b"cmusaslsecretDIGEST-MD5"
_PLAIN_SALT = 16


class Sasldb(Source):
    def __init__(self, path: str, checking: Checking) -> None:
        self.name = f"sasldb:{path}"
        self.forms = SECRET_FORMS
        self._checking = checking
        self._file = Watched(path, read_pairs, made_by=f"saslpasswd2 -f {path} -c -u REALM USER")

    def open(self) -> None:
        self._file.open()

    async def stop(self) -> None:
        self._file.close()

    async def verify(self, user: str, password: str, about: Circumstances) -> bool:
        return await self._checking.workers.run(self._verify, split(user, about), password)

    async def kept(self, user: str, realm: str, form: str, about: Circumstances) -> Kept | None:
        return await self._checking.workers.run(self._kept, split(user, about), form)

    def _verify(self, who: tuple[str, str], password: str) -> bool:
        pairs = self._file.current()
        raw = password.encode("utf-8", "surrogateescape")
        stored = pairs.get(_key(who, _PASSWORD))
        if stored is not None:
            return hmac.compare_digest(stored, raw)
        secret = pairs.get(_key(who, _PLAIN))
        if secret is None:
            return False
        salt, digest = secret[:_PLAIN_SALT], secret[-16:]
        mine = hashlib.md5(salt + b"sasldb" + raw, usedforsecurity=False).digest()
        return len(secret) >= _PLAIN_SALT + 16 and hmac.compare_digest(digest, mine)

    def _kept(self, who: tuple[str, str], form: str) -> Kept | None:
        pairs = self._file.current()
        stored = pairs.get(_key(who, _PASSWORD))
        if stored is not None:
            return Password(stored.decode("utf-8", "surrogateescape"))
        digest = pairs.get(_key(who, _DIGEST)) if form == "DIGEST-MD5" else None
        return DigestKey(digest) if digest is not None and len(digest) == 16 else None


def split(user: str, about: Circumstances) -> tuple[str, str]:
    """User and realm, as the library makes them of a login name: without a realm, it is the server's."""
    name, at, realm = user.partition("@")
    return (name, realm) if at else (user, about.realm or about.own_name)


def _key(who: tuple[str, str], name: bytes) -> bytes:
    user, realm = (part.encode("utf-8", "surrogateescape") for part in who)
    return b"%b\0%b\0%b" % (user, realm, name)
