"""permit_mx_backup: mail for domains whose MX records name this host, though not first. postconf(5).

Anybody can name this host in his MX records, so permit_mx_backup_networks says where the primary hosts must be.
What DNS cannot say makes later refusals temporary.
"""

from __future__ import annotations

from estafeta.daemons.smtpd.restrictions.evaluate import Check, Verdict, restriction
from estafeta.daemons.smtpd.restrictions.recipient import RECIPIENT
from estafeta.daemons.smtpd.restrictions.servers import address_trouble
from estafeta.net.dns import DnsDown, DnsError, Mx

NAME = "permit_mx_backup"


@restriction(NAME)
async def permit_mx_backup(check: Check) -> Verdict:
    """Permit mail for this system's own domains, and for those that it is a backup mail server of."""
    recipient = check.recipient
    if not recipient:
        return None
    policy = check.policy
    resolved = await policy.resolve(recipient)
    if resolved.routed and not policy.conf.allow_untrusted_routing:
        return None
    if resolved.address_class == "default":
        domain = resolved.recipient.rpartition("@")[2]
        if not domain or domain.startswith("[") or not await _backup(check, domain):
            return None
    return await check.permitted(NAME, RECIPIENT, recipient)


async def _backup(check: Check, domain: str) -> bool:
    """Whether this host is a backup for the domain, of primary hosts that are where they may be."""
    try:
        exchangers = await check.policy.resolver.mx(domain)
    except DnsDown as error:
        _later(check, f"Unable to look up mail exchanger information: {error.reason}")
        return False
    except DnsError:
        return False
    if not exchangers[0].host:
        return False
    primary = [mx for mx in exchangers if mx.preference == exchangers[0].preference]
    if check.policy.mx_backup_networks and not await _all_in_networks(check, primary):
        return False
    for mx in primary:
        if await _is_this_host(check, mx.host):
            return False
    for mx in exchangers[len(primary) :]:
        if await _is_this_host(check, mx.host):
            return True
    return False


def _later(check: Check, text: str) -> None:
    check.defer_reject(check.rejected_as(check.recipient or "", RECIPIENT, 450, "4.4.4", text))


async def _addresses(check: Check, host: str) -> list[str]:
    try:
        return await check.policy.resolver.native(host, family=0 if check.policy.ipv6 else 4)
    except DnsError as error:
        _later(check, f"Unable to look up mail exchanger host {host}: {address_trouble(error)}")
        return []


async def _all_in_networks(check: Check, primary: list[Mx]) -> bool:
    networks = check.policy.mx_backup_networks
    for mx in primary:
        addresses = await _addresses(check, mx.host)
        if not addresses:
            return False
        for address in addresses:
            if not await networks.matches_address(mx.host, address):
                return False
    return True


async def _is_this_host(check: Check, host: str) -> bool:
    """By name, as mydestination has it, or by address, also that of a proxy before it."""
    policy = check.policy
    if (await policy.resolve(f"postmaster@{host}")).address_class == "local":
        return True
    addresses = await _addresses(check, host)
    return not policy.mail_addresses.isdisjoint(addresses)
