"""One loaded configuration."""

from __future__ import annotations

import pytest

from estafeta.base import log
from estafeta.config.instance import Config, ConfigError, load_settings
from estafeta.config.main_cf import parse_settings


def build(text: str, overrides: dict[str, str] | None = None, service: str = "") -> Config:
    return Config.build(parse_settings(text, "/etc/postfix"), overrides or {}, service=service)


def test_attributes_hold_parsed_values() -> None:
    conf = Config.for_test(
        smtpd_helo_required="yes", message_size_limit="5", ipc_timeout="2m", mydestination="a, $myhostname"
    )
    assert conf.smtpd_helo_required is True
    assert conf.message_size_limit == 5
    assert conf.ipc_timeout == 120
    assert conf.mydestination == ("a", "host.example.com")


def test_expressions_decide_defaults() -> None:
    assert Config.for_test().append_dot_mydomain is True
    assert Config.for_test(compatibility_level="3.6").append_dot_mydomain is False
    assert Config.for_test(stress="yes").smtpd_timeout == 10


def test_overrides_win_and_see_each_other() -> None:
    conf = build("myhostname = h.example.com\nrelayhost = x\n", {"relayhost": "[$gate]", "gate": "g.example.com"})
    assert conf.value("relayhost") == "[g.example.com]"
    assert conf.origin("gate") == "/etc/postfix/master.cf: -o gate"


def test_service_name_is_known_to_values() -> None:
    conf = build("myhostname = h.example.com\n", {"syslog_name": "postfix/$service_name"}, "submission")
    assert conf.syslog_name == "postfix/submission"


