"""What a finished handshake says about the client and the connection, as log lines and restrictions want it."""

from __future__ import annotations

from typing import Any

from estafeta.net.tls import openssl
from estafeta.net.tls.openssl import Library
from estafeta.net.tls.peer import TlsPeer
from estafeta.net.tls.server import ServerTls

CHANNEL_BINDING = b"EXPORTER-Channel-Binding"
NAME_LIMIT = 256
"""Characters of a name in a certificate; a longer one is none."""


def peer_of(server: ServerTls, ssl: Any, name: str) -> TlsPeer:
    """`name`: the server name that a certificate of its own was found for."""
    loaded = server.library
    ffi, lib = loaded.ffi, loaded.lib
    cipher = lib.SSL_get_current_cipher(ssl)
    algorithm = ffi.new("int *")
    bits = lib.SSL_CIPHER_get_bits(cipher, algorithm)
    shown = _certificate(server, ssl)
    return TlsPeer(
        protocol=_text(loaded, lib.SSL_get_version(ssl)),
        cipher=_text(loaded, lib.SSL_CIPHER_get_name(cipher)),
        bits=bits,
        algorithm_bits=algorithm[0],
        details=_details(loaded, ssl, bool(shown)),
        reused=bool(lib.SSL_session_reused(ssl)),
        server_name=name,
        asked_name=server.asked_name(ssl) if server.sni is not None else "",
        channel_binding=_channel_binding(loaded, ssl),
        **shown,
    )


def _certificate(server: ServerTls, ssl: Any) -> dict[str, Any]:
    loaded = server.library
    ffi, lib = loaded.ffi, loaded.lib
    certificate = lib.SSL_get1_peer_certificate(ssl)
    if certificate == ffi.NULL:
        return {}
    certificate = ffi.gc(certificate, lib.X509_free)
    subject, issuer = lib.X509_get_subject_name(certificate), lib.X509_get_issuer_name(certificate)
    return {
        "certificate": True,
        "trusted": lib.SSL_get_verify_result(ssl) == 0,
        "problem": lib.SSL_get_verify_result(ssl),
        "subject_line": _line(loaded, subject),
        "issuer_line": _line(loaded, issuer),
        "subject": _name(loaded, subject, openssl.NID_COMMON_NAME),
        "issuer": _name(loaded, issuer, openssl.NID_COMMON_NAME) or _name(loaded, issuer, openssl.NID_ORGANIZATION),
        "certificate_fingerprint": server.digest_of(loaded.der(lib.i2d_X509, certificate)),
        "public_key_fingerprint": server.digest_of(
            loaded.der(lib.i2d_X509_PUBKEY, lib.X509_get_X509_PUBKEY(certificate))
        ),
    }


def _name(loaded: Library, name: Any, kind: int) -> str:
    """A name's only element of a kind, if it is sane text; else ""."""
    ffi, lib = loaded.ffi, loaded.lib
    place = lib.X509_NAME_get_index_by_NID(name, kind, -1)
    if place < 0 or lib.X509_NAME_get_index_by_NID(name, kind, place) >= 0:
        return ""
    into = ffi.new("unsigned char **")
    length = lib.ASN1_STRING_to_UTF8(into, lib.X509_NAME_ENTRY_get_data(lib.X509_NAME_get_entry(name, place)))
    if length < 0:
        loaded.errors()
        return ""
    raw = bytes(ffi.buffer(into[0], length))
    lib.CRYPTO_free(into[0], b"", 0)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ""
    # A NUL or a line end in a name is somebody's trick.
    return text if text.isprintable() and len(text) <= NAME_LIMIT else ""


def _line(loaded: Library, name: Any) -> str:
    """`/C=ES/CN=...`, what is not ASCII escaped."""
    room = loaded.ffi.new("char[512]")
    loaded.lib.X509_NAME_oneline(name, room, 512)
    return _text(loaded, room)


