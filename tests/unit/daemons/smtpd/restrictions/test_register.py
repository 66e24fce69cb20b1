"""Every restriction says what it does, is shown by a test or a recorded case, and the manual's are all there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from estafeta.daemons.smtpd.restrictions import evaluate, index

TESTS = Path(__file__).parents[4]

# Names that the manual has, by subject: postconf(5), smtpd_client_restrictions and its kin.
OF_THE_MANUAL = """
check_ccert_access check_client_access check_client_a_access check_client_mx_access check_client_ns_access
check_reverse_client_hostname_access check_reverse_client_hostname_a_access check_reverse_client_hostname_mx_access
check_reverse_client_hostname_ns_access check_sasl_access permit_inet_interfaces permit_mynetworks
permit_sasl_authenticated permit_tls_all_clientcerts permit_tls_clientcerts reject_rbl_client permit_dnswl_client
reject_rhsbl_client permit_rhswl_client reject_rhsbl_reverse_client reject_unknown_client_hostname
reject_unknown_reverse_client_hostname check_policy_service defer defer_if_permit defer_if_reject permit
reject_multi_recipient_bounce reject_plaintext_session reject_unauth_pipelining reject sleep check_helo_access
check_helo_a_access check_helo_mx_access check_helo_ns_access reject_invalid_helo_hostname
reject_non_fqdn_helo_hostname reject_rhsbl_helo reject_unknown_helo_hostname check_sender_access
check_sender_a_access check_sender_mx_access check_sender_ns_access reject_authenticated_sender_login_mismatch
reject_known_sender_login_mismatch reject_non_fqdn_sender reject_rhsbl_sender reject_sender_login_mismatch
reject_unauthenticated_sender_login_mismatch reject_unknown_sender_domain reject_unlisted_sender
reject_unverified_sender check_recipient_access check_recipient_a_access check_recipient_mx_access
check_recipient_ns_access permit_auth_destination permit_mx_backup reject_non_fqdn_recipient reject_rhsbl_recipient
reject_unauth_destination defer_unauth_destination reject_unknown_recipient_domain reject_unlisted_recipient
reject_unverified_recipient check_etrn_access
"""
OF_OLD = """
reject_unknown_client reject_maps_rbl permit_naked_ip_address reject_invalid_hostname reject_non_fqdn_hostname
reject_unknown_hostname reject_unknown_address check_recipient_maps check_relay_domains
"""

index.load()
REGISTERED = sorted({*evaluate.RESTRICTIONS, *evaluate.WITH_ARGUMENT})
SHOWN = "".join(
    path.read_text("utf-8", "surrogateescape")
    for path in TESTS.rglob("*")
    if path.suffix in (".case", ".talk", ".py") and path != Path(__file__)
)


@pytest.mark.parametrize("name", OF_THE_MANUAL.split() + OF_OLD.split())
def test_a_restriction_of_the_manual_is_there(name: str) -> None:
    assert name in REGISTERED


@pytest.mark.parametrize("name", REGISTERED)
def test_a_restriction_says_what_it_does_and_is_shown(name: str) -> None:
    made = evaluate.RESTRICTIONS.get(name) or evaluate.WITH_ARGUMENT[name]
    assert (made.__doc__ or "").strip()
    assert re.search(rf"\b{name}\b", SHOWN), f"no test and no case mentions {name}"


def test_a_name_means_one_thing() -> None:
    assert not set(evaluate.RESTRICTIONS) & set(evaluate.WITH_ARGUMENT)
    assert set(evaluate.WITH_ARGUMENT) >= evaluate.TABLE_ARGUMENT | evaluate.DOMAIN_ARGUMENT | evaluate.NUMBER_ARGUMENT
