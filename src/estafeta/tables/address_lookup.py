"""The keys under which a mail address is looked up, and what was left off to find it.

canonical(5), virtual(5), relocated(5) and the recipient maps share this order: `user+ext@domain`, `user@domain`,
`user+ext` and `user` where the domain is this machine's, `@domain`. Only the first is put to pattern tables.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from estafeta.mail.address import split_extension
from estafeta.tables.maps import Maps

IsLocal = Callable[[str], Awaitable[bool]]
"""Whether a domain is this machine's own: $myorigin, $mydestination, $inet_interfaces or $proxy_interfaces."""


class Found(NamedTuple):
    """`value` as the table has it; `extension` with its delimiter (`+ext`) if it was left off the key, else ""."""

    value: str
    extension: str


async def find_address(
    maps: Maps,
    address: str,
    *,
    delimiters: str,
    is_local: IsLocal,
    owner_special: bool = True,
    quoted: str | None = None,
) -> Found | None:
    """Look an address up. `address` is its internal form, `quoted` the form with a quoted local part if it differs.

    Each key is tried in its quoted form first, as the manuals ask it to be written. An address without a domain is
    looked up as it is. Raises TableDown.
    """
    forms = [address] if quoted is None or quoted == address else [quoted, address]
    for form in forms:
        value = await maps.find(form)
        if value is not None:
            return Found(value, "")
    localpart, at, domain = address.rpartition("@")
    if not at:
        localpart, domain = address, ""
    bare, extension = split_extension(localpart, delimiters, owner_special=owner_special)
    if extension:
        value = await _find(maps, [f"{_bare_form(form, bare, localpart)}{at}{domain}" for form in forms])
        if value is not None:
            return Found(value, extension)
    if not at:
        return None
    if await is_local(domain):
        value = await _find(maps, [form.rpartition("@")[0] for form in forms])
        if value is not None:
            return Found(value, "")
        if extension:
            value = await _find(maps, [_bare_form(form, bare, localpart) for form in forms])
            if value is not None:
                return Found(value, extension)
    value = await maps.find(f"@{domain}", partial=True)
    return None if value is None else Found(value, "")


def _bare_form(form: str, bare: str, localpart: str) -> str:
    """The local part without extension, quoted where the whole one was."""
    return f'"{bare}"' if form.startswith('"') and not localpart.startswith('"') else bare


async def _find(maps: Maps, keys: list[str]) -> str | None:
    for key in keys:
        value = await maps.find(key, partial=True)
        if value is not None:
            return value
    return None
