"""Address probes have routes of their own where the administrator says so."""

from __future__ import annotations

import asyncio

import pytest

from estafeta.config.instance import Config
from estafeta.routing.routing import Routing


def test_there_is_none_unless_something_is_set() -> None:
    assert Routing.open_for_probes(Config.for_test(relayhost="[r]", transport_maps="inline:{x=smtp:}")) is None


@pytest.mark.parametrize(
    ("setting", "value", "address", "expected"),
    [
        ("address_verify_transport_maps", "inline:{far.example=lmtp:here}", "x@far.example", ("lmtp", "here")),
        ("address_verify_relayhost", "", "x@far.example", ("smtp", "far.example")),
        ("address_verify_default_transport", "discard:x", "x@far.example", ("discard", "x")),
        ("address_verify_local_transport", "discard:x", "x@host.example.com", ("discard", "x")),
        ("address_verify_relay_transport", "discard:x", "x@relay.example", ("discard", "x")),
        ("address_verify_virtual_transport", "discard:x", "x@vm.example", ("discard", "x")),
        (
            "address_verify_sender_dependent_relayhost_maps",
            "inline:{s@s.example=[other]}",
            "x@far.example",
            ("smtp", "[other]"),
        ),
        (
            "address_verify_sender_dependent_default_transport_maps",
            "inline:{s@s.example=discard:y}",
            "x@far.example",
            ("discard", "y"),
        ),
    ],
)
def test_each_setting_counts_for_probes_only(setting: str, value: str, address: str, expected: tuple[str, str]) -> None:
    common = {"relayhost": "[relay]", "relay_domains": "relay.example", "virtual_mailbox_domains": "vm.example"}
    conf = Config.for_test(**common, **{setting: value})
    probes = Routing.open_for_probes(conf)
    assert probes is not None
    found = asyncio.run(probes.resolve(address, "s@s.example"))
    assert (found.transport, found.nexthop) == expected
    other = asyncio.run(Routing.open(conf).resolve(address, "s@s.example"))
    assert (other.transport, other.nexthop) != expected


def test_options_of_the_rewrite_entry_count_here_too() -> None:
    probes = Routing.open_for_probes(Config.for_test(), {"address_verify_relayhost": "[other]"})
    assert probes is not None
    assert asyncio.run(probes.resolve("x@far.example")).nexthop == "[other]"
