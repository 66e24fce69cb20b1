"""Who this machine is: the defaults that no declaration can hold, because they depend on the machine.

`myhostname` and `mydomain` follow from each other and from the kernel's host name, `mynetworks` from the addresses of
the network interfaces and `mynetworks_style`; `process_id` and its like from the running program.
postconf(5): myhostname, mydomain, mynetworks, mynetworks_style.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable
from typing import Protocol

from .interfaces import default_networks
from .main_cf import ConfigError

MAIL_VERSION = "3.12.0"
"""The Postfix release whose parameters and defaults these are: scripts compare it to know what they may use."""
MAIL_RELEASE_DATE = "20260101"
"""When this program was released, not Postfix."""
UNKNOWN_DOMAIN = "localdomain"


class Values(Protocol):
    """The part of a configuration that the computed parameters are computed from."""

    def value(self, name: str) -> str: ...
    def is_set(self, name: str) -> bool: ...
    def origin(self, name: str) -> str: ...


class Specials:
    """Texts of the computed parameters, each worked out on first use."""

    def __init__(self, values: Values, service: str) -> None:
        self._values = values
        self._known: dict[str, str] = {"service_name": service} if service else {}
        self._working_out: set[str] = set()

    def get(self, name: str) -> str | None:
        """None when `name` is not a computed parameter. Raises ConfigError."""
        known = self._known.get(name)
        if known is not None:
            return known
        compute = COMPUTED.get(name)
        if not compute:
            return None
        if name in self._working_out:
            # `myhostname = mail.$mydomain` asks in a circle, which ends with what is known without asking.
            return UNKNOWN_DOMAIN if name == "mydomain" else kernel_host_name()
        self._working_out.add(name)
        try:
            found = self._known[name] = compute(self._values)
        finally:
            self._working_out.discard(name)
        return found


def kernel_host_name() -> str:
    return socket.gethostname()


def _host_name(values: Values) -> str:
    name = kernel_host_name()
    return name if "." in name else f"{name}.{values.value('mydomain')}"


def _domain(values: Values) -> str:
    host = values.value("myhostname") if values.is_set("myhostname") else kernel_host_name()
    return host.partition(".")[2] or UNKNOWN_DOMAIN


def _networks(values: Values) -> str:
    style = values.value("mynetworks_style")
    if style.lower() not in ("host", "subnet", "class"):
        raise ConfigError(
            f"{values.origin('mynetworks_style')}: mynetworks_style = {style}: write host, subnet or class"
        )
    return default_networks(style.lower(), values.value("inet_interfaces"), values.value("inet_protocols"))


COMPUTED: dict[str, Callable[[Values], str]] = {
    "mail_release_date": lambda _: MAIL_RELEASE_DATE,
    "mail_version": lambda _: MAIL_VERSION,
    "mydomain": _domain,
    "myhostname": _host_name,
    "mynetworks": _networks,
    "process_id": lambda _: str(os.getpid()),
    "process_name": lambda _: os.path.basename(sys.argv[0]),
}

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\Z")


def check(values: Values) -> None:
    """Raises ConfigError for a myhostname or mydomain that no other system would accept."""
    for name in ("myhostname", "mydomain"):
        text = values.value(name)
        reason = host_name_fault(text)
        if reason:
            raise ConfigError(
                f"{values.origin(name)}: parameter {name}: bad parameter value: {text}: {reason}; "
                f"set {name} to a full host name in main.cf"
            )


def origin_in_file(values: Values) -> str | None:
    """The domain that stands in the file which myorigin names (Debian's /etc/mailname); None when it names none.

    The first line counts. Raises ConfigError.
    """
    path = values.value("myorigin")
    if not path.startswith("/"):
        return None
    where = f"{values.origin('myorigin')}: myorigin = {path}"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            line = file.readline(4096).strip()
    except OSError as reason:
        raise ConfigError(f"{where}: cannot open the file: {reason.strerror}: make it, or write a domain") from None
    if not line:
        raise ConfigError(f"{where}: the file's first line is empty: write a domain into it")
    if len(line.split()) > 1:
        raise ConfigError(f"{where}: the file's first line must hold one domain: {line}")
    return line


def host_name_fault(name: str) -> str:
    """What is wrong with `name` as a host or domain name; '' when nothing is. RFC 1123 2.1, underscores allowed."""
    if not name:
        return "the name is empty"
    if len(name) > 255:
        return "the name is longer than 255 characters"
    for label in name.split("."):
        if not label:
            return "misplaced delimiter"
        if len(label) > 63:
            return f"the label {label!r} is longer than 63 characters"
        if label.startswith("-") or label.endswith("-"):
            return "misplaced hyphen"
        if label.isascii() and not _LABEL.match(label):
            return f"the label {label!r} has a character that host names cannot have"
    if all(label.isdigit() for label in name.split(".")):
        return "the name is numeric"
    return ""
