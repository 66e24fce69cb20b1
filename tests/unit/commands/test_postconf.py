"""postconf(1) where it shows what is ours; the rest is compared with recordings in tests/compat/postconf."""

from __future__ import annotations

import pytest

from estafeta.commands.postconf import main
from estafeta.commands.postconf.layout import columns, folded, option_groups
from estafeta.commands.postconf.options import UsageError, parse
from estafeta.tables.index import TYPES


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = h.example.com\n")
    (tmp_path / "master.cf").write_text("smtp inet n - n - - smtpd\n")
    return str(tmp_path)


def test_every_table_type_is_listed(capsys) -> None:
    assert main(["-m"]) == 0
    assert set(capsys.readouterr().out.split()) == {*TYPES, "proxy"}


def test_all_parameters_are_shown_sorted_each_once(conf, capsys) -> None:
    assert main(["-c", conf, "-H"]) == 0
    shown = capsys.readouterr().out.split()
    assert shown == sorted(set(shown))
    assert {"relayhost", "smtp_mail_timeout", "lmtp_lhlo_name", "2bounce_notice_recipient"} <= set(shown)


def test_bounce_texts_are_shown_expanded_and_as_written(conf, capsys) -> None:
    assert main(["-c", conf, "-b"]) == 0
    assert "This is the mail system at host h.example.com." in capsys.readouterr().out
    assert main(["-c", conf, "-t", ""]) == 0
    written = capsys.readouterr().out
    assert "This is the mail system at host $myhostname." in written
    assert "From: Mail Delivery System <MAILER-DAEMON>" in written


def test_a_missing_template_file_is_named(conf, capsys) -> None:
    assert main(["-c", conf, "-b", "/nonexistent"]) == 1
    assert "fatal: open /nonexistent: No such file or directory" in capsys.readouterr().err


def test_a_comment_behind_a_value_is_reported(tmp_path, conf, capsys) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nrelayhost = x # our relay\n")
    assert main(["-c", conf, "-n"]) == 0
    assert "main.cf, line 2: #comment after other text is not allowed" in capsys.readouterr().err


def test_a_broken_configuration_can_be_shown_and_mended(tmp_path, conf, capsys) -> None:
    (tmp_path / "main.cf").write_text("soft_bounce = maybe\n")
    assert main(["-c", conf, "-n", "soft_bounce"]) == 0
    assert main(["-c", conf, "soft_bounce=no"]) == 0
    assert (tmp_path / "main.cf").read_text() == "soft_bounce = no\n"


@pytest.mark.parametrize("words", [["-q"], ["-c"], ["-hH"], ["-e"], ["-X"], ["-Md"], ["-C", "x"], ["-o", "x"]])
def test_a_wrong_command_line_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(words, "postconf")


def test_lines_are_folded_at_eighty() -> None:
    assert folded("a =", ["b" * 76, "c"]) == "a = " + "b" * 76 + "\n    c"
    assert folded("a =", ["b" * 77]) == "a =\n    " + "b" * 77


def test_columns_give_way_to_long_names() -> None:
    assert (
        columns(("smtp", "inet", "n", "-", "y", "-", "-"))
        == "smtp       inet  n       -       y       -       -       "
    )
    assert columns(("127.0.0.1:submission", "inet", "n", "-", "y", "-", "-")).startswith(
        "127.0.0.1:submission inet n -    y       -"
    )


def test_overrides_get_lines_of_their_own() -> None:
    assert option_groups(["smtpd", "-v", "-o", "a = b c", "-D", "-o", "d=e"]) == [
        ["-v"],
        ["-o {a=b c}"],
        ["-D"],
        ["-o d=e"],
    ]
