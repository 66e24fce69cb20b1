from __future__ import annotations

import asyncio

import pytest
from tests.talk.dialogue import BASE
from tests.talk.stage import Stage, logged

from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.daemons.smtpd.policy import OpenRelay, Policy


def stage_with(**settings: str) -> list[str]:
    async def made() -> None:
        Stage(BASE | settings)

    with logged() as lines:
        asyncio.run(made())
    return lines


@pytest.mark.parametrize(
    "relay, recipient, fine",
    [
        ("permit_mynetworks", "permit", False),
        ("", "", False),
        ("", "warn_if_reject reject", False),
        ("", "check_recipient_access static:REJECT", False),
        ("permit_mynetworks, reject_unauth_destination", "", True),
        ("", "permit_mynetworks, reject", True),
        ("defer_unauth_destination", "", True),
        ("", "defer", True),
        ("", "defer_if_permit", True),
    ],
)
def test_no_open_relay(relay: str, recipient: str, fine: bool) -> None:
    """Without a restriction that stops strangers, smtpd does not start."""
    settings = {"smtpd_relay_restrictions": relay, "smtpd_recipient_restrictions": recipient}
    if fine:
        stage_with(**settings)
        return
    with pytest.raises(OpenRelay, match="specify at least one working instance of: reject_unauth_destination"):
        stage_with(**settings)


@pytest.mark.parametrize(
    "value, warning",
    [
        ("reject_foo", 'unknown smtpd restriction: "reject_foo"'),
        ("permit_sasl_autenticated, reject", '"permit_sasl_autenticated": did you mean permit_sasl_authenticated?'),
        ("reject_rbl_client dnsbl.example=127, permit_mynetworks", "is not four numbers"),
        ("reject_rbl_client dnsbl.example=127.0.0, permit_mynetworks", '"127.0.0" is not four numbers'),
        ("sleep soon, permit_mynetworks", "sleep must be followed by number"),
        ("check_client_access", "need maptype:mapname"),
        ("check_client_access foo", "need maptype:mapname"),
        ("reject, permit", "restriction `permit' after `reject' is ignored"),
        ("static:OK", "stands without a restriction"),
    ],
)
def test_what_is_wrong_is_said_when_the_configuration_is_read(value: str, warning: str) -> None:
    lines = stage_with(smtpd_client_restrictions=value)
    assert len(lines) == 1
    assert warning in lines[0]
    assert "smtpd_client_restrictions" in lines[0]


@pytest.mark.parametrize("name", ["unknown_address_tempfail_action", "unverified_recipient_tempfail_action"])
def test_a_tempfail_action_that_is_none_is_no_configuration(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} = reject: .*is not one of: defer_if_permit, defer"):
        stage_with(**{name: "reject"})


def test_a_class_without_value_is_told() -> None:
    lines = stage_with(smtpd_restriction_classes="strict", smtpd_client_restrictions="strict")
    assert any("restriction class `strict' needs a definition: write strict = " in line for line in lines)


def test_under_stress_patience_is_short_and_all_else_the_same() -> None:
    async def made() -> tuple[Policy, Policy, Policy]:
        policy = Stage(BASE).policy
        stressed = policy.under_stress(Config.for_test(**BASE, stress="yes"))
        other = Config.for_test(**BASE, stress="yes", smtpd_client_restrictions="${stress?{reject}}")
        return policy, stressed, policy.under_stress(other)

    policy, stressed, other = asyncio.run(made())
    assert (policy.conf.smtpd_timeout, policy.conf.smtpd_hard_error_limit) == (300, 20)
    conf = stressed.conf
    assert (conf.smtpd_timeout, conf.smtpd_hard_error_limit, conf.smtpd_junk_command_limit) == (10, 1, 1)
    assert conf.smtpd_per_request_deadline
    assert stressed.relay is policy.relay
    assert not policy.client and [step.name for step in other.client] == ["reject"]


@pytest.mark.parametrize(
    "inner, fine",
    [("permit_mynetworks, reject_unauth_destination", True), ("permit_mynetworks", False), ("outer", False)],
)
def test_what_stops_strangers_may_stand_in_a_class(inner: str, fine: bool) -> None:
    settings = {
        "smtpd_restriction_classes": "outer, inner",
        "outer": "permit_sasl_authenticated, inner",
        "inner": inner,
        "smtpd_relay_restrictions": "outer",
    }
    if fine:
        stage_with(**settings)
        return
    with pytest.raises(OpenRelay):
        stage_with(**settings)
