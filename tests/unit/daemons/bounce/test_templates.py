"""bounce(5) files: what is read, and what is said about a wrong one."""

import pytest

from estafeta.config.instance import Config
from estafeta.daemons.bounce.templates import BUILT_IN, TemplateError, expand, parse, values

GOOD = """
# mine
failure_template = <<EOT
Charset: utf-8
From: POSTMASTER (Correo)
Subject: Devuelto
Postmaster-Subject: Copia

Lo siento, $myhostname: $$5, ${maximal_queue_lifetime_hours} h.
EOT
"""


def test_a_file_replaces_the_templates_that_it_has() -> None:
    templates, warnings = parse(GOOD, "bounce.cf")
    assert templates["failure"].subject == "Devuelto"
    assert templates["failure"].sender == "POSTMASTER (Correo)"
    assert templates["delay"] is BUILT_IN["delay"]
    assert warnings == []


def test_names_and_times_are_expanded() -> None:
    text, warnings = expand(
        parse(GOOD, "x")[0]["failure"], {"myhostname": "h.test"}.get, {"maximal_queue_lifetime": 432000}
    )
    assert (text, warnings) == ("Lo siento, h.test: $5, 120 h.\n", [])


@pytest.mark.parametrize(
    "text, said",
    [
        ("Bcc: x\n\ntext", 'b.cf: unknown "Bcc" header label in failure template'),
        ("Subject: caf\u00e9\n\ntext", 'b.cf: non-ASCII "Subject" header value in failure template'),
        ("Subject: x", "b.cf: missing message text in failure template"),
        ("\n\n", "b.cf: missing message text in failure template"),
        ("\ngr\u00f6\u00dfer", "b.cf: 8-bit message text in failure template: specify a charset other than us-ascii"),
    ],
)
def test_a_template_that_is_wrong_is_ignored(text: str, said: str) -> None:
    templates, warnings = parse(f"failure_template = <<X\n{text}\nX\ndelay_template = <<X\n\nlate\nX\n", "b.cf")
    assert templates["failure"] is BUILT_IN["failure"]
    assert templates["delay"].text == "late\n"
    assert warnings == [f"{said} -- ignoring this template"]


def test_text_may_begin_without_headers_and_a_template_may_be_one_word() -> None:
    templates, _ = parse("failure_template = <<X\nSubject: x\n that is text\nX\ndelay_template = late\n", "b.cf")
    assert (templates["failure"].subject, templates["failure"].text) == ("x", " that is text\n")
    assert templates["delay"].text == "late\n"


def test_what_else_is_said_about_a_file() -> None:
    _, warnings = parse("foo_template = <<X\n\nx\nX\nfailure_template = <<EOF\n\nx\n", "b.cf")
    assert warnings == [
        "b.cf, line 1: unknown template name: foo_template -- ignoring this template",
        'b.cf, line 7: missing "EOF" end marker',
    ]
    with pytest.raises(TemplateError, match=r"b.cf, line 2: missing .=. after attribute name"):
        parse("\nnonsense\n", "b.cf")


@pytest.mark.parametrize(
    "text, said",
    [
        ("5$", r"bad \$name syntax in failure template: 5\$"),
        ("one\ntwo $nosuch", r"undefined \$name in failure template: two \$nosuch"),
        ("$delay_warning_time_years", 'unrecognized suffix "years" in parameter "delay_warning_time_years"'),
    ],
)
def test_a_text_that_cannot_be_expanded(text: str, said: str) -> None:
    templates, _ = parse(f"failure_template = <<X\n\n{text}\nX\n", "b.cf")
    with pytest.raises(TemplateError, match=said):
        expand(templates["failure"], lambda name: None, {"delay_warning_time": 60})


def test_a_time_that_is_less_than_its_unit() -> None:
    templates, _ = parse("failure_template = <<X\n\n$delay_warning_time_hours\nX\n", "b.cf")
    text, warnings = expand(templates["failure"], lambda name: None, {"delay_warning_time": 60})
    assert text == "0\n"
    assert warnings[0] == 'zero result in failure template conversion of parameter "delay_warning_time_hours"'


def test_names_of_hosts_are_shown_as_people_write_them() -> None:
    lookup, times = values(
        Config.for_test(smtputf8_enable="yes", myhostname="xn--bcher-kva.example", delay_warning_time="1h")
    )
    assert lookup("myhostname") == "b\u00fccher.example"
    assert lookup("nosuch") is None
    assert lookup("relayhost") == ""
    assert times["delay_warning_time"] == 3600


def test_a_time_that_is_many_times_its_unit() -> None:
    templates, _ = parse("failure_template = <<X\n\n$maximal_queue_lifetime_seconds\nX\n", "b.cf")
    for seconds, warned in ((999, False), (1000, True)):
        text, warnings = expand(templates["failure"], lambda name: None, {"maximal_queue_lifetime": seconds})
        assert text == f"{seconds}\n"
        assert bool(warnings) == warned
    assert warnings[:2] == [
        'excessive result "1000" in failure template conversion of parameter "maximal_queue_lifetime_seconds"',
        'please increase time unit "seconds" of "maximal_queue_lifetime_seconds" in failure template',
    ]
