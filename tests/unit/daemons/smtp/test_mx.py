"""From a destination to servers: RFC 5321 5.1, RFC 7505, and texts and codes as Postfix gives them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from estafeta.base.networks import number_of
from estafeta.daemons.smtp.errors import Failure, SiteError
from estafeta.daemons.smtp.mx import Directory, Server, Settings
from estafeta.daemons.smtp.nexthop import Destination
from estafeta.net.dns import BadAnswer, DnsDown, Dropped, Mx, NoData, NoSuchDomain, Srv

MX = {
    "ok.test": [Mx(10, "a.test"), Mx(10, "b.test"), Mx(20, "c.test")],
    "null.test": [Mx(0, "")],
    "mine.test": [Mx(10, "a.test"), Mx(20, "me.test"), Mx(20, "b.test"), Mx(30, "c.test")],
    "onlymine.test": [Mx(10, "alias.test")],
    "byname.test": [Mx(10, "mta.example")],
    "gone.test": [Mx(10, "nx.test"), Mx(20, "nodata.test")],
    "sick.test": [Mx(10, "down.test"), Mx(20, "nx.test")],
    "half.test": [Mx(10, "down.test"), Mx(20, "a.test")],
    "many.test": [Mx(1, "many-addresses.test")],
    "both.test": [Mx(1, "dual.test")],
    "better_gone.test": [Mx(10, "nx.test"), Mx(20, "me.test")],
    "better_sick.test": [Mx(10, "down.test"), Mx(20, "me.test")],
    "circle.test": [Mx(10, "loop.test")],
}
SRV = {
    "srv.test": [Srv(20, 0, 26, "c.test"), Srv(10, 1, 587, "a.test"), Srv(10, 9, 588, "b.test")],
    "srvnull.test": [Srv(0, 0, 0, "")],
    "srvgone.test": [Srv(0, 0, 25, "nx.test")],
    "srvsick.test": [Srv(0, 0, 25, "nx.test"), Srv(0, 0, 25, "down.test")],
}
A = {
    "a.test": ["192.0.2.1"],
    "b.test": ["192.0.2.2"],
    "c.test": ["192.0.2.3"],
    "me.test": ["192.0.2.99"],
    "alias.test": ["192.0.2.99"],
    "mta.example": ["192.0.2.50"],
    "plain.test": ["192.0.2.7"],
    "many-addresses.test": [f"192.0.2.{n}" for n in range(10, 20)],
    "dual.test": [f"192.0.2.{n}" for n in range(30, 36)],
    "selfa.test": ["192.0.2.99"],
}
A["even.test"] = [f"192.0.2.{n}" for n in range(60, 68)]
AAAA = {"even.test": [f"2001:db8::{n}" for n in range(60, 68)], "dual.test": ["2001:db8::1"]}
OWN = frozenset(number for number in [number_of("192.0.2.99")] if number)


class Names:
    async def mx(self, domain: str) -> list[Mx]:
        if domain == "mxdown.test":
            raise DnsDown(domain, "MX")
        if domain == "mxdropped.test":
            raise Dropped(domain, "MX")
        if domain == "mxbad.test":
            raise BadAnswer(domain, "MX")
        if domain in MX:
            return MX[domain]
        raise NoData(domain, "MX") if domain in A else NoSuchDomain(domain, "MX")

    async def addresses(self, host: str, *, family: int = 0) -> list[str]:
        rrtype, table = {4: ("A", A), 6: ("AAAA", AAAA)}[family]
        if host == "down.test" or f"{rrtype} {host}" == "A down4.test":
            raise DnsDown(host, rrtype)
        if host == "loop.test":
            raise BadAnswer(host, rrtype, f"Name server loop for {host}")
        if host in table:
            return table[host]
        raise NoData(host, rrtype) if host in A or host == "nodata.test" else NoSuchDomain(host, rrtype)

    async def srv(self, name: str) -> list[Srv]:
        domain = name.removeprefix("_submission._tcp.")
        if domain == "srvdown.test":
            raise DnsDown(name, "SRV")
        if domain in SRV:
            return SRV[domain]
        raise NoSuchDomain(name, "SRV")

    async def canonical(self, host: str) -> tuple[str, bool]:
        return f"real.{host}", host == "a.test"

    async def native(self, host: str, *, family: int = 0) -> list[str]:
        return ["127.0.0.1"] if host == "localhost" else await self.addresses(host, family=family)


def find(host: str, *, port: int = 25, literal: bool = False, lmtp: bool = False, **settings: Any) -> list[Server]:
    given = Settings(**({"myhostname": "mta.example", "own_addresses": OWN, "families": (4,)} | settings))
    directory = Directory(Names(), given, random.Random(1))
    return asyncio.run(directory.servers(Destination(host, port, literal), lmtp=lmtp))


def refusal(host: str, **more: Any) -> Failure:
    with pytest.raises(SiteError) as caught:
        find(host, **more)
    return caught.value.failure


def hosts(host: str, **more: Any) -> list[str]:
    return [server.host for server in find(host, **more)]


def test_by_preference_with_equal_ones_shuffled() -> None:
    orders = set()
    for seed in range(20):
        given = Settings("mta.example", families=(4,))
        directory = Directory(Names(), given, random.Random(seed))
        orders.add(tuple(s.host for s in asyncio.run(directory.servers(Destination("ok.test", 25)))))
    assert orders == {("a.test", "b.test", "c.test"), ("b.test", "a.test", "c.test")}


def test_not_shuffled_when_told() -> None:
    assert hosts("ok.test", randomize=False) == ["a.test", "b.test", "c.test"]


def test_only_the_best_are_marked() -> None:
    assert [server.best for server in find("ok.test")] == [True, True, False]


def test_domain_without_mx_is_its_own_server() -> None:
    assert find("plain.test")[0].relay == "plain.test[192.0.2.7]:25"


def test_null_mx() -> None:
    failure = refusal("null.test")
    assert (failure.hard, failure.dsn) == (True, "5.1.0")
    assert failure.text == "Domain null.test does not accept mail (nullMX)"


def test_only_servers_better_than_ourselves() -> None:
    assert hosts("mine.test") == ["a.test"]


@pytest.mark.parametrize("domain", ["onlymine.test", "byname.test", "selfa.test"])
def test_loops_back(domain: str) -> None:
    failure = refusal(domain)
    assert (failure.hard, failure.dsn, failure.text) == (True, "5.4.6", f"mail for {domain} loops back to myself")


@pytest.mark.parametrize("domain", ["better_gone.test", "better_sick.test"])
def test_mail_for_a_better_exchanger_that_cannot_be_found_waits(domain: str) -> None:
    failure = refusal(domain)
    assert (failure.hard, failure.dsn) == (False, "4.4.4")
    assert failure.text == f"unable to find primary relay for {domain}"


def test_what_is_unknown_of_one_family_is_told_rather_than_what_the_other_lacks() -> None:
    failure = refusal("down4.test", families=(4, 6), literal=True)
    assert (failure.hard, failure.dsn) == (False, "4.4.3")
    assert "type=A:" in failure.text


def test_an_exchanger_whose_aliases_go_round_is_refused() -> None:
    failure = refusal("circle.test")
    assert (failure.hard, failure.dsn, failure.text) == (True, "5.4.4", "Name server loop for loop.test")


def test_no_loop_on_another_port_or_over_lmtp() -> None:
    assert hosts("onlymine.test", port=2525) == ["alias.test"]
    assert hosts("selfa.test", literal=True, lmtp=True) == ["selfa.test"]


def test_domain_that_does_not_exist_bounces() -> None:
    failure = refusal("nowhere.test")
    assert (failure.hard, failure.dsn) == (True, "5.4.4")
    assert (
        failure.text == "Host or domain name not found. Name service error for name=nowhere.test type=A: Host not found"
    )


def test_last_type_asked_is_named() -> None:
    assert "type=AAAA: Host not found" in refusal("nowhere.test", families=(4, 6)).text


def test_name_servers_down_defers() -> None:
    failure = refusal("mxdown.test")
    assert (failure.hard, failure.dsn, failure.throttle) == (False, "4.4.3", True)
    assert failure.text.endswith("name=mxdown.test type=MX: Host not found, try again")


def test_unusable_mx_answer_is_final() -> None:
    failure = refusal("mxbad.test")
    assert (failure.hard, failure.dsn) == (True, "5.4.4")


def test_mx_error_can_be_ignored() -> None:
    assert refusal("mxdown.test", ignore_mx_error=True).text.endswith("type=A: Host not found")


def test_no_exchanger_has_an_address() -> None:
    failure = refusal("gone.test")
    assert (failure.hard, failure.dsn) == (True, "5.4.4")
    assert not refusal("gone.test", defer_no_address=True).hard


def test_one_doubt_makes_it_later() -> None:
    failure = refusal("sick.test")
    assert (failure.hard, failure.dsn) == (False, "4.4.4")


def test_one_good_address_is_enough() -> None:
    assert hosts("half.test") == ["a.test"]


def test_literal_host_asks_no_mx() -> None:
    assert hosts("a.test", literal=True) == ["a.test"]
    assert refusal("ok.test", literal=True).text.endswith("type=A: Host not found")


def test_without_dns_the_system_is_asked() -> None:
    assert hosts("localhost", use_dns=False, lookup=("native",)) == ["localhost"]
    failure = refusal("down.test", use_dns=False, lookup=("native",))
    assert failure.text == "unable to look up host down.test: Temporary failure in name resolution"
    assert (failure.hard, failure.dsn) == (False, "4.4.4")


def test_dns_then_native() -> None:
    assert hosts("localhost", literal=True, lookup=("dns", "native")) == ["localhost"]


def test_address_limit() -> None:
    assert len(find("many.test")) == 5
    assert len(find("many.test", address_limit=0)) == 10


def test_limit_leaves_room_for_both_protocols() -> None:
    for seed in range(10):
        given = Settings("mta.example", families=(4, 6))
        directory = Directory(Names(), given, random.Random(seed))
        found = asyncio.run(directory.servers(Destination("both.test", 25)))
        assert any(":" in server.address for server in found)


def test_address_preference() -> None:
    assert ":" in find("both.test", families=(4, 6), preference="ipv6")[0].address
    assert ":" not in find("both.test", families=(4, 6), preference="ipv4")[0].address


def test_address_of_a_family_that_is_off() -> None:
    failure = refusal("2001:db8::1", literal=True)
    assert (failure.hard, failure.dsn) == (True, "5.4.4")
    assert failure.text == "Name service error for 2001:db8::1: invalid host or domain name"


def test_an_answer_that_a_filter_emptied_is_later() -> None:
    failure = refusal("mxdropped.test")
    text = "Error looking up name=mxdropped.test type=MX: DNS reply filter drops all results"
    assert (failure.hard, failure.dsn, failure.text) == (False, "4.7.0", text)


def test_what_dns_cannot_tell_now_is_not_asked_elsewhere() -> None:
    failure = refusal("down.test", literal=True, lookup=("native", "dns"))
    assert (failure.hard, failure.dsn) == (False, "4.4.3")


def test_names_of_aliases() -> None:
    assert hosts("a.test", literal=True) == ["a.test"]
    assert hosts("c.test", literal=True, cname_overrides=True) == ["real.c.test"]
    # Proven aliases count in any case.
    assert hosts("a.test", literal=True, dnssec=True) == ["real.a.test"]
    assert hosts("c.test", literal=True, dnssec=True) == ["c.test"]


def by_service(domain: str, seed: int = 1, **settings: Any) -> list[Server]:
    given = Settings("mta.example", (4,), OWN, srv=frozenset({"submission"}), **settings)
    directory = Directory(Names(), given, random.Random(seed))
    return asyncio.run(directory.servers(Destination(domain, 587, service="submission")))


def test_srv_by_priority_and_weight() -> None:
    first = [by_service("srv.test", seed)[0] for seed in range(100)]
    assert {server.relay for server in first} == {"a.test[192.0.2.1]:587", "b.test[192.0.2.2]:588"}
    assert sum(server.host == "b.test" for server in first) > 70
    assert by_service("srv.test")[-1].relay == "c.test[192.0.2.3]:26"


def test_srv_only_for_services_that_are_named() -> None:
    assert hosts("plain.test", srv=frozenset({"other"})) == ["plain.test"]


def srv_failure(domain: str, **settings: Any) -> Failure:
    with pytest.raises(SiteError) as caught:
        by_service(domain, **settings)
    return caught.value.failure


def test_srv_failures() -> None:
    assert (srv_failure("plain.test").dsn, srv_failure("plain.test").hard) == ("5.4.4", True)
    assert (srv_failure("srvnull.test").dsn, srv_failure("srvnull.test").hard) == ("5.1.0", True)
    assert (srv_failure("srvdown.test").dsn, srv_failure("srvdown.test").hard) == ("4.4.3", False)
    assert srv_failure("srvgone.test").hard
    assert not srv_failure("srvsick.test").hard


def test_srv_fallback() -> None:
    assert [server.relay for server in by_service("plain.test", srv_fallback=True)] == ["plain.test[192.0.2.7]:587"]
    assert srv_failure("plain.test", ignore_srv_error=True).hard
    A["srvdown.test"] = ["192.0.2.8"]
    try:
        assert by_service("srvdown.test", ignore_srv_error=True)[0].address == "192.0.2.8"
        assert by_service("srvdown.test", srv_fallback=True)[0].address == "192.0.2.8"
    finally:
        del A["srvdown.test"]


@pytest.mark.parametrize(
    ("limit", "preference", "expected"),
    [(5, "ipv6", "66644"), (5, "ipv4", "44466"), (8, "ipv6", "66664444"), (2, "ipv4", "46"), (1, "ipv6", "6")],
)
def test_each_protocol_gets_half_of_the_places(limit: int, preference: str, expected: str) -> None:
    found = find("even.test", families=(4, 6), address_limit=limit, preference=preference)
    assert "".join("6" if ":" in server.address else "4" for server in found) == expected


def test_places_that_one_protocol_does_not_need_go_to_the_other() -> None:
    found = find("both.test", families=(4, 6), preference="ipv6")
    assert ["6" if ":" in server.address else "4" for server in found] == ["6", "4", "4", "4", "4"]
    found = find("even.test", families=(4, 6), address_limit=3, preference="ipv6", balance=False)
    assert all(":" in server.address for server in found)
