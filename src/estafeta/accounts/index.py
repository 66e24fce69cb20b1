"""Every kind of account that smtpd_sasl_type may name, and the class that knows it. Imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from estafeta.accounts.authenticator import Authenticator

if TYPE_CHECKING:
    from estafeta.config.instance import Config

TYPES = {"cyrus": "cyrus", "dovecot": "dovecot", "estafeta": "own"}
"""smtpd_sasl_type -> module, whose `open_authenticator(path, conf)` makes one."""


def account_kind(kind: str) -> str:
    """The module of a smtpd_sasl_type. Raises ValueError."""
    module = TYPES.get(kind)
    if module is None:
        raise ValueError(f"smtpd_sasl_type = {kind}: there is no such kind; write one of {', '.join(TYPES)}")
    return module


def open_authenticator(kind: str, path: str, conf: Config) -> Authenticator:
    """Who checks logins of `kind`, by the configuration that `path` names (smtpd_sasl_path). Reads files, waits for
    nothing. Raises ValueError, which says what to mend; OSError for a file that cannot be read."""
    made: Authenticator = import_module(f"estafeta.accounts.{account_kind(kind)}").open_authenticator(path, conf)
    return made
