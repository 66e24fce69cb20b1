"""postscreen's TLS settings, in the places of smtpd's."""

from __future__ import annotations

from estafeta.config.instance import Config
from estafeta.config.main_cf import parse_settings
from estafeta.daemons.master.key_files import in_force, speaks_tls
from estafeta.net.tls import screened
from estafeta.net.tls.server import key_files

MAIN = """\
myhostname = a.test
smtpd_tls_chain_files = /smtpd.pem
tlsproxy_tls_chain_files = /tlsproxy.pem
postscreen_tls_security_level = may
"""


def conf(text: str = MAIN, **overrides: str) -> Config:
    return Config.build(parse_settings(text, "/etc/x"), overrides, service="smtp")


def test_master_keeps_the_keys_that_postscreen_uses() -> None:
    for program, files in (("postscreen", ("/tlsproxy.pem",)), ("smtpd", ("/smtpd.pem",))):
        assert key_files(in_force(program, conf(), {})) == files
    assert speaks_tls("postscreen", in_force("postscreen", conf(), {}))
    assert not speaks_tls("smtpd", in_force("smtpd", conf(), {}))
    own = {"postscreen_tls_chain_files": "/own.pem"}
    assert key_files(in_force("postscreen", conf(**own), own)) == ("/own.pem",)


def test_a_problem_names_the_parameter_that_is_set() -> None:
    assert screened.origin(conf(), ["smtpd_tls_chain_files"]) == "/etc/x/main.cf, line 3: tlsproxy_tls_chain_files"
    assert screened.origin(conf(), ["smtpd_tls_ciphers"]) == "/etc/x/main.cf: smtpd_tls_ciphers"


def test_levels() -> None:
    for text, level in (
        ("postscreen_tls_security_level = verify", "encrypt"),
        ("postscreen_enforce_tls = yes", "encrypt"),
        ("postscreen_use_tls = yes", "may"),
        ("smtpd_tls_security_level = may", "may"),
        ("", "none"),
    ):
        assert screened.level(conf(f"myhostname = a.test\n{text}\n")) == level
