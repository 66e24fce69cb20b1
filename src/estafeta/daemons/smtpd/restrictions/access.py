"""check_*_access: what access(5) tables say about a client, a name or an address.

The order of keys is the manual's: a host by name, its parent domains, its address and networks; an address whole,
without extension, by domain, by local part. Actions that change what becomes of the message (HOLD, FILTER ...) are
kept in the transaction; anything that is no action is a list of restrictions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from estafeta.base import log
from estafeta.daemons.smtpd.policy import Policy
from estafeta.daemons.smtpd.restrictions.enhanced import fitting
from estafeta.daemons.smtpd.restrictions.evaluate import (
    DISCARDED,
    Check,
    Permit,
    Refusal,
    Run,
    Unusable,
    Verdict,
    compile_list,
    restriction_with,
    run_list,
)
from estafeta.mail.address import split_extension
from estafeta.tables.domain_lookup import find_domain
from estafeta.tables.maps import Maps
from estafeta.tables.table import Misconfigured, TableDown, fold
from estafeta.wire.smtp.reply import split_enhanced

CLIENT = "Client host"
HELO = "Helo command"
UNVERIFIED = "Unverified Client host"

MOST_LISTS = 1000
"""Table values compiled as restriction lists and kept."""


class Origin:
    """The table and the key that an action came from, for warnings."""

    __slots__ = ("bare_table", "key", "spec")

    def __init__(self, spec: str, key: str, bare_table: str) -> None:
        self.spec = spec
        self.key = key
        self.bare_table = bare_table


Action = Callable[[Check, str, Origin], Awaitable[Verdict]]


def host_keys(address: str) -> Iterator[str]:
    """`192.0.2.1` -> itself, `192.0.2`, `192.0`, `192`; IPv6 by groups of 16 bits."""
    yield address
    mark = ":" if ":" in address else "."
    while mark in address:
        address = address.rpartition(mark)[0]
        if address:
            yield address.rstrip(mark)


async def find_host(maps: Maps, name: str, address: str, parents: bool) -> tuple[str, str] | None:
    """(value, name or address) for a client or server: by name first, then by address."""
    if name:
        value = await find_domain(maps, name, parent_matches_subdomains=parents)
        if value is not None:
            return value, name
    return await find_address(maps, address)


async def find_address(maps: Maps, address: str) -> tuple[str, str] | None:
    """(value, address) for an address, or for a network that it is in."""
    first = True
    for key in host_keys(address):
        value = await maps.find(key, partial=not first)
        if value is not None:
            return value, address
        first = False
    return None


async def find_mail(maps: Maps, address: str, policy: Policy) -> tuple[str, str] | None:
    """(value, address) for a mail address in internal form; one without domain is looked up with $myorigin's."""
    if address != policy.conf.smtpd_null_access_lookup_key:
        # Patterns, too, see the address in lower case: Postfix folds it before it asks.
        address = fold((await policy.resolve(address)).recipient or address)
    value = await maps.find(address)
    if value is not None:
        return value, address
    local, at, domain = address.rpartition("@")
    if not at:
        local, domain = address, ""
    bare, extension = split_extension(local, policy.conf.recipient_delimiter)
    if extension and at:
        value = await maps.find(f"{bare}@{domain}", partial=True)
        if value is not None:
            return value, address
    if domain:
        value = await _domain(maps, domain, policy.access_parents)
        if value is not None:
            return value, address
    for key in (f"{local}@", f"{bare}@" if extension else ""):
        value = await maps.find(key, partial=True) if key else None
        if value is not None:
            return value, address
    return None


async def _domain(maps: Maps, domain: str, parents: bool) -> str | None:
    """As find_domain, but a pattern table has seen the whole address already."""
    value = await maps.find(domain, partial=True)
    if value is not None or domain.startswith("["):
        return value
    at = domain.find(".")
    while 0 <= at < len(domain) - 1:
        value = await maps.find(domain[at + 1 :] if parents else domain[at:], partial=True)
        if value is not None:
            return value
        at = domain.find(".", at + 1)
    return None


def _register(name: str, kind: str, shown: Callable[[Check], str | None], search: Search) -> None:
    """Make a check_*_access restriction. `shown`: its subject, None where there is nothing to check yet."""

    @restriction_with(name, table=True)
    def bind(argument: str, policy: Policy) -> Run:
        maps = policy.open_access(argument)
        origin = (argument, name)

        async def look(check: Check) -> tuple[str, str] | None:
            return await search(maps, check)

        async def run(check: Check) -> Verdict:
            text = shown(check)
            if text is None:
                return None
            verdict = await consult(check, look, text, kind, origin)
            return never_permits(name, text, verdict) if kind == UNVERIFIED else verdict

        return run

    bind.__doc__ = f"Look the {kind.lower()} up in an access table."


