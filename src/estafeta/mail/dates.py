"""Dates as mail writes them: `Sat, 21 Nov 2026 09:30:00 +0100 (CET)`. RFC 5322 3.3.

Names of days and months are English whatever the locale. The text changes once a second, so it is kept for a second.
"""

from __future__ import annotations

import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_last: tuple[int, str] = (-1, "")


def mail_date(moment: float) -> str:
    """`moment` in seconds since the epoch, in local time, with the zone's offset and name."""
    global _last
    second = int(moment)
    if _last[0] == second:
        return _last[1]
    local = time.localtime(second)
    minutes = local.tm_gmtoff // 60
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    zone = f" ({local.tm_zone})" if local.tm_zone else ""
    text = (
        f"{_DAYS[local.tm_wday]}, {local.tm_mday:2d} {_MONTHS[local.tm_mon - 1]} {local.tm_year} "
        f"{local.tm_hour:02d}:{local.tm_min:02d}:{local.tm_sec:02d} {sign}{hours:02d}{minutes:02d}{zone}"
    )
    _last = (second, text)
    return text


def message_id_stamp(moment: float) -> str:
    """`20261121093000`: the part of a Message-Id that tells the second, in UTC."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(moment))
