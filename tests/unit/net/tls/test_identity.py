"""Keys and chains from PEM text, and what is wrong with them in words."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from tests.support.certificates import make_pair

from estafeta.net.tls.identity import from_chain, from_files, from_pem
from estafeta.net.tls.openssl import TlsError, library

ONE, OTHER, RSA = make_pair("one.test"), make_pair("other.test"), make_pair("rsa.test", kind="rsa")


def reader(**files: bytes):  # type: ignore[no-untyped-def]
    def read(path: str) -> bytes:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return files[path]

    return read


def test_two_identities_in_one_text() -> None:
    text = ONE.key_pem + ONE.pem + OTHER.pem + b"remarks\n" + RSA.key_pem + RSA.pem
    assert len(from_pem(library(), text, "text")) == 2


def test_key_and_certificate_may_be_in_files_one_after_the_other() -> None:
    assert len(from_chain(library(), ["key", "cert"], reader(key=ONE.key_pem, cert=ONE.pem))) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ONE.pem + ONE.key_pem, "must come first"),
        (ONE.key_pem + OTHER.key_pem + ONE.pem, "not followed by its certificate"),
        (ONE.key_pem, "no key and certificate"),
        (b"", "no key and certificate"),
        (ONE.key_pem + OTHER.pem, "error loading chain"),
        (ONE.key_pem + ONE.pem + OTHER.key_pem + OTHER.pem, "another key of the same kind"),
        (ONE.key_pem + ONE.pem.replace(b"M", b"N"), "damaged certificate"),
    ],
)
def test_what_is_wrong_with_a_chain(text: bytes, problem: str) -> None:
    with pytest.raises(TlsError, match=problem):
        from_pem(library(), text, "text")


def test_a_pass_phrase_is_refused_at_once() -> None:
    locked = ONE.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(TlsError, match="pass phrase"):
        from_pem(library(), locked + ONE.pem, "text")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(TlsError, match="error opening chain file: both: No such file") as raised:
        from_files(library(), "both", "both", reader(), "RSA")
    assert "put the file in place" in raised.value.remedy
    with pytest.raises(TlsError, match='cannot get RSA private key from file "key"') as raised:
        from_files(library(), "cert", "key", reader(cert=ONE.pem), "RSA")
    assert raised.value.lines == ["key: No such file or directory"]


def test_a_key_of_another_certificate_is_named() -> None:
    with pytest.raises(TlsError, match='cannot get RSA private key from file "key"') as raised:
        from_files(library(), "cert", "key", reader(cert=ONE.pem, key=OTHER.key_pem), "RSA")
    assert raised.value.remedy == 'the key in "key" does not belong to "cert"'
