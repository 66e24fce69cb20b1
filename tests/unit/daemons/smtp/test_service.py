"""What main.cf says about the client, as the client understands it."""

from __future__ import annotations

from ipaddress import ip_address

from estafeta.config.instance import Config
from estafeta.daemons.smtp.connection import UNUSABLE
from estafeta.daemons.smtp.nexthop import services_file
from estafeta.daemons.smtp.service import bind_addresses, directory_settings, manner_of

ONE = frozenset({ip_address("192.0.2.1")})
TWO = ONE | {ip_address("192.0.2.2"), ip_address("2001:db8::1")}


def test_the_only_address_is_where_connections_start() -> None:
    settings = Config.for_test().client("smtp")
    assert bind_addresses(settings, frozenset(ONE)) == {4: "192.0.2.1", 6: ""}
    assert bind_addresses(settings, frozenset(TWO)) == {4: "", 6: "2001:db8::1"}


def test_loopback_is_not_where_connections_start() -> None:
    settings = Config.for_test().client("smtp")
    assert bind_addresses(settings, frozenset({ip_address("127.0.0.1")})) == {4: "", 6: ""}


def test_bind_address_that_is_set_wins() -> None:
    settings = Config.for_test(smtp_bind_address="192.0.2.9").client("smtp")
    assert bind_addresses(settings, frozenset(ONE))[4] == "192.0.2.9"


def test_lmtp_has_settings_of_its_own() -> None:
    conf = Config.for_test(lmtp_lhlo_name="me.example", lmtp_mail_timeout="7s", smtp_mail_timeout="8s")
    manner = manner_of(conf, conf.client("lmtp"), {}, lmtp=True)
    assert (manner.lmtp, manner.helo_name, manner.mail_timeout) == (True, "me.example", 7)
    assert manner_of(conf, conf.client("smtp"), {}, lmtp=False).mail_timeout == 8


def test_what_is_no_bind_address_is_not_used() -> None:
    for name, text in (("smtp_bind_address", "::1"), ("smtp_bind_address6", "127.0.0.1"), ("smtp_bind_address", "x")):
        settings = Config.for_test(**{name: text}).client("smtp")
        assert UNUSABLE in bind_addresses(settings, frozenset()).values()


def test_srv_settings() -> None:
    conf = Config.for_test(use_srv_lookup="submission, submissions", allow_srv_lookup_fallback="yes")
    found = directory_settings(conf, conf.client("smtp"), frozenset())
    assert (found.srv, found.srv_fallback, found.ignore_srv_error) == ({"submission", "submissions"}, True, False)


def test_protocols() -> None:
    for text, families in (("all", (4, 6)), ("ipv4", (4,)), ("ipv6", (6,)), ("ipv4, ipv6", (4, 6))):
        conf = Config.for_test(inet_protocols=text)
        assert directory_settings(conf, conf.client("smtp"), frozenset()).families == families


def test_ways_to_look_up_hosts() -> None:
    conf = Config.for_test(smtp_host_lookup="native, dns")
    assert directory_settings(conf, conf.client("smtp"), frozenset()).lookup == ("native", "dns")
    conf = Config.for_test(disable_dns_lookups="yes")
    found = directory_settings(conf, conf.client("smtp"), frozenset())
    assert (found.use_dns, found.lookup) == (False, ("native",))
    conf = Config.for_test(disable_dns_lookups="yes", smtp_dns_support_level="enabled")
    assert directory_settings(conf, conf.client("smtp"), frozenset()).use_dns


def test_services_file(tmp_path: object) -> None:
    import pathlib

    path = pathlib.Path(str(tmp_path)) / "services"
    path.write_text("# comment\nsmtp 25/tcp mail\nsmtp 26/udp\nbad\nlmtp\t24/tcp # x\n")
    assert services_file(str(path)) == {"smtp": 25, "mail": 25, "lmtp": 24}
    assert services_file("/no/such/file") == {}
