"""What a client of SMTP AUTH sends, for tests: independent of the code that is tested."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re


def encoded(text: str) -> str:
    r"""`\x00ana\x00secret` in base64."""
    return base64.b64encode(text.encode().decode("unicode_escape").encode("latin-1")).decode()


def answer_to(reply: str, arguments: str) -> str:
    """The answer to a challenge (`S: 334 ...`), in base64. `arguments`: mechanism, user, password;
    a realm in place of the one that is offered."""
    if not reply.startswith("S: 334 "):
        return "*"
    mechanism, user, password, *realm = arguments.split()
    challenge = base64.b64decode(reply.rpartition(" ")[2])
    for other in realm:
        challenge = re.sub(rb'realm="[^"]*"', f'realm="{other}"'.encode(), challenge)
    return base64.b64encode(_ANSWERS[mechanism](challenge, user, password)).decode()


def _cram_md5(challenge: bytes, user: str, password: str) -> bytes:
    return f"{user} {hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()}".encode()


def _digest_md5(challenge: bytes, user: str, password: str) -> bytes:
    if challenge.startswith(b"rspauth="):
        return b""
    nonce = re.search(rb'nonce="([^"]*)"', challenge)[1].decode()  # type: ignore[index]
    found = re.search(rb'realm="([^"]*)"', challenge)
    realm = found[1].decode() if found else ""
    cnonce, nc, uri = "b2JzY3VyZQ", "00000001", "smtp/mail.example.test"
    secret = hashlib.md5(f"{user}:{realm}:{password}".encode()).digest()
    a1 = hashlib.md5(secret + f":{nonce}:{cnonce}".encode()).hexdigest()
    a2 = hashlib.md5(f"AUTHENTICATE:{uri}".encode()).hexdigest()
    response = hashlib.md5(f"{a1}:{nonce}:{nc}:{cnonce}:auth:{a2}".encode()).hexdigest()
    return (
        f'username="{user}",realm="{realm}",nonce="{nonce}",cnonce="{cnonce}",nc={nc},qop=auth,'
        f'digest-uri="{uri}",response={response},charset=utf-8'
    ).encode()


def _scram(challenge: bytes, user: str, password: str, digest: str) -> bytes:
    bare = f"n={user},r=clientnonce"
    if not challenge:
        return f"n,,{bare}".encode()
    if challenge.startswith(b"v="):
        return b""
    parts = dict(part.split("=", 1) for part in challenge.decode().split(","))
    without = f"c=biws,r={parts['r']}"
    message = f"{bare},{challenge.decode()},{without}".encode()
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
    client_key = hmac.digest(salted, b"Client Key", digest)
    signature = hmac.digest(hashlib.new(digest, client_key).digest(), message, digest)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return f"{without},p={base64.b64encode(proof).decode()}".encode()


_ANSWERS = {
    "CRAM-MD5": _cram_md5,
    "DIGEST-MD5": _digest_md5,
    "SCRAM-SHA-1": lambda challenge, user, password: _scram(challenge, user, password, "sha1"),
    "SCRAM-SHA-256": lambda challenge, user, password: _scram(challenge, user, password, "sha256"),
}
