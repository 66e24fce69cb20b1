"""Stored passwords in every notation that a passwd file may have."""

from __future__ import annotations

import hashlib

import pytest

from estafeta.accounts import hashes
from estafeta.accounts.hashes import BadHash, Stored
from estafeta.accounts.source import SourceDown
from estafeta.wire.sasl.events import DigestKey, Password, ScramKeys


def right(text: str, password: str = "secret", user: str = "ana@b.test") -> bool:
    return hashes.verify(Stored.parse(text), password, user)


@pytest.mark.parametrize("scheme", sorted(hashes.MAKERS))
def test_what_we_make_is_right_for_this_password_only(scheme: str) -> None:
    stored = hashes.make("geheim ñ", scheme)
    assert right(stored, "geheim ñ")
    assert not right(stored, "geheim n")
    assert not right(stored, "")


@pytest.mark.parametrize(
    "text",
    [
        "{PLAIN}secret",
        "{CLEARTEXT}secret",
        "{SHA1}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "{SHA}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4",
        "{SHA256.hex}" + hashlib.sha256(b"secret").hexdigest(),
        "{PLAIN-MD5}" + hashlib.md5(b"secret").hexdigest(),
        "{LDAP-MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
        "{SSHA256.hex}" + hashlib.sha256(b"secretsalt").hexdigest() + b"salt".hex(),
        "{DIGEST-MD5}" + hashlib.md5(b"ana:b.test:secret").hexdigest(),
        "$1$saltsalt$9xy1btjgzLYfb7hivXtC//",
        "{MD5-CRYPT}$1$saltsalt$9xy1btjgzLYfb7hivXtC//",
        "{PBKDF2}$1$salt$1000$" + hashlib.pbkdf2_hmac("sha1", b"secret", b"salt", 1000).hex(),
    ],
)
def test_notations_of_others(text: str) -> None:
    assert right(text)
    assert not right(text, "Secret")


def test_a_hash_without_scheme_is_crypt_or_argon2() -> None:
    assert right(hashes.make("secret").removeprefix("{ARGON2ID}"))
    assert right(hashes.make("secret", "SHA512-CRYPT").removeprefix("{SHA512-CRYPT}"))


def test_a_locked_account_is_refused() -> None:
    for text in ("!", "*", "", "x", "!$6$saltsalt$" + "x" * 86):
        assert not right("{CRYPT}" + text)


def test_a_method_that_this_machine_does_not_know_is_no_wrong_password() -> None:
    with pytest.raises(SourceDown, match="libcrypt"):
        right("{CRYPT}$zz$unknown$method")


@pytest.mark.parametrize(
    "text",
    [
        "{NTLM}abc",
        "{PBKDF2}$1$salt$99999999$" + "0" * 40,
        "{SSHA}c2hvcnQ=",
        "{SHA1}not base64",
        "{SCRAM-SHA-256}4096,abc",
        "{SCRAM-SHA-256}0,c2FsdA==,c2FsdA==,c2FsdA==",
        "{ARGON2ID}nonsense",
    ],
)
def test_what_cannot_be_is_said_without_the_hash(text: str) -> None:
    with pytest.raises(BadHash) as error:
        right(text)
    assert text.partition("}")[2] not in str(error.value)


def test_what_mechanisms_get() -> None:
    assert hashes.kept_for(Stored.parse("{PLAIN}x"), "CRAM-MD5") == Password("x")
    scram = Stored.parse(hashes.make("x", "SCRAM-SHA-256"))
    assert isinstance(hashes.kept_for(scram, "SCRAM-SHA-256"), ScramKeys)
    assert hashes.kept_for(scram, "CRAM-MD5") is None
    digest = Stored.parse("{DIGEST-MD5}" + "0" * 32)
    assert hashes.kept_for(digest, "DIGEST-MD5") == DigestKey(bytes(16))


def test_no_secret_is_shown() -> None:
    for text in ("{PLAIN}hunter2", "{SHA1}5en6G6MezRroT3XKqkdPOmY/BfQ="):
        assert text.partition("}")[2] not in repr(Stored.parse(text))
