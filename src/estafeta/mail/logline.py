"""The line that every delivery attempt leaves in the log, one for each recipient.

    3F2A81C0: to=<a@b.example>, relay=mx.b.example[192.0.2.1]:25, delay=0.52, delays=0.02/0.01/0.3/0.19, dsn=2.0.0,
    status=sent (250 2.0.0 Ok: queued as 7B21)

Delivery agents write it through `skeleton/agent.py`; pflogsumm and people's eyes read it, so its form is Postfix's to
the letter. The four delays are: before the queue manager took the message up, in the queue manager, setting up the
connection, delivering.
"""

from __future__ import annotations

from estafeta.mail.address import quote

_internal = False


def use_format(name: str) -> None:
    """info_log_address_format, once at the start of a process: `external` or `internal`."""
    global _internal
    _internal = name == "internal"


def shown(address: str) -> str:
    """An address as it stands in log lines."""
    return address if _internal else quote(address)


RESOLUTION = 2
"""Digits after the point: the default of delay_logging_resolution_limit."""

Delays = tuple[float, float, float, float]


def delay_text(seconds: float, limit: int = RESOLUTION) -> str:
    """A delay with two significant digits, at most `limit` digits after the point, no trailing zeros.

    Whole seconds are never shortened: 0.0123 -> 0.01, 1.26 -> 1.3, 12.5 -> 13, 86412 -> 86412.
    """
    micro = int(seconds * 1_000_000)
    if micro <= 0:
        return "0"
    places, reach = 0, 10_000_000
    while micro < reach and places < limit and places < 6:
        places += 1
        reach //= 10
    unit = 10 ** (6 - places)
    whole, part = divmod((micro + unit // 2) // unit, 10**places)
    return f"{whole}.{part:0{places}d}".rstrip("0") if part else str(whole)


def delays_of(arrived: float, activated: float, handed: float, connected: float, now: float) -> Delays:
    """The four delays from the moments between them, seconds since the epoch; `connected` 0 where nothing connects.

    A clock that went back makes no negative delay.
    """
    ready = connected if connected > 0 else handed
    return (
        max(activated - arrived, 0.0),
        max(handed - activated, 0.0),
        max(ready - handed, 0.0),
        max(now - ready, 0.0),
    )


def delivery_line(
    queue_id: str,
    recipient: str,
    original: str,
    relay: str,
    delays: Delays,
    dsn: str,
    status: str,
    text: str,
    *,
    conn_use: int = 0,
    limit: int = RESOLUTION,
) -> str:
    """`3F2A81C0: to=<...>, ... status=sent (...)`. `original` is shown where it is given and differs.

    `conn_use` counts the deliveries over the same connection; it is shown from the second on. `limit` is
    delay_logging_resolution_limit.
    """
    orig_to = f", orig_to=<{shown(original)}>" if original and original != recipient else ""
    use = f", conn_use={conn_use}" if conn_use > 1 else ""
    before, queued, connecting, delivering = delays
    total = delay_text(before + queued + connecting + delivering, limit)
    parts = "/".join(
        (
            delay_text(before, limit),
            delay_text(queued, limit),
            delay_text(connecting, limit),
            delay_text(delivering, limit),
        )
    )
    return (
        f"{queue_id}: to=<{shown(recipient)}>{orig_to}, relay={relay}{use}, delay={total}, delays={parts}, "
        f"dsn={dsn}, status={status} ({text})"
    )
