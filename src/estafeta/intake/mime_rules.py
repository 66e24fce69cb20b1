"""What is strict about MIME on the way in, and the conversion of 8-bit parts that force_mime_input_conversion asks for.

Most sites set none of this, and then nothing here runs: `MimeRules.look` gives None. A `Look` goes over one message as
it streams by: header block first, then body pieces; it keeps the first trouble that it finds. postconf(5), strict_*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.mail.mime import Event, Kind, Walk
from estafeta.mail.seven_bit import converted

if TYPE_CHECKING:
    from estafeta.config.instance import Config

IN_HEADER = "improper use of 8-bit data in message header"
IN_BODY = "improper use of 8-bit data in message body"
ENCODING_DOMAIN = "invalid message/* or multipart/* encoding domain"

_NOT_SEVEN = frozenset({b"8bit", b"binary", b"base64", b"quoted-printable"})
"""Under these a body may hold any byte; every other encoding counts as 7bit."""
_OPAQUE = frozenset({b"base64", b"quoted-printable"})
LONGEST_DETAIL = 200
"""Characters of the offending line that the log shows."""


class MimeRules:
    """The rules of one configuration."""

    def __init__(self, conf: Config) -> None:
        on = not conf.disable_mime_input_processing
        self.headers = on and (conf.strict_7bit_headers or conf.strict_8bitmime)
        self.body = on and (conf.strict_8bitmime_body or conf.strict_8bitmime)
        self.encoding = on and conf.strict_mime_encoding_domain
        self.convert = on and conf.force_mime_input_conversion
        self.deepest = conf.mime_nesting_limit
        self.boundary_length = conf.mime_boundary_length_limit
        self._active = self.headers or self.body or self.encoding or self.convert

    def look(self) -> Look | None:
        """For one message; None if no rule is set."""
        return Look(self) if self._active else None


class Look:
    """Feed the header block and the body, then `finish`."""

    __slots__ = ("_rules", "_walk", "trouble")

    def __init__(self, rules: MimeRules) -> None:
        self._rules = rules
        self._walk = Walk(deepest=rules.deepest, boundary_length=rules.boundary_length)
        self.trouble: tuple[str, str] | None = None
        """(what is wrong, the line that shows it): the first there was."""

    def feed(self, piece: bytes) -> bytes:
        """The piece as it is to be stored: the same, or what of its conversion is known so far."""
        out = b"".join([self._seen(event) for event in self._walk.feed(piece)])
        return out if self._rules.convert else piece

    def finish(self) -> bytes:
        """The rest of a conversion; empty if nothing is converted."""
        out = b"".join([self._seen(event) for event in self._walk.finish()])
        return out if self._rules.convert else b""

    def _seen(self, event: Event) -> bytes:
        rules, part = self._rules, event.part
        if self.trouble is None:
            if event.kind is Kind.BODY:
                if rules.body and not event.data.isascii():
                    plain = part is None or part.multipart or part.encoding not in _NOT_SEVEN
                    if plain:
                        self._complain(IN_BODY, event.data)
            elif event.kind is Kind.HEADER and part is not None:
                if rules.headers and not event.data.isascii():
                    self._complain(IN_HEADER, next(field for field in event.fields if not field.isascii()))
                elif rules.encoding and (part.multipart or part.nested) and part.encoding in _OPAQUE:
                    self._complain(ENCODING_DOMAIN, part.encoding)
        return converted(event) if rules.convert else b""

    def _complain(self, what: str, shown: bytes) -> None:
        if self.trouble is None:
            lines = shown.split(b"\n")
            line = next((line for line in lines if not line.isascii()), lines[0])
            self.trouble = what, line.strip(b"\r").decode("utf-8", "surrogateescape")[:LONGEST_DETAIL]
