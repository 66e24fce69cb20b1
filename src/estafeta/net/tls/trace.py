"""smtpd_tls_loglevel 2 and above: a handshake in the log, for looking into a problem, not for every day.

Level 2 names OpenSSL's states and alerts; 3 shows what is exchanged in the handshake, in hexadecimal; 4 all of the
connection, as it is on the wire.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from estafeta.base import log
from estafeta.net.tls.server import ServerTls

CB_LOOP, CB_EXIT, CB_READ, CB_ALERT = 0x01, 0x02, 0x04, 0x4000
SSL_NOTHING = 1


class Trace:
    """Of one connection. `limit`: bytes of dump in the log at the most; `rate`: connections a second in this process
    that are dumped, at the most (0: any number)."""

    _second: ClassVar[int] = 0
    _made: ClassVar[int] = 0

    def __init__(self, server: ServerTls, peer: str, level: int, limit: int, rate: int) -> None:
        self._library = server.library
        self._peer = peer
        self._level = level
        self._left = limit if level >= 3 else 0
        self._callback: Any = None
        self._established = False
        if level >= 3:
            self._count(rate)

    def _count(self, rate: int) -> None:
        now = int(time.monotonic())
        if Trace._second != now:
            Trace._second, Trace._made = now, 0
        Trace._made += 1
        if rate and Trace._made > rate:
            self._left = 0

    def watch(self, ssl: Any) -> None:
        """From now on the handshake's steps are logged."""
        callback = self._library.ffi.callback("void(const SSL *, int, int)", self._step)
        self._callback = callback
        self._library.lib.SSL_set_info_callback(ssl, callback)

    def established(self) -> None:
        self._established = True

    def dump(self, direction: str, data: bytes) -> None:
        """`direction`: read from, write to. What was sent or received, if the level wants it."""
        if self._left <= 0 or (self._established and self._level < 4):
            return
        log.info(f"{direction} {self._peer}: {len(data)} bytes")
        for place in range(0, len(data), 16):
            part = data[place : place + 16]
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
            self._left -= 16
            if self._left <= 0:
                log.info(f"{self._peer}: TLS trace ends here (smtpd_tls_trace_size_limit)")
                return
            log.info(f"{place:04x} {part.hex(' '):<47} {shown}")

    def _step(self, ssl: Any, where: int, result: int) -> None:
        lib = self._library.lib
        if where & CB_LOOP:
            log.info(f"SSL_accept:{self._text(lib.SSL_state_string_long(ssl))}")
        elif where & CB_ALERT:
            kind = self._text(lib.SSL_alert_type_string_long(result))
            what = self._text(lib.SSL_alert_desc_string_long(result))
            if what != "close notify":
                log.info(f"SSL3 alert {'read' if where & CB_READ else 'write'}:{kind}:{what}")
        elif where & CB_EXIT and result <= 0 and lib.SSL_want(ssl) == SSL_NOTHING:
            state = self._text(lib.SSL_state_string_long(ssl))
            log.info(f"SSL_accept:{'failed' if result == 0 else 'error'} in {state}")

    def _text(self, text: Any) -> str:
        return bytes(self._library.ffi.string(text)).decode("ascii", "replace")
