"""The manual tells every parameter, and tells the truth about those without effect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from estafeta.commands.manual import main, man, markdown, sections
from estafeta.config.params.index import declared


def told() -> set[str]:
    return {name for section in sections() for entry in section.entries for name in entry.names}


def test_every_parameter_is_told() -> None:
    names = told()
    families = {name.removeprefix("<transport>_") for name in names if name.startswith("<transport>")}
    missing = {
        name for name in declared() if name not in names and not any(name.endswith("_" + suffix) for suffix in families)
    }
    assert missing == set()


def test_no_parameter_is_told_twice() -> None:
    names = [name for section in sections() for entry in section.entries for name in entry.names]
    assert len(names) == len(set(names))


def test_every_section_has_a_title_and_entries() -> None:
    assert all(section.title and section.entries for section in sections())


def entry_of(name: str) -> str:
    return markdown().split(f'<a id="{name}"></a>')[1].split("<a id=")[0]


def test_an_entry_gives_default_values_and_text() -> None:
    entry = entry_of("smtpd_helo_required")
    assert "(default: `no`)" in entry
    assert "*yes or no.*" in entry
    assert "introduce itself" in entry


def test_an_entry_gives_limits_and_choices() -> None:
    assert "a number, at least 1." in entry_of("hopcount_limit")
    assert "one of: class, subnet, host." in entry_of("mynetworks_style")


def test_a_family_with_different_defaults_gives_each() -> None:
    assert "smtp_connect_timeout: 30s; lmtp_connect_timeout: 0s" in markdown()
    assert "local_destination_concurrency_limit: 2" in markdown()


def test_what_has_no_effect_yet_says_so() -> None:
    pending = [name for name, parameter in declared().items() if parameter.pending and name.startswith("smtpd_")]
    assert pending
    assert all("Not in effect yet" in entry_of(name) for name in pending)
    assert "Not in effect yet" not in entry_of("smtpd_timeout")


def test_computed_defaults_are_not_shown_as_empty() -> None:
    assert "worked out at start" in entry_of("myhostname")


def test_no_line_of_the_man_page_is_taken_for_a_request() -> None:
    known = re.compile(r"\.(TH|SH|SS|TP|B|br|ad|nh)\b")
    assert [line for line in man().splitlines() if line.startswith((".", "'")) and not known.match(line)] == []


def test_backslashes_survive_in_the_man_page() -> None:
    assert "\\et\\e40" in man()  # smtpd_expansion_filter begins with \t\40


def test_main_writes_both_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "parameters.md").read_text(encoding="utf-8").startswith("# Parameters")
    assert (tmp_path / "man" / "man5" / "postconf.5").read_text(encoding="utf-8").startswith(".TH POSTCONF 5")
    assert "parameters.md" in capsys.readouterr().out


def test_main_names_the_place_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main([str(tmp_path / "file")]) == 73
    assert "cannot write" in capsys.readouterr().err


def test_main_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--html"]) == 64
    assert "usage" in capsys.readouterr().err
