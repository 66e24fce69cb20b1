"""Master with toy services, so that master and the skeleton can be tested without the mail system.

`python -m tests.support.toy_master -d -c DIR`. Programs: `echo` says who it is and repeats what it hears (`crash`
makes it exit 3); `trig` logs its triggers; `packet` logs datagrams; `bad` fails while it opens.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable

import dns.rdata

from estafeta.base import log
from estafeta.daemons import index
from estafeta.skeleton.service import Service


class EchoProtocol(asyncio.Protocol):
    def __init__(self, service: Service, release: Callable[[], None]) -> None:
        self._service = service
        self._release = release

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        context = self._service.context
        root = os.stat("/").st_ino == os.stat(".").st_ino
        words = f"pid={os.getpid()} uid={os.geteuid()} worker={context.worker} slots={context.slots} chroot={root}"
        transport.write(f"{words} name={context.conf.syslog_name} myhostname={context.conf.myhostname}\n".encode())
        log.info("connect")

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"crash"):
            os._exit(3)
        if data.startswith(b"import"):
            asyncio.get_running_loop().create_task(self._import())
            return
        self._transport.write(data)

    async def _import(self) -> None:
        """What Python imports on first use, in places of its own choosing."""
        try:
            host = "büro.example".encode("idna")
            moment = time.strptime("2026", "%Y").tm_year
            size = await asyncio.get_running_loop().run_in_executor(None, len, b"abc")
            self._transport.write(f"{host!r} {moment} {size} {dns.rdata.get_rdata_class(1, 257).__name__}\n".encode())
        except Exception as reason:
            self._transport.write(f"{reason!r}\n".encode())

    def connection_lost(self, reason: Exception | None) -> None:
        self._release()


class Echo(Service):
    async def open(self) -> None:
        log.info(f"opened as {os.geteuid()}")

    def client(self, release: Callable[[], None]) -> asyncio.BaseProtocol:
        return EchoProtocol(self, release)

    def draining(self) -> None:
        log.info("draining")

    async def stop(self) -> None:
        log.info("stopped")


class Trig(Service):
    style = "trigger"

    async def triggered(self, requests: bytes) -> None:
        log.info(f"triggered {requests!r}")
        if b"X" in requests:
            raise RuntimeError("bad request")

    async def stop(self) -> None:
        log.info("stopped")


class Packet(Service):
    style = "datagram"

    def datagram(self, packet: bytes) -> None:
        log.info(f"packet {packet!r}")


class Bad(Service):
    async def open(self) -> None:
        raise OSError(13, "nothing works today")


if __name__ == "__main__":
    from estafeta.daemons.master.__main__ import main

    index.PROGRAMS.update(
        echo="tests.support.toy_master:Echo",
        trig="tests.support.toy_master:Trig",
        packet="tests.support.toy_master:Packet",
        bad="tests.support.toy_master:Bad",
        qmgr="tests.support.toy_master:Trig",  # of which only one may run
    )
    sys.exit(main())
