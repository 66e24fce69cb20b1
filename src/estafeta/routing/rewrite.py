"""Rewriting an address to standard form, `user@domain`: trivial-rewrite(8), "rewrite".

It asks no table, so it never waits. Envelope addresses are completed with this system's names; header addresses of
mail from elsewhere with `remote_header_rewrite_domain`, or not at all.

A local part that needs quotes is one word and is not looked into: `"a!b c"` stays, `a!b` becomes b@a.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.compatibility import uses_legacy_default
from estafeta.mail.address import quote_local

if TYPE_CHECKING:
    from estafeta.config.instance import Config

LOCAL, REMOTE = "local", "remote"
"""Contexts: complete with $myorigin and $mydomain, or with $remote_header_rewrite_domain."""

PROGRAM = "trivial-rewrite"

_STANDARD = re.compile(r"[^\x00-\x20()<>@,:;\\\"\[\]]+@[^\x00-\x20@.\[\]]+(?:\.[^\x00-\x20@.\[\]]+)+")
"""An address that no rule changes, as long as nobody asks about operators in it."""


class Rewriter:
    """The rules of one configuration."""

    __slots__ = (
        "_append_domain",
        "_append_origin",
        "_former",
        "_knows_localhost",
        "_origin",
        "_own",
        "_percent",
        "_remote",
        "_swap",
    )

    def __init__(self, conf: Config) -> None:
        self._origin = conf.myorigin
        self._own = conf.mydomain
        self._remote = conf.remote_header_rewrite_domain
        self._append_origin = conf.append_at_myorigin
        self._append_domain = conf.append_dot_mydomain
        self._swap = conf.swap_bangpath
        self._percent = conf.allow_percent_hack
        self._former = uses_legacy_default(conf, "append_dot_mydomain")
        classes = (conf.mydestination, conf.virtual_alias_domains, conf.virtual_mailbox_domains, conf.relay_domains)
        self._knows_localhost = any("localhost" in map(str.lower, listed) for listed in classes)

    def rewrite(self, address: str, context: str = LOCAL, *, quoted: bool = False) -> str:
        """The address in standard form. `quoted`: it stood in quotes, so operators in it are plain characters."""
        if not address or _STANDARD.fullmatch(address):
            return address
        if address.startswith("@") and ":" in address:
            address = address.partition(":")[2]  # @a,@b:user@c: a route means nothing anymore. RFC 5321 Appendix C
        remote = context == REMOTE
        local, at, domain = address.rpartition("@")
        if not at:
            local, domain, at = self._split_operators(address, quoted or quote_local(address) != address)
            if not at:
                origin = (self._remote if remote else self._origin) if remote or self._append_origin else ""
                return f"{local}@{origin}" if origin else local
        own = self._remote if remote else (self._own if self._append_domain else "")
        if self._former and not remote and domain and "." not in domain and not domain.startswith("["):
            self._tell(domain)
        domain = complete_domain(domain, own)
        return f"{local}@{domain}" if local or domain else ""

    def _tell(self, domain: str) -> None:
        """The domain is completed because a former default says so. COMPATIBILITY_README, append_dot_mydomain."""
        domain = "".join(char if char.isprintable() else "?" for char in domain)
        remedy = ""
        if domain.lower() == "localhost":
            if self._knows_localhost:
                return
            remedy = '; please add "localhost" to mydestination or other address class'
        log.info(
            "using backwards-compatible default setting append_dot_mydomain=yes to rewrite "
            f'"{domain}" to "{domain}.{self._own}"{remedy}',
            PROGRAM,
        )

    def without_domain(self, local: str) -> str:
        """What is left when this system's own domain is taken off: `a%b` -> a@b, `a!b` -> b@a, or `local` as it is."""
        if "@" not in local:
            user, domain, at = self._split_operators(local, False)
            if not at:
                return local
            local = f"{user}@{domain}"
        user, _, domain = local.rpartition("@")
        return f"{user}@{complete_domain(domain, self._own if self._append_domain else '')}"

    def _split_operators(self, local: str, quoted: bool) -> tuple[str, str, str]:
        """(user, domain, "@") of host!user or user%host; (local, "", "") where there is no operator to follow."""
        bang = local.find("!") if self._swap else -1
        percent = local.rfind("%") if self._percent else -1
        if quoted or (bang < 0 and percent < 0):
            return local, "", ""
        if bang >= 0:
            return local[bang + 1 :], local[:bang], "@"
        return local[:percent], local[percent + 1 :], "@"


def complete_domain(domain: str, own: str) -> str:
    """Append `own` to a domain of one label, take off one dot at the end."""
    if own and domain and "." not in domain and not domain.startswith("["):
        return f"{domain}.{own}"
    if domain.endswith(".") and len(domain) > 1 and domain[-2] != ".":
        return domain[:-1]
    return domain
