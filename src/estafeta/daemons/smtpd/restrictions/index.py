"""The restriction files, in one visible list. Importing one registers what it defines."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "access",
    "client",
    "dns_lists",
    "generic",
    "hostname",
    "mx_backup",
    "policy_service",
    "recipient",
    "sasl",
    "sender",
    "servers",
    "tls",
    "verified",
)


def load() -> None:
    """Import them all; they register themselves."""
    for module in MODULES:
        import_module(f"{__package__}.{module}")
