"""The forms of a next hop: smtp(8)."""

from __future__ import annotations

import pytest

from estafeta.daemons.smtp.nexthop import Destination, NexthopError, known_ports, parse_nexthop, plain_name

PORTS = known_ports(["lmtp=24", "smtp=25", "smtps=submissions=465", "odd", "x=y"])


def smtp(text: str) -> list[Destination]:
    places, slips = parse_nexthop(text, lmtp=False, port="smtp", ports=PORTS)
    if slips:
        raise slips[0]
    return places


def lmtp(text: str) -> list[Destination]:
    places, slips = parse_nexthop(text, lmtp=True, port="24", ports=PORTS)
    if slips:
        raise slips[0]
    return places


def test_domain() -> None:
    assert smtp("example.com") == [Destination("example.com", 25)]


def test_domain_and_port() -> None:
    assert smtp("example.com:587") == [Destination("example.com", 587)]
    assert smtp("example.com:submissions") == [Destination("example.com", 465)]


def test_the_service_is_kept_for_srv_but_not_in_brackets() -> None:
    assert smtp("example.com:submissions")[0].service == "submissions"
    assert smtp("example.com")[0].service == "smtp"
    assert smtp("[example.com]:submissions")[0].service == ""
    assert lmtp("inet:example.com:lmtp")[0].service == "lmtp"


def test_brackets_turn_off_mx() -> None:
    assert smtp("[mail.example]:2525") == [Destination("mail.example", 2525, literal=True)]
    assert smtp("[192.0.2.1]") == [Destination("192.0.2.1", 25, literal=True)]


def test_ipv6() -> None:
    assert smtp("[ipv6:2001:db8::1]:26") == [Destination("2001:db8::1", 26, literal=True)]
    assert smtp("[2001:db8::1]") == [Destination("2001:db8::1", 25, literal=True)]


def test_several() -> None:
    assert [each.host for each in smtp("a.example, [b.example]:26 c.example")] == [
        "a.example",
        "b.example",
        "c.example",
    ]


def test_a_slip_in_a_list_leaves_the_others() -> None:
    places, slips = parse_nexthop("[a.example b.example, [c.example]:0 d.example", lmtp=False, port="25", ports={})
    assert [each.host for each in places] == ["b.example", "d.example"]
    assert [str(slip)[:24] for slip in slips] == ["invalid destination '[a.", "bad port number '0'"]


def test_lmtp() -> None:
    assert lmtp("unix:/run/lmtp") == [Destination("", path="/run/lmtp")]
    assert lmtp("inet:localhost") == [Destination("localhost", 24, literal=True)]
    assert lmtp("inet:[127.0.0.1]:2400") == [Destination("127.0.0.1", 2400, literal=True)]
    assert lmtp("localhost:25") == [Destination("localhost", 25, literal=True)]


@pytest.mark.parametrize(
    "text", ["", " , ", "[a", "[a]b", "[a]:", "a:0", "a:70000", "a:nosuchservice", ":25", "[]:25", "x " * 101]
)
def test_unreadable(text: str) -> None:
    if text == "[a]:":
        assert smtp(text) == [Destination("a", 25, literal=True)]
        return
    with pytest.raises(NexthopError):
        smtp(text)


@pytest.mark.parametrize(
    "text",
    ["[256.1.1.1]:25", "256.1.1.1", "[127.1]", "-bad-.test", "[.test]", "[a..b]", "a!b:25", "[ipv6:zz]", "[ipv6:a]"],
)
def test_what_is_no_name_is_a_slip_of_the_administrator_and_no_reason_to_return_mail(text: str) -> None:
    with pytest.raises(NexthopError, match="in server description"):
        smtp(text)


def test_names_out_of_the_ordinary() -> None:
    for text in ("[my_host]", "a.test.", "[::1]", "[IPv6:::1]", "bücher.example", "1.example"):
        assert smtp(text)[0].port == 25


def test_lmtp_without_path() -> None:
    with pytest.raises(NexthopError):
        lmtp("unix:")


def test_plain_name() -> None:
    assert plain_name("a.example:26", lmtp=False) == "a.example"
    assert plain_name("[192.0.2.1]:26", lmtp=False) == "192.0.2.1"
    assert plain_name("unix:/run/lmtp", lmtp=True) == "/run/lmtp"
    assert plain_name("inet:[a.example]", lmtp=True) == "a.example"
