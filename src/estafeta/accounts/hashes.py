"""Stored passwords in Dovecot's notation, `{SCHEME}text`: is this the password? what does it give a SASL mechanism?

Dovecot: "Password Schemes". What has no scheme is crypt(3)'s, or Argon2's where it begins so. A scheme may end in
`.hex` or `.b64`; without, hex and base64 are told apart by their length.

Checking blocks: for a tenth of a second where the scheme is a good one. It belongs into a thread.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from estafeta.accounts import libcrypt
from estafeta.accounts.source import SourceDown
from estafeta.wire.sasl.events import DigestKey, Kept, Password, ScramKeys
from estafeta.wire.sasl.server import scram_keys

MOST_ROUNDS = 10_000_000
"""Rounds of PBKDF2 that an entry may ask for."""

_CRYPT = frozenset({"CRYPT", "DES-CRYPT", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT", "YESCRYPT"})
_ARGON2 = frozenset({"ARGON2I", "ARGON2ID", "ARGON2"})
_TEXT = frozenset({"PLAIN", "CLEAR", "CLEARTEXT"})
_SCRAM = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
_DIGESTS = {
    "SHA": "sha1",
    "SHA1": "sha1",
    "SHA256": "sha256",
    "SHA512": "sha512",
    "LDAP-MD5": "md5",
    "PLAIN-MD5": "md5",
}
_SALTED = {"SSHA": "sha1", "SSHA256": "sha256", "SSHA512": "sha512", "SMD5": "md5"}
KNOWN = frozenset({*_CRYPT, *_ARGON2, *_TEXT, *_SCRAM, *_DIGESTS, *_SALTED, "PBKDF2", "DIGEST-MD5"})
"""Schemes that can be checked."""
SLOW = frozenset({*_CRYPT, *_ARGON2, "PBKDF2", *_SCRAM})
"""Those that cost computing on purpose, so that it pays to remember what was right."""

_NOTATION = re.compile(r"\{([A-Za-z0-9.-]+)\}(.*)", re.S)


class BadHash(ValueError):
    """No scheme that we know, or not in its form. The text holds nothing of the hash."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored password."""

    scheme: str
    text: str
    encoding: str = ""
    """hex or b64 where it is said."""

    def __repr__(self) -> str:
        return f"Stored({self.scheme})"

    @classmethod
    def parse(cls, text: str, default: str = "CRYPT") -> Stored:
        """`{SCHEME}text`, or `text` in the scheme `default`. Raises BadHash."""
        found = _NOTATION.fullmatch(text)
        if found is None:
            scheme = "ARGON2" if default == "CRYPT" and text.startswith("$argon2") else default
            return cls._of(scheme.upper(), text)
        return cls._of(found[1].upper(), found[2])

    @classmethod
    def _of(cls, scheme: str, text: str) -> Stored:
        encoding = ""
        for ending, name in ((".HEX", "hex"), (".B64", "b64"), (".BASE64", "b64")):
            if scheme.endswith(ending):
                scheme, encoding = scheme.removesuffix(ending), name
        if scheme not in KNOWN:
            raise BadHash(f"password scheme {scheme} is not supported")
        if "\0" in text:
            raise BadHash("a password cannot hold NUL")
        return cls(scheme, text, encoding)

    @property
    def slow(self) -> bool:
        return self.scheme in SLOW


def verify(stored: Stored, password: str, user: str = "") -> bool:
    """Whether `password` is the one. Raises BadHash, and SourceDown where this machine cannot compute the scheme."""
    raw = password.encode("utf-8", "surrogateescape")
    if stored.scheme in _TEXT:
        return hmac.compare_digest(stored.text.encode("utf-8", "surrogateescape"), raw)
    if stored.scheme in _CRYPT:
        return _verify_crypt(stored.text, raw)
    if stored.scheme in _ARGON2:
        return _verify_argon2(stored.text, raw)
    if stored.scheme in _SCRAM:
        keys = _scram_keys(stored)
        again = scram_keys(stored.scheme, password, keys.salt, keys.iterations)
        return hmac.compare_digest(keys.stored_key, again.stored_key)
    if stored.scheme == "PBKDF2":
        return _verify_pbkdf2(stored.text, raw)
    if stored.scheme == "DIGEST-MD5":
        name, _, realm = user.partition("@")
        mine = hashlib.md5(f"{name}:{realm}:".encode("utf-8", "surrogateescape") + raw, usedforsecurity=False).digest()
        return hmac.compare_digest(_decoded(stored, 16), mine)
    return _verify_digest(stored, raw)


