"""Lists that hosts, domains and addresses are matched against: mynetworks, mydestination, relay_domains and kin.

A member is a name, `.domain`, an address or network, `type:table` (its values are ignored) or `/file` (its content
stands in its place); `!` before a member excludes. The first member that matches decides. Runs of constant
members are folded into sets when the list is opened, so that the usual list is answered with a few
hash look-ups however long it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from estafeta.base import log
from estafeta.base.networks import NetworkError, NetworkSet, number_of, parse_network
from estafeta.tables.domain_lookup import parents
from estafeta.tables.maps import LOOK_AGAIN, Clock, Held, report_stale
from estafeta.tables.source import Watch
from estafeta.tables.table import Flags, TableDown, TableError, fold

DEPTH = 20
"""Files within files: more is a file that includes itself."""

Number = tuple[int, int]


class _Constants:
    """Adjacent members of one sign that need no table."""

    __slots__ = ("names", "negated", "networks")

    def __init__(self, negated: bool) -> None:
        self.negated = negated
        self.names: set[str] = set()
        self.networks = NetworkSet()

    def has_name(self, name: str, parent_matches_subdomains: bool) -> bool:
        names = self.names
        if name in names:
            return True
        if not names or "." not in name:
            return False
        return any(up in names for up in parents(name, parent_matches_subdomains=parent_matches_subdomains))


class _InTable:
    __slots__ = ("held", "negated")

    def __init__(self, negated: bool, held: Held) -> None:
        self.negated = negated
        self.held = held


class _Bad:
    """A member that makes no sense: whoever gets as far as it is told to come later, as nobody knows what was meant."""

    __slots__ = ("negated", "reason")

    def __init__(self, reason: str) -> None:
        self.negated = False
        self.reason = reason


_Step = _Constants | _InTable | _Bad


class MatchList:
    """`MatchList.open(conf.mynetworks, parent_matches_subdomains=False, name="mynetworks")`."""

    __slots__ = ("_clock", "_files", "_looked", "_specs", "_steps", "name", "parent_matches_subdomains")

    def __init__(self, specs: Sequence[str], parent_matches_subdomains: bool, name: str, clock: Clock) -> None:
        """Use `open`."""
        self._specs = tuple(specs)
        self._steps: tuple[_Step, ...] = ()
        self._files: tuple[Watch, ...] = ()
        self._clock = clock
        self._looked = clock()
        self.parent_matches_subdomains = parent_matches_subdomains
        self.name = name

    @classmethod
    def open(
        cls,
        specs: Sequence[str],
        *,
        parent_matches_subdomains: bool = False,
        name: str,
        strict: bool = False,
        clock: Clock = time.monotonic,
    ) -> MatchList:
        """Read the members. What is wrong with one is logged as a warning, and reaching it answers TableDown.

        With `strict` (a reload that must not replace what works) TableError is raised instead.
        """
        matching = cls(specs, parent_matches_subdomains, name, clock)
        matching._read(strict)
        return matching

    def _read(self, strict: bool) -> None:
        steps: list[_Step] = []
        files: list[Watch] = []
        for negated, member in _members(self._specs, self.name, strict, files):
            _add(steps, negated, member, self.name, strict, self._clock)
        self._steps, self._files = tuple(steps), tuple(files)

    def _read_again(self) -> None:
        """Take up `/file` members that have changed. Postfix does by replacing its processes, which ours outlive."""
        now = self._clock()
        if now - self._looked < LOOK_AGAIN:
            return
        self._looked = now
        if not any(file.changed() for file in self._files):
            return
        try:
            self._read(strict=True)
        except TableError as error:
            if not report_stale(self.name):
                log.warning(f"{self.name}: a file has changed but cannot be read, its old content counts: {error}")
            # Tried again when it changes once more.
            self._files = tuple(watch for file in self._files if (watch := Watch.of_path(file.path)) is not None)

    def __bool__(self) -> bool:
        return bool(self._steps)

    @property
    def constant(self) -> bool:
        """Whether every answer comes from memory, and never TableDown."""
        return all(isinstance(step, _Constants) for step in self._steps)

    def has_domain(self, name: str) -> bool:
        """As `matches_domain`, for a `constant` list."""
        if self._files:
            self._read_again()
        name = fold(name)
        for step in self._steps:
            if isinstance(step, _Constants) and step.has_name(name, self.parent_matches_subdomains):
                return not step.negated
        return False

    async def matches_name(self, name: str) -> bool:
        """Whether exactly this name is in the list: no member, `.domain` included, stands for names below it.

        So Postfix reads mydestination, virtual_alias_domains, virtual_mailbox_domains and lists of keywords.
        Raises TableDown.
        """
        if self._files:
            self._read_again()
        name = fold(name)
        for step in self._steps:
            if isinstance(step, _Constants):
                hit = name in step.names
            elif isinstance(step, _InTable):
                hit = bool(name) and await step.held.current().get(name) is not None
            else:
                hit = False  # only networks can be malformed
            if hit:
                return not step.negated
        return False

    def has_name(self, name: str) -> bool:
        """As `matches_name`, for a `constant` list."""
        if self._files:
            self._read_again()
        name = fold(name)
        for step in self._steps:
            if isinstance(step, _Constants) and name in step.names:
                return not step.negated
        return False

    async def matches_domain(self, name: str) -> bool:
        """Whether a domain or host name, or a domain that it is part of, is in the list: relay_domains and kin.

        Raises TableDown.
        """
        if self._files:
            self._read_again()
        name = fold(name)
        for step in self._steps:
            if isinstance(step, _Constants):
                hit = step.has_name(name, self.parent_matches_subdomains)
            elif isinstance(step, _InTable):
                hit = await self._name_in_table(step.held, name)
            else:
                hit = False  # only networks can be malformed
            if hit:
                return not step.negated
        return False

    async def matches_address(self, host: str, address: str) -> bool:
        """Whether a client or server is in the list, by name or by address. Raises TableDown.

        `host` is its verified name ("" or "unknown" if there is none), `address` without brackets.
        """
        if self._files:
            self._read_again()
        host = fold(host)
        number = number_of(address)
        for step in self._steps:
            if isinstance(step, _Constants):
                hit = number in step.networks or (bool(host) and step.has_name(host, self.parent_matches_subdomains))
            elif isinstance(step, _InTable):
                hit = await self._name_in_table(step.held, host) or await step.held.current().get(address) is not None
            else:
                raise TableDown(f"{self.name}: {step.reason}")
            if hit:
                return not step.negated
        return False

    async def _name_in_table(self, held: Held, name: str) -> bool:
        if not name:
            return False
        table = held.current()
        if await table.get(name) is not None:
            return True
        if not table.indexed or name.startswith("["):
            return False
        for up in parents(name, parent_matches_subdomains=self.parent_matches_subdomains):
            if await table.get(up) is not None:
                return True
        return False


def _add(steps: list[_Step], negated: bool, member: str, name: str, strict: bool, clock: Clock) -> None:
    if ":" in member and not member.startswith("["):
        steps.append(_InTable(negated, Held(member, Flags(), name=name, strict=strict, clock=clock)))
        return
    last = steps[-1] if steps else None
    if not isinstance(last, _Constants) or last.negated != negated:
        last = _Constants(negated)
        steps.append(last)
    last.names.add(fold(member))
    if not _looks_like_network(member):
        return
    try:
        last.networks.add(parse_network(member))
    except NetworkError as error:
        if strict:
            raise TableError(f"{name}: {error}") from None
        log.warning(f"{name}: {error}")
        steps.append(_Bad(str(error)))


def _looks_like_network(member: str) -> bool:
    if member.startswith("["):
        # [host.example] names a next hop without MX lookup, which debug_peer_list may hold
        return ":" in member or "/" in member or number_of(member.strip("[]")) is not None
    return all(char in "0123456789./" for char in member) and ("/" in member or member.count(".") == 3)


def _members(
    specs: Iterable[str], name: str, strict: bool, files: list[Watch], depth: int = 0
) -> Iterator[tuple[bool, str]]:
    """Members in order with their sign, files read and noted in `files`."""
    for spec in specs:
        member = spec.lstrip("!")
        negated = (len(spec) - len(member)) % 2 == 1
        if not member:
            log.warning(f'{name}: no pattern after "!": remove it, or write what is to be excluded behind it')
            continue
        if not member.startswith("/"):
            yield negated, member
            continue
        if depth >= DEPTH:
            raise TableError(f"{name}: files include one another more than {DEPTH} deep at {member}: break the circle")
        for inner_negated, inner in _members(_words_of(member, name, strict, files), name, strict, files, depth + 1):
            yield negated != inner_negated, inner


def _words_of(path: str, name: str, strict: bool, files: list[Watch]) -> list[str]:
    watch = Watch.of_path(path)  # before it is read: what is written meanwhile counts as a change
    if watch is not None:
        files.append(watch)
    try:
        content = Path(path).read_text("utf-8", "surrogateescape")
    except OSError as error:
        problem = f"{name}: cannot read {path}: {error.strerror}: create the file, or take it out of {name}"
        if strict:
            raise TableError(problem) from None
        log.warning(problem)
        return [f"fail:{path}"]  # asking it answers TableDown: nobody knows what the file would have said
    lines = (line for line in content.split("\n") if not line.lstrip().startswith("#"))
    return [word for line in lines for word in line.replace(",", " ").split()]
