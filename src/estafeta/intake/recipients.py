"""The envelope's addresses on their way in: completed, mapped, expanded, copied to others, freed of duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.intake.mapping import ENVELOPE_RECIPIENT, ENVELOPE_SENDER, Mapping
from estafeta.mail.address import fold
from estafeta.mail.envelope import NOTIFY_NEVER, NOTIFY_SUCCESS, Recipient, implied_orcpt
from estafeta.tables.maps import Maps

if TYPE_CHECKING:
    from estafeta.config.instance import Config
    from estafeta.mail.envelope import Envelope
    from estafeta.routing.routing import Routing


class RecipientRules:
    """The rules of one configuration. Methods raise TableDown and AliasTrouble."""

    def __init__(self, conf: Config, mapping: Mapping, routing: Routing) -> None:
        self._mapping = mapping
        self._routing = routing
        self._empty = conf.empty_address_recipient
        self._keep_original = conf.enable_original_recipient
        self._always_bcc = conf.always_bcc.strip()
        self._sender_bcc = Maps.open(conf.sender_bcc_maps, name="sender_bcc_maps")
        self._recipient_bcc = Maps.open(conf.recipient_bcc_maps, name="recipient_bcc_maps")
        self._remembered = conf.duplicate_filter_limit
        self._copies = bool(self._always_bcc or self._sender_bcc or self._recipient_bcc)
        self._plain = mapping.plain and not mapping.aliases and not self._copies

    async def complete_sender(self, envelope: Envelope, *, mapped: bool) -> None:
        """Put the sender into standard form; `mapped`: canonical maps apply too."""
        given = envelope.sender
        if not given:
            return
        if mapped and not self._mapping.plain:
            envelope.sender = await self._mapping.mapped(given, ENVELOPE_SENDER, queue_id=envelope.queue_id)
        else:
            envelope.sender = self._mapping.rewritten(given)
        if envelope.sender != given:
            envelope.sender_original = given

    async def complete(self, envelope: Envelope, *, mapped: bool, internal: bool) -> None:
        """Replace the recipients by what they stand for. `internal`: mail that the system makes gets no copies."""
        if envelope.redirect:
            # The REDIRECT action: one address instead of all. access(5)
            first = envelope.recipients[0]
            envelope.recipients = [
                Recipient(envelope.redirect, first.original or first.address, first.notify, first.orcpt)
            ]
        if self._plain or not mapped:
            self._complete_plainly(envelope)
            return
        result = _Unique(self._keep_original, self._remembered)
        copies: list[str] = []
        for given in envelope.recipients:
            address = await self._mapping.mapped(
                given.address or self._empty, ENVELOPE_RECIPIENT, queue_id=envelope.queue_id
            )
            if self._recipient_bcc and not internal:
                copies += await self._copy(self._recipient_bcc, address)
            if envelope.owner_uid >= 0:
                _name_original(given, address)
            expanded = await self._mapping.expanded(address, envelope.queue_id)
            if given.notify & NOTIFY_SUCCESS and expanded != [address]:
                given = _reached(envelope, given, address)
            for each in expanded:
                result.add(each, given)
        if self._copies and not internal:
            if self._sender_bcc and envelope.sender:
                copies += await self._copy(self._sender_bcc, envelope.sender)
            if self._always_bcc:
                copies.append(self._always_bcc)
            for copy in copies:
                await self._add_copy(copy, envelope.queue_id, result)
        envelope.recipients = result.recipients

    def _complete_plainly(self, envelope: Envelope) -> None:
        rewritten = self._mapping.rewritten
        given = envelope.recipients
        if len(given) == 1:
            only = given[0]
            address = rewritten(only.address or self._empty)
            only.original = only.original or only.address
            only.address = address
            if envelope.owner_uid >= 0:
                _name_original(only, address)
            return
        result = _Unique(self._keep_original, self._remembered)
        for each in given:
            address = rewritten(each.address or self._empty)
            if envelope.owner_uid >= 0:
                _name_original(each, address)
            result.add(address, each)
        envelope.recipients = result.recipients

    async def _copy(self, maps: Maps, address: str) -> list[str]:
        """Whom a table names for a copy: one address as it stands there, whatever extension the key has."""
        found = await self._mapping.replacement.entry(address, maps)
        return [] if found is None else [found[0]]

    async def _add_copy(self, copy: str, queue_id: str, result: _Unique) -> None:
        """A copy asks for no reports: the sender does not know of it. RFC 3461 4.1."""
        address = await self._mapping.mapped(copy, ENVELOPE_RECIPIENT, queue_id=queue_id)
        given = Recipient(address, address, NOTIFY_NEVER)
        for each in await self._mapping.expanded(address, queue_id):
            result.add(each, given)


def _reached(envelope: Envelope, given: Recipient, address: str) -> Recipient:
    """An address that an alias replaces is reached with that: the sender is told so, and no more about those that stand
    for it. RFC 3461 5.2.7.2. Returns the recipient as they are to have it."""
    original = given.original or given.address
    reached = Recipient(address, original, given.notify, given.orcpt)
    envelope.expanded = [*(envelope.expanded or ()), reached]
    return Recipient(given.address, original, given.notify & ~NOTIFY_SUCCESS or NOTIFY_NEVER, given.orcpt)


def _name_original(given: Recipient, address: str) -> None:
    """Reports about mail from this machine name the recipient in the standard form: whoever wrote just `ana` meant
    somebody here. Over SMTP what the client said counts, completed or not."""
    if not given.orcpt and given.address != address:
        given.orcpt = implied_orcpt(address)


class _Unique:
    """Recipients without duplicates. With enable_original_recipient, who was asked for under another name, in another
    form or with other reports is another recipient: each keeps its X-Original-To and its ORCPT. Else the first counts.
    """

    def __init__(self, keep_original: bool, limit: int) -> None:
        self._keep_original = keep_original
        self._limit = limit
        self._seen: set[tuple[str, int, str, str]] = set()
        self.recipients: list[Recipient] = []

    def add(self, address: str, given: Recipient) -> None:
        original = given.original or given.address
        key = (fold(address), 0, "", "")
        if self._keep_original:
            written = fold(given.orcpt)
            if written and written == fold(implied_orcpt(original)):
                written = ""
            key = (key[0], given.notify, fold(original), written)
        if key in self._seen:
            return
        if not self._limit or len(self._seen) < self._limit:
            self._seen.add(key)
        self.recipients.append(Recipient(address, original, given.notify, given.orcpt))
