"""Names of ports and hosts become addresses."""

from __future__ import annotations

import socket

import pytest

from estafeta.net.listen import Address, addresses_of, open_tcp, port_number

KNOWN = ("lmtp=24", "smtp=25", "smtps=submissions=465", "submission=587")


@pytest.mark.parametrize(
    ("name", "number"), [("25", 25), ("smtp", 25), ("smtps", 465), ("submissions", 465), ("lmtp", 24), ("65535", 65535)]
)
def test_ports(name: str, number: int) -> None:
    assert port_number(name, KNOWN) == number


@pytest.mark.parametrize("name", ["65536", "-1", "", "no-such-service"])
def test_what_is_no_port(name: str) -> None:
    with pytest.raises(ValueError, match="write a port number"):
        port_number(name, KNOWN)


def test_literal_addresses() -> None:
    both = (socket.AF_INET, socket.AF_INET6)
    assert addresses_of("127.0.0.1", 25, both) == [Address(socket.AF_INET, "127.0.0.1", 25)]
    assert addresses_of("::1", 25, both) == [Address(socket.AF_INET6, "::1", 25)]


def test_an_address_of_a_protocol_that_is_switched_off() -> None:
    with pytest.raises(ValueError, match="inet_protocols"):
        addresses_of("::1", 25, (socket.AF_INET,))


def test_the_window_is_set_before_it_listens() -> None:
    address = Address(socket.AF_INET, "127.0.0.1", 0)
    (small,), (usual,) = open_tcp(address, 1, window=4096), open_tcp(address, 1)
    with small, usual:
        size = small.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert size <= 8192 < usual.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
