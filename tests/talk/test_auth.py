"""AUTH as a session speaks it, with a dictionary for accounts: what dialogues recorded from Postfix do not show."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

import pytest

from estafeta.config.main_cf import ConfigError
from estafeta.net.tls.peer import TlsPeer
from tests.support.accounts import KnownUsers
from tests.support.sasl_client import answer_to
from tests.talk.dialogue import BASE
from tests.talk.stage import Stage, logged

TLS = TlsPeer("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, 256, trusted=True, subject="ana", channel_binding=b"bound")
PLAIN = base64.b64encode(b"\0ana\0secret").decode()
SETTINGS = BASE | {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_error_sleep_time": "0"}


def spoken(
    lines: Sequence[str],
    accounts: KnownUsers | None = None,
    *,
    tls: TlsPeer | None = None,
    client: tuple[str, str] | None = None,
    **settings: str,
) -> tuple[list[str], list[str]]:
    """The replies to the lines (`A: MECHANISM user password` answers a challenge; None hangs up), and the log."""

    async def talk() -> list[str]:
        stage = Stage(SETTINGS | settings, client)
        assert stage.policy.sasl is not None
        stage.policy.sasl.authenticator = accounts or KnownUsers({"ana": "secret"})
        stage.stream.tls = tls
        await stage.start()
        heard: list[str] = []
        for line in lines:
            text = answer_to("S: " + heard[-1], line[3:]) if line.startswith("A: ") else line
            heard += (await stage.send(text.encode() + b"\r\n")).decode().split("\r\n")[:-1]
        await stage.hang_up()
        return heard

    with logged() as log:
        return asyncio.run(talk()), log


def offered(**how: object) -> list[str]:
    replies, _ = spoken(["EHLO c"], **how)  # type: ignore[arg-type]
    return [line[4:] for line in replies if line[4:].startswith("AUTH")]


ALL = KnownUsers(
    {"ana": "secret"},
    ["PLAIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "EXTERNAL", "ANONYMOUS", "OAUTHBEARER"],
)


def test_offers_by_security_options() -> None:
    usual = "AUTH PLAIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-256 OAUTHBEARER"
    assert offered(accounts=ALL) == [usual]
    options = "noplaintext, noanonymous"
    found = offered(accounts=ALL, smtpd_sasl_security_options=options)
    assert found == ["AUTH CRAM-MD5 DIGEST-MD5 SCRAM-SHA-256"]
    found = offered(
        accounts=ALL, tls=TLS, smtpd_sasl_security_options=options, smtpd_sasl_tls_security_options="noanonymous"
    )
    assert found == [usual.replace("256", "256 SCRAM-SHA-256-PLUS")]
    assert offered(accounts=ALL, smtpd_sasl_security_options="nodictionary noactive noanonymous") == []
    assert offered(accounts=ALL, smtpd_sasl_security_options="mutual_auth") == ["AUTH DIGEST-MD5 SCRAM-SHA-256"]
    external = {"smtpd_sasl_mechanism_filter": "external", "smtpd_sasl_security_options": ""}
    assert offered(accounts=ALL, tls=TLS, **external) == ["AUTH EXTERNAL"]
    assert offered(accounts=ALL, **external) == []  # there is no certificate to go by


def test_offers_by_network_and_for_old_clients() -> None:
    assert offered(smtpd_sasl_exceptions_networks="127.0.0.0/8") == []
    assert offered(smtpd_sasl_exceptions_networks="192.0.2.0/24", broken_sasl_auth_clients="yes") == [
        "AUTH PLAIN LOGIN",
        "AUTH=PLAIN LOGIN",
    ]
    assert offered(smtpd_sasl_exceptions_networks="192.0.2.0/24", client=("x", "192.0.2.7")) == []


def test_only_on_encrypted_connections() -> None:
    assert offered(smtpd_tls_auth_only="yes") == []
    assert offered(smtpd_tls_auth_only="yes", tls=TLS) == ["AUTH PLAIN LOGIN"]
    replies, _ = spoken([f"AUTH PLAIN {PLAIN}"], smtpd_tls_auth_only="yes")
    assert replies == ["503 5.5.1 Error: authentication not enabled"]


def test_nobody_to_ask_means_later_and_mail_still_comes() -> None:
    accounts = KnownUsers({}, away=True)
    assert offered(accounts=accounts) == []
    replies, _ = spoken([f"AUTH PLAIN {PLAIN}", "MAIL FROM:<a@b.example>"], accounts)
    assert replies == [
        "454 4.7.0 Temporary authentication failure: Connection lost to authentication server",
        "250 2.1.0 Ok",
    ]


def test_the_last_word_of_a_mechanism_is_a_challenge() -> None:
    for mechanism in ("SCRAM-SHA-256", "DIGEST-MD5"):
        answer = f"A: {mechanism} ana secret"
        steps = [answer] * (3 if mechanism.startswith("SCRAM") else 2)
        replies, _ = spoken([f"AUTH {mechanism}", *steps, "AUTH PLAIN"], ALL)
        assert replies[-2:] == ["235 2.7.0 Authentication successful", "503 5.5.1 Error: already authenticated"]
        assert base64.b64decode(replies[-3][4:]).startswith((b"v=", b"rspauth="))
        replies, _ = spoken([f"AUTH {mechanism}", *steps[:-1], "*", f"AUTH PLAIN {PLAIN}"], ALL)
        assert replies[-2:] == ["501 5.7.0 Authentication aborted", "235 2.7.0 Authentication successful"]


def test_external_goes_by_a_trusted_certificate() -> None:
    how = {"smtpd_sasl_mechanism_filter": "static:all"}
    replies, _ = spoken(["AUTH EXTERNAL ="], ALL, tls=TLS, **how)
    assert replies == ["235 2.7.0 Authentication successful"]
    stranger = TlsPeer("TLSv1.3", "x", 256, 256, certificate=True, trusted=False, subject="ana")
    for peer in (stranger, None):
        replies, _ = spoken(["AUTH EXTERNAL ="], ALL, tls=peer, **how)
        assert replies[0].startswith("535 ")


def test_the_mechanism_is_told_about_the_connection() -> None:
    accounts = KnownUsers({"ana": "secret"})
    spoken([f"AUTH PLAIN {PLAIN}"], accounts, tls=TLS, smtpd_sasl_local_domain="example.com", smtpd_sasl_service="x")
    about = accounts.asked[0]
    assert (about.realm, about.service, about.tls, about.channel_binding) == ("example.com", "x", True, b"")
    assert (about.client_address, about.own_address) == ("127.0.0.1", "127.0.0.1")


def test_channel_binding_only_where_it_was_offered() -> None:
    first = "AUTH SCRAM-SHA-256 " + base64.b64encode(b"y,,n=ana,r=xyz").decode()  # "you did not offer it"
    for mechanisms, code in ((["SCRAM-SHA-256"], "334"), (["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"], "535")):
        replies, _ = spoken([first], KnownUsers({"ana": "secret"}, mechanisms), tls=TLS)
        assert replies[0].startswith(code)


def test_an_exchange_that_the_client_leaves_is_cancelled() -> None:
    accounts = KnownUsers({"ana": "secret"})
    spoken(["AUTH LOGIN", "YW5h"], accounts)
    assert accounts.cancelled == 1
    spoken(["AUTH LOGIN", "*"], accounts)
    assert accounts.cancelled == 2
    spoken([f"AUTH PLAIN {PLAIN}"], accounts)
    assert accounts.cancelled == 2


def test_no_secret_in_any_log() -> None:
    secret = base64.b64encode(b"hidden-password").decode()
    lines = [
        f"AUTH PLAIN {secret}",
        f"AUTH PLAIN {secret}!",
        "AUTH PLAIN",
        secret,
        "AUTH LOGIN",
        "YW5h",
        secret,
        "AUTH LOGIN",
        secret[:-1],
        f"NOOP\r\nAUTH PLAIN {secret}",
        f"EHLO c\r\nAUTH PLAIN {secret}",
        f"EHLO c\r\nAUTH PLAIN\r\n{secret}",
        "AUTH PLAIN " + secret + "A" * 3000,
        "AUTH PLAIN",
        secret + "A" * 13000,
    ]
    for settings in (
        {},
        {"debug_peer_list": "127.0.0.1"},
        {"smtpd_command_filter": "regexp:{{/^(.*)$$/ $$1}}"},
        {"notify_classes": "protocol, policy"},
    ):
        replies, log = spoken(lines, smtpd_hard_error_limit="100", smtpd_forbid_unauth_pipelining="no", **settings)
        assert len(replies) > 10
        told = "\n".join(log)
        for shown in (secret, secret[:12], "hidden"):
            assert shown not in told, [line for line in log if shown in line]


def test_names_of_users_are_harmless_in_log_and_header() -> None:
    user = "a\u2028b"
    initial = base64.b64encode(f"\0{user}\0x".encode()).decode()
    _, log = spoken([f"AUTH PLAIN {initial}"])
    assert any("authentication failed" in line for line in log)
    assert not any("\u2028" in line for line in log)


def test_wrong_words_for_security_are_named() -> None:
    with pytest.raises(ConfigError, match=r"smtpd_sasl_security_options: .*nosuch"):
        Stage(SETTINGS | {"smtpd_sasl_security_options": "nosuch"})
    with pytest.raises(ConfigError, match="smtpd_sasl_type = other"):
        Stage(SETTINGS | {"smtpd_sasl_type": "other"})
    with pytest.raises(ConfigError, match="inet:host:port"):
        Stage(SETTINGS | {"smtpd_sasl_path": "inet:nowhere"})


def test_of_a_line_that_is_too_long_no_part_is_shown() -> None:
    secret = base64.b64encode(b"hidden-password").decode()
    pad = "A" * 12288
    lines = [f"AUTH PLAIN {'A' * 3000}{secret}", "AUTH PLAIN", f"{pad}{secret}", "QUIT"]
    _, log = spoken(lines, debug_peer_list="127.0.0.1", smtpd_forbid_unauth_pipelining="no")
    assert not [line for line in log if secret in line]
