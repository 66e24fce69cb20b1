"""What `postfix check` says of mistyped names."""

from __future__ import annotations

from pathlib import Path

import pytest

from estafeta.commands.postfix import check
from estafeta.config.instance import Config, ConfigError
from estafeta.config.master_cf import load_services


def test_mistyped_names_come_with_what_may_have_been_meant(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        "smtpd_recipient_restriction = permit_mynetworks\n"
        "mydestination = $myhostname $mydomian\n"
        "relay = relay.univ.es\n"
        "relayhost = [$relay]\n"
        "inventado = x\n"
    )
    (tmp_path / "master.cf").write_text("8025 inet n - n - - smtpd -o smtpd_sasl_auth_enabled=yes\n")
    assert list(check.mistyped(Config.load(str(tmp_path)))) == [
        f"{tmp_path}/main.cf, line 2: undefined parameter: mydomian: did you mean mydomain?",
        f"{tmp_path}/main.cf, line 1: unused parameter: smtpd_recipient_restriction=permit_mynetworks: "
        "did you mean smtpd_recipient_restrictions?",
        f"{tmp_path}/main.cf, line 5: unused parameter: inventado=x",
        f"{tmp_path}/master.cf: unused parameter: smtpd_sasl_auth_enabled=yes: did you mean smtpd_sasl_auth_enable?",
    ]


def test_a_master_cf_that_delivers_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("")
    master = tmp_path / "master.cf"
    master.write_text("smtp inet n - n - - smtpd\n")
    conf = Config.load(str(tmp_path))
    assert [
        text.partition(": add")[0] for text in check.missing_services(conf, load_services(str(tmp_path), conf))
    ] == [
        f"{master}: missing 'qmgr' service: no mail is delivered",
        f"{master}: missing 'pickup' service: mail from sendmail stays where it is",
    ]
    master.write_text("qmgr fifo n - n 300 1 nqmgr\npickup fifo n - n 60 1 pickup\n")
    assert list(check.missing_services(conf, load_services(str(tmp_path), conf))) == []


@pytest.mark.parametrize("name", ["queue_directory", "data_directory"])
def test_a_directory_is_a_whole_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "main.cf").write_text(f"{name} = spool\n")
    (tmp_path / "master.cf").write_text("")
    with pytest.raises(ConfigError, match=f"main.cf, line 1: {name} = spool: write the whole path"):
        check.check_configuration(str(tmp_path))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("smtpd_sasl_type=devocot", "smtpd_sasl_type = devocot: there is no such kind"),
        ("smtpd_sasl_security_options=noanonymus", 'smtpd_sasl_security_options: unknown SASL security option "noano'),
        ("smtpd_sasl_tls_security_options=x", 'smtpd_sasl_tls_security_options: unknown SASL security option "x"'),
    ],
)
def test_logins_with_which_smtpd_would_end_are_told(tmp_path: Path, setting: str, said: str) -> None:
    (tmp_path / "main.cf").write_text("smtpd_sasl_type = dovecot\n")
    (tmp_path / "master.cf").write_text(
        "25 inet n - n - - smtpd\n"
        f"26 inet n - n - - smtpd -o {setting}\n"
        f"587 inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes -o {setting}\n"
    )
    conf = Config.load(str(tmp_path))
    told = list(check.no_logins(conf, load_services(str(tmp_path), conf)))
    assert len(told) == 1
    assert told[0].startswith(f"{tmp_path}/master.cf, line 3: no client is served: {said}")