def never_permits(name: str, subject: str, verdict: Verdict) -> Verdict:
    """The verdict of a table that is asked about something that a stranger can choose: OK is a mistake. postconf(5)."""
    if not isinstance(verdict, Permit):
        return verdict
    log.warning(f"restriction {name} returns OK for {subject}")
    log.warning("this is not allowed for security reasons")
    log.warning("use DUNNO instead of OK if you want to make an exception")
    raise Unusable


Search = Callable[[Maps, Check], Awaitable[tuple[str, str] | None]]


async def _client(maps: Maps, check: Check) -> tuple[str, str] | None:
    client = check.session.client
    return await find_host(maps, client.name, client.address, check.policy.access_parents)


async def _reverse_client(maps: Maps, check: Check) -> tuple[str, str] | None:
    client = check.session.client
    return await find_host(maps, client.reverse_name, client.address, check.policy.access_parents)


async def _helo(maps: Maps, check: Check) -> tuple[str, str] | None:
    return await _name(maps, check.session.helo or "", check)


async def _etrn(maps: Maps, check: Check) -> tuple[str, str] | None:
    return await _name(maps, check.session.etrn_domain or "", check)


async def _name(maps: Maps, name: str, check: Check) -> tuple[str, str] | None:
    value = await find_domain(maps, name, parent_matches_subdomains=check.policy.access_parents)
    return None if value is None else (value, name)


async def _sender(maps: Maps, check: Check) -> tuple[str, str] | None:
    address = check.sender or check.policy.conf.smtpd_null_access_lookup_key
    return await find_mail(maps, address, check.policy)


async def _recipient(maps: Maps, check: Check) -> tuple[str, str] | None:
    return await find_mail(maps, check.recipient or "", check.policy)


_register("check_client_access", CLIENT, lambda check: check.session.client.namaddr_plain, _client)
_register(
    "check_reverse_client_hostname_access",
    UNVERIFIED,
    lambda check: check.session.client.reverse_name,
    _reverse_client,
)
_register("check_helo_access", HELO, lambda check: check.session.helo, _helo)
_register("check_sender_access", "Sender address", lambda check: check.sender, _sender)
_register("check_recipient_access", "Recipient address", lambda check: check.recipient or None, _recipient)
_register("check_etrn_access", "Etrn command", lambda check: check.session.etrn_domain, _etrn)


Look = Callable[[Check], Awaitable[tuple[str, str] | None]]


async def consult(check: Check, look: Look, shown: str, kind: str, origin_of: tuple[str, str]) -> Verdict:
    """Ask a table about something, and do what its value says. `shown` and `kind` name that something in replies."""
    before = check.shown, check.kind
    check.shown, check.kind = shown, kind
    try:
        found = await look(check)
        return None if found is None else await act(check, found, *origin_of)
    except TableDown as error:
        # The table itself has said what is wrong; this says what it was asked for.
        key = error.key or shown.removesuffix(f"[{check.session.client.address}]")
        if not isinstance(error, Misconfigured):
            log.warning(f'{origin_of[0]} lookup error for "{key}"')
        return check.rejected(451, "4.3.5", "Server configuration error")
    finally:
        check.shown, check.kind = before


async def act(check: Check, found: tuple[str, str], spec: str, bare_table: str) -> Verdict:
    """Do what a table's value says. access(5)."""
    value, key = found
    word, *rest = value.split(None, 1) or ("",)
    text = rest[0].rstrip() if rest else ""
    origin = Origin(spec, key, bare_table)
    upper = word.upper()
    action = ACTIONS.get(upper)
    if action is not None:
        return await action(check, text, origin)
    if value.strip().isdigit():
        # A plain number is what tables made for pop-before-smtp hold: permission.
        return await check.permitted(word, check.kind, check.shown, spec)
    if len(word) == 3 and word.isdigit() and word[0] in "45":
        return _refusal(check, int(word), text, "Access denied")
    return await _restrictions(check, value, origin)


def _refusal(check: Check, code: int, text: str, default: str) -> Refusal:
    dsn, text = split_enhanced(text)
    dsn = dsn and fitting(dsn, check.kind)
    return check.rejected(code, dsn or f"{code // 100}.7.1", text or default)


async def _restrictions(check: Check, value: str, origin: Origin) -> Verdict:
    policy = check.policy
    if ":" in value:
        log.warning(f"access table {origin.spec} has entry with lookup table: {value}")
        log.warning("do not specify lookup tables inside SMTPD access maps")
        log.warning("define a restriction class and specify its name instead.")
        raise Unusable
    steps = policy.value_lists.get((origin.bare_table, value))
    if steps is None:
        steps = compile_list(value.replace(",", " ").split(), policy, "", origin.bare_table)
        if len(policy.value_lists) < MOST_LISTS:
            policy.value_lists[origin.bare_table, value] = steps
    return await run_list(check, steps)


async def _ok(check: Check, text: str, origin: Origin) -> Verdict:
    return await check.permitted("OK", check.kind, check.shown, origin.spec)


async def _relay(check: Check, text: str, origin: Origin) -> Verdict:
    return await check.permitted("RELAY", check.kind, check.shown, origin.spec)


