"""Whose name a system user may write under with `sendmail`: local_login_sender_maps, by login name.

A table gives patterns: `*` any sender, `<>` the empty one, `@domain` any user there, or a whole address. The extension
of the sender is not looked at.
"""

from __future__ import annotations

import os
import pwd

from estafeta.config.instance import Config
from estafeta.mail.address import fold, quote, split, split_extension

ANYONE = ("static:*",)


def refused_sender(conf: Config, sender: str) -> str:
    """Why the caller may not use this sender (internal form); "" if he may."""
    if conf.local_login_sender_maps == ANYONE:
        return ""
    # Tables and an event loop cost a command more than all the rest; hardly anybody has such a list.
    import asyncio

    from estafeta.tables.maps import Maps
    from estafeta.tables.table import TableDown

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid:{uid}"
    maps = Maps.open(conf.local_login_sender_maps, name="local_login_sender_maps")
    try:
        patterns = asyncio.run(maps.get(name)) or ""
    except TableDown as down:
        return f"{name}({uid}): cannot tell whether sender='{quote(sender)}' is allowed: {down}"
    words = patterns.replace(",", " ").split()
    if allowed(sender, words, conf.recipient_delimiter, conf.empty_address_local_login_sender_maps_lookup_key):
        return ""
    return f"{name}({uid}): not authorized to use sender='{quote(sender)}'"


def allowed(sender: str, patterns: list[str], delimiters: str, empty: str) -> bool:
    """Whether any pattern lets this sender through. `empty` is the pattern for the empty address."""
    if "*" in patterns:
        return True
    if not sender:
        return empty in patterns
    local, domain = split(sender)
    local = split_extension(local, delimiters)[0]
    names = {fold(f"{local}@{domain}" if domain else local)}
    if domain:
        names.add(fold(f"@{domain}"))
    return any(fold(pattern) in names for pattern in patterns)
