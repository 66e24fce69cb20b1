"""Enhanced status codes made to fit what they are said about. RFC 3463 3.2, access(5).

A table does not know whether it is asked about a sender, a recipient or a host, so a code that speaks of addresses
(X.1.Y) is turned into its counterpart, or into a general one.
"""

from __future__ import annotations

from estafeta.base import log

SENDER = "Sender address"
RECIPIENT = "Recipient address"
OF_SENDER = {"1": "7", "2": "8", "3": "7", "4": "7", "6": "7", "7": "7", "8": "8"}
OF_RECIPIENT = {"1": "1", "2": "2", "3": "3", "4": "4", "5": "5", "6": "6", "7": "3", "8": "2"}


def fitting(dsn: str, kind: str) -> str:
    """`dsn` as it may be said of a `kind` (`Sender address` ...); the change is logged."""
    kind_of_trouble, _, detail = dsn[2:].partition(".")
    if kind_of_trouble != "1":
        return dsn
    if kind == SENDER:
        fit = f"{dsn[0]}.1.{OF_SENDER.get(detail, '0')}"
    elif kind == RECIPIENT:
        fit = f"{dsn[0]}.1.{OF_RECIPIENT.get(detail, '0')}"
    else:
        fit = f"{dsn[0]}.0.0"
    if fit != dsn:
        log.info(f"mapping DSN status {dsn} into {kind} status {fit}")
    return fit
