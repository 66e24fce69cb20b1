"""The client's side of TLS in tests: trusts everybody, and says what it got."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


class TlsClient:
    """Remembers its last session, and its context with that, so that it can be resumed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context: ssl.SSLContext | None = None
        self._session: ssl.SSLSession | None = None
        self._link: ssl.SSLSocket | None = None

    def start(self, link: socket.socket, options: str) -> tuple[socket.socket, str]:
        """Shake hands. `options`: a version (1.2), cert=NAME, name=SERVER, ciphers=LIST, resume. Returns the socket to
        go on with, and what came of it."""
        words = options.split()
        known = dict(word.split("=", 1) for word in words if "=" in word)
        resume = "resume" in words
        if resume and self._link is not None:
            self._session = self._link.session
        if not resume or self._context is None:
            self._context = self._make(words, known)
        session = self._session if resume else None
        try:
            self._link = self._context.wrap_socket(link, server_hostname=known.get("name"), session=session)
        except ssl.SSLError as error:
            return link, f"failed: {error.reason}"
        except OSError as error:
            return link, f"failed: {type(error).__name__}"
        reused = " reused" if self._link.session_reused else ""
        return self._link, f"{self._link.version()} {self._link.cipher()[0]} {_name(self._link)}{reused}"  # type: ignore[index]

    def _make(self, words: list[str], known: dict[str, str]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers(known.get("ciphers", "ALL") + ":@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        for word in words:
            if word in VERSIONS:
                context.minimum_version = context.maximum_version = VERSIONS[word]
        if "cert" in known:
            context.load_cert_chain(self._folder / f"{known['cert']}.pem", self._folder / f"{known['cert']}.key")
        return context


def _name(link: ssl.SSLSocket) -> str:
    shown = link.getpeercert(binary_form=True)
    if shown is None:
        return "no certificate"
    found = x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return f"CN={found[0].value!s}"
