"""smtpd_tls_loglevel 2 and above: the steps of a handshake in the log. For looking into a problem, not for every day.

Level 2 names OpenSSL's states and alerts; 3 and 4 are the same here, since a dump of what is exchanged would put
passwords and mail into the log.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from estafeta.base import log
from estafeta.net.tls.server import ServerTls

CB_LOOP, CB_EXIT, CB_READ, CB_ALERT = 0x01, 0x02, 0x04, 0x4000


class Trace:
    """Of one connection. `limit`: bytes of log at the most. `rate`: traces a second in this process at the most."""

    _second: ClassVar[int] = 0
    _made: ClassVar[int] = 0

    def __init__(self, server: ServerTls, peer: str, level: int, limit: int, rate: int) -> None:
        self._library = server.library
        self._left = limit
        self._callback: Any = None
        now = int(time.monotonic())
        if Trace._second != now:
            Trace._second, Trace._made = now, 0
        Trace._made += 1
        if rate and Trace._made > rate:
            self._left = 0
            if Trace._made == rate + 1:
                log.warning(f"{peer}: TLS traces are limited to {rate} a second (tls_trace_rate_limit)")

    def watch(self, ssl: Any) -> None:
        """From now on the handshake's steps are logged."""
        callback = self._library.ffi.callback("void(const SSL *, int, int)", self._step)
        self._callback = callback
        self._library.lib.SSL_set_info_callback(ssl, callback)

    def _step(self, ssl: Any, where: int, result: int) -> None:
        lib = self._library.lib
        if where & CB_LOOP:
            self._say(f"SSL_accept:{self._text(lib.SSL_state_string_long(ssl))}")
        elif where & CB_ALERT:
            kind = self._text(lib.SSL_alert_type_string_long(result))
            what = self._text(lib.SSL_alert_desc_string_long(result))
            if what != "close notify":
                self._say(f"SSL3 alert {'read' if where & CB_READ else 'write'}:{kind}:{what}")
        elif where & CB_EXIT and result <= 0:
            state = self._text(lib.SSL_state_string_long(ssl))
            self._say(f"SSL_accept:{'failed' if result == 0 else 'error'} in {state}")

    def _say(self, line: str) -> None:
        self._left -= len(line)
        if self._left > 0:
            log.info(line)

    def _text(self, text: Any) -> str:
        return bytes(self._library.ffi.string(text)).decode("ascii", "replace")
