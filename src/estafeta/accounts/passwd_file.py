"""passwd-file:PATH: users and stored passwords in a text file, as Dovecot reads it too.

    ana:{ARGON2ID}$argon2id$v=19$...
    # further fields (uid, gid, ...) are Dovecot's; of the last one, `nologin` is heeded

`estafeta passwd` writes it. The file is read again when it changes; a line that makes no sense is left out with a
warning, and the others count.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from estafeta.accounts import hashes
from estafeta.accounts.authenticator import Circumstances
from estafeta.accounts.hashes import BadHash, Stored
from estafeta.accounts.local import Checking, pepper, within
from estafeta.accounts.source import SECRET_FORMS, Source
from estafeta.accounts.watched import Watched
from estafeta.base import log
from estafeta.tables.source import shown
from estafeta.wire.sasl.events import Kept, ScramKeys

ANEW = "set it anew with 'estafeta passwd'"
_EXTRA = 7
"""Which field, from 0, holds Dovecot's extra settings."""
_REFUSING = frozenset({"nologin", "allow_nets"})
"""Extra settings that keep users out, always or in some cases that we do not know: then nobody comes in."""


@dataclass(slots=True)
class Users:
    """The file's content."""

    passwords: dict[str, Stored]
    sample: tuple[Stored, ...]
    """Every entry, to have something to check for users who do not exist."""
    forms: frozenset[str]
    """The mechanisms that all of them can use: a client takes the best that is offered, and tries no other."""


def parse(raw: bytes, path: str) -> Users:
    found: dict[str, Stored] = {}
    for number, line in enumerate(raw.decode("utf-8", "surrogateescape").split("\n"), 1):
        text = line.strip("\r")
        if not text.strip() or text.startswith("#"):
            continue
        fields = text.split(":")
        if len(fields) < 2 or not fields[0]:
            log.warning(f"{path}, line {number}: expected user:{{SCHEME}}password -- ignoring this line")
            continue
        extra = {word.partition("=")[0] for word in ":".join(fields[_EXTRA:]).split()}
        if extra & _REFUSING:
            continue
        if fields[0] in found:
            log.warning(f"{path}, line {number}: user {fields[0]!r} is there already -- ignoring this line")
            continue
        try:
            stored = Stored.parse(fields[1])
        except BadHash as error:
            log.warning(f"{path}, line {number}: {error} -- ignoring this line")
            continue
        if stored.text:
            found[fields[0]] = stored
    sample = tuple(found.values())
    forms = SECRET_FORMS.intersection(*map(hashes.forms_of, sample)) if sample else frozenset[str]()
    return Users(found, sample, forms)


def check(stored: Stored, password: str, user: str, checking: Checking) -> bool:
    """hashes.verify, without its cost for what was right a moment ago. Blocks."""
    if not stored.slow:
        return hashes.verify(stored, password, user)
    if checking.good.known(stored.text, password):
        return True
    if not hashes.verify(stored, password, user):
        return False
    checking.good.remember(stored.text, password)
    return True


class PasswdFile(Source):
    def __init__(self, path: str, checking: Checking) -> None:
        self.name = f"passwd-file:{path}"
        self._checking = checking
        self._file = Watched(path, lambda raw: parse(raw, path), made_by=f"estafeta passwd {path} USER")
        self._pepper = pepper()
        self.forms = SECRET_FORMS

    def open(self) -> None:
        hashes.prepare()
        self._file.open()

    async def stop(self) -> None:
        self._file.close()

    async def verify(self, user: str, password: str, about: Circumstances) -> bool:
        return await self._checking.workers.run(self._verify, within(user, about.realm), password)

    async def kept(self, user: str, realm: str, form: str, about: Circumstances) -> Kept | None:
        return await self._checking.workers.run(self._kept, within(user, about.realm), form)

    def offered_forms(self) -> frozenset[str]:
        """The mechanisms that everybody in the file can use now. Raises SourceDown. Blocks for the disk."""
        return self._file.current().forms

    def _verify(self, names: tuple[str, ...], password: str) -> bool:
        users = self._file.current()
        for name in names:
            stored = users.passwords.get(name)
            if stored is not None:
                return self._check(name, stored, password, whose=name)
        if users.sample:
            self._check(names[0], self._somebody(users, names[0]), password, whose="some user")
        return False

    def _somebody(self, users: Users, name: str) -> Stored:
        """Somebody's stored password, always the same one for the same name: so nothing tells that nobody is there."""
        return users.sample[int.from_bytes(self._mixed("user", name)[:8], "big") % len(users.sample)]

    def _mixed(self, purpose: str, name: str) -> bytes:
        return hmac.digest(self._pepper, f"{purpose} {name}".encode("utf-8", "surrogateescape"), "sha256")

    async def decoy(self, user: str, form: str) -> Kept | None:
        """Salts are as long, and rounds as many, as somebody's."""
        return await self._checking.workers.run(self._decoy, user, form)

    def _decoy(self, name: str, form: str) -> Kept | None:
        users = self._file.current()
        try:
            like = hashes.kept_for(self._somebody(users, name), form) if users.sample else None
        except BadHash:  # told of when its owner comes
            return None
        if not isinstance(like, ScramKeys):
            return None
        salt = self._mixed(f"salt {form}", name)[: len(like.salt)]
        size = len(like.stored_key)
        return ScramKeys(salt, like.iterations, secrets.token_bytes(size), secrets.token_bytes(size))

    def _check(self, name: str, stored: Stored, password: str, *, whose: str) -> bool:
        try:
            return check(stored, password, name, self._checking)
        except BadHash as error:
            log.warning(f"{self.name}: the password of {shown(whose)} cannot be checked: {error}: {ANEW}")
            return False

    def _kept(self, names: tuple[str, ...], form: str) -> Kept | None:
        users = self._file.current()
        for name in names:
            stored = users.passwords.get(name)
            if stored is not None:
                try:
                    return hashes.kept_for(stored, form)
                except BadHash as error:
                    log.warning(f"{self.name}: the password of {shown(name)} cannot be used: {error}: {ANEW}")
                    return None
        return None
