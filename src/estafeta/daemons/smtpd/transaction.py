"""One mail transaction: what MAIL, RCPT and the checks have gathered until the message is complete. RFC 5321 3.3."""

from __future__ import annotations

import time

from estafeta.daemons.smtpd.ports import Submission
from estafeta.mail.envelope import Client, Envelope, Recipient

MOST_EXTRAS = 1000
"""BCC addresses and prepended headers that access tables may add to one message."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Transaction:
    """Begins with the session, and anew after each message, RSET, HELO and EHLO."""

    __slots__ = (
        "__weakref__",
        "bcc",
        "chunks",
        "content_filter",
        "count",
        "discard",
        "encoding",
        "envid",
        "headers",
        "hold",
        "instance",
        "login_sender",
        "over_limit",
        "queue_id",
        "recipients",
        "redirect",
        "ret",
        "sender",
        "size",
        "smtputf8",
        "submission",
        "verp",
    )

    def __init__(self) -> None:
        self.sender: str | None = None
        self.recipients: list[Recipient] = []
        self.count = 0
        """Recipients accepted."""
        self.over_limit = 0
        """Recipients refused because there are too many."""
        self.queue_id = ""
        self.encoding = ""
        self.envid = ""
        self.ret = ""
        self.size = 0
        """What SIZE= announced, in bytes."""
        self.smtputf8 = False
        self.verp = ""
        """The delimiters that XVERP asked for."""
        self.hold = ""
        self.discard = False
        self.content_filter = ""
        self.redirect = ""
        self.bcc: list[str] = []
        self.headers: list[str] = []
        self.instance = 0
        """Its number, for policy servers; given when one is asked first."""
        self.login_sender = ""
        """Who MAIL AUTH= says has sent it first."""
        self.submission: Submission | None = None
        self.chunks: object = None
        """What BDAT keeps between its chunks."""

    def add_bcc(self, address: str) -> None:
        if address not in self.bcc and len(self.bcc) < MOST_EXTRAS:
            self.bcc.append(address)

    def add_header(self, text: str) -> None:
        if len(self.headers) < MOST_EXTRAS:
            self.headers.append(text)

    def envelope(self, client: Client, context: str, arrived: float) -> Envelope:
        """What intake is given. BCC recipients want no reports."""
        recipients = [*self.recipients, *(Recipient(address) for address in self.bcc)]
        return Envelope(
            self.queue_id,
            arrived,
            self.sender or "",
            recipients,
            0,
            self.envid,
            self.ret,
            self.encoding,
            self.smtputf8,
            context,
            self.content_filter,
            self.redirect,
            self.verp,
            client=client,
        )


class Dates:
    """RFC 5322 dates, computed once a second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def at(self, moment: float) -> str:
        """`Sat, 21 Nov 2026 01:08:18 +0000 (UTC)`, in local time."""
        second = int(moment)
        if second != self._second:
            self._second, self._text = second, _date(second)
        return self._text


def _date(second: int) -> str:
    now = time.localtime(second)
    offset = now.tm_gmtoff // 60
    sign, minutes = ("-", -offset) if offset < 0 else ("+", offset)
    return (
        f"{_DAYS[now.tm_wday]}, {now.tm_mday} {_MONTHS[now.tm_mon - 1]} {now.tm_year} "
        f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} {sign}{minutes // 60:02}{minutes % 60:02} ({now.tm_zone})"
    )
