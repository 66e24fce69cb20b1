"""The declarations against the facts: every parameter of Postfix 3.12 with its default, a kind that fits, a text."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from estafeta.config.expand import expand
from estafeta.config.kinds import Parameter
from estafeta.config.params.index import COMPUTED, declared, transport_parameters

FACTS = Path(__file__).with_name("parameters.tsv")

# On purpose: our own name in greetings, and networks that are this machine's and not the one's that was recorded.
OTHER_DEFAULT = {"mail_name": "Estafeta", "mynetworks": ""}

OWN = {
    "estafeta_auth_cache_time",
    "estafeta_auth_failure_delay",
    "estafeta_auth_queue",
    "estafeta_auth_threads",
    "estafeta_large_message",
    "estafeta_mailbox_sync",
    "estafeta_progress_sync",
    "estafeta_segment_size",
    "estafeta_user_limit_action",
    "estafeta_user_limit_maps",
    "estafeta_user_message_rate_limit",
    "estafeta_user_rate_time_unit",
    "estafeta_user_recipient_rate_limit",
    "estafeta_worker_processes",
}

# Computed values that Postfix prints only on a machine, and so are not among the facts.
UNRECORDED = COMPUTED - {"mynetworks"}


def facts() -> dict[str, str]:
    lines = FACTS.read_text(encoding="utf-8").splitlines()
    return {line.split("\t")[0]: line.split("\t")[1] for line in lines if line and not line.startswith("#")}


def lookup(level: str, name: str) -> str | None:
    if name == "compatibility_level":
        return level
    if name == "myhostname":
        return "mail.example.com"
    if name == "mydomain":
        return "example.com"
    found = declared().get(name)
    return found.default if found else None


def test_every_name_of_the_facts_is_declared_and_no_other() -> None:
    assert set(declared()) == set(facts()) | OWN | UNRECORDED


def test_defaults_are_those_of_the_facts() -> None:
    expected = facts() | OTHER_DEFAULT
    assert {name: p.default for name, p in declared().items() if name in expected} == expected


@pytest.mark.parametrize("level", ["0", "3.6", "3.12"])
def test_every_default_is_a_legal_value_of_its_kind(level: str) -> None:
    wrong = {}
    for name, parameter in declared().items():
        text = parameter.default
        if parameter.expand:
            text = expand(text, lambda asked: lookup(level, asked))
        try:
            parameter.parse(text)
        except ValueError as error:
            wrong[name] = str(error)
    assert wrong == {}


@pytest.mark.parametrize("stress", ["", "yes"])
def test_defaults_under_stress_are_legal_too(stress: str) -> None:
    for name in ("smtpd_timeout", "smtpd_hard_error_limit", "smtpd_per_request_deadline", "postscreen_greet_wait"):
        text = expand(declared()[name].default, lambda asked: stress if asked == "stress" else lookup("3.12", asked))
        declared()[name].parse(text)


def test_every_text_says_something() -> None:
    poor = [name for name, p in declared().items() if len(p.text) < 20 or not p.text.endswith((".", ".)"))]
    assert poor == []


def test_texts_are_plain_running_text() -> None:
    odd = [name for name, p in declared().items() if "  " in p.text or "\n" in p.text or p.text != p.text.strip()]
    assert odd == []


def test_no_text_serves_two_parameters() -> None:
    # Members of a family share their text, whatever the prefix.
    singular = re.compile(r"^(smtp|lmtp|error|local|relay|retry|virtual)_")
    texts = Counter({(singular.sub("", n), p.text) for n, p in declared().items() if "lhlo" not in n})
    repeated = {text for text, count in Counter(text for _, text in texts).items() if count > 1}
    assert repeated == set()


def test_obsolete_parameters_say_what_to_use_or_that_nothing_is_needed() -> None:
    for name in ("smtp_use_tls", "smtpd_enforce_tls", "maps_rbl_domains", "sun_mailtool_compatibility"):
        assert declared()[name].obsolete, name


def test_families_follow_the_prefix() -> None:
    assert declared()["lmtp_tls_key_file"].default == "$lmtp_tls_cert_file"
    assert declared()["smtp_tls_key_file"].default == "$smtp_tls_cert_file"
    assert "lmtp_helo_timeout" not in declared()
    assert "lmtp_always_send_ehlo" not in declared()
    assert "smtp_assume_final" not in declared()


def test_a_transport_of_master_cf_brings_its_parameters() -> None:
    slow = transport_parameters("slow")
    assert slow["slow_destination_rate_delay"].default == "$default_destination_rate_delay"
    assert slow["slow_time_limit"].default == "$command_time_limit"
    assert len(slow) == 17
    assert "smtp_time_limit" not in transport_parameters("smtp")


def test_declared_twice_is_refused() -> None:
    from estafeta.config.params import index

    found: dict[str, Parameter] = {"relayhost": declared()["relayhost"]}
    with pytest.raises(ValueError, match="relayhost is declared twice"):
        index._add(found, "relayhost", declared()["relayhost"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smtpd_timeout", "0s"),
        ("smtpd_helo_required", "maybe"),
        ("mynetworks_style", "world"),
        ("smtpd_banner", ""),
        ("mailbox_delivery_lock", ""),
        ("default_verp_delimiters", "+"),
        ("default_verp_delimiters", "+=-"),
        ("maximal_queue_lifetime", "101d"),
        ("reject_code", "99"),
        ("smtpd_forbid_bare_newline", "sometimes"),
        ("qmgr_message_active_limit", "0"),
        ("default_delivery_slot_discount", "101"),
        ("estafeta_mailbox_sync", "never"),
    ],
)
def test_values_outside_the_limits_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        declared()[name].parse(value)


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("smtp_tls_security_level", "", ""),
        ("delay_warning_time", "4", 4 * 3600),
        ("maximal_queue_lifetime", "5", 5 * 86400),
        ("postscreen_dnsbl_allowlist_threshold", "-3", -3),
        ("inet_protocols", "ipv4, ipv6", ("ipv4", "ipv6")),
        ("2bounce_notice_recipient", "root", "root"),
        ("relay_destination_concurrency_limit", "7", 7),
        ("tlsproxy_tls_loglevel", "2", 2),
    ],
)
def test_values_are_understood(name: str, value: str, result: object) -> None:
    assert declared()[name].parse(value) == result


def test_text_expanded_at_use_is_left_alone() -> None:
    for name in ("default_rbl_reply", "smtpd_reject_footer", "mailbox_command", "forward_path", "luser_relay"):
        assert not declared()[name].expand, name
