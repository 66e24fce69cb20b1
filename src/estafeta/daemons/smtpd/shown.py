"""A client's words in the log: see mail/shown.py."""

from __future__ import annotations

from estafeta.mail.shown import escaped, printable

__all__ = ["escaped", "printable"]
