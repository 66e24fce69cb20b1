"""Changing configuration files in place."""

from __future__ import annotations

import os

import pytest

from estafeta.config.edit import comment_out_parameters, remove_parameters, repeated_parameters, rewrite, set_parameters
from estafeta.config.main_cf import ConfigError

TEXT = "# top\na = 1\n# inside\n  2\n\n  3\n# after\nb = 4\n"


def test_setting_keeps_comments_and_order() -> None:
    assert set_parameters(TEXT, {"a": "x", "c": "y"}) == "# top\na = x\n# inside\n\n# after\nb = 4\nc = y\n"


def test_removing_and_commenting() -> None:
    assert remove_parameters(TEXT, {"a"}) == "# top\n# inside\n\n# after\nb = 4\n"
    assert comment_out_parameters(TEXT, {"a"}) == "# top\n#a = 1\n# inside\n#  2\n\n#  3\n# after\nb = 4\n"
    assert remove_parameters(TEXT, {"nosuch"}) == TEXT == comment_out_parameters(TEXT, {"nosuch"})


def test_a_last_line_without_end_gets_one() -> None:
    assert set_parameters("a = 1", {"b": "2"}) == "a = 1\nb = 2\n"


def test_repeated_entries_are_found_and_all_set() -> None:
    assert repeated_parameters("a = 1\nb = 2\na = 3\n", {"a", "b"}) == ["a"]
    assert set_parameters("a = 1\nb = 2\na = 3\n", {"a": "4"}) == "a = 4\nb = 2\na = 4\n"


def test_the_file_keeps_its_mode_and_odd_bytes(tmp_path) -> None:
    path = tmp_path / "main.cf"
    path.write_bytes(b"# \xff\na = 1\n")
    path.chmod(0o640)
    rewrite(str(path), lambda text: set_parameters(text, {"a": "2"}))
    assert path.read_bytes() == b"# \xff\na = 2\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["main.cf"]


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="for reading: No such file"):
        rewrite(str(tmp_path / "main.cf"), str)
