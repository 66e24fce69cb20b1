"""Templates for replies: `$client_address` and the like, with strangers' odd characters as `_`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.config.expand import expand
from estafeta.wire.smtp.footer import unescaped

if TYPE_CHECKING:
    from estafeta.config.instance import Config


class Expansion:
    """smtpd_expansion_filter: the characters that a fact may have. Made once for a process."""

    __slots__ = ("_forbidden",)

    def __init__(self, conf: Config) -> None:
        self._forbidden = re.compile(f"[^{re.escape(unescaped(conf.smtpd_expansion_filter))}]", re.S)

    def of(self, template: str, facts: Mapping[str, str]) -> str:
        """The template with these facts. Raises ExpandError."""

        def lookup(name: str) -> str | None:
            value = facts.get(name)
            if value is None:
                log.warning(f'unknown macro name "{name}" in expansion request')
                return None
            return self._forbidden.sub("_", value)

        return expand(template, lookup, recursive=False)
