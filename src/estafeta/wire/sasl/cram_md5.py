"""CRAM-MD5: the client answers a challenge with a digest of it, keyed with the password. RFC 2195."""

from __future__ import annotations

import hashlib
import hmac

from estafeta.wire.sasl.events import Event, Given, Password, Secret, Send
from estafeta.wire.sasl.mechanism import LONGEST_NAME, BadResponse, Mechanism, name_from

DIGEST_LENGTH = 32


class CramMd5(Mechanism):
    """The challenge says nothing about the user, so it does not tell whether there is one."""

    client_first = False

    def begin(self, initial: bytes | None) -> Event:
        if initial is not None:
            return self._guarded(self._out_of_turn())
        return super().begin(None)

    def _first(self) -> Event:
        return Send(self._challenge)

    @property
    def _challenge(self) -> bytes:
        return f"<{self.setting.nonce}@{self.setting.host}>".encode()

    def _step(self, response: bytes) -> Event:
        if len(response) > LONGEST_NAME + 1 + DIGEST_LENGTH:
            raise BadResponse
        name, blank, self._digest = response.rpartition(b" ")
        if not blank or len(self._digest) != DIGEST_LENGTH:
            raise BadResponse
        self.user = name_from(name)
        return Secret(self.user, self.setting.realm, self.name)

    def _answer(self, given: Given) -> Event:
        known = isinstance(given, Password)
        key = given.text.encode("utf-8", "surrogateescape") if isinstance(given, Password) else self.setting.pepper
        expected = hmac.new(key, self._challenge, hashlib.md5).hexdigest().encode()
        if hmac.compare_digest(expected, self._digest.lower()) and known:
            return self._logged_in(self.user)
        return self._denied()
