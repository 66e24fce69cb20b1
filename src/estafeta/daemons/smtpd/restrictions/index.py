"""The restriction files, in one visible list. Importing one registers what it defines."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "access",
    "client",
    "generic",
    "hostname",
    "policy_service",
    "recipient",
    "sasl",
    "sender",
    "tls",
    "verified",
)


def load() -> None:
    """Import them all; they register themselves."""
    for module in MODULES:
        import_module(f"{__package__}.{module}")
