"""Addresses: internal form, external form, and their parts.

Inside the system an address is plain text without quoting: `a b@c` is the user "a b" at c. The last `@` separates
the domain. On the wire, in headers and in the log it stands in external form, where an odd local part is
quoted: `"a b"@c` (RFC 5321 4.1.2, RFC 5322 3.4.1). `unquote` and `quote` are the two doors; everything else here
takes internal form. Addresses with comments or several to a line are for `mailboxes.py`.

Domains are matched without regard to case; local parts keep theirs.
"""

from __future__ import annotations

import ipaddress
import re

from estafeta.mail.domain import to_ascii

LONGEST_HOSTNAME = 255
LONGEST_LABEL = 63

MAILER_DAEMON = "MAILER-DAEMON"
NOT_SPLIT = frozenset({"mailer-daemon", "postmaster", "double-bounce"})
"""Local parts that are never split at a delimiter: they name this system itself."""

# Characters that a local part may hold without quotes: everything that is not special, blank or control.
_DOT_STRING = re.compile(r"[^\x00-\x20\x7f()<>@,;:\\\".\[\]]+(?:\.[^\x00-\x20\x7f()<>@,;:\\\".\[\]]+)*")
_NEEDS_ESCAPE = re.compile(r"([\"\\\r])")
_HOSTNAME = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)


class AddressError(ValueError):
    """The text is no address; says why, with the text in it."""


def split(address: str) -> tuple[str, str]:
    """(local part, domain); the domain is "" when there is none. `a@b@c` -> ("a@b", "c")."""
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (address, "")


def quote_local(local: str) -> str:
    """A local part in external form: as it is if it is a dot-string, else a quoted string. RFC 5321 4.1.2."""
    if _DOT_STRING.fullmatch(local):
        return local
    return '"' + _NEEDS_ESCAPE.sub(r"\\\1", local) + '"'


def quote(address: str) -> str:
    """Internal to external form: `a b@c` -> `"a b"@c`. The empty address stays empty."""
    local, at, domain = address.rpartition("@")
    if not at:
        return quote_local(address) if address else ""
    if _DOT_STRING.fullmatch(local):
        return address
    if local.startswith("@") and ":" in local:  # a route within: `@x:a@b` reads the same with or without quotes
        route, _, local = local.partition(":")
        return f"{route}:{quote_local(local)}@{domain}"
    return f"{quote_local(local)}@{domain}"


def unquote(external: str) -> str:
    """External to internal form: quotes and backslashes of the local part are taken off, its inside stays.

    Never fails: an unterminated quote ends with the text.
    """
    if '"' not in external and "\\" not in external:
        return external
    pieces: list[str] = []
    at, length, quoted, domain = 0, len(external), False, len(external)
    while at < length:
        char = external[at]
        if char == "\\" and at + 1 < length:
            at += 1
            pieces.append(external[at])
        elif char == '"':
            quoted = not quoted
        elif char == "@" and not quoted and external.find("@", at + 1) < 0:
            domain = at
            break
        else:
            pieces.append(char)
        at += 1
    return "".join(pieces) + external[domain:]


def split_extension(localpart: str, delimiters: str, *, owner_special: bool = True) -> tuple[str, str]:
    """`user+ext` -> ("user", "+ext"); ("user", "") where there is none. `delimiters`: $recipient_delimiter.

    With `-` as delimiter, `owner-list` and `list-request` are names of their own while owner_request_special = yes.
    A local part that begins with a delimiter has no extension.
    """
    if not delimiters or localpart.lower() in NOT_SPLIT:
        return localpart, ""
    if "-" in delimiters and owner_special:
        lower = localpart.lower()
        if lower.startswith("owner-") or lower.endswith("-request"):
            return localpart, ""
    ends = [at for at in (localpart.find(char) for char in delimiters) if at >= 0]
    at = min(ends, default=0)
    return (localpart[:at], localpart[at:]) if at > 0 else (localpart, "")


def fold(address: str) -> str:
    """The address as a key for comparing: letter case removed."""
    return address.lower() if address.isascii() else address.casefold()


def same(one: str, other: str) -> bool:
    """Whether two addresses are the same apart from letter case."""
    return one == other or fold(one) == fold(other)


def valid_hostname(name: str) -> bool:
    """Whether `name` may be a host or domain name: RFC 1123 2.1, with `_` tolerated, and not all numeric.

    A name with non-ASCII letters is valid if each label has an IDNA form (RFC 5890). No dot at the end.
    """
    if not name or len(name) > LONGEST_HOSTNAME:
        return False
    if not name.isascii():
        encoded = to_ascii(name)
        hyphens = name.startswith("-") or name.endswith("-") or ".-" in name or "-." in name
        return encoded is not None and not hyphens and valid_hostname(encoded)
    return _HOSTNAME.fullmatch(name) is not None and not name.replace(".", "").isdigit()


def valid_address_text(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address without brackets."""
    return valid_ipv4(text) or valid_ipv6(text)


def valid_ipv4(text: str) -> bool:
    """Four decimal numbers of 0 to 255. An address that begins with 0 is good only as 0.0.0.0."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not text.startswith("0.") or text == "0.0.0.0"


def valid_ipv6(text: str) -> bool:
    """An IPv6 address (RFC 4291 2.2) without zone."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def literal_address(domain: str) -> str | None:
    """`[192.0.2.1]` -> `192.0.2.1`, `[IPv6:::1]` -> `::1`; None if it is no valid address literal. RFC 5321 4.1.3."""
    if not domain.startswith("[") or not domain.endswith("]"):
        return None
    inside = domain[1:-1]
    if inside[:5].lower() == "ipv6:":
        return inside[5:] if valid_ipv6(inside[5:]) else None
    return inside if valid_ipv4(inside) else None


def valid_domain(domain: str) -> bool:
    """Whether `domain` may stand after the @: a host name, or an address in brackets."""
    if domain.startswith("["):
        return literal_address(domain) is not None
    return valid_hostname(domain)
