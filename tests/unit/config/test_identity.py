"""Host name, domain, networks and levels."""

from __future__ import annotations

import ipaddress

import pytest

from estafeta.config import compatibility, identity, interfaces
from estafeta.config.instance import Config, ConfigError
from estafeta.config.interfaces import InterfaceAddress
from estafeta.config.main_cf import parse_settings


def conf(text: str) -> Config:
    return Config.build(parse_settings(text, "/x"))


def test_host_name_and_domain_follow_from_each_other(monkeypatch) -> None:
    monkeypatch.setattr(identity, "kernel_host_name", lambda: "vm")
    assert (conf("").myhostname, conf("").mydomain) == ("vm.localdomain", "localdomain")
    assert conf("mydomain = example.com\n").myhostname == "vm.example.com"
    assert conf("myhostname = a.b.example.com\n").mydomain == "b.example.com"
    assert conf("myhostname = foo\n").mydomain == "localdomain"
    assert conf("myhostname = mail.$mydomain\n").myhostname == "mail.localdomain"
    monkeypatch.setattr(identity, "kernel_host_name", lambda: "vm.example.org")
    assert (conf("").myhostname, conf("").mydomain) == ("vm.example.org", "example.org")


@pytest.mark.parametrize("name", ["", "-x.example.com", "a..b", "a b", "x" * 64 + ".example", "1.2.3.4"])
def test_an_impossible_host_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="parameter my"):
        conf(f"myhostname = {name}\n")


def test_myorigin_may_name_a_file_with_the_domain(tmp_path) -> None:
    file = tmp_path / "mailname"
    text = f"myorigin = {file}\nmydestination = $myorigin\n"
    file.write_text(" example.org \nexample.net\n")
    assert (conf(text).myorigin, conf(text).mydestination) == ("example.org", ("example.org",))
    for bad in ("", "\nexample.org\n", "example.org example.net\n"):
        file.write_text(bad)
        with pytest.raises(ConfigError, match=r"line 1: myorigin = .*first line"):
            conf(text)
    file.unlink()
    with pytest.raises(ConfigError, match=r"line 1: myorigin = .*No such file"):
        conf(text)


ADDRESSES = [
    InterfaceAddress("lo", ipaddress.ip_address("127.0.0.1"), 8),
    InterfaceAddress("eth0", ipaddress.ip_address("192.0.2.2"), 28),
    InterfaceAddress("lo", ipaddress.ip_address("::1"), 128),
    InterfaceAddress("eth0", ipaddress.ip_address("fd00::2"), 64),
]


@pytest.mark.parametrize(
    ("style", "chosen", "protocols", "result"),
    [
        ("subnet", "all", "all", "127.0.0.0/8 192.0.2.0/28 [::1]/128 [fd00::]/64"),
        ("host", "all", "ipv4, ipv6", "127.0.0.1/32 192.0.2.2/32 [::1]/128 [fd00::2]/128"),
        ("class", "all", "ipv4", "127.0.0.0/8 192.0.2.0/24"),
        ("subnet", "loopback-only", "all", "127.0.0.0/8 [::1]/128"),
        ("subnet", "192.0.2.2", "all", "192.0.2.0/28"),
        ("subnet", "[::1], 192.0.2.2", "ipv6", "[::1]/128"),
    ],
)
def test_networks_follow_interfaces_and_style(monkeypatch, style, chosen, protocols, result) -> None:
    monkeypatch.setattr(interfaces, "local_addresses", lambda: ADDRESSES)
    assert interfaces.default_networks(style, chosen, protocols) == result


def test_this_machine_has_a_loopback_address() -> None:
    assert any(
        one.address == ipaddress.ip_address("127.0.0.1") and one.bits == 8 for one in interfaces.local_addresses()
    )


def test_an_old_level_is_announced_and_explained() -> None:
    old, new = Config.for_test(), Config.for_test(compatibility_level="3.6")
    assert compatibility.notices(old)[0] == "Postfix is running with backwards-compatible default settings"
    assert compatibility.notices(new) == []
    assert (
        compatibility.legacy_default(old, "append_dot_mydomain", 'to rewrite "a" to "a.b"')
        == 'using backwards-compatible default setting append_dot_mydomain=yes to rewrite "a" to "a.b"'
    )
    assert compatibility.legacy_default(new, "append_dot_mydomain", "x") == ""
    assert compatibility.legacy_default(Config.for_test(append_dot_mydomain="yes"), "append_dot_mydomain", "x") == ""
    assert compatibility.chroot_default(old)
    assert not compatibility.chroot_default(new)


def test_each_legacy_level_is_the_one_at_which_the_default_changes() -> None:
    for name, bound in compatibility.LEGACY_BELOW.items():
        major, minor, _ = compatibility.level(bound)
        before = f"{major}.{minor - 1}" if minor else str(major - 1)
        assert Config.for_test(compatibility_level=before).value(name) != Config.for_test(
            compatibility_level=bound
        ).value(name), name