def test_text_by_name() -> None:
    conf = build("myhostname = h.example.com\nrelay = smtp.$mydomain\nrelayhost = [$relay]\n")
    assert conf.value("relay") == "smtp.example.com"
    assert conf.raw_value("relay") == "smtp.$mydomain"
    assert conf.value("nosuch") == ""
    assert conf.value("queue_directory") == "/var/spool/postfix"
    assert conf.expand("$relay!") == "smtp.example.com!"
    assert conf.value("config_directory") == "/etc/postfix" == conf.config_directory
    assert conf.origin("relay") == "/etc/postfix/main.cf, line 2"
    assert conf.origin("queue_directory") == "built-in default"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("soft_bounce = maybe", "bad boolean value 'maybe': write yes or no"),
        ("soft_bounce =", "bad boolean value"),
        ("message_size_limit = 12k", "bad number '12k': write digits only"),
        ("ipc_timeout = 3x", "bad time '3x': write a number with s, m, h, d or w"),
        ("ipc_timeout = 0", "too short"),
        ("slow = $\nheader_checks = $slow", "write \\$\\$"),
        ("relayhost = $relayhost", "may not refer to itself"),
        ("compatibility_level = x", "malformed compatibility level"),
        ("smtp_destination_rate_delay = often", "bad time 'often'"),
        ("mynetworks_style = foo", "is not one of: class, subnet, host|write host, subnet or class"),
    ],
)
def test_a_bad_value_names_file_line_and_remedy(line: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        build(f"myhostname = h.example.com\n{line}\n")
    assert "main.cf, line" in str(caught.value) or "compatibility" in line


def test_a_default_that_follows_another_value_stays_within_its_limits() -> None:
    conf = Config.for_test(default_process_limit="7")
    assert conf.default_process_limit == 7
    assert conf.postscreen_pre_queue_limit == 10
    with pytest.raises(ConfigError, match="too small: the least is 10"):
        Config.for_test(postscreen_pre_queue_limit="7")


def test_a_bad_override_names_the_service() -> None:
    with pytest.raises(ConfigError, match=r"master.cf, service smtp: -o soft_bounce: soft_bounce = x"):
        build("myhostname = h.example.com\n", {"soft_bounce": "x"}, "smtp")


def test_a_transport_follows_its_own_name_then_the_default() -> None:
    conf = build(
        "myhostname = h.example.com\nslow_destination_rate_delay = 2s\n"
        "default_destination_concurrency_limit = 7\nlocal_destination_rate_delay = 1m\n"
    )
    assert conf.transport("slow").destination_rate_delay == 2
    assert conf.transport("slow").destination_concurrency_limit == 7
    assert conf.transport("local").destination_concurrency_limit == 2
    assert conf.transport("local").destination_rate_delay == 60
    assert conf.transport("slow") is conf.transport("slow")


def test_the_two_clients_differ() -> None:
    conf = Config.for_test(smtp_mail_timeout="1m")
    assert conf.client("smtp").mail_timeout == 60
    assert conf.client("lmtp").mail_timeout == 300
    assert conf.client("lmtp").tcp_port == "24"


def test_the_directory_comes_from_the_environment(tmp_path, monkeypatch) -> None:
    (tmp_path / "main.cf").write_text("myhostname = elsewhere.example.com\n")
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    assert Config.load().myhostname == "elsewhere.example.com"
    assert Config.load().config_directory == str(tmp_path)


def test_obsolete_names_beside_new_ones_are_reported_once() -> None:
    conf = build("myhostname = h.example.com\nsmtp_use_tls = yes\nsmtp_tls_security_level = may\n")
    (remark,) = [text for text in conf.warnings if "overruled" in text]
    assert remark.startswith("/etc/postfix/main.cf, line 2: parameter smtp_use_tls is overruled")
    said: list[str] = []
    before = log.install(lambda level, text, program: said.append(text))
    try:
        conf.report()
        conf.report()
    finally:
        log.install(before)
    assert said.count(remark) == 1


def test_a_parameter_without_effect_is_reported() -> None:
    from estafeta.config.params.index import declared

    pending = next((name for name, one in declared().items() if one.pending and one.kind == "text"), "")
    if pending:
        conf = Config.for_test(**{pending: "something"})
        assert any(f"parameter {pending} has no effect yet" in text for text in conf.warnings)


def test_settings_are_read_from_a_directory(tmp_path) -> None:
    (tmp_path / "main.cf").write_text("myhostname = h.example.com\n")
    assert load_settings(str(tmp_path)).values == {"myhostname": "h.example.com"}


def test_entries_that_set_nothing_share_the_values_and_keep_their_names() -> None:
    settings = parse_settings("myhostname = mail.example.com\n")
    one, other = Config.build(settings, service="smtp"), Config.build(settings, service="relay")
    assert (one.value("service_name"), other.value("service_name")) == ("smtp", "relay")
    assert one.myhostname == other.myhostname == "mail.example.com"
    assert one.transport("slow") is other.transport("slow")


def test_a_value_that_names_the_service_differs_between_entries() -> None:
    settings = parse_settings("myhostname = mail.example.com\nsmtp_helo_name = $service_name.example.com\n")
    names = [Config.build(settings, service=name).client("smtp").helo_name for name in ("smtp", "relay")]
    assert names == ["smtp.example.com", "relay.example.com"]


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("allow_mail_to_commands", "aliases, forward", "alias, forward, include"),
        ("allow_mail_to_files", "aliases, forward", "alias, forward, include"),
        ("canonical_classes", "envelope", "envelope_sender, envelope_recipient, header_sender, header_recipient"),
        ("sender_canonical_classes", "envelope_recipient", "envelope_sender, header_sender"),
        ("recipient_canonical_classes", "header_sender", "envelope_recipient, header_recipient"),
        ("masquerade_classes", "header", "envelope_sender, envelope_recipient, header_sender, header_recipient"),
        ("propagate_unmatched_extensions", "aliases", "canonical, virtual, alias, forward, include, generic"),
        ("prepend_delivered_header", "files", "command, file, forward"),
        ("mailbox_delivery_lock", "lockf", "dotlock, fcntl, flock"),
        ("virtual_mailbox_lock", "lockf", "dotlock, fcntl, flock"),
        (
            "receive_override_options",
            "no_milter",
            "no_unknown_recipient_checks, no_address_mappings, no_header_body_checks, no_milters",
        ),
        (
            "smtputf8_autodetect_classes",
            "submission",
            "sendmail, smtpd, qmqpd, forward, bounce, notify, verify, all",
        ),
    ],
)
def test_a_mistyped_word_that_would_return_mail_or_do_nothing_is_refused(name: str, value: str, known: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} = {value}: unknown word .*: the words are {known}$"):
        Config.for_test(**{name: value})


def test_an_unknown_syslog_facility_is_refused() -> None:
    with pytest.raises(ConfigError, match="syslog_facility = mial: 'mial' is not one of: auth, authpriv, cron, "):
        Config.for_test(syslog_facility="mial")
