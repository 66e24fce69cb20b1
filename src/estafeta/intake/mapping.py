"""Replacing addresses as mail comes in: standard form, canonical(5), masquerading, virtual(5).

The whole story is in ADDRESS_REWRITING_README. Every envelope address is completed; the tables apply by class
(`canonical_classes` and its kin). Where no table is configured, nothing here waits: `plain` tells whoever is in a
hurry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.mail.address import fold, same, split
from estafeta.routing.replacement import Replacement
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from estafeta.config.instance import Config
    from estafeta.routing.routing import Routing

ENVELOPE_SENDER, ENVELOPE_RECIPIENT = "envelope_sender", "envelope_recipient"
HEADER_SENDER, HEADER_RECIPIENT = "header_sender", "header_recipient"
CLASSES = (ENVELOPE_SENDER, ENVELOPE_RECIPIENT, HEADER_SENDER, HEADER_RECIPIENT)

PROGRAM = "cleanup"
WAIT = " -- message not accepted, try again later"


class AliasTrouble(Exception):
    """Aliases that lead in a circle or explode: said in the log, the message has to wait for the administrator."""


class Mapping:
    """The mapping rules of one configuration. Every method may raise TableDown."""

    def __init__(self, conf: Config, routing: Routing) -> None:
        self._routing = routing
        self._conf = conf
        self.replacement = Replacement(conf, routing.rewritten, routing.domains.completes_bare_names)
        self._canonical_extends = self.replacement.extends("canonical")
        self._virtual_extends = self.replacement.extends("virtual")
        canonical = Maps.open(conf.canonical_maps, name="canonical_maps")
        of_senders = Maps.open(conf.sender_canonical_maps, name="sender_canonical_maps")
        of_recipients = Maps.open(conf.recipient_canonical_maps, name="recipient_canonical_maps")
        self.aliases = Maps.open(conf.virtual_alias_maps, name="virtual_alias_maps")
        self._canonical: dict[str, tuple[Maps, ...]] = {}
        for kind in CLASSES:
            own, classes = (
                (of_senders, conf.sender_canonical_classes)
                if kind in (ENVELOPE_SENDER, HEADER_SENDER)
                else (of_recipients, conf.recipient_canonical_classes)
            )
            chosen = [own] if kind in classes and own else []
            if kind in conf.canonical_classes and canonical:
                chosen.append(canonical)
            self._canonical[kind] = tuple(chosen)
        self._masquerade = [(word.lstrip("!").lower(), word.startswith("!")) for word in conf.masquerade_domains]
        self._masquerade_classes = frozenset(conf.masquerade_classes)
        self._masquerade_exceptions = frozenset(name.lower() for name in conf.masquerade_exceptions)
        self.plain = not (self._masquerade or any(self._canonical.values()))
        """No table changes anything but recipients by virtual aliases: `rewritten` says all."""

    def rewritten(self, address: str, context: str = "local", *, quoted: bool = False) -> str:
        """Standard form; see routing/rewrite.py."""
        return self._routing.rewritten(address, context, quoted=quoted)

    async def mapped(
        self, address: str, kind: str, context: str = "local", *, quoted: bool = False, queue_id: str = ""
    ) -> str:
        """The address of class `kind` (envelope_sender, ...): standard form, canonical maps, masquerading."""
        address = self._routing.rewritten(address, context, quoted=quoted)
        if self.plain or not address:
            return address
        for maps in self._canonical[kind]:
            address = await self._canonical_of(address, maps, queue_id)
        if self._masquerade and kind in self._masquerade_classes:
            address = self._masqueraded(address)
        return address

    async def _canonical_of(self, address: str, maps: Maps, queue_id: str) -> str:
        """Tables are asked again with what they gave, up to ten times, as a renaming may have been renamed."""
        for _ in range(10):
            found = await self._found(address, maps, extend=self._canonical_extends)
            if found is None or not found:
                return address
            if len(found) > 1:
                log.warning(f"{queue_id}: multi-valued {maps.name} entry for {address}", PROGRAM)
            if same(found[0], address):
                return found[0]
            address = found[0]
        # The words are Postfix's, which accepts it all the same.
        log.warning(f"{queue_id}: unreasonable {maps.name} map nesting for {address}{WAIT}", PROGRAM)
        return address

    async def _found(self, address: str, maps: Maps, *, extend: bool) -> list[str] | None:
        try:
            return await self.replacement.find(address, maps, extend=extend)
        except TableDown as down:
            again = type(down)(f"{maps.name} map lookup problem for {address}: {down}")
            again.key = down.key
            raise again from down

    def _masqueraded(self, address: str) -> str:
        local, domain = split(address)
        lower = domain.lower()
        if not domain or local.lower() in self._masquerade_exceptions:
            return address
        for parent, excluded in self._masquerade:
            if lower == parent or lower.endswith("." + parent):
                return address if excluded or lower == parent else f"{local}@{parent}"
        return address

    # --- virtual aliases

    async def expanded(self, address: str, queue_id: str) -> Sequence[str]:
        """The addresses that virtual aliases make of a recipient; itself alone if none applies.

        An alias that lists itself keeps itself. Raises AliasTrouble when aliases lead in a circle or grow past the
        limits: virtual_alias_recursion_limit and its kin.
        """
        if not self.aliases:
            return (address,)
        conf = self._conf
        final: list[str] = []
        waiting = [(address, 0)]
        made = 1
        while waiting:
            current, depth = waiting.pop(0)
            if depth >= conf.virtual_alias_recursion_limit:
                self._unreasonable(f"map nesting for {address}", address, queue_id)
            found = await self._found(current, self.aliases, extend=self._virtual_extends)
            if not found:
                final.append(current)
                continue
            made += len(found) - 1
            if made > conf.virtual_alias_expansion_limit:
                self._unreasonable(f"map expansion size for {address}", address, queue_id)
            for each in found:
                if len(each) > conf.virtual_alias_address_length_limit:
                    self._unreasonable(f"result {each[:100]}...", address, queue_id)
            itself = fold(current)
            final += [each for each in found if fold(each) == itself]
            waiting[:0] = [(each, depth + 1) for each in found if fold(each) != itself]
        return final

    def _unreasonable(self, what: str, address: str, queue_id: str) -> None:
        log.warning(f"{queue_id}: unreasonable {self.aliases.name} {what}{WAIT}", PROGRAM)
        raise AliasTrouble(address)
