"""One recipient, followed through the aliases to where its mail goes. local(8), aliases(5).

A name is looked up in alias_maps, with its address extension and then without. What it stands for is followed in
turn: addresses of this system at once, everything else in a new message (forward.py). A name without alias is a user,
whose mailbox gets the message; but where an alias has an owner, or the name came from an included file, users too get
theirs in a new message, so that trouble with one member does not mean doing it all again for the others.

Each end of the way has a log line and an outcome of its own. The recipient's outcome is made from them: Deferred if any
is, since the whole way has to be gone again; or else Bounced if any is.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace

from estafeta.accounts.system import User, Users, UsersDown
from estafeta.base import log
from estafeta.config.expand import ExpandError, expand
from estafeta.config.instance import Config
from estafeta.daemons.local import destinations, forward
from estafeta.daemons.local.destinations import Destination
from estafeta.daemons.local.forward import NewMessage
from estafeta.daemons.local.mailbox import UserMailboxes
from estafeta.mail.address import split_extension
from estafeta.mail.envelope import TRACE_VERIFY, Recipient
from estafeta.mail.outcome import Bounced, Deferred, Outcome, Sent, Step
from estafeta.queue.spool import Reader
from estafeta.routing.routing import Routing
from estafeta.services.delivery import Delivery
from estafeta.services.pass_on import UNAVAILABLE, PassOn
from estafeta.services.submission import Submitter
from estafeta.skeleton.agent import FAILED
from estafeta.store import letter
from estafeta.store.identity import Identity
from estafeta.store.letter import Content
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown

RELAY = "local"
DEPTH = 100
"""Aliases that may stand for one another before it is called a loop."""
LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of an included file."""
DISCARDED = frozenset({"postmaster", "mailer-daemon"})
"""Names that must have an alias: mail for them is never returned, as it may be about returned mail."""
MISCONFIGURED = Bounced("5.3.5", "mail system configuration error", RELAY)

Settle = Callable[[Recipient, Outcome], Outcome]


@dataclass(slots=True)
class Office:
    """What all expansions of a process share."""

    conf: Config
    aliases: Maps
    mailbox_transports: Maps
    fallback_transports: Maps
    routing: Routing
    users: Users
    mailboxes: UserMailboxes
    pass_on: PassOn
    submitter: Submitter
    reader: Reader


@dataclass(frozen=True, slots=True)
class Way:
    """How we came to a name."""

    sender: str
    owned: bool = False
    """`sender` is the owner of an alias on the way."""
    collect: bool = False
    """Users are not delivered to from here, but get a new message."""
    alias: str = ""
    """The alias that named it; empty for the recipient itself."""
    passed: tuple[str, ...] = ()
    """Aliases on the way, without the first."""
    source: str = "alias"
    """alias or include: where destinations come from, for allow_mail_to_commands and its like."""
    delivered_to: str = ""


class BadInclude(Exception):
    """A list that cannot be used. The text is for the log."""


