"""Routing beyond what was recorded from Postfix: who is unlisted, what is remembered, what never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.routing.domains import own_addresses
from estafeta.routing.routing import Resolved, Routing, Unlisted
from estafeta.tables.table import TableDown

Value = TypeVar("Value")

SETTINGS = {
    "mydestination": "host.example.com",
    "inet_interfaces": "127.0.0.1",
    "local_recipient_maps": "inline:{{root=x},{mail+list=x}}",
    "virtual_alias_domains": "va.example",
    "virtual_alias_maps": "inline:{{x@va.example=root},{@all.va.example=root}}",
    "virtual_mailbox_domains": "vm.example",
    "virtual_mailbox_maps": "inline:{{u@vm.example=u/}}",
    "relay_domains": "relay.example open.example",
    "relay_recipient_maps": "",
    "recipient_delimiter": "+",
}


def routing(**settings: str) -> Routing:
    return Routing.open(Config.for_test(**{**SETTINGS, **settings}))


def at_once(coroutine: Coroutine[Any, Any, Value]) -> Value:
    """Run a coroutine that must not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


def unlisted(address: str, **settings: str) -> Unlisted | None:
    return asyncio.run(routing(**settings).unlisted_recipient(address))


@pytest.mark.parametrize(
    "address",
    ["root@host.example.com", "root", "root+x@host.example.com", "x@va.example", "u@vm.example", "u+y@vm.example",
     "any@relay.example", "any@other.example"],
)  # fmt: skip
def test_listed(address: str) -> None:
    assert unlisted(address) is None


def test_unlisted_names_the_table() -> None:
    assert unlisted("nobody@host.example.com") == Unlisted(550, "5.1.1", "User unknown in local recipient table")
    assert unlisted("y@va.example") == Unlisted(550, "5.1.1", "User unknown in virtual alias table")
    assert unlisted("v@vm.example") == Unlisted(550, "5.1.1", "User unknown in virtual mailbox table")
    assert unlisted("v@relay.example", relay_recipient_maps="inline:{{a@relay.example=x}}") == Unlisted(
        550, "5.1.1", "User unknown in relay recipient table"
    )


def test_unlisted_without_table_name_and_with_a_softer_code() -> None:
    found = unlisted("nobody@host.example.com", show_user_unknown_table_name="no")
    assert found == Unlisted(550, "5.1.1", "User unknown")
    found = unlisted("nobody@host.example.com", unknown_local_recipient_reject_code="450")
    assert found == Unlisted(450, "4.1.1", "User unknown in local recipient table")


def test_no_local_recipient_table_lists_everybody() -> None:
    assert unlisted("nobody@host.example.com", local_recipient_maps="") is None


def test_a_canonical_table_lists_too() -> None:
    assert unlisted("old@host.example.com", canonical_maps="inline:{{old@host.example.com=root}}") is None


def test_error_and_retry_transports_speak_for_themselves() -> None:
    maps = "inline:{{e.example=error:5.7.1 no mail here},{e2.example=error:no mail},{d.example=retry:4.2.0 later}}"
    assert unlisted("u@e.example", transport_maps=maps) == Unlisted(550, "5.7.1", "no mail here")
    assert unlisted("u@e2.example", transport_maps=maps) == Unlisted(550, "5.1.1", "no mail")
    assert unlisted("u@d.example", transport_maps=maps) == Unlisted(450, "4.2.0", "later")


def test_a_table_that_is_down_says_later() -> None:
    with pytest.raises(TableDown):
        unlisted("nobody@host.example.com", local_recipient_maps="fail:gone")


def test_senders() -> None:
    rules = routing()
    assert at_once(rules.unlisted_sender("")) is None
    assert at_once(rules.unlisted_sender("double-bounce@host.example.com")) is None
    assert at_once(rules.unlisted_sender("nobody@host.example.com")) == Unlisted(
        550, "5.1.0", "User unknown in local recipient table"
    )


def test_without_tables_nothing_waits_and_the_second_answer_is_the_first() -> None:
    rules = routing()
    for _ in range(2):
        assert at_once(rules.resolve("a@other.example")) == Resolved(
            "smtp", "other.example", "a@other.example", "default"
        )
        assert at_once(rules.resolve("b@other.example")).recipient == "b@other.example"
        assert at_once(rules.resolve("root@host.example.com")).transport == "local"


def test_what_is_remembered_is_the_domain_not_an_odd_address_in_it() -> None:
    rules = routing()
    assert at_once(rules.resolve("a%b@other.example")).routed
    assert not at_once(rules.resolve("ab@other.example")).routed
    assert at_once(rules.resolve("-a@other.example")).invalid
    assert not at_once(rules.resolve("a@other.example")).invalid


def test_a_deep_address_of_ours_ends() -> None:
    assert at_once(routing().resolve("a" + "@host.example.com" * 1000)).invalid


def test_rewrite_entry_has_its_own_settings() -> None:
    conf = Config.for_test(**SETTINGS)
    rules = Routing.open(conf, {"relayhost": "[gw.example]"})
    assert at_once(rules.resolve("a@other.example")).nexthop == "[gw.example]"


def test_a_route_is_taken_off() -> None:
    assert routing().rewritten("@x.example,@y.example:a@b.example") == "a@b.example"


def test_own_addresses() -> None:
    import ipaddress

    assert ipaddress.ip_address("127.0.0.1") in own_addresses(("loopback-only",), ())
    assert ipaddress.ip_address("192.0.2.7") in own_addresses(("127.0.0.1",), ("192.0.2.7",))
    assert own_addresses(("::1", "127.0.0.1"), (), ("ipv4",)) == {ipaddress.ip_address("127.0.0.1")}


def test_patterns_see_the_whole_address_and_the_star(tmp_path: Path) -> None:
    """As Postfix 3.7.11 answered with the same table."""
    table = tmp_path / "transport"
    table.write_text(
        "/^t\\.example$/ smtp:[domain]\n/^u@re\\.example$/ smtp:[address]\n"
        "/^\\.t\\.example$/ smtp:[parent]\n/^\\*$/ smtp:[star]\n"
    )
    rules = routing(transport_maps=f"regexp:{table}")
    for address, nexthop in (("x@t.example", "[star]"), ("u@re.example", "[address]"), ("x@s.t.example", "[star]")):
        assert asyncio.run(rules.resolve(address)).nexthop == nexthop


def test_an_address_without_domain_is_looked_into() -> None:
    assert at_once(routing().resolve("a%other.example")).recipient == "a@other.example"
    assert at_once(routing().resolve("other.example!a")).recipient == "a@other.example"


def test_transport_maps_take_no_part_of_an_address(tmp_path: Path) -> None:
    table = tmp_path / "transport"
    table.write_text("/@(one)$/ smtp:$1\n/@one$/ discard:\n")
    rules = routing(transport_maps=f"regexp:{table}")
    assert at_once(rules.resolve("u@one")).transport == "discard"


def test_a_transport_without_a_name_is_told_with_its_parameter() -> None:
    said: list[str] = []
    before = log.install(lambda level, text, program: said.append(text))
    try:
        routing(virtual_transport=":")
    finally:
        log.install(before)
    assert [text.partition(", its mail")[0] for text in said] == [
        "built-in default: parameter virtual_transport: null transport is not allowed"
    ]
