"""Whose name a client may have: PTR, confirmed by the name's addresses."""

from __future__ import annotations

import asyncio

from tests.talk.stage import Names as Dns
from tests.talk.stage import logged

from estafeta.net.peer import LATER, NEVER, OK, Client, Names, Peers, endpoints

ADDRESS = "198.51.100.7"


def looked_up(dns: Dns, address: str = ADDRESS, *, lookup: bool = True) -> tuple[Names, list[str]]:
    with logged() as lines:
        return asyncio.run(Peers(dns, lookup=lookup).names(address)), lines  # type: ignore[arg-type]


def dns(ptr: str = "mx.client.example", a: tuple[str, ...] = (ADDRESS,)) -> Dns:
    names = Dns()
    names.ptrs[ADDRESS] = ptr
    names.a["mx.client.example"] = list(a)
    return names


def test_a_confirmed_name() -> None:
    assert looked_up(dns()) == (("mx.client.example", "mx.client.example", OK, OK), [])


def test_no_name() -> None:
    assert looked_up(Dns()) == (("unknown", "unknown", NEVER, NEVER), [])


def test_a_name_with_another_address() -> None:
    names, lines = looked_up(dns(a=("198.51.100.8",)))
    assert names == ("unknown", "mx.client.example", NEVER, OK)
    assert lines == [f"warning: hostname mx.client.example does not resolve to address {ADDRESS}"]


def test_a_name_without_address() -> None:
    resolver = dns()
    resolver.a.clear()
    names, lines = looked_up(resolver)
    assert names == ("unknown", "mx.client.example", NEVER, OK)
    assert lines == [
        f"warning: hostname mx.client.example does not resolve to address {ADDRESS}: Name or service not known"
    ]


def test_dns_down_is_later_not_never() -> None:
    resolver = Dns()
    resolver.down.add(ADDRESS)
    assert looked_up(resolver)[0] == ("unknown", "unknown", LATER, LATER)
    resolver = dns()
    resolver.down.add("mx.client.example")
    assert looked_up(resolver)[0] == ("unknown", "mx.client.example", LATER, OK)


def test_a_name_that_is_an_address_is_no_name() -> None:
    names, lines = looked_up(dns(ptr="192.0.2.1"))
    assert names == ("unknown", "unknown", NEVER, NEVER)
    assert len(lines) == 1


def test_smtpd_peername_lookup_off() -> None:
    assert looked_up(dns(), lookup=False)[0] == ("unknown", "unknown", NEVER, NEVER)


def test_answers_are_kept_for_a_while_and_warn_each_time() -> None:
    now = [0.0]

    async def twice() -> list[str]:
        resolver = dns(a=())
        peers = Peers(resolver, clock=lambda: now[0])  # type: ignore[arg-type]
        with logged() as lines:
            await peers.names(ADDRESS)
            resolver.ptrs.clear()
            assert peers.known(ADDRESS) is not None
            now[0] = 1000.0
            assert peers.known(ADDRESS) is None
            assert (await peers.names(ADDRESS))[1] == "unknown"
        return lines

    assert len(asyncio.run(twice())) == 2


def test_namaddr() -> None:
    assert Client("a.example", "192.0.2.1", "25").namaddr == "a.example[192.0.2.1]"
    assert Client("a.example", "192.0.2.1", "25", log_port=True).namaddr == "a.example[192.0.2.1]:25"


class Transport:
    def __init__(self, peer: object, own: object) -> None:
        self._known = {"peername": peer, "sockname": own}

    def get_extra_info(self, name: str) -> object:
        return self._known[name]


def test_ipv4_over_an_ipv6_socket_is_ipv4_and_zones_are_nobodys_business() -> None:
    both = Transport(("::ffff:192.0.2.1", 4025, 0, 0), ("fe80::1%eth0", 25, 0, 2))
    assert endpoints(both) == ("192.0.2.1", "4025", "fe80::1", "25")


def test_a_client_on_a_local_socket_is_this_host() -> None:
    assert endpoints(Transport("", "/run/x")) == ("127.0.0.1", "0", "127.0.0.1", "0")