async def _dunno(check: Check, text: str, origin: Origin) -> Verdict:
    return None


async def _reject(check: Check, text: str, origin: Origin) -> Verdict:
    return _refusal(check, check.policy.conf.access_map_reject_code, text, "Access denied")


async def _defer(check: Check, text: str, origin: Origin) -> Verdict:
    return _refusal(check, check.policy.conf.access_map_defer_code, text, "Access denied")


async def _defer_if_permit(check: Check, text: str, origin: Origin) -> Verdict:
    check.defer_later(_refusal(check, check.policy.conf.access_map_defer_code, text, "Service unavailable"))
    return None


async def _defer_if_reject(check: Check, text: str, origin: Origin) -> Verdict:
    check.defer_reject(_refusal(check, check.policy.conf.access_map_defer_code, text, "Service unavailable"))
    return None


def _note(check: Check, action: str, what: str) -> None:
    check.log(action, f"<{check.shown}>: {check.kind} {what}")


def _message_to_come(check: Check, action: str, origin: Origin) -> bool:
    """Whether there is a message that an action could be about; a warning if not. What is taken at ETRN, or before
    MAIL, must not fall upon whatever the client sends next."""
    if check.where == "ETRN" and action != "PREPEND":
        log.warning(f"access table {origin.spec}: action {action} is unavailable in smtpd_etrn_restrictions")
        return False
    if check.sender is None:
        log.warning(
            f"access table {origin.spec}: with smtpd_delay_reject=no, action {action} is always skipped in "
            f"{CLIENT} or {HELO} restrictions"
        )
        return False
    return True


# What follows is no refusal, so warn_if_reject makes no difference to it.


async def _hold(check: Check, text: str, origin: Origin) -> Verdict:
    transaction = check.session.transaction
    if _message_to_come(check, "HOLD", origin) and not transaction.hold:
        _note(check, "hold", text or "triggers HOLD action")
        transaction.hold = text or "triggers HOLD action"
    return None


async def _discard(check: Check, text: str, origin: Origin) -> Verdict:
    if not _message_to_come(check, "DISCARD", origin):
        return None
    _note(check, "discard", text or "triggers DISCARD action")
    check.session.transaction.discard = True
    return DISCARDED


async def _filter(check: Check, text: str, origin: Origin) -> Verdict:
    if not _message_to_come(check, "FILTER", origin):
        return None
    if not text:
        log.warning(f'access table {origin.spec} entry "{origin.key}" has FILTER entry without value')
        return None
    if ":" not in text:
        log.warning(f'access table {origin.spec} entry "{origin.key}" requires transport:destination')
        return None
    _note(check, "filter", f"triggers FILTER {text}")
    check.session.transaction.content_filter = text
    return None


async def _redirect(check: Check, text: str, origin: Origin) -> Verdict:
    if not _message_to_come(check, "REDIRECT", origin):
        return None
    if "@" not in text:
        log.warning(f'access table {origin.spec} entry "{origin.key}" requires user@domain target')
        return None
    _note(check, "redirect", f"triggers REDIRECT {text}")
    check.session.transaction.redirect = text
    return None


async def _bcc(check: Check, text: str, origin: Origin) -> Verdict:
    if not _message_to_come(check, "BCC", origin):
        return None
    if "@" not in text:
        log.warning(f'access table {origin.spec} entry "{origin.key}" requires user@domain target')
        return None
    _note(check, "bcc", f"triggers BCC {text}")
    check.session.transaction.add_bcc(text)
    return None


async def _prepend(check: Check, text: str, origin: Origin) -> Verdict:
    if not _message_to_come(check, "PREPEND", origin):
        return None
    if check.where == "END-OF-MESSAGE":
        # The beginning of the message is on its way to the spool by then.
        log.warning(f"access table {origin.spec}: action PREPEND must be used before smtpd_end_of_data_restrictions")
        return None
    name, colon, _ = text.partition(":")
    if not colon or not name or not name.isascii() or any(char <= " " for char in name):
        log.warning(f'access table {origin.spec} entry "{origin.key}" requires header: text')
        return None
    check.session.transaction.add_header(text)
    return None


async def _warn(check: Check, text: str, origin: Origin) -> Verdict:
    check.log("warn", text)
    return None


async def _info(check: Check, text: str, origin: Origin) -> Verdict:
    check.log("info", text)
    return None


ACTIONS: dict[str, Action] = {
    "OK": _ok,
    "RELAY": _relay,
    "DUNNO": _dunno,
    "REJECT": _reject,
    "DEFER": _defer,
    "DEFER_IF_PERMIT": _defer_if_permit,
    "DEFER_IF_REJECT": _defer_if_reject,
    "HOLD": _hold,
    "DISCARD": _discard,
    "FILTER": _filter,
    "REDIRECT": _redirect,
    "BCC": _bcc,
    "PREPEND": _prepend,
    "WARN": _warn,
    "INFO": _info,
}
