"""What the administrator demands of a delivery and this client cannot do yet: TLS and logging in.

Mail must not go in the clear where encryption is required, and a server that wants a login would refuse our mail for
good. So such mail waits, with the reason in the log; everything else goes on. smtp_tls_security_level,
smtp_tls_policy_maps, smtp_tls_wrappermode, smtp_enforce_tls, smtp_sasl_auth_enable, smtp_sasl_password_maps.
"""

from __future__ import annotations

from estafeta.config.instance import ClientSettings, Config
from estafeta.daemons.smtp.errors import Failure
from estafeta.daemons.smtp.mx import Server
from estafeta.tables.maps import Maps

ENCRYPTED = frozenset({"encrypt", "dane-only", "fingerprint", "verify", "secure"})


class Unmet:
    """Asked before each connection."""

    def __init__(self, conf: Config, settings: ClientSettings, client: str) -> None:
        level = settings.tls_security_level
        self._client = client
        self._always = level in ENCRYPTED or settings.tls_wrappermode or (not level and settings.enforce_tls)
        self._policies = Maps.open(settings.tls_policy_maps, name=f"{client}_tls_policy_maps")
        self._login = settings.sasl_auth_enable
        self._by_sender = settings.sender_dependent_authentication
        self._passwords = Maps.open(settings.sasl_password_maps, name=f"{client}_sasl_password_maps")

    async def __call__(self, server: Server, nexthop: str, sender: str) -> Failure | None:
        """A failure that puts the mail off, None if nothing stands in the way. Raises TableDown."""
        if await self._wants_tls(nexthop):
            text = (
                f"TLS is required, but this {self._client} client has no TLS yet: set {self._client}_tls_security_level"
            )
            return Failure("4.7.5", f"{text} = may for this destination to send without", throttle=True)
        if self._login and await self._wants_login(server, nexthop, sender):
            text = f"{server.shown} wants a login, and this {self._client} client cannot log in yet"
            return Failure("4.7.0", f"{text}: remove its entry from {self._client}_sasl_password_maps", throttle=True)
        return None

    async def _wants_tls(self, nexthop: str) -> bool:
        if not self._policies:
            return self._always
        for key in _keys(nexthop):
            found = await self._policies.get(key)
            if found:
                return found.split()[0].lower() in ENCRYPTED
        return self._always

    async def _wants_login(self, server: Server, nexthop: str, sender: str) -> bool:
        keys = [sender] if self._by_sender and sender else []
        for key in (*keys, server.host, nexthop):
            if await self._passwords.get(key):
                return True
        return False


def _keys(nexthop: str) -> list[str]:
    """How a policy table knows a next hop: as it is, and a plain domain also by its parents, `.example.com`."""
    keys = [nexthop]
    if not nexthop.startswith("["):
        domain = nexthop.partition(":")[0]
        keys += [domain[at:] for at, char in enumerate(domain) if char == "." and at]
    return keys
