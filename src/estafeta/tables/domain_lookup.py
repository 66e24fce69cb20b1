"""The keys under which a domain is looked up: itself, then its parents.

access(5) and transport(5) share this order. Whether a parent is tried as `example.com` or as `.example.com`
depends on whether the parameter is in `parent_domain_matches_subdomains`.
"""

from __future__ import annotations

from collections.abc import Iterator

from estafeta.tables.maps import Maps

LEVELS = 128
"""Most parents tried: a name of 255 octets cannot have more labels (RFC 1035 2.3.4)."""


def parents(domain: str, *, parent_matches_subdomains: bool) -> Iterator[str]:
    """`a.b.example` -> `b.example`, `example`, or each with a leading dot where parents do not match subdomains."""
    at = -1
    for _ in range(LEVELS):
        at = domain.find(".", at + 1)
        if at < 0 or at + 1 >= len(domain):
            return
        yield domain[at + 1 :] if parent_matches_subdomains else domain[at:]


async def find_domain(maps: Maps, domain: str, *, parent_matches_subdomains: bool) -> str | None:
    """The value for `domain` or its nearest parent. An address literal `[1.2.3.4]` has no parents.

    Raises TableDown.
    """
    value = await maps.find(domain)
    if value is not None or domain.startswith("["):
        return value
    for key in parents(domain, parent_matches_subdomains=parent_matches_subdomains):
        value = await maps.find(key, partial=True)
        if value is not None:
            return value
    return None
