"""The mechanisms without a password: EXTERNAL (RFC 4422 A) and ANONYMOUS (RFC 4505)."""

from __future__ import annotations

from estafeta.wire.sasl.events import Event, Success
from estafeta.wire.sasl.mechanism import LONGEST_NAME, BadResponse, Mechanism, name_from

ANONYMOUS_USER = "anonymous"


class External(Mechanism):
    """The client is who its certificate says; what it sends is whom it wants to act as."""

    def _step(self, response: bytes) -> Event:
        self.authzid = name_from(response) if response else ""
        self.user = self.setting.certificate_name
        return self._logged_in(self.user) if self.user else self._denied()


class Anonymous(Mechanism):
    """Anybody. What the client sends is a greeting that nobody believes."""

    def _step(self, response: bytes) -> Event:
        if len(response) > LONGEST_NAME:
            raise BadResponse
        return Success(ANONYMOUS_USER)
