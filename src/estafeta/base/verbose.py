"""What a process says beside its work, for whoever looks for an error: `-v`, and debug_peer_list.

`-v` (of a command, or in master.cf) is for the whole process; more of them make it tell more:

    1   files of configuration that are read, tables that are opened, each question to a table and its answer,
        connections to services; in smtpd(8), smtp(8) and lmtp(8) also the conversation with every peer
    2   values of parameters that main.cf sets, and details that only matter now and then

debug_peer_list is for single peers: with debug_peer_level 1 the conversation, from 2 on also the questions that are put
to tables while we deal with them. Who opens a table asks `wanted` once, and pays nothing later if the answer is no.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from estafeta.base import log

level = 0
"""How many `-v` this process has. Set with `begin`."""
_peers = 0
_peer: ContextVar[bool] = ContextVar("watched peer", default=False)

MORE = 2
"""The level from which details are told."""


def begin(count: int, peers: int = 0) -> None:
    """At the start of a process: how many `-v` there are; `peers` is debug_peer_level if anybody is listed."""
    global level, _peers
    level, _peers = count, peers


def tell(text: str, least: int = 1) -> None:
    """One line, if there are at least so many `-v`."""
    if level >= least:
        log.info(text)


def wanted() -> bool:
    """Whether questions to tables may have to be told in this process."""
    return level > 0 or _peers >= MORE


def now() -> bool:
    """Whether what happens now is to be told: in all of the process, or because it is about a watched peer."""
    return level > 0 or _peer.get()


def watch() -> None:
    """From here on, the running task deals with a peer of debug_peer_list."""
    if _peers >= MORE:
        _peer.set(True)


@contextmanager
def watching() -> Iterator[None]:
    """As `watch`, for as long as the block lasts."""
    before = _peer.set(_peers >= MORE)
    try:
        yield
    finally:
        _peer.reset(before)
