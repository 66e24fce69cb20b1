"""What main.cf says about tables of every kind, for this process: limits, and which tables `proxy:` may name.

A table is opened by its name alone, deep in whatever needs it; so the process says here, once, before it opens any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from estafeta.tables.braces import members_of


class TableConf(Protocol):
    """The parameters that are taken."""

    @property
    def socketmap_max_query_size(self) -> int: ...

    @property
    def socketmap_max_reply_size(self) -> int: ...

    @property
    def daemon_table_open_error_is_fatal(self) -> bool: ...

    @property
    def proxy_read_maps(self) -> tuple[str, ...]: ...

    @property
    def proxy_write_maps(self) -> tuple[str, ...]: ...


@dataclass(slots=True)
class Settings:
    """Sizes in bytes. `proxy_read` and `proxy_write`: the tables, without `proxy:`; None is any."""

    socketmap_query: int = 10_000
    socketmap_reply: int = 100_000
    open_error_is_fatal: bool = False
    proxy_read: frozenset[str] | None = None
    proxy_write: frozenset[str] | None = None


in_force = Settings()


def take(conf: TableConf, *, daemon: bool) -> None:
    """Let `conf` hold for the tables that are opened from now on."""
    in_force.socketmap_query = conf.socketmap_max_query_size
    in_force.socketmap_reply = conf.socketmap_max_reply_size
    in_force.open_error_is_fatal = daemon and conf.daemon_table_open_error_is_fatal
    in_force.proxy_read = frozenset(_proxied(conf.proxy_read_maps))
    in_force.proxy_write = frozenset(_proxied(conf.proxy_write_maps))


def reset() -> None:
    """Back to the defaults: a command that was run inside another program is done."""
    global in_force
    in_force = Settings()


def _proxied(words: Iterable[str]) -> Iterator[str]:
    """The tables behind `proxy:` among words of parameters, those within unionmap:{...} and the like too."""
    for word in words:
        if word.startswith("proxy:"):
            yield word.removeprefix("proxy:")
            continue
        kind, _, name = word.partition(":")
        if "proxy:" in name and (kind in ("unionmap", "pipemap", "debug") or word.startswith("{")):
            inside = members_of(word if word.startswith("{") else name)
            yield from _proxied(inside if inside is not None else [name])
