"""The resolver against a name server of our own on loopback."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.dns_server import DnsServer

from estafeta.base import log
from estafeta.net.dns import Answer, BadAnswer, BadName, DnsDown, Mx, NoData, NoSuchDomain, Resolver, Srv
from estafeta.net.dnssec_probe import DnssecProbe

ZONE: dict[str, Any] = {
    "example.com": {"MX": ["20 mx2.example.com.", "10 mx1.example.com."], "TXT": ['"v=spf1 " "-all"', '"two"']},
    "mx1.example.com": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "mx2.example.com": {"A": ["192.0.2.2"]},
    "null.example": {"MX": ["0 ."]},
    "badmx.example": {"MX": ["10 -x-.example.", "20 1234.", r"30 a\032b.example."]},
    "halfbad.example": {"MX": ["10 -x-.example.", "20 mx1.example.com.", "30 192.0.2.1."]},
    "mixedmx.example": {"MX": ["0 .", "5 mx1.example.com."]},
    "www.example.com": {"CNAME": ["mx1.example.com."]},
    "far.example.com": {"CNAME": ["www.example.com."], "flags": "ALIAS_ONLY"},
    "round.example": {"CNAME": ["trip.example."]},
    "trip.example": {"CNAME": ["round.example."]},
    "servfail.example": "SERVFAIL",
    "silent.example": "TIMEOUT",
    "half.example": {"A": "SERVFAIL", "AAAA": ["2001:db8::2"]},
    "worse.example": {"A": "SERVFAIL"},
    "big.example": {"TXT": [f'"{"x" * 200}"'], "flags": "TC"},
    "host.lan.example": {"A": ["192.0.2.9"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["mx1.example.com."]},
    "9.2.0.192.in-addr.arpa": "SERVFAIL",
    "old.example": "FORMERR",
    "_submission._tcp.example.com": {
        "SRV": ["10 5 587 mx1.example.com.", "0 0 25 -x-.example.", "20 0 26 mx2.example.com."]
    },
    "_smtp._tcp.example.com": {"SRV": ["0 0 0 ."]},
    "_bad._tcp.example.com": {"SRV": ["0 0 25 -x-.example."]},
    "short.other.example": {"A": ["192.0.2.20"]},
    "a.b.other.example": {"A": ["192.0.2.21"]},
    "many.example": {"A": [f"10.0.{n // 250}.{n % 250}" for n in range(300)]},
}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(work: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(limited())


@pytest.fixture
def server() -> Any:
    with DnsServer(dict(ZONE)) as server:
        yield server


def resolver_for(server: DnsServer, tmp_path: Path, **more: Any) -> Resolver:
    (tmp_path / "hosts").write_text("127.0.0.7 here.example here # c\n192.0.2.77 there\n::7 here.example\n")
    (tmp_path / "resolv.conf").write_text("search lan.example other.example\noptions ndots:1\n")
    return Resolver(
        nameservers=[server.address],
        timeout=0.3,
        attempts=1,
        resolv_conf=tmp_path / "resolv.conf",
        hosts=tmp_path / "hosts",
        **more,
    )


def test_mail_exchangers_come_in_order_of_preference(server: DnsServer, tmp_path: Path) -> None:
    found = run(resolver_for(server, tmp_path).mx("Example.COM."))
    assert found == [Mx(10, "mx1.example.com"), Mx(20, "mx2.example.com")]


def test_null_mx_is_visible(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    assert run(resolver.mx("null.example")) == [Mx(0, "")]
    assert run(resolver.mx("mixedmx.example")) == [Mx(0, "")], "it wins over others, as in Postfix"


def test_mx_with_only_unusable_hosts_is_a_bad_answer(server: DnsServer, tmp_path: Path) -> None:
    with pytest.raises(BadAnswer, match="Malformed or unexpected name server reply"):
        run(resolver_for(server, tmp_path).mx("badmx.example"))


def test_unusable_mx_hosts_are_passed_over_with_a_warning(server: DnsServer, tmp_path: Path) -> None:
    said: list[str] = []
    before = log.install(lambda level, text, program: said.append(text))
    try:
        found = run(resolver_for(server, tmp_path).mx("halfbad.example"))
    finally:
        log.install(before)
    assert found == [Mx(20, "mx1.example.com"), Mx(30, "192.0.2.1")]
    assert said == [
        "valid_hostname: misplaced hyphen: -x-.example",
        "malformed domain name in resource data of MX record for halfbad.example: -x-.example",
        "numeric domain name in resource data of MX record for halfbad.example: 192.0.2.1",
    ]


def test_no_such_domain_and_no_data_differ(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    with pytest.raises(NoSuchDomain) as nxdomain:
        run(resolver.mx("nowhere.example"))
    assert str(nxdomain.value) == (
        "Host or domain name not found. Name service error for name=nowhere.example type=MX: Host not found"
    )
    with pytest.raises(NoData, match="Host found but no data record of requested type"):
        run(resolver.mx("mx1.example.com"))


def test_failure_and_silence_mean_later(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    for name in ("servfail.example", "silent.example"):
        with pytest.raises(DnsDown, match="Host not found, try again"):
            run(resolver.query(name, "A"))


def test_next_server_is_asked_when_one_fails(tmp_path: Path) -> None:
    with DnsServer({"a.example": "SERVFAIL"}) as bad, DnsServer({"a.example": {"A": ["192.0.2.5"]}}) as good:
        resolver = Resolver(nameservers=[bad.address, good.address], timeout=0.3, attempts=1)
        assert run(resolver.addresses("a.example", family=4)) == ["192.0.2.5"]


def test_addresses_of_both_families(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    assert run(resolver.addresses("mx1.example.com")) == ["2001:db8::1", "192.0.2.1"]
    assert run(resolver.addresses("mx2.example.com")) == ["192.0.2.2"]
    assert run(resolver.addresses("half.example")) == ["2001:db8::2"]
    assert run(resolver.addresses("192.0.2.8")) == ["192.0.2.8"]
    with pytest.raises(DnsDown):
        run(resolver.addresses("worse.example"))


def test_answer_has_a_limit(server: DnsServer, tmp_path: Path) -> None:
    said: list[str] = []
    before = log.install(lambda level, text, program: said.append(text))
    try:
        assert len(run(resolver_for(server, tmp_path).addresses("many.example", family=4))) == 100
    finally:
        log.install(before)
    assert said == [
        "DNS record count limit (100) exceeded -- dropping excess record(s) after qname=many.example qtype=A"
    ]


def test_aliases_are_followed_within_and_beyond_an_answer(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    answer = run(resolver.query("www.example.com", "A"))
    assert (answer.records, answer.canonical) == (("192.0.2.1",), "mx1.example.com")
    assert run(resolver.query("far.example.com", "A")).records == ("192.0.2.1",)


def test_circle_of_aliases_ends(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    for _ in range(2):  # the second answer is from the cache
        with pytest.raises(BadAnswer, match="Name server loop for round"):
            run(resolver.query("round.example", "A"))


def test_text_strings_are_joined(server: DnsServer, tmp_path: Path) -> None:
    assert run(resolver_for(server, tmp_path).txt("example.com")) == ["v=spf1 -all", "two"]


def test_cut_answer_is_fetched_by_tcp(server: DnsServer, tmp_path: Path) -> None:
    assert run(resolver_for(server, tmp_path).txt("big.example")) == ["x" * 200]
    assert server.asked_by_tcp == [("big.example", "TXT")]


def test_server_without_edns_is_asked_plainly(server: DnsServer, tmp_path: Path) -> None:
    with pytest.raises(DnsDown):
        run(resolver_for(server, tmp_path).query("old.example", "A"))
    assert len(server.asked) == 2


def test_names_of_addresses(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    assert run(resolver.ptr("192.0.2.1")) == "mx1.example.com"
    assert run(resolver.ptr("192.0.2.200")) is None
    assert run(resolver.ptr("127.0.0.7")) == "here.example"
    assert run(resolver.ptr("127.0.0.7", hosts=False)) is None
    with pytest.raises(DnsDown):
        run(resolver.ptr("192.0.2.9"))


def test_native_lookup_asks_hosts_then_the_search_list(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    assert run(resolver.native("HERE")) == ["127.0.0.7"]
    assert run(resolver.native("here.example", family=6)) == ["::7"]
    assert run(resolver.native("host")) == ["192.0.2.9"]
    assert run(resolver.native("mx2.example.com")) == ["192.0.2.2"]
    with pytest.raises(NoSuchDomain):
        run(resolver.native("nobody"))


def test_answers_are_kept_for_their_ttl(server: DnsServer, tmp_path: Path) -> None:
    clock = Clock()
    resolver = resolver_for(server, tmp_path, clock=clock)
    run(resolver.mx("example.com"))
    clock.now += 299
    run(resolver.mx("example.com"))
    assert len(server.asked) == 1
    assert run(resolver.query("example.com", "MX")).ttl == 1
    clock.now += 2
    run(resolver.mx("example.com"))
    assert len(server.asked) == 2


def test_denials_are_kept_as_the_soa_says_and_failures_for_a_moment(server: DnsServer, tmp_path: Path) -> None:
    clock = Clock()
    resolver = resolver_for(server, tmp_path, clock=clock)

    def ask(name: str) -> int:
        with pytest.raises((NoSuchDomain, DnsDown)):
            run(resolver.query(name, "A"))
        return len(server.asked)

    assert (ask("nowhere.example"), ask("nowhere.example")) == (1, 1)
    clock.now += 61
    assert ask("nowhere.example") == 2
    assert (ask("servfail.example"), ask("servfail.example")) == (3, 3)
    clock.now += 1.1
    assert ask("servfail.example") == 4


def test_a_kept_denial_holds_on_to_nobody_who_asked(server: DnsServer, tmp_path: Path) -> None:
    class Session:
        pass

    async def converse(dns: Resolver, seen: list[weakref.ref[Session]]) -> None:
        session = Session()
        seen.append(weakref.ref(session))
        with pytest.raises(NoSuchDomain):
            await dns.query("not.there.example", "A")
        assert session is not None

    async def work() -> None:
        dns = resolver_for(server, tmp_path)
        seen: list[weakref.ref[Session]] = []
        await converse(dns, seen)
        await asyncio.sleep(0)
        gc.collect()
        assert seen[0]() is None
        assert dns.at_hand("not.there.example", "A")

    run(work())


def test_equal_questions_share_one_answer_and_survive_an_impatient_asker(tmp_path: Path) -> None:
    async def many(resolver: Resolver) -> list[Any]:
        tasks = [asyncio.create_task(resolver.addresses("a.example", family=4)) for _ in range(20)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    with DnsServer({"a.example": {"A": ["192.0.2.5"]}}, delay=0.05) as server:
        first, *others = run(many(Resolver(nameservers=[server.address], timeout=2, attempts=1)))
    assert isinstance(first, asyncio.CancelledError)
    assert others == [["192.0.2.5"]] * 19
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", "-a.example", "a b.example", "x" * 64, "a." * 128, "1.2.3", "a\0b", "a\udc80"]
)
def test_what_is_no_host_name_is_not_asked(name: str, tmp_path: Path) -> None:
    resolver = Resolver(nameservers=[("127.0.0.1", 9)], timeout=0.1, attempts=1)
    with pytest.raises(BadName, match="invalid host or domain name"):
        run(resolver.mx(name))


def test_unicode_name_is_asked_in_its_idna_form(tmp_path: Path) -> None:
    with DnsServer({"xn--mnchen-3ya.example": {"A": ["192.0.2.5"]}}) as server:
        assert run(Resolver(nameservers=[server.address], timeout=2).addresses("München.example", family=4)) == [
            "192.0.2.5"
        ]


def test_closing_gives_up_what_is_on_the_wire(tmp_path: Path) -> None:
    async def close(resolver: Resolver) -> None:
        asking = asyncio.create_task(resolver.query("silent.example", "A"))
        await asyncio.sleep(0.01)
        await resolver.close()
        with pytest.raises(asyncio.CancelledError):
            await asking

    with DnsServer({"silent.example": "TIMEOUT"}) as server:
        run(close(Resolver(nameservers=[server.address], timeout=10)))


def test_hosts_of_a_service(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    expected = [Srv(10, 5, 587, "mx1.example.com"), Srv(20, 0, 26, "mx2.example.com")]
    assert run(resolver.srv("_submission._tcp.example.com")) == expected
    assert run(resolver.srv("_smtp._tcp.example.com")) == [Srv(0, 0, 0, "")]
    with pytest.raises(BadAnswer):
        run(resolver.srv("_bad._tcp.example.com"))
    with pytest.raises(NoSuchDomain):
        run(resolver.srv("_none._tcp.example.com"))


def test_a_server_that_does_not_validate_is_noticed(server: DnsServer, tmp_path: Path) -> None:
    async def case(resolver: Resolver) -> None:
        resolver.probe = DnssecProbe("ns:.")
        await resolver.query("www.example.com", "A")
        await resolver.query("mx2.example.com", "A")
        async with asyncio.timeout(10):
            while len(lines) < 2:
                await asyncio.sleep(0.01)
        await resolver.close()

    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(text))
    try:
        run(case(resolver_for(server, tmp_path)))
    finally:
        log.install(before)
    assert lines == [
        "DNSSEC validation may be unavailable",
        "reason: dnssec_probe 'ns:.' received a response that is not DNSSEC validated",
    ]


def test_the_end_of_an_alias(server: DnsServer, tmp_path: Path) -> None:
    resolver = resolver_for(server, tmp_path)
    assert run(resolver.canonical("www.example.com")) == ("mx1.example.com", False)
    assert run(resolver.canonical("nowhere.example")) == ("nowhere.example", False)


@pytest.mark.parametrize(
    ("options", "name", "address"),
    [
        ((), "short", ""),
        (("res_defnames",), "short", ""),  # only the first domain of the list
        (("res_dnsrch",), "short", ""),  # only names with a dot
        (("res_defnames", "res_dnsrch"), "short", "192.0.2.20"),
        (("res_defnames",), "host", "192.0.2.9"),
        (("res_defnames",), "a.b", ""),
        (("res_dnsrch",), "a.b", "192.0.2.21"),
        (("res_dnsrch",), "mx1.example.com", "192.0.2.1"),
    ],
)
def test_names_are_completed_as_told(
    server: DnsServer, tmp_path: Path, options: tuple[str, ...], name: str, address: str
) -> None:
    resolver = resolver_for(server, tmp_path)
    resolver.complete = frozenset(options)
    if address:
        assert run(resolver.addresses(name, family=4)) == [address]
        return
    with pytest.raises(NoSuchDomain, match=f"name={name} type=A"):
        run(resolver.addresses(name, family=4))


def test_reply_filter_sees_what_is_used_but_not_native_look_ups(server: DnsServer, tmp_path: Path) -> None:
    async def first(answer: Answer) -> Answer:
        return answer._replace(records=answer.records[:1])

    async def refuse(answer: Answer) -> Answer:
        raise DnsDown(answer.name, answer.rrtype)

    resolver = resolver_for(server, tmp_path)
    resolver.reply_filter = first
    assert run(resolver.mx("example.com")) == [Mx(20, "mx2.example.com")]
    resolver.reply_filter = refuse
    with pytest.raises(DnsDown):
        run(resolver.addresses("mx1.example.com", family=4))
    assert run(resolver.native("mx1.example.com", family=4)) == ["192.0.2.1"]