def kept_for(stored: Stored, form: str) -> Kept | None:
    """What the mechanism `form` can do with it; None if nothing. Raises BadHash."""
    if stored.scheme in _TEXT:
        return Password(stored.text)
    if stored.scheme == form and form in _SCRAM:
        return _scram_keys(stored)
    if stored.scheme == form == "DIGEST-MD5":
        return DigestKey(_decoded(stored, 16))
    return None


def forms_of(stored: Stored) -> frozenset[str]:
    """The mechanisms that could use it, besides those to which the client sends the password."""
    if stored.scheme in _TEXT:
        return frozenset({"CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"})
    return frozenset({stored.scheme}) if stored.scheme in {*_SCRAM, "DIGEST-MD5"} else frozenset()


# --- one scheme each


def _verify_crypt(text: str, raw: bytes) -> bool:
    expected = text.encode("ascii", "replace")
    if len(expected) < 13 or expected[:1] in b"!*":  # a locked account, as in shadow(5)
        return False
    try:
        return hmac.compare_digest(libcrypt.crypt(raw, expected), expected)
    except libcrypt.CryptUnavailable as error:
        raise SourceDown(str(error)) from None


@cache
def argon2() -> Any:
    """The library's hasher. It is loaded on first use: many sites have no such hash."""
    import argon2

    return argon2


def _verify_argon2(text: str, raw: bytes) -> bool:
    library = argon2()
    if not text.isascii():
        raise BadHash("it is no Argon2 hash")
    try:
        return bool(library.PasswordHasher().verify(text, raw))
    except library.exceptions.VerifyMismatchError:
        return False
    except library.exceptions.InvalidHashError:
        raise BadHash("it is no Argon2 hash") from None
    except library.exceptions.VerificationError as error:
        raise SourceDown(f"Argon2: {error}") from None


_PBKDF2 = re.compile(r"\$1\$([^$]*)\$(\d{1,8})\$([0-9a-f]{40})")


def _verify_pbkdf2(text: str, raw: bytes) -> bool:
    """Dovecot's: `$1$SALT$ROUNDS$HEX`, SHA-1."""
    found = _PBKDF2.fullmatch(text)
    if found is None or not 0 < int(found[2]) <= MOST_ROUNDS:
        raise BadHash("it is no PBKDF2 hash of the form $1$salt$rounds$hex")
    mine = hashlib.pbkdf2_hmac("sha1", raw, found[1].encode("utf-8", "surrogateescape"), int(found[2]))
    return hmac.compare_digest(bytes.fromhex(found[3]), mine)


def _verify_digest(stored: Stored, raw: bytes) -> bool:
    method = _DIGESTS.get(stored.scheme) or _SALTED[stored.scheme]
    size = hashlib.new(method, usedforsecurity=False).digest_size
    known = _decoded(stored, size, longer=stored.scheme in _SALTED)
    mine = hashlib.new(method, raw + known[size:], usedforsecurity=False).digest()
    return hmac.compare_digest(known[:size], mine)


def _decoded(stored: Stored, size: int, *, longer: bool = False) -> bytes:
    """`size` bytes; with `longer`, a salt after them. Raises BadHash."""
    text = stored.text
    as_hex = stored.encoding == "hex" or (not stored.encoding and not longer and len(text) == 2 * size)
    try:
        raw = bytes.fromhex(text) if as_hex else base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise BadHash(f"it is no {stored.scheme} hash") from None
    if len(raw) < size or (len(raw) > size) != longer:
        raise BadHash(f"it is no {stored.scheme} hash")
    return raw


