"""A proxy in front of smtpd: it says first whom it speaks for (smtpd_upstream_proxy_protocol = haproxy).

From then on the client is that one, and our own address is the one that the client connected to. A proxy that says
nothing, or nonsense, gets 421: without the client's address no restriction means anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.base import log
from estafeta.daemons.smtpd.shown import escaped
from estafeta.net.peer import Client
from estafeta.net.stream import PeerGone
from estafeta.wire.haproxy import Header, ProxyError, parse_header

if TYPE_CHECKING:
    from estafeta.daemons.smtpd.session import Session

SHOWN = 600
"""Bytes of a bad header that go to the log."""


async def learn_client(session: Session) -> bool:
    """Read the proxy's header, and take over what it says. False, and logged, if there is none that makes sense."""
    stream, conf = session.stream, session.policy.conf
    stream.timeout = conf.smtpd_upstream_proxy_timeout
    held = b""
    try:
        while (header := parse_header(held, ipv6=session.policy.ipv6)) is None:
            held += await stream.chunk()
    except ProxyError as problem:
        log.warning(f"haproxy read: {problem}: {escaped(held[:SHOWN])}")
        return False
    except PeerGone:
        log.warning("haproxy read: EOF")
        return False
    except TimeoutError:
        log.warning("haproxy read: timeout error")
        return False
    finally:
        stream.timeout = conf.smtpd_timeout
    if len(held) > header.length:
        stream.unread(held[header.length :])
    _take_over(session, header)
    return True


def _take_over(session: Session, header: Header) -> None:
    if header.client:
        session.client = Client("", header.client, header.client_port)
        session.own_address, session.own_port = header.server, header.server_port
