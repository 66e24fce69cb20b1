"""tls_server_sni_maps: keys and certificates by the name of the server that a client asks for. TLS_README."""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.net.tls.openssl import TlsError
from estafeta.tables.maps import Maps
from estafeta.tables.table import Flags, TableDown

PARAMETER = "tls_server_sni_maps"


class ServerNames:
    """What ServerTls asks; see its `sni`."""

    def __init__(self, specs: Sequence[str]) -> None:
        self._maps = Maps.open(specs, name=PARAMETER, flags=Flags(base64_files=True))

    async def find(self, name: str) -> str | None:
        """PEM text in base64. Raises TlsError if a table cannot answer."""
        try:
            return await self._maps.find(name)
        except TableDown as error:
            raise TlsError(f"{PARAMETER}: {name} map lookup problem: {error}") from None
