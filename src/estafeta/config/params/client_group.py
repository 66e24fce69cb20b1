"""What the SMTP and the LMTP client share."""

from __future__ import annotations

from typing import ClassVar

from .group import Group


class ClientGroup(Group):
    """Settings of the SMTP or LMTP client."""

    prefixes: ClassVar[tuple[str, ...]] = ("smtp_", "lmtp_")
