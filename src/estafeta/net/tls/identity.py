"""Keys and certificate chains: from PEM files to what OpenSSL uses. postconf(5): smtpd_tls_chain_files.

In a chain file each private key stands before its own certificate, which is followed by those of its issuers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from estafeta.net.tls.openssl import CHAIN_CERT, Library, TlsError

Read = Callable[[str], bytes]
"""A file's content, by its path. Raises OSError."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class Identity:
    """One key, its certificate, and the chain behind that."""

    def __init__(self, library: Library, key: Any, chain: Sequence[Any], problem: str, remedy: str) -> None:
        library.lib.ERR_clear_error()
        if not library.lib.X509_check_private_key(chain[0], key):
            raise TlsError(problem, library.errors(), remedy=remedy)
        self._library = library
        self._key = key
        self._chain = chain

    def use_in(self, context: Any) -> None:
        """Serve it from a context. Raises TlsError."""
        lib = self._library.lib
        good = lib.SSL_CTX_use_certificate(context, self._chain[0]) == 1
        good = good and lib.SSL_CTX_use_PrivateKey(context, self._key) == 1
        good = good and all(lib.SSL_CTX_ctrl(context, CHAIN_CERT, 1, issuer) == 1 for issuer in self._chain[1:])
        self._demand(good)

    def use_for(self, ssl: Any) -> None:
        """Serve it to one client. Raises TlsError."""
        lib = self._library.lib
        good = lib.SSL_use_certificate(ssl, self._chain[0]) == 1 and lib.SSL_use_PrivateKey(ssl, self._key) == 1
        good = good and all(lib.SSL_ctrl(ssl, CHAIN_CERT, 1, issuer) == 1 for issuer in self._chain[1:])
        self._demand(good)

    def _demand(self, good: bool) -> None:
        if not good:
            raise TlsError("OpenSSL does not take the key and certificate", self._library.errors())


def from_files(library: Library, certificates: str, key: str, read: Read, kind: str) -> Identity:
    """A certificate file and a key file, which may be the same. `kind`: RSA, ECDSA, for messages. Raises TlsError."""
    same = key == certificates
    problem = f'cannot get {kind} certificate from file "{certificates}"'
    content = _content(certificates, read, "" if same else problem)
    chain = [found for label, found in _parsed(library, content, certificates) if label == "C"]
    if not chain:
        raise TlsError(f"{problem}: there is none in PEM form")
    problem = f'cannot get {kind} private key from file "{key}"'
    content = _content(key, read, "" if same else problem)
    keys = [found for label, found in _parsed(library, content, key) if label == "K"]
    if not keys:
        raise TlsError(f"{problem}: there is none in PEM form")
    return Identity(library, keys[0], chain, problem, f'the key in "{key}" does not belong to "{certificates}"')


def from_chain(library: Library, files: Sequence[str], read: Read) -> list[Identity]:
    """smtpd_tls_chain_files. Raises TlsError."""
    blocks = [(label, found, file) for file in files for label, found in _parsed(library, _content(file, read), file)]
    return _identities(library, blocks, ", ".join(files))


def from_pem(library: Library, content: bytes, where: str) -> list[Identity]:
    """The same from one text. `where` is for messages. Raises TlsError."""
    return _identities(library, [(label, found, where) for label, found in _parsed(library, content, where)], where)


def _identities(library: Library, blocks: list[tuple[str, Any, str]], source: str) -> list[Identity]:
    """`source`: what all of them come from, for messages."""
    found: list[tuple[Any, list[Any], str]] = []
    for label, thing, where in blocks:
        if label == "K":
            if found and not found[-1][1]:
                raise TlsError(f'error loading chain from "{where}": key not followed by its certificate')
            found.append((thing, [], where))
        elif not found:
            raise TlsError(f'error loading chain from "{where}": the private key must come first, then its certificate')
        else:
            found[-1][1].append(thing)
    if not found or not found[-1][1]:
        where = blocks[-1][2] if blocks else source
        raise TlsError(f'error loading chain from "{where}": no key and certificate in PEM form')
    kinds: set[int] = set()
    for key, _, where in found:
        kind = library.lib.EVP_PKEY_get_base_id(key)
        if kind in kinds:
            # OpenSSL would let the last one take the place of the others.
            raise TlsError(f'error loading chain from "{where}": there is another key of the same kind before it')
        kinds.add(kind)
    return [
        Identity(
            library, key, chain, f'error loading chain from "{where}"', "a key stands before another's certificate"
        )
        for key, chain, where in found
    ]


def _content(file: str, read: Read, problem: str = "") -> bytes:
    """`problem`: what to say of a file that cannot be read; else what Postfix says of chain files. Raises TlsError."""
    try:
        return read(file)
    except OSError as reason:
        why = reason.strerror or str(reason)
        remedy = "clients that want TLS are told to come later: put the file in place, or correct its name in main.cf"
        if problem:
            raise TlsError(problem, [f"{file}: {why}"], remedy=remedy) from None
        raise TlsError(f"error opening chain file: {file}: {why}", disabling=False, remedy=remedy) from None


def _parsed(library: Library, content: bytes, where: str) -> Iterator[tuple[str, Any]]:
    """("K", key) and ("C", certificate) of a PEM text, in order. Raises TlsError."""
    ffi, lib = library.ffi, library.lib
    for block in _BLOCK.finditer(content):
        label = block[1].decode()
        if not label.endswith(("CERTIFICATE", "PRIVATE KEY")):
            continue  # parameters of a curve, say
        if label == "ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in block[0]:
            raise TlsError(
                f"{where}: the private key has a pass phrase, which nobody can type in: remove it with 'openssl pkey'"
            )
        text = ffi.from_buffer(block[0])
        bio = ffi.gc(lib.BIO_new_mem_buf(text, len(text)), lib.BIO_free)
        lib.ERR_clear_error()
        if label.endswith("PRIVATE KEY"):
            thing, free = lib.PEM_read_bio_PrivateKey(bio, ffi.NULL, ffi.NULL, ffi.NULL), lib.EVP_PKEY_free
        else:
            thing, free = lib.PEM_read_bio_X509(bio, ffi.NULL, ffi.NULL, ffi.NULL), lib.X509_free
        if thing == ffi.NULL:
            raise TlsError(f"{where}: damaged {label.lower()}", library.errors())
        yield "K" if free is lib.EVP_PKEY_free else "C", ffi.gc(thing, free)