def _details(loaded: Library, ssl: Any, with_client: bool) -> str:
    """` key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256`; "" before TLS 1.3, where the
    cipher's name says it."""
    ffi, lib = loaded.ffi, loaded.lib
    if lib.SSL_version(ssl) < openssl.TLS1_3:
        return ""
    parts = []
    key = ffi.new("EVP_PKEY **")
    if lib.SSL_ctrl(ssl, openssl.GET_PEER_TMP_KEY, 0, key) == 1:
        owned = ffi.gc(key[0], lib.EVP_PKEY_free)
        parts.append(f"key-exchange {_exchange(loaded, owned)}")
    loaded.lib.ERR_clear_error()
    kind = ffi.new("int *")
    own = lib.SSL_get_privatekey(ssl)
    if own != ffi.NULL:
        known = lib.SSL_get_signature_type_nid(ssl, kind) == 1
        parts += _signature(loaded, "server", own, kind[0] if known else 0)
        parts += _digest(loaded, ssl, "server", openssl.GET_SIGNATURE_NID)
    certificate = lib.SSL_get1_peer_certificate(ssl) if with_client else ffi.NULL
    if certificate != ffi.NULL:
        certificate = ffi.gc(certificate, lib.X509_free)
        known = lib.SSL_get_peer_signature_type_nid(ssl, kind) == 1
        parts += _signature(loaded, "client", lib.X509_get0_pubkey(certificate), kind[0] if known else 0)
        parts += _digest(loaded, ssl, "client", openssl.GET_PEER_SIGNATURE_NID)
    lib.ERR_clear_error()
    return "".join(f" {part}" for part in parts)


def _exchange(loaded: Library, key: Any) -> str:
    kind = loaded.lib.EVP_PKEY_get_base_id(key)
    if kind == openssl.PKEY_EC:
        return f"ECDHE ({_group(loaded, key)})"
    if kind == openssl.PKEY_DH:
        return f"DHE ({loaded.lib.EVP_PKEY_get_bits(key)} bits)"
    if kind <= 0:
        return "UNKNOWN"
    return _text(loaded, loaded.lib.OBJ_nid2sn(kind))


def _signature(loaded: Library, whose: str, key: Any, kind: int) -> list[str]:
    if key == loaded.ffi.NULL:
        return []
    algorithm = loaded.lib.EVP_PKEY_get_base_id(key)
    if algorithm in (openssl.PKEY_RSA, openssl.PKEY_RSA_PSS):
        # In TLS 1.3 RSA signs no other way.
        return [f"{whose}-signature RSA-PSS ({loaded.lib.EVP_PKEY_get_bits(key)} bits)"]
    if algorithm == openssl.PKEY_EC:
        return [f"{whose}-signature ECDSA ({_group(loaded, key)})"]
    return [f"{whose}-signature {_text(loaded, loaded.lib.OBJ_nid2sn(kind or algorithm))}"]


def _digest(loaded: Library, ssl: Any, whose: str, command: int) -> list[str]:
    kind = loaded.ffi.new("int *")
    if loaded.lib.SSL_ctrl(ssl, command, 0, kind) != 1 or not kind[0]:
        return []
    return [f"{whose}-digest {_text(loaded, loaded.lib.OBJ_nid2sn(kind[0]))}"]


def _group(loaded: Library, key: Any) -> str:
    room, length = loaded.ffi.new("char[80]"), loaded.ffi.new("size_t *")
    if loaded.lib.EVP_PKEY_get_group_name(key, room, 80, length) != 1:
        return "unknown"
    return bytes(loaded.ffi.buffer(room, length[0])).decode()


def _channel_binding(loaded: Library, ssl: Any) -> bytes:
    """tls-exporter data. Before TLS 1.3 it is safe only with an extended master secret. RFC 9266 4.2"""
    ffi, lib = loaded.ffi, loaded.lib
    if lib.SSL_version(ssl) < openssl.TLS1_3 and lib.SSL_ctrl(ssl, openssl.GET_EXTMS_SUPPORT, 0, ffi.NULL) != 1:
        return b""
    room = ffi.new("unsigned char[32]")
    made = lib.SSL_export_keying_material(ssl, room, 32, CHANNEL_BINDING, len(CHANNEL_BINDING), b"", 0, 1)
    return bytes(ffi.buffer(room, 32)) if made == 1 else b""


def _text(loaded: Library, text: Any) -> str:
    return bytes(loaded.ffi.string(text)).decode("ascii", "replace") if text != loaded.ffi.NULL else ""
