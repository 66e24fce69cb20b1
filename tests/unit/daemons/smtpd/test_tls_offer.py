"""What smtpd has worked out about TLS: levels of log by client, lines of the Received header, one set of tables."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from estafeta.config.instance import Config, changed
from estafeta.daemons.smtpd.policy import ASKED_FOR_IN_SESSIONS
from estafeta.daemons.smtpd.restrictions.tls import search_order
from estafeta.daemons.smtpd.tls import TlsOffer, received_lines
from estafeta.net.tls.peer import TlsPeer


def session_of(tls: TlsPeer | None, **settings: str) -> Any:
    offer = TlsOffer(Config.for_test(**settings), None)
    client = SimpleNamespace(name="client.test", address="192.0.2.7")
    return SimpleNamespace(stream=SimpleNamespace(tls=tls), policy=SimpleNamespace(tls=offer), client=client)


def test_no_offer_where_tls_is_not_wanted() -> None:
    assert TlsOffer.open(Config.for_test()) is None


@pytest.mark.parametrize(
    ("settings", "required"),
    [
        ({"smtpd_tls_security_level": "may"}, False),
        ({"smtpd_tls_security_level": "encrypt"}, True),
        ({"smtpd_enforce_tls": "yes"}, True),
        ({"smtpd_use_tls": "yes"}, False),
        ({"smtpd_tls_wrappermode": "yes"}, True),
        ({"smtpd_tls_security_level": "may", "smtpd_enforce_tls": "yes"}, False),
    ],
)
def test_old_switches_and_levels(settings: dict[str, str], required: bool) -> None:
    assert TlsOffer(Config.for_test(**settings), None).required is required


def test_level_of_the_log_by_client() -> None:
    def level(table: str) -> int:
        session = session_of(None, smtpd_tls_loglevel="1", smtpd_tls_loglevel_maps=table)
        return asyncio.run(session.policy.tls.level_for(session))

    assert level("inline:{192.0.2.7=3}") == 3
    assert level("inline:{client.test=2}") == 2
    assert level("inline:{other.test=2}") == 1


def test_a_name_cannot_end_the_comment_that_it_stands_in() -> None:
    tls = TlsPeer("TLSv1.2", "C", 128, 128, certificate=True, subject='x") (forged', issuer="i\\")
    lines = received_lines(session_of(tls))
    assert '\t(Client CN "x__ _forged", Issuer "i_" (not verified))\r\n' in lines


def test_nothing_is_said_of_a_session_in_the_clear() -> None:
    assert received_lines(session_of(None)) == ""


def test_search_order() -> None:
    assert search_order("hash:/t") == ("hash:/t", ["cert_fingerprint", "pubkey_fingerprint"])
    wanted = ("hash:/t", ["pubkey_fingerprint"])
    assert search_order("{ hash:/t, { search_order = pubkey_fingerprint } }") == wanted
    assert search_order("{hash:/t {search_order=pubkey_fingerprint}}") == wanted


@pytest.mark.parametrize("bad", ["table", "{ hash:/t { search_order = } }", "{ hash:/t { search_order = x } }"])
def test_a_bad_search_order_is_told(bad: str) -> None:
    with pytest.raises(ValueError, match=r"search_order|need maptype"):
        search_order(bad)


def test_stress_alone_makes_no_second_set_of_tables_and_keys() -> None:
    conf = Config.for_test()
    patient = Config.build(conf.settings, {}, service="smtp")
    stressed = Config.build(conf.settings, {"stress": "yes"}, service="smtp")
    differing = {name for name in changed(patient, stressed) if not name.startswith("postscreen_")}
    assert differing <= ASKED_FOR_IN_SESSIONS
