"""bounce(5) files: what is read, and what is said about a wrong one."""

import pytest

from estafeta.daemons.bounce.templates import BUILT_IN, TemplateError, expand, parse

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
    templates = parse(GOOD, "bounce.cf")
    assert templates["failure"].subject == "Devuelto"
    assert templates["failure"].sender == "POSTMASTER (Correo)"
    assert templates["delay"] is BUILT_IN["delay"]


def test_names_and_times_are_expanded() -> None:
    text = expand(
        parse(GOOD, "x")["failure"].text, {"myhostname": "h.test"}.__getitem__, {"maximal_queue_lifetime": 432000}
    )
    assert text == "Lo siento, h.test: $5, 120 h.\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nonsense\n", "line 1"),
        ("failure_template = <<EOF\nSubject: x\n\ntext\n", "line 1"),
        ("failure_template = <<EOF\nBcc: x\n\ntext\nEOF\n", "line 2"),
        ("failure_template = <<EOF\nSubject: x\nEOF\n", "line 2"),
    ],
)
def test_errors_name_file_and_line(text: str, line: str) -> None:
    with pytest.raises(TemplateError, match=f"bounce.cf, {line}"):
        parse(text, "bounce.cf")