class Expansion:
    """One recipient of one delivery. `run` is called once."""

    def __init__(
        self, office: Office, delivery: Delivery, recipient: Recipient, content: Content, seen: set[str], settle: Settle
    ) -> None:
        self._office = office
        self._conf = office.conf
        self._delivery = delivery
        self._recipient = recipient
        self._content = content
        self._seen_before = seen
        self._settle = settle
        self._outcomes: list[Outcome] = []
        self._steps: list[Step] = []
        self._new: dict[tuple[str, str], NewMessage] = {}
        self._visited: set[str] = set()

    async def run(self) -> Outcome:
        """Deliver; what is not Sent, Bounced or Deferred by a rule is Deferred."""
        recipient = self._recipient
        if recipient.address.lower() in self._seen_before:
            self._add(recipient.address, Bounced("5.4.6", f"mail forwarding loop for {recipient.address}", RELAY))
            return self._whole()
        start = Way(self._delivery.sender, delivered_to=recipient.address)
        try:
            await self._name(recipient.address, start)
        except (TableDown, UsersDown) as error:
            log.warning(f"{self._delivery.queue_id}: recipient {recipient.address}: {error}")
            self._add(recipient.address, Deferred("4.3.0", _short(error), RELAY))
        except Exception as error:
            # Not raised, because other recipients, and other ends of this one's way, may have their mail already.
            log.warning(f"{self._delivery.queue_id}: delivery to {recipient.address} failed: {error!r}")
            self._add(recipient.address, Deferred(FAILED.dsn, FAILED.text, RELAY))
        for new in self._new.values():
            await self._queue(new)
        return self._whole()

    # --- names

    async def _name(self, address: str, way: Way) -> None:
        """`address` is of this system: what its local part stands for."""
        if not self._conf.frozen_delivered_to:
            way = replace(way, delivered_to=address)
        local, at, domain = address.rpartition("@")
        if local.startswith("\\"):
            await self._user(f"{local[1:]}{at}{domain}", way)
            return
        if len(way.passed) > DEPTH:
            self._loop(address, way.alias)
            return
        name = local.lower()
        bare, extension = self._split(name)
        for key, unmatched in ((name, ""), (bare, local[len(bare) :])) if extension else ((name, ""),):
            if key == way.alias:
                break  # an alias that names itself means the user
            value = await self._office.aliases.find(key, partial=key != name)
            if value is None:
                continue
            if key in way.passed:
                self._loop(address, key)
            else:
                await self._alias(address, key, unmatched, value, way)
            return
        await self._user(address, way)

    async def _alias(self, address: str, name: str, unmatched: str, value: str, way: Way) -> None:
        way = replace(
            way,
            alias=name,
            passed=(*way.passed, name) if way.alias else way.passed,
            source="alias",
            collect=way.collect and not (self._conf.reset_owner_alias and way.source != "include"),
        )
        owner = await self._owner(name)
        if owner:
            way = replace(way, sender=owner, owned=True, collect=True)
        members = destinations.parse(value)
        if not members:
            log.warning(f"no recipient in alias lookup result for {name}")
            self._add(address, Deferred("4.3.0", "alias database unavailable", RELAY))
            return
        await self._each(members, address, unmatched, way)

    async def _owner(self, name: str) -> str:
        """The address that replaces the sender for members of the alias `name`; empty if it has no owner."""
        if name.startswith("owner-"):
            return ""
        key = f"owner-{name}"
        value = await self._office.aliases.find(key)
        if value is None:
            return ""
        if self._conf.expand_owner_alias:
            owners = [each for each in destinations.parse(value) if each.kind == destinations.ADDRESS]
            if len(owners) == 1:
                return self._office.routing.rewritten(owners[0].value, quoted=owners[0].quoted)
        return self._office.routing.rewritten(key)

    async def _each(self, members: list[Destination], address: str, unmatched: str, way: Way) -> None:
        for member in members:
            await self._member(member, address, unmatched, way)

    async def _member(self, member: Destination, address: str, unmatched: str, way: Way) -> None:
        kind, value, quoted = member
        if kind == destinations.INCLUDE:
            await self._include(value, address, unmatched, way)
        elif kind == destinations.COMMAND or kind == destinations.FILE:
            self._add(address, self._special(kind, value, way))
        else:
            await self._address(value, quoted, unmatched, way)

    async def _address(self, value: str, quoted: bool, unmatched: str, way: Way) -> None:
        target = self._office.routing.rewritten(value, quoted=quoted)
        if unmatched and way.source in self._conf.propagate_unmatched_extensions:
            local, at, domain = target.rpartition("@")
            target = f"{local}{unmatched}{at}{domain}" if at else target + unmatched
        resolved = await self._office.routing.resolve(target, way.sender)
        if resolved.invalid:
            self._add(target, Bounced("5.1.3", "bad address syntax", RELAY))
        elif resolved.transport == self._delivery.transport:
            await self._name(resolved.recipient, way)
        else:
            self._collect(resolved.recipient, way)

    def _special(self, kind: str, value: str, way: Way) -> Outcome:
        allowed = self._conf.allow_mail_to_commands if kind == destinations.COMMAND else self._conf.allow_mail_to_files
        if way.source not in allowed:
            return Bounced("5.7.1", f"mail to {kind} is restricted", RELAY)
        return Deferred("4.3.0", f"delivery to a {kind} is not supported yet: {value}", RELAY)

    def _loop(self, address: str, name: str) -> None:
        log.warning(f"alias database loop for {name}")
        self._add(address, Bounced("5.4.6", f"alias database loop for {name}", RELAY))

    # --- included files

    async def _include(self, path: str, address: str, unmatched: str, way: Way) -> None:
        if path in self._visited:
            return
        self._visited.add(path)
        try:
            text = await asyncio.to_thread(_read_include, path)
        except BadInclude as error:
            log.warning(str(error))
            self._add(address, MISCONFIGURED)
        except OSError as error:
            log.warning(f"cannot read :include: file {path}: {error.strerror}")
            self._add(address, Deferred("4.3.0", f"cannot read :include: file {path}: {error.strerror}", RELAY))
        else:
            members = destinations.parse_file(text)
            await self._each(members, address, unmatched, replace(way, source="include", collect=True))

    # --- users

    async def _user(self, address: str, way: Way) -> None:
        if way.collect:
            self._collect(address, way)
            return
        local, _, domain = address.rpartition("@")
        name, extension = self._split(local.lower())
        if not self._once(f"user {name}"):
            return
        outcome = await self._obtain(name, extension, address, domain, way)
        if outcome is not None:
            self._add(address, outcome, owned=way.owned)

    async def _obtain(self, name: str, extension: str, address: str, domain: str, way: Way) -> Outcome | None:
        """The outcome for one user; None if it has been logged and counted elsewhere."""
        conf, office = self._conf, self._office
        user = await office.users.find(name)
        values = _values(conf, name, extension, address, domain, user)
        if user is not None:
            obstacle = await office.mailboxes.obstacle(user, values)
            if obstacle is not None:
                return obstacle
        target = await office.mailbox_transports.find(name) or conf.mailbox_transport
        if target:
            return await self._pass_on(target, address, way)
        if user is not None:
            return await self._mailbox(user, address, way)
        target = await office.fallback_transports.find(name) or conf.fallback_transport
        if target:
            return await self._pass_on(target, address, way)
        if conf.luser_relay:
            return await self._luser_relay(values, address, way)
        if name in DISCARDED:
            log.warning(f"required alias not found: {name}")
            return Sent("2.0.0", "discarded", RELAY, action="delivered")
        return _unknown(name)

    async def _mailbox(self, user: User, address: str, way: Way) -> Outcome:
        conf, mailboxes = self._conf, self._office.mailboxes
        if self._delivery.trace & TRACE_VERIFY:
            return Sent("2.0.0", f"delivers to {mailboxes.kind}", RELAY, action="deliverable")
        opening = letter.opening(
            way.sender,
            self._original(way) if conf.enable_original_recipient else "",
            way.delivered_to if "file" in conf.prepend_delivered_header else "",
        )
        return await mailboxes.deliver(user, way.sender, opening, self._content)

    async def _pass_on(self, target: str, address: str, way: Way) -> Outcome | None:
        recipient = replace_address(self._recipient, address, self._original(way))
        delivery = self._delivery
        outcome = await self._office.pass_on.deliver(target, delivery, recipient)
        if outcome is None:
            return UNAVAILABLE
        self._outcomes.append(outcome)
        self._steps.append(Step(recipient.address, recipient.original, outcome))
        return None

    async def _luser_relay(self, values: Callable[[str], str | None], address: str, way: Way) -> Outcome | None:
        try:
            target = expand(self._conf.luser_relay, values, recursive=False)
        except ExpandError as error:
            log.warning(f"luser_relay: {error}")
            return Deferred("4.3.5", "mail system configuration error", RELAY)
        if not self._once(f"relay {target}"):
            return _unknown(values("user") or "")  # the relay leads to itself
        await self._each(destinations.parse(target), address, "", way)
        return None

    # --- outcomes

    def _collect(self, address: str, way: Way) -> None:
        if "forward" not in self._conf.prepend_delivered_header:
            way = replace(way, delivered_to="")
        key = (way.sender, way.delivered_to)
        new = self._new.get(key)
        if new is None:
            new = self._new[key] = NewMessage(way.sender, way.owned, way.delivered_to)
        new.add(address)

    async def _queue(self, new: NewMessage) -> None:
        if self._delivery.trace & TRACE_VERIFY:
            for address in new.recipients.values():
                self._add(address, Sent("2.0.0", f"forwards to {address}", RELAY, action="expanded"))
            return
        outcome = await forward.forward(
            self._office.submitter, self._office.reader, self._delivery, self._recipient, new
        )
        self._add(self._recipient.address, outcome)

    def _add(self, address: str, outcome: Outcome, *, owned: bool = False) -> None:
        original = "" if owned else self._recipient.original
        if not owned and address != self._recipient.address:
            original = original or self._recipient.address
        settled = self._settle(replace_address(self._recipient, address, original), outcome)
        self._outcomes.append(settled)
        self._steps.append(Step(address, original, settled))

    def _original(self, way: Way) -> str:
        return "" if way.owned else self._recipient.original or self._recipient.address

    def _whole(self) -> Outcome:
        """The outcome for the recipient, with what became of the addresses that it stands for."""
        outcome, recipient = self._sum(), self._recipient
        steps = [(step.address, step.original) for step in self._steps]
        if not steps or steps == [(recipient.address, recipient.original)]:
            return outcome
        if not self._delivery.trace and isinstance(outcome, Sent):
            return outcome  # nobody is told more than that
        return replace(outcome, steps=tuple(self._steps))

    def _sum(self) -> Outcome:
        for kind in (Deferred, Bounced):
            found = [outcome for outcome in self._outcomes if isinstance(outcome, kind)]
            if found:
                texts = dict.fromkeys(outcome.text for outcome in found)
                return kind(found[0].dsn, "; ".join(texts), RELAY, found[0].remote_mta, found[0].diagnostic)
        if len(self._outcomes) > 1:
            # Each of several members has it; the sender hears of the alias alone. RFC 3461 5.2.7.3
            return Sent("2.0.0", "alias expanded", RELAY, action="expanded")
        if self._outcomes:
            return self._outcomes[-1]
        # Everything that the alias stands for has been delivered to already, or it stands for nothing.
        return self._settle(self._recipient, Sent("2.0.0", "discarded", RELAY, action="delivered"))

    def _split(self, local: str) -> tuple[str, str]:
        return split_extension(local, self._conf.recipient_delimiter, owner_special=self._conf.owner_request_special)

    def _once(self, what: str) -> bool:
        if what in self._visited:
            return False
        limit = self._conf.duplicate_filter_limit
        if not limit or len(self._visited) < limit:
            self._visited.add(what)
        return True


