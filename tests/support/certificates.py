"""Certificates for tests, made anew each time: nothing secret lies in the tree.

`make_certificates(folder)` writes, as NAME.pem and NAME.key:

    ca       the authority
    rsa, ec  mail.example.test, by the authority
    sni      sni.example.test, by the authority
    client   client.example.test, by the authority
    self     self.example.test, signed by itself

and `chain.pem`, key and certificate of `rsa` and of `ec` in one file, `sni.chain` likewise.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def fingerprint(self, digest: str = "sha256") -> str:
        return _colons(digest, self.certificate.public_bytes(serialization.Encoding.DER))

    def key_fingerprint(self, digest: str = "sha256") -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return _colons(digest, self.key.public_key().public_bytes(serialization.Encoding.DER, form))


def _colons(digest: str, data: bytes) -> str:
    return hashlib.new(digest, data).digest().hex(":").upper()


def make_pair(name: str, issuer: Pair | None = None, *, kind: str = "ec", authority: bool = False) -> Pair:
    """A new certificate with the common name `name`; by itself without an issuer."""
    key: Key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def make_certificates(folder: Path) -> dict[str, Pair]:
    """Write them all; returns them by name."""
    ca = make_pair("Test Authority", authority=True)
    pairs = {
        "ca": ca,
        "rsa": make_pair("mail.example.test", ca, kind="rsa"),
        "ec": make_pair("mail.example.test", ca),
        "sni": make_pair("sni.example.test", ca),
        "client": make_pair("client.example.test", ca),
        "self": make_pair("self.example.test"),
    }
    folder.mkdir(exist_ok=True)
    for name, pair in pairs.items():
        (folder / f"{name}.pem").write_bytes(pair.pem)
        (folder / f"{name}.key").write_bytes(pair.key_pem)
    chain = [part for name in ("rsa", "ec") for part in (pairs[name].key_pem, pairs[name].pem)]
    (folder / "chain.pem").write_bytes(b"".join(chain))
    (folder / "sni.chain").write_bytes(pairs["sni"].key_pem + pairs["sni"].pem)
    return pairs
