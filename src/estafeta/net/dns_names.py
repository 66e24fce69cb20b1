"""What the resolver answers, and the ways it fails.

Later and never are different types: `DnsDown` is "ask again", `NoSuchDomain` and `NoData` are answers.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from estafeta.mail.domain import DomainError, a_labels


class DnsError(Exception):
    """Any failure. `name` is what was asked; the text is the one that Postfix puts into log lines and reports."""

    reason = "Host not found, try again"

    def __init__(self, name: str, rrtype: str = "", text: str = "") -> None:
        super().__init__(
            text or f"Host or domain name not found. Name service error for name={name} type={rrtype}: {self.reason}"
        )
        self.name = name
        self.rrtype = rrtype
        self.ttl = -1
        """Seconds that a denial may be relied on, where the name server said so; -1 where not."""

    def again(self) -> DnsError:
        """The same answer to be kept, or raised once more. An exception holds on to all frames that it has gone
        through, with the session and the reply in them."""
        other = type(self)(self.name, self.rrtype, str(self))
        other.ttl = self.ttl
        return other


class NoSuchDomain(DnsError):
    """NXDOMAIN: the name does not exist (RFC 8020)."""

    reason = "Host not found"


class NoData(DnsError):
    """The name exists, with no record of the type asked for."""

    reason = "Host found but no data record of requested type"


class DnsDown(DnsError):
    """SERVFAIL, REFUSED, a time-out, an answer that cannot be read: nothing is known, ask later."""


class Dropped(DnsDown):
    """There are records, and a reply filter dropped them all: `Resolver.reply_filter`."""

    reason = "DNS reply filter policy"

    def __init__(self, name: str, rrtype: str, text: str = "") -> None:
        dropped = f"Error looking up name={name} type={rrtype}: DNS reply filter drops all results"
        super().__init__(name, rrtype, text or dropped)


class BadAnswer(DnsError):
    """There are records, and none of them can be used: malformed host names, a CNAME chain without end."""

    def __init__(self, name: str, rrtype: str, text: str = "") -> None:
        malformed = f"Name service error for name={name} type={rrtype}: Malformed or unexpected name server reply"
        super().__init__(name, rrtype, text or malformed)


class BadName(DnsError):
    """What was asked is no domain name, so it was not asked (RFC 1035 2.3.4)."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, "", f"Name service error for {name[:300]}: invalid host or domain name")
        self.why = why


class Mx(NamedTuple):
    preference: int
    host: str
    """Without the final dot; "" is a null MX: the domain takes no mail (RFC 7505)."""


class Srv(NamedTuple):
    """A service's host: RFC 2782."""

    priority: int
    weight: int
    port: int
    host: str
    """Without the final dot; "" says that the domain does not offer the service."""


class Answer(NamedTuple):
    """What a question brought."""

    name: str
    """As asked, without the final dot."""
    canonical: str
    """The end of the CNAME chain."""
    rrtype: str
    records: tuple[str, ...]
    """Record data in presentation form; MX "10 host", TXT the strings joined, names without the final dot."""
    ttl: int
    """Seconds it may still be kept."""
    secure: bool = False
    """Validated by the name server (the AD flag), where it is trusted to say so."""


MOST_NAME = 255
MOST_LABEL = 63


def check_name(name: str, *, host: bool = False) -> str:
    """The name in lower case without a final dot, in ASCII (IDNA) form. Raises BadName.

    With `host` it must also be usable as a host name: letters, digits, hyphens, underscores, which exist in the wild
    (Postfix lets them through too), a `*` label, and not only numbers. `why` of the error says what is wrong in the
    words of Postfix's log.
    """
    text = name.removesuffix(".").lower()
    if not text:
        raise BadName(name, "valid_hostname: empty hostname")
    if not text.isascii():
        text = _to_ascii(name, text)
    if len(text) > MOST_NAME - 2:
        raise BadName(name, f"valid_hostname: bad length {len(text)} for {text[:100]}...")
    for label in text.split("."):
        if not label:
            raise BadName(name, f"valid_hostname: misplaced delimiter: {text}")
        if len(label) > MOST_LABEL:
            raise BadName(name, f"valid_hostname: hostname label too long: {text}")
    if host:
        _check_host(name, text)
    return text


_HOST = re.compile(r"(?:\*\.)?[a-z0-9_.-]*")


def _check_host(name: str, text: str) -> None:
    allowed = _HOST.match(text)
    end = allowed.end() if allowed else 0
    if end < len(text):
        raise BadName(name, f"valid_hostname: invalid character {ord(text[end])}(decimal): {text}")
    if text[0] == "-" or text[-1] == "-" or ".-" in text or "-." in text:
        raise BadName(name, f"valid_hostname: misplaced hyphen: {text}")
    if text.replace(".", "").isdigit():
        raise BadName(name, f"valid_hostname: numeric hostname: {text}")


def _to_ascii(name: str, text: str) -> str:
    try:
        return a_labels(text).removesuffix(".")
    except DomainError as error:
        raise BadName(name, f"valid_hostname: not a domain name: {name}: {error}") from None