def replace_address(recipient: Recipient, address: str, original: str) -> Recipient:
    """The recipient as the log and the next agent see it at the end of the way."""
    return Recipient(address, original, recipient.notify, recipient.orcpt)


def _values(
    conf: Config, name: str, extension: str, address: str, domain: str, user: User | None
) -> Callable[[str], str | None]:
    known = {
        "user": name,
        "extension": extension[1:],
        "recipient_delimiter": extension[:1] or conf.recipient_delimiter[:1],
        "local": address.rpartition("@")[0],
        "domain": domain,
        "recipient": address,
        "home": user.home if user is not None else "",
        "shell": user.shell if user is not None else "",
    }
    return known.get


def _unknown(name: str) -> Bounced:
    return Bounced("5.1.1", f'unknown user: "{name}"', RELAY)


def _short(error: Exception) -> str:
    return "alias database unavailable" if isinstance(error, TableDown) else "user lookup error"


def _read_include(path: str) -> str:
    """The file's text, read with its owner's rights. Raises BadInclude or OSError."""
    if not path.startswith("/"):
        raise BadInclude(f":include:{path} uses a relative path")
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInclude(f"unable to lookup :include: file {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise BadInclude(f":include: file {path} is not a regular file")
    if status.st_mode & stat.S_IWOTH:
        raise BadInclude(f":include: file {path} is world writable")
    if status.st_size > LARGEST_FILE:
        raise BadInclude(f":include: file {path} is larger than {LARGEST_FILE} bytes")
    identity = Identity()
    if os.geteuid() == 0:
        identity.become(status.st_uid, status.st_gid)
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST_FILE).decode("utf-8", "surrogateescape")
    finally:
        identity.itself()
