"""Dates as mail writes them: `Sat, 21 Nov 2026 09:30:00 +0100 (CET)`. RFC 5322 3.3.

Names of days and months are English whatever the locale. The text changes once a second, so it is kept for a second.
"""

from __future__ import annotations

from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_last: tuple[int, str] = (-1, "")


def mail_date(moment: float) -> str:
    """`moment` in seconds since the epoch, in local time, with the zone's offset and name."""
    global _last
    second = int(moment)
    if _last[0] == second:
        return _last[1]
    local = datetime.fromtimestamp(second).astimezone()
    offset = local.utcoffset()
    minutes = int(offset.total_seconds()) // 60 if offset else 0
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    name = local.tzname()
    zone = f" ({name})" if name else ""
    text = (
        f"{_DAYS[local.weekday()]}, {local.day:2d} {_MONTHS[local.month - 1]} {local.year} "
        f"{local.hour:02d}:{local.minute:02d}:{local.second:02d} {sign}{hours:02d}{minutes:02d}{zone}"
    )
    _last = (second, text)
    return text


def message_id_stamp(moment: float) -> str:
    """`20261121093000`: the part of a Message-Id that tells the second, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%d%H%M%S")
