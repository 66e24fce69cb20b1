"""Reading main.cf."""

from __future__ import annotations

import pickle

import pytest

from estafeta.config.main_cf import ConfigError, load_settings, parse_settings


def test_logical_lines() -> None:
    found = parse_settings("# top\na = one\n  two\n\n# in between\n\tthree  \nb=\n\nc=d = e\n")
    assert found.values == {"a": "one  two\tthree", "b": "", "c": "d = e"}
    assert found.lines == {"a": 2, "b": 7, "c": 9}
    assert found.origin("b") == "/etc/postfix/main.cf, line 7"
    assert found.origin("z") == ""


def test_the_last_of_several_assignments_holds_and_is_reported() -> None:
    found = parse_settings("a = 1\na = 2\n")
    assert found.values == {"a": "2"}
    assert [one.value for one in found.assignments] == ["1", "2"]
    assert found.warnings == ["/etc/postfix/main.cf, line 2: overriding earlier entry: a=1"]


def test_a_first_line_that_continues_nothing_is_left_out_with_a_warning() -> None:
    found = parse_settings("  a = 1\nb = 2\n")
    assert found.values == {"b": "2"}
    assert "line 1 is ignored" in found.warnings[0]


@pytest.mark.parametrize("text", ["= x\n", "a b = c\n", "a\n", "\n\na\n  b\n"])
def test_a_bad_line_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"main.cf, line \d+: missing .*: write name = value"):
        parse_settings(text)


def test_a_missing_file_is_named_with_a_remedy(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"open .*/main.cf: No such file or directory: make it, or"):
        load_settings(str(tmp_path))


def test_odd_bytes_survive_and_settings_travel(tmp_path) -> None:
    (tmp_path / "main.cf").write_bytes(b"a = \xff\xe9\n")
    found = load_settings(str(tmp_path))
    assert found.values["a"].encode("utf-8", "surrogateescape") == b"\xff\xe9"
    assert pickle.loads(pickle.dumps(found)) == found
