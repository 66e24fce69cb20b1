"""The restriction engine: names become functions when the configuration is read, and lists of them are asked in turn.

A restriction is a small async function that looks at a `Check` and answers PERMIT (this list is done), a Refusal, or
None (no opinion). It knows nothing of the words around it: `warn_if_reject`, `defer_if_permit`, `defer_if_reject`,
restriction classes and delayed rejection are known here alone.

    @restriction("reject_unauth_destination")
    async def reject_unauth_destination(check: Check) -> Verdict: ...

A name that is not known answers 451 and warns: it must never be silence. TableDown from any
restriction is an answer to come later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.base.suggest import did_you_mean
from estafeta.mail.logline import shown
from estafeta.tables.table import TableDown, TableError

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.policy import Policy
    from estafeta.daemons.smtpd.session import Session

MOST_NESTED = 100
"""Restriction lists within lists: more is a class that contains itself."""


class Refusal:
    """A 4xx or 5xx answer. `text` is what follows the enhanced code: `<a@b>: Recipient address rejected: ...`."""

    __slots__ = ("code", "dsn", "text")

    def __init__(self, code: int, dsn: str, text: str) -> None:
        self.code = code
        # A code that the administrator changed from 5xx to 4xx changes the class of the enhanced code too. RFC 2034 4
        self.dsn = f"{code // 100}{dsn[1:]}"
        self.text = text

    def __str__(self) -> str:
        return f"{self.code} {self.dsn} {self.text}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refusal) and str(self) == str(other)


class BadArgument(ValueError):
    """The word behind a restriction's name makes no sense; the text says so in Postfix's words."""


class Unusable(Exception):
    """The configuration asks for what must not be done: 451, whatever stands before it or behind. Logged."""


class Permit:
    """The answer that ends a list."""

    __slots__ = ()


class Discarded:
    """The answer that ends all lists: the message is thrown away, so nothing else about it matters. access(5)."""

    __slots__ = ()


PERMIT = Permit()
DISCARDED = Discarded()
Verdict = Permit | Discarded | Refusal | None

SERVER_ERROR = Refusal(451, "4.3.5", "Server configuration error")


class Check:
    """What is being judged: a session at one point of its dialogue (`where`: CONNECT, EHLO, MAIL, RCPT, DATA ...)."""

    __slots__ = (
        "afterwards",
        "defer_if_permit",
        "defer_if_reject",
        "depth",
        "kind",
        "policy",
        "recipient",
        "sender",
        "session",
        "shown",
        "unlisted_recipient_done",
        "unlisted_sender_done",
        "warning",
        "where",
    )

    def __init__(self, session: Session, where: str, sender: str | None = None, recipient: str | None = None) -> None:
        self.session = session
        self.policy: Policy = session.policy
        self.where = where
        self.sender = sender
        self.recipient = recipient
        self.defer_if_permit: Refusal | None = None
        self.defer_if_reject: Refusal | None = None
        self.warning = False
        self.unlisted_recipient_done = False
        self.unlisted_sender_done = False
        self.shown = ""
        """What a plain reject is about, by the list that it stands in, as the reply shows it: `a@b` ..."""
        self.kind = ""
        """... and what that is: `Sender address`."""
        self.depth = 0
        self.afterwards = ""
        """A line to log after a refusal."""

    def log(self, action: str, text: str) -> None:
        """`NOQUEUE: reject: RCPT from host[addr]: text; from=<> to=<> proto=ESMTP helo=<>`."""
        session = self.session
        if not text.isprintable():
            text = "".join(char if char.isprintable() else " " for char in text)
        around = self.circumstances()
        if not around.isprintable():
            around = "".join(char if char.isprintable() else "?" for char in around)
        line = f"{session.queue_id or 'NOQUEUE'}: {action}: {self.where} from {session.client.namaddr}: {text}{around}"
        log.info(line if line.isascii() else self.policy.in_log(line))

    async def permitted(self, action: str, kind: str, shown: str, source: str = "") -> Permit:
        """PERMIT, logged where smtpd_log_access_permit_actions asks for it. `source`: the table that said so."""
        watched = self.policy.permit_log
        if watched is not None and await watched.matches_name(action):
            self.log("permit", f"action={action} for {kind}={shown} {f'from {source}' if source else ''}")
        return PERMIT

    def circumstances(self) -> str:
        """`; from=<...> to=<...> proto=... helo=<...>` as far as known."""
        parts = []
        if self.sender is not None:
            parts.append(f"from=<{shown(self.sender)}>")
        if self.recipient is not None:
            parts.append(f"to=<{shown(self.recipient)}>")
        if self.session.protocol:
            parts.append(f"proto={self.session.protocol}")
        if self.session.helo is not None:
            parts.append(f"helo=<{self.session.helo}>")
        return "; " + " ".join(parts) if parts else ""

    def rejected(self, code: int, dsn: str, text: str) -> Refusal:
        """`<subject>: kind rejected: text`."""
        return Refusal(code, dsn, f"<{self.shown}>: {self.kind} rejected: {text}")

    def rejected_as(self, shown: str, kind: str, code: int, dsn: str, text: str) -> Refusal:
        """The same about another subject."""
        return Refusal(code, dsn, f"<{shown}>: {kind} rejected: {text}")

    def lookup_failed(self, restriction: str) -> Refusal:
        """A table cannot answer now that a restriction needs. The reply names what was looked up."""
        about: str | None = self.shown
        if "sender" in restriction:
            about = self.sender
        elif any(word in restriction for word in ("recipient", "destination", "mx_backup", "relay_domains")):
            about = self.recipient
        return Refusal(451, "4.3.0", f"<{self.shown if about is None else about}>: Temporary lookup failure")

    def tempfail(self, action: str, refusal: Refusal) -> Refusal | None:
        """A look-up that failed for now: refuse at once with `defer`, or later if nothing else does, by `action`."""
        if action.strip().lower() == "defer":
            return refusal
        self.defer_later(refusal)
        return None

    def defer_reject(self, refusal: Refusal) -> None:
        """Remember a temporary problem that matters only if the rest of the list refuses."""
        if self.defer_if_reject is None:
            self.defer_if_reject = refusal

    def defer_later(self, refusal: Refusal) -> None:
        """Remember a temporary problem that matters only if everything else permits."""
        if self.warning:
            self.log("reject_warning", str(refusal))
        elif self.defer_if_permit is None:
            self.defer_if_permit = refusal


Run = Callable[[Check], Awaitable[Verdict]]
Binder = Callable[[str, "Policy"], Run]


class Ahead:
    """A restriction that waits for DNS, and whose question may be asked before its turn has come."""

    __slots__ = ("following",)

    def __init__(self) -> None:
        self.following: tuple[Ahead, ...] = ()
        """Those of its kind behind it in the same list."""

    async def __call__(self, check: Check) -> Verdict:
        raise NotImplementedError

    def begin(self, check: Check) -> None:
        """Send the question; nobody waits for the answer yet."""
        raise NotImplementedError


class Step:
    """One restriction of a list, ready to run. `final`: it decides whatever comes (reject, permit)."""

    __slots__ = ("final", "name", "run", "warn")

    def __init__(self, name: str, run: Run, *, warn: bool = False, final: bool = False) -> None:
        self.name = name
        self.run = run
        self.warn = warn
        self.final = final


Steps = tuple[Step, ...]

RESTRICTIONS: dict[str, Run] = {}
"""Name -> function, for restrictions without an argument."""

WITH_ARGUMENT: dict[str, Binder] = {}
"""Name -> function that takes the word behind the name and returns the restriction."""

TABLE_ARGUMENT: set[str] = set()
"""Those whose argument is a table, `type:name`."""

NUMBER_ARGUMENT: set[str] = set()
"""Those whose argument is a number."""

DOMAIN_ARGUMENT: set[str] = set()
"""Those whose argument is a domain: without one, they have no opinion."""

WITH_TABLES = ("client", "reverse_client_hostname", "helo", "sender", "recipient", "etrn")
"""What access tables are mostly asked about, for a table that stands without a word before it."""

LISTS = {
    "smtpd_data_restrictions": "Data command",
    "smtpd_end_of_data_restrictions": "End-of-data",
}
"""What Postfix calls the lists that have no subject of their own."""

FINAL = frozenset({"permit", "reject", "defer"})
"""These decide whatever comes: what stands behind them is never reached."""


def restriction(*names: str) -> Callable[[Run], Run]:
    """Register a restriction under its name and its older names."""

    def register(run: Run) -> Run:
        for name in names:
            RESTRICTIONS[name] = run
        return run

    return register


def restriction_with(*names: str, table: bool = False) -> Callable[[Binder], Binder]:
    """Register what makes a restriction from its argument; `table` if that is `type:name`."""

    def register(bind: Binder) -> Binder:
        for name in names:
            WITH_ARGUMENT[name] = bind
            if table:
                TABLE_ARGUMENT.add(name)
        return bind

    return register


def misconfigured(name: str, problem: str) -> Run:
    """A restriction that warns and answers 451: what stands there cannot be done, and must not be passed over."""

    async def server_configuration_error(check: Check) -> Verdict:
        log.warning(problem)
        return SERVER_ERROR

    return server_configuration_error


def compile_list(names: Sequence[str], policy: Policy, parameter: str, bare_table: str | None = None) -> Steps:
    """The restrictions that a parameter names. `bare_table`: the restriction meant by a table without a name before it.

    What is wrong is logged as a warning now, and answers 451 with a warning when it is reached. The list that a table
    gave as a value has no `parameter`: it is read when it is reached.
    """
    steps: list[Step] = []
    warn = False
    rest = list(names)
    while rest:
        name = rest.pop(0)
        lower = name.lower()
        if lower == "warn_if_reject":
            warn = True
            continue
        steps.append(_step(name, lower, rest, policy, parameter, bare_table, warn))
        if parameter and steps[-1].final and rest and not warn and policy.conf.helpful_warnings:
            log.warning(f"{parameter}: restriction `{rest[0]}' after `{name}' is ignored")
        warn = False
    ahead = [step.run for step in steps if isinstance(step.run, Ahead)]
    for at, run in enumerate(ahead, 1):
        run.following = tuple(ahead[at:])
    return tuple(steps)


def _step(
    name: str, lower: str, rest: list[str], policy: Policy, parameter: str, bare_table: str | None, warn: bool
) -> Step:
    if lower in RESTRICTIONS:
        return Step(lower, RESTRICTIONS[lower], warn=warn, final=lower in FINAL)
    if lower in WITH_ARGUMENT:
        if not rest and lower in DOMAIN_ARGUMENT:
            return Step(lower, _idle(f"restriction {lower} requires domain name argument"), warn=warn)
        if not rest and lower in NUMBER_ARGUMENT:
            return Step(lower, _bad(lower, f"restriction {lower} must be followed by number", parameter))
        argument = rest.pop(0) if rest else name
        if argument is name or (lower in TABLE_ARGUMENT and ":" not in argument):
            need = "maptype:mapname" if lower in TABLE_ARGUMENT else "a value"
            return Step(lower, _bad(lower, f'restriction {lower}: bad argument "{argument}": need {need}', parameter))
        return _bound(lower, argument, policy, parameter, warn)
    if name in policy.class_names:
        return Step(name, _class(name), warn=warn)
    if ":" in name and not name.startswith("/"):
        if bare_table is None:
            known = ", ".join(f"check_{subject}_access" for subject in WITH_TABLES)
            kind = LISTS.get(parameter, "class")
            return Step(name, _bad(name, f'specify one of ({known}) before {kind} restriction "{name}"', parameter))
        log.warning(
            f'{parameter}: the table "{name}" stands without a restriction, which may end some day: '
            f"write {bare_table} {name}"
        )
        return _bound(bare_table, name, policy, parameter, warn)
    meant = (*RESTRICTIONS, *WITH_ARGUMENT, *policy.class_names)
    return Step(name, _bad(name, f'unknown smtpd restriction: "{name}"', parameter, meant))


def _idle(problem: str) -> Run:
    """A restriction without what it needs, which can neither help nor harm: it warns and has no opinion."""

    async def no_opinion(check: Check) -> Verdict:
        log.warning(problem)
        return None

    return no_opinion


def _bad(name: str, problem: str, parameter: str, known: Sequence[str] = ()) -> Run:
    """`known`: the names that may have been meant."""
    if parameter:
        log.warning(f"{parameter}: {problem}{did_you_mean(name, known)}")
    return misconfigured(name, problem)


def _bound(name: str, argument: str, policy: Policy, parameter: str, warn: bool) -> Step:
    try:
        return Step(f"{name} {argument}", WITH_ARGUMENT[name](argument, policy), warn=warn)
    except BadArgument as error:
        return Step(name, _bad(name, str(error), parameter))
    except (TableError, ValueError) as error:
        return Step(name, _bad(name, f"{name} {argument}: {error}", parameter))


def _class(name: str) -> Run:
    async def restriction_class(check: Check) -> Verdict:
        return await run_list(check, check.policy.restriction_class(name))

    return restriction_class


async def run_list(check: Check, steps: Steps) -> Verdict:
    """Ask the restrictions in order until one permits or refuses."""
    check.depth += 1
    if check.depth > MOST_NESTED:
        log.warning(f"restriction lists are nested more than {MOST_NESTED} deep: a class contains itself")
        return SERVER_ERROR
    outer = check.warning
    try:
        for step in steps:
            check.warning = outer or step.warn
            try:
                verdict = await step.run(check)
            except TableDown as error:
                # Not even warn_if_reject goes on after that: what comes next might have been kept from refusing.
                log.warning(f"{step.name}: {error}")
                return check.lookup_failed(step.name)
            if verdict is None:
                if check.defer_if_permit is not None and check.defer_if_reject is not None:
                    return None  # whatever the rest of the list says, the answer is to come later
                continue
            if not isinstance(verdict, Refusal):
                return verdict
            verdict = _refused(check, verdict)
            if verdict is not None:
                return verdict
    finally:
        check.warning = outer
        check.depth -= 1
    return None


def _refused(check: Check, refusal: Refusal) -> Refusal | None:
    if check.warning:
        check.log("reject_warning", str(refusal))
        return None
    if refusal.code >= 500 and check.defer_if_reject is not None:
        # A temporary error earlier in the list might have led to another verdict.
        return check.defer_if_reject
    return refusal


async def judge(check: Check, steps: Steps, shown: str, kind: str) -> Refusal | None:
    """Run one whole list: None when nothing is against it. The refusal is not logged yet.

    `shown` and `kind` name what the list is about: `a@b`, `Sender address`.
    """
    if not steps or check.session.transaction.discard:
        return None
    check.shown, check.kind = shown, kind
    check.defer_if_reject = None  # it speaks for its own list alone
    try:
        verdict = await run_list(check, steps)
    except Unusable:
        check.depth = 0
        return SERVER_ERROR
    return verdict if isinstance(verdict, Refusal) else None
