"""A client arrives: what its name is, and which exceptions are made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.net.peer import Client
from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session


async def identify(session: Session) -> None:
    """Find out the client's name, and which rule about bare newlines applies to it."""
    policy, client = session.policy, session.client
    if policy.limits is not None and policy.limits.by_address:
        await policy.limits.arrive(session)  # anvil answers while we look for the name
    if not client.name:
        peers = policy.peers
        name, reverse, status, reverse_status = peers.known(client.address) or await peers.names(client.address)
        session.client = Client(
            name,
            client.address,
            client.port,
            reverse_name=reverse,
            name_status=status,
            reverse_status=reverse_status,
            log_port=policy.conf.smtpd_client_port_logging,
        )
    if policy.limits is not None and session.visit is None:
        await policy.limits.arrive(session)
    await choose_newline_rule(session)


async def choose_newline_rule(session: Session) -> None:
    """smtpd_forbid_bare_newline, and its exclusions."""
    rule = session.policy.bare_newline_rule
    if rule != "no" and await is_in(session, session.policy.bare_newline_exclusions):
        rule = "no"
    session.bare_newline_rule = rule


async def is_in(session: Session, clients: MatchList) -> bool:
    """Whether the client is in a list. If the list cannot say, it is not: lists make exceptions for friends."""
    try:
        return await clients.matches_address(session.client.name, session.client.address)
    except TableDown as error:
        log.warning(f"{clients.name}: {error}")
        return False
