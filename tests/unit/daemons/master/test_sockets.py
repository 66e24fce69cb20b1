"""Where each service listens, by name, type and the interfaces in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.config.master_cf import ServiceEntry
from estafeta.daemons.master.sockets import addresses, is_public, local_path, numeric_name, open_sockets, place_of


def inet(name: str) -> ServiceEntry:
    return ServiceEntry(name, "inet", False, True, False, 0, True, 100, "smtpd", file="master.cf", line=3)


def conf(**values: str) -> Config:
    return Config.for_test(**({"inet_protocols": "all"} | values))


def listening(name: str, **values: str) -> list[tuple[str, int]]:
    return [(address.host, address.port) for address in addresses(inet(name), conf(**values))]


def test_all_interfaces_are_the_wildcards() -> None:
    assert listening("smtp", inet_interfaces="all") == [("0.0.0.0", 25), ("::", 25)]


def test_loopback_only() -> None:
    assert listening("2525", inet_interfaces="loopback-only") == [("127.0.0.1", 2525), ("::1", 2525)]


def test_one_protocol() -> None:
    assert listening("25", inet_interfaces="all", inet_protocols="ipv4") == [("0.0.0.0", 25)]
    assert listening("25", inet_interfaces="all", inet_protocols="ipv6") == [("::", 25)]


def test_no_protocol_is_told() -> None:
    said: list[str] = []
    before = log.install(lambda level, text, program: said.append(text))
    try:
        assert open_sockets(inet("25"), conf(inet_interfaces="all", inet_protocols=""), 1).addresses == {}
    finally:
        log.install(before)
    assert said == [
        "built-in default: inet_protocols is empty, so 25 listens nowhere: write all, ipv4 or ipv6",
    ]


def test_named_interfaces() -> None:
    assert listening("25", inet_interfaces="127.0.0.1, [::1], 127.0.0.1") == [("127.0.0.1", 25), ("::1", 25)]


def test_a_host_in_the_name_counts_instead_of_the_interfaces() -> None:
    assert listening("127.0.0.1:submission", inet_interfaces="all") == [("127.0.0.1", 587)]
    assert listening("[::1]:smtps", inet_interfaces="all") == [("::1", 465)]


@pytest.mark.parametrize("name", ["no-such-service", "127.0.0.1:no-such-service"])
def test_an_unknown_port_names_file_and_line(name: str) -> None:
    with pytest.raises(ConfigError, match=r"master\.cf, line 3: .*unknown service: no-such-service/tcp"):
        addresses(inet(name), conf())


def test_local_sockets_are_private_or_public() -> None:
    private = ServiceEntry("bounce", "unix", True, True, False, 0, True, 0, "bounce")
    public = ServiceEntry("pickup", "fifo", False, True, False, 60, True, 1, "pickup")
    assert (local_path(private), local_path(public)) == (Path("private/bounce"), Path("public/pickup"))


def test_sockets_are_kept_only_if_they_would_be_the_same() -> None:
    same = place_of(inet("25"), conf(inet_interfaces="loopback-only"), 2)
    assert place_of(inet("25"), conf(inet_interfaces="loopback-only"), 2) == same
    assert place_of(inet("25"), conf(inet_interfaces="loopback-only"), 3) != same
    assert place_of(inet("25"), conf(inet_interfaces="all"), 2) != same


@pytest.mark.parametrize(
    ("name", "interfaces", "public"),
    [
        ("smtp", "all", True),
        ("smtp", "loopback-only", False),
        ("127.0.0.1:smtp", "all", False),
        ("[::1]:smtp", "all", False),
        ("192.0.2.1:smtp", "loopback-only", True),
        ("smtp", "127.0.0.1, 192.0.2.1", True),
    ],
)
def test_what_other_machines_reach(name: str, interfaces: str, public: bool) -> None:
    assert is_public(inet(name), conf(inet_interfaces=interfaces)) is public


def test_numeric_name() -> None:
    assert [numeric_name(inet(name), conf()) for name in ("smtp", "127.0.0.1:submission", "2525")] == [
        "25",
        "127.0.0.1:587",
        "2525",
    ]