def _scram_keys(stored: Stored) -> ScramKeys:
    """Dovecot's: `ITERATIONS,SALT,STORED KEY,SERVER KEY`, base64."""
    size = hashlib.new(_SCRAM[stored.scheme]).digest_size
    try:
        rounds, *parts = stored.text.split(",")
        salt, stored_key, server_key = (base64.b64decode(part, validate=True) for part in parts)
        keys = ScramKeys(salt, int(rounds), stored_key, server_key)
    except (ValueError, binascii.Error):
        raise BadHash(f"it is no {stored.scheme} entry of the form rounds,salt,stored key,server key") from None
    if not 0 < keys.iterations <= MOST_ROUNDS or not salt or not len(stored_key) == len(server_key) == size:
        raise BadHash(f"it is no {stored.scheme} entry of the form rounds,salt,stored key,server key")
    return keys


# --- making them


def _argon2id(password: str) -> str:
    return str(argon2().PasswordHasher().hash(password.encode("utf-8", "surrogateescape")))


def _crypt_with(prefix: bytes, rounds: int = 0) -> Callable[[str], str]:
    def make(password: str) -> str:
        raw = password.encode("utf-8", "surrogateescape")
        return libcrypt.crypt(raw, libcrypt.new_setting(prefix, rounds)).decode("ascii")

    return make


def _scram_with(scheme: str) -> Callable[[str], str]:
    def make(password: str) -> str:
        keys = scram_keys(scheme, password, secrets.token_bytes(16), 10_000)
        parts = (keys.salt, keys.stored_key, keys.server_key)
        return ",".join([str(keys.iterations), *(base64.b64encode(part).decode("ascii") for part in parts)])

    return make


def _pbkdf2(password: str) -> str:
    salt, rounds = secrets.token_hex(8), 500_000
    raw = password.encode("utf-8", "surrogateescape")
    return f"$1${salt}${rounds}${hashlib.pbkdf2_hmac('sha1', raw, salt.encode('ascii'), rounds).hex()}"


def _ssha_with(method: str) -> Callable[[str], str]:
    def make(password: str) -> str:
        salt = secrets.token_bytes(8)
        digest = hashlib.new(method, password.encode("utf-8", "surrogateescape") + salt).digest()
        return base64.b64encode(digest + salt).decode("ascii")

    return make


MAKERS: dict[str, Callable[[str], str]] = {
    "ARGON2ID": _argon2id,
    "YESCRYPT": _crypt_with(b"$y$"),
    "BLF-CRYPT": _crypt_with(b"$2b$", 12),
    "SHA512-CRYPT": _crypt_with(b"$6$", 100_000),
    "SHA256-CRYPT": _crypt_with(b"$5$", 100_000),
    "PBKDF2": _pbkdf2,
    "SCRAM-SHA-256": _scram_with("SCRAM-SHA-256"),
    "SCRAM-SHA-1": _scram_with("SCRAM-SHA-1"),
    "SSHA512": _ssha_with("sha512"),
    "SSHA256": _ssha_with("sha256"),
    "PLAIN": str,
}
"""Scheme -> what makes a stored text of a password."""


def make(password: str, scheme: str = "ARGON2ID") -> str:
    """`{SCHEME}text`, as it goes into a passwd file. Blocks. Raises KeyError for a scheme that we do not make."""
    # Dovecot knows yescrypt under the name of the function that computes it.
    label = "CRYPT" if scheme == "YESCRYPT" else scheme
    return f"{{{label}}}{MAKERS[scheme](password)}"


@cache
def _unwinder() -> Any:
    """Argon2 has threads of its own, and glibc loads this library when the first of them ends; without it, it aborts
    the process. In a chroot it has to be there already."""
    try:
        return ctypes.CDLL("libgcc_s.so.1")
    except OSError:
        return None  # another C library, which has no such need


def prepare() -> None:
    """Load the libraries now: in a chroot it is too late."""
    libcrypt.load()
    argon2()
    _unwinder()
