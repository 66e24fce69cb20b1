"""mailbox: a mailbox for every address: `virtual_mailbox_maps = mailbox:%d/%u/`.

Ours, not Postfix's. virtual(8) allows no substitution in the pattern tables that say where a mailbox is, because what
the sender writes would end up in a path. Here it may, since only a user part that cannot lead elsewhere gets an answer:
no slash, no leading dot, nothing unprintable, at most 64 characters (RFC 5321 4.5.3.1.1).

%u is the user part, %d the domain, %s the whole address, %% a percent sign.
"""

from __future__ import annotations

import re

from estafeta.tables.table import Flags, LoadedTable, TableError

_PART = re.compile(r"%(.)|%$")
LONGEST_USER = 64


class MailboxTable(LoadedTable):
    """Answers `user@domain` only: what is asked for whole domains or bare users is not there."""

    indexed = False
    constant = True

    def __init__(self, kind: str, name: str, flags: Flags) -> None:
        self.spec = f"{kind}:{name}"
        unknown = [match[0] for match in _PART.finditer(name) if match[1] not in ("u", "d", "s", "%")]
        if unknown:
            raise TableError(f"{self.spec}: unknown {unknown[0]!r}", "use %u (user), %d (domain), %s (address) or %%")
        self._template = name

    def lookup(self, key: str) -> str | None:
        user, at, domain = key.rpartition("@")
        if not at or not is_plain(user, LONGEST_USER) or not is_plain(domain, 255):
            return None
        values = {"u": user, "d": domain, "s": key, "%": "%"}
        return _PART.sub(lambda match: values[match[1]], self._template)


def is_plain(part: str, longest: int) -> bool:
    """Whether it is safe as the name of a folder."""
    return 0 < len(part) <= longest and part.isprintable() and "/" not in part and not part.startswith(".")
