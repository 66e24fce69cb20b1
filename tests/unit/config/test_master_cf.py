"""Reading master.cf."""

from __future__ import annotations

import pytest

from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError
from estafeta.config.master_cf import load_services, parse_rows, service_entry, split_words

CONF = Config.for_test(compatibility_level="3.6")


def services(text: str, conf: Config = CONF):
    return [service_entry(row, conf) for row in parse_rows(text, "/etc/postfix/master.cf").rows]


def test_fields_and_defaults() -> None:
    (one,) = services("slow unix - - - - - smtp\n")
    assert (one.private, one.unprivileged, one.chroot, one.wakeup, one.maxproc) == (True, True, False, 0, 100)
    (one,) = services("qmgr fifo n n y 300? 1 qmgr\n")
    assert (one.private, one.unprivileged, one.chroot, one.wakeup, one.maxproc) == (False, False, True, 300, 1)
    assert not one.wakeup_always
    assert one.where == "/etc/postfix/master.cf, line 1"


def test_chroot_and_limit_defaults_follow_main_cf() -> None:
    (one,) = services("x unix - - - - - smtp\n", Config.for_test(default_process_limit="7"))
    assert one.chroot
    assert one.maxproc == 7


def test_options_are_taken_out_of_the_arguments() -> None:
    (one,) = services(
        "smtp inet n - n - - smtpd\n  -o a=b -v -o { c = d  e }\n# comment\n  -og=h {-oi=j k} -vD -o l=\n"
    )
    assert one.overrides == {"a": "b", "c": "d  e", "g": "h", "i": "j k", "l": ""}
    assert (one.verbose, one.debug, one.args) == (2, True, [])


def test_arguments_behind_the_first_word_are_the_programs_own() -> None:
    (one,) = services("x unix - n n - - pipe -o a=b flags=F user=x argv=/bin/y -o c=d {e  f} ${recipient} -v\n")
    assert one.args == ["flags=F", "user=x", "argv=/bin/y", "-o", "c=d", "e  f", "${recipient}", "-v"]
    assert one.overrides == {"a": "b"}
    assert one.verbose == 0


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [("25", "", "25"), ("smtp", "", "smtp"), ("127.0.0.1:25", "127.0.0.1", "25"), ("[::1]:25", "::1", "25"),
     ("::1:smtp", "::1", "smtp"), (":25", "", "25")],
)  # fmt: skip
def test_inet_names(name: str, host: str, port: str) -> None:
    (one,) = services(f"{name} inet n - n - - smtpd\n")
    assert (one.host, one.port) == (host, port)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("smtp inet n - n - -", "bad field count"),
        ("smtp foo n - n - - smtpd", 'bad transport type: "foo"'),
        ("smtp inet y - n - - smtpd", "inet service cannot be private"),
        ("smtp inet - - n - - smtpd", "inet service cannot be private"),
        ("x unix Y - n - - smtpd", 'field "private": bad value: "Y"'),
        ("x unix - x n - - smtpd", 'field "unprivileged": bad value: "x"'),
        ("x unix - - z - - smtpd", 'field "chroot": bad value: "z"'),
        ("x unix - - n 3x - smtpd", 'field "wakeup": bad value: "3x"'),
        ("x unix - - n ? - smtpd", 'field "wakeup": bad value'),
        ("x unix - - n - -1 smtpd", 'field "process_limit": bad value: "-1"'),
        ("127.0.0.1: inet n - n - - smtpd", "missing service information"),
        ("x unix - - n - - smtpd -o", "no name=value behind -o"),
        ("x unix - - n - - smtpd -o a", "missing '='"),
        ("x unix - - n - - smtpd -o { a = b", "missing '}'"),
        ("x unix - - n - - smtpd {a}b", "syntax error after '}'"),
    ],
)
def test_a_bad_line_is_named(line: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        services(f"# first\n{line}\n")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("/etc/postfix/master.cf, line 2: ")


def test_braces_keep_a_word_together() -> None:
    assert split_words("a {b  c} d{e  f}g ${h i} {}") == ["a", "b  c", "d{e  f}g", "${h i}", ""]


def test_the_last_of_several_entries_holds(tmp_path) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = h.example.com\n")
    (tmp_path / "master.cf").write_text(
        "smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\nsmtp inet n - n - - smtpd -v\n"
    )
    found = load_services(str(tmp_path))
    assert [(one.type, one.verbose) for one in found] == [("unix", 0), ("inet", 1)]


def test_repeated_entries_are_reported() -> None:
    found = parse_rows("a unix - - n - - x\na unix - - n - - y\n", "m")
    assert found.warnings == [
        'm, line 2: duplicate entry for "a/unix", which replaces the one in line 1; remove one of them'
    ]
