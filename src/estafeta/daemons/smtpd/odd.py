"""What a client says that is no command: a forbidden word, a line without end; and commands put in its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.daemons.smtpd.shown import escaped, printable
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session

_AUTH = re.compile(r"[ \t]*AUTH[ \t]+\S+[ \t]+(?=\S)", re.IGNORECASE)
SHOWN = 100
"""Characters of a client's odd input that go to the log."""


async def forbidden(session: Session, verb: str, text: str) -> bool:
    """Whether the client gives itself away as a program that does not speak SMTP; logged. A mail header, which has a
    colon, is such a word, and those of smtpd_forbidden_commands are."""
    if not (verb.endswith(":") or await listed(session.policy.forbidden_commands, verb)):
        return False
    shown = escaped(text.encode("utf-8", "surrogateescape")[:SHOWN])
    log.warning(f"non-SMTP command from {session.client.namaddr}: {shown}")
    return True


async def listed(commands: MatchList, verb: str) -> bool:
    """Whether a list of commands names the verb; a table that cannot be asked, which is logged, does not."""
    try:
        return bool(commands) and await commands.matches_name(verb)
    except TableDown as error:
        log.warning(f"{commands.name}: {error}")
        return False


async def filtered(session: Session, line: bytes) -> bytes:
    """smtpd_command_filter: another command in place of what an odd client says."""
    body = line.rstrip(b"\r\n")
    text = body.decode("utf-8", "surrogateescape")
    try:
        value = await session.policy.command_filter.find(text.lstrip(), empty=True)
    except TableDown as error:
        log.warning(f"smtpd_command_filter: {error}")
        return line
    if value is None:
        return line
    log.info(f'{session.client.namaddr}: replacing command "{_without_secret(text)}" with "{_without_secret(value)}"')
    return value.encode("utf-8", "surrogateescape") + line[len(body) :]


def _without_secret(text: str) -> str:
    """A command as it may be logged: of AUTH, no more than the mechanism."""
    found = _AUTH.match(text)
    return f"{printable(found[0])}(not shown)" if found else printable(text)


async def shortened(session: Session, part: bytes) -> bytes:
    """A line that is too long: what fits of it (`part`), with the rest read and forgotten."""
    start = _without_secret(part[:30].decode("utf-8", "surrogateescape"))
    log.warning(f"{session.client.namaddr}: request longer than {len(part)}: {start}...")
    await session.stream.skip_line()
    return part + b"\r\n"
