"""A reason that may begin with an enhanced status code, as in `error:5.7.1 text` and many tables. RFC 3463."""

from __future__ import annotations

import re

_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|\Z)")


def reason_of(text: str, status: str) -> tuple[str, str]:
    """`5.7.1 text` -> ("5.7.1", "text"); without a code, or with one of another class, the code is `status`."""
    match = _STATUS.match(text)
    if match is None:
        return status, text
    code = match[1] if match[1][0] == status[0] else status
    return code, text[match.end() :]
