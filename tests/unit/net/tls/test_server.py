"""What smtpd_tls_* make of a server, and how the administrator hears what is wrong with them."""

from __future__ import annotations

import pytest
from tests.support.certificates import make_pair

from estafeta.config.instance import Config
from estafeta.config.main_cf import parse_settings
from estafeta.net.tls.openssl import TlsError
from estafeta.net.tls.server import ServerTls, origin, report, security_level, server_settings, warn_of_level

ONE, OTHER = make_pair("one.test"), make_pair("other.test")
FILES = {"/one.pem": ONE.pem, "/one.key": ONE.key_pem, "/other.key": OTHER.key_pem, "/empty": b""}


def read(path: str) -> bytes:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


def problem_with(text: str, said: list[str]) -> str:
    """What is logged last about a server with these lines in main.cf."""
    conf = Config.build(parse_settings(f"myhostname = a.test\nsmtpd_tls_security_level = may\n{text}\n", "/etc/x"))
    settings = server_settings(conf)
    with pytest.raises(TlsError) as raised:
        ServerTls.open(settings, read)
    report(raised.value, settings)
    return said[-1]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("smtpd_tls_cert_file = /one.pem\nsmtpd_tls_key_file = /other.key", "line 3: smtpd_tls_cert_file: the key in "),
        ("smtpd_tls_cert_file = /none", "line 3: smtpd_tls_cert_file: clients that want TLS are told to come later"),
        (
            "smtpd_tls_cert_file = /one.pem\nsmtpd_tls_key_file = /none",
            "line 3: smtpd_tls_cert_file: clients that want ",
        ),
        ("", "main.cf: smtpd_tls_chain_files: clients that want TLS are told to come later: write the name of a file"),
        ("smtpd_tls_eccert_file = /empty", "line 3: smtpd_tls_eccert_file: clients cannot use TLS"),
        ("\nsmtpd_tls_chain_files = /empty", "line 4: smtpd_tls_chain_files: clients cannot use TLS"),
        (
            "smtpd_tls_protocols = TLSv9",
            "line 3: smtpd_tls_protocols: clients cannot use TLS until main.cf is mended: ",
        ),
        ("smtpd_tls_ciphers = x", "line 3: smtpd_tls_ciphers: clients cannot use TLS until main.cf is mended: write"),
        ("smtpd_tls_exclude_ciphers = !x", "line 3: smtpd_tls_exclude_ciphers: clients cannot use TLS"),
        ("smtpd_tls_CAfile = /none\nsmtpd_tls_cert_file = none", "line 3: smtpd_tls_CAfile: clients cannot use TLS"),
    ],
)
def test_a_problem_names_file_and_line(text: str, where: str, said: list[str]) -> None:
    told = problem_with(text, said)
    assert told.startswith(f"/etc/x/main.cf, {where}" if where.startswith("line") else f"/etc/x/{where}")


def test_an_option_of_master_cf_is_named_once() -> None:
    conf = Config.build(
        parse_settings("myhostname = a.test", "/etc/x"), {"smtpd_tls_security_level": "may"}, service="25"
    )
    assert origin(conf, ["smtpd_tls_security_level"]) == "/etc/x/master.cf, service 25: -o smtpd_tls_security_level"


def test_none_is_a_server_without_certificate() -> None:
    assert ServerTls.open(server_settings(Config.for_test(smtpd_tls_cert_file="none")), read)


@pytest.mark.parametrize("level", ["verify", "secure", "fingerprint"])
def test_a_level_of_the_client_means_encrypt(level: str, said: list[str]) -> None:
    conf = Config.for_test(smtpd_tls_security_level=level)
    assert security_level(conf) == "encrypt" and server_settings(conf).mandatory
    warn_of_level("smtpd_tls_security_level", conf.smtpd_tls_security_level)
    assert said == [f'smtpd_tls_security_level: unsupported TLS level "{level}", using "encrypt"']


def test_unusable_parameters_for_diffie_hellman_are_no_reason_to_go_without_tls(said: list[str]) -> None:
    for file in ("/none", "/one.pem"):
        conf = Config.for_test(smtpd_tls_dh1024_param_file=file, smtpd_tls_cert_file="none")
        ServerTls.open(server_settings(conf), read)
    assert said[0] == (
        'error opening DH parameter file "/none": No such file or directory -- using compiled-in defaults'
    )
    assert said[1] == 'error decoding DH parameters from file "/one.pem" -- using compiled-in defaults'


@pytest.mark.parametrize(
    ("digest", "size"),
    [("SHA2-256", 32), ("sha-256", 32), ("SHA512-256", 32), ("RSA-SHA1", 20), ("MD5", 16), ("shake128", 0), ("no", 0)],
)
def test_hashes_have_the_names_that_openssl_knows(digest: str, size: int) -> None:
    conf = Config.for_test(smtpd_tls_fingerprint_digest=digest, smtpd_tls_cert_file="none")
    if not size:
        with pytest.raises(TlsError, match="not found"):
            ServerTls.open(server_settings(conf), read)
        return
    assert len(ServerTls.open(server_settings(conf), read).digest_of(b"x")) == size * 3 - 1
