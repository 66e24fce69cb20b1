"""What the recorded cases cannot show: options one by one, and who owns and may read the result."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from estafeta.commands import postalias, postmap
from estafeta.commands.options import Option, UsageError, parse_options


def test_options_end_at_the_first_word_that_is_none() -> None:
    options, rest = parse_options("postmap", ["-vq", "key", "-ix", "--", "-s"], "vq:ix")
    assert options == [Option("v", ""), Option("q", "key"), Option("i", ""), Option("x", "")]
    assert rest == ["-s"]
    assert parse_options("postmap", ["-qkey", "-", "-v"], "vq:") == ([Option("q", "key")], ["-", "-v"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-Z"], "postmap: invalid option -- 'Z'\n"),
        (["-v:"], "postmap: invalid option -- ':'\n"),
        (["-q"], "postmap: option requires an argument -- 'q'\n"),
    ],
)
def test_wrong_option_is_named(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        parse_options("postmap", words, "vq:")
    assert capsys.readouterr().err == complaint


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    source = tmp_path / "t"
    source.write_text("a b\n")
    source.chmod(0o640)
    return source


@pytest.mark.parametrize(("kind", "file"), [("hash", "t.db"), ("lmdb", "t.lmdb")])
def test_result_is_readable_as_the_source_is_unless_told_otherwise(kind: str, file: str, source: Path) -> None:
    result = source.parent / file
    assert postmap.main([f"{kind}:{source}"]) == 0
    assert stat.S_IMODE(result.stat().st_mode) == 0o640
    result.unlink()
    assert postmap.main(["-p", f"{kind}:{source}"]) == 0
    assert stat.S_IMODE(result.stat().st_mode) == 0o644


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
@pytest.mark.parametrize(("kind", "file"), [("hash", "t.db"), ("lmdb", "t.lmdb")])
def test_root_works_as_the_owner_of_the_source(
    kind: str, file: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = source.parent / file
    for folder in source.parents[:4]:  # up to the one that pytest keeps closed
        folder.chmod(folder.stat().st_mode | 0o055)
    os.chown(source, 65534, 65534)
    assert postmap.main([f"{kind}:{source}"]) == 1
    assert capsys.readouterr().err == f"postmap: fatal: open database {result}: Permission denied\n"
    assert not result.exists()
    assert postmap.main(["-o", f"{kind}:{source}"]) == 0
    assert result.stat().st_uid == 0
    result.unlink()
    source.parent.chmod(0o777)
    assert postmap.main([f"{kind}:{source}"]) == 0
    assert (result.stat().st_uid, result.stat().st_gid) == (65534, 65534)
    assert os.geteuid() == 0


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_owner_of_an_index_keeps_it_in_a_folder_of_root(source: Path) -> None:
    for folder in source.parents[:4]:  # up to the one that pytest keeps closed
        folder.chmod(folder.stat().st_mode | 0o055)
    result = source.parent / "t.db"
    assert postmap.main([f"hash:{source}"]) == 0
    for path in (source, result):
        os.chown(path, 65534, 65534)
    assert postmap.main([f"hash:{source}"]) == 0
    assert result.stat().st_uid == 65534


def test_json_is_one_object_a_line(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source.write_text('a "x"\nb 2\n')
    assert postmap.main([f"hash:{source}"]) == 0
    assert postmap.main(["-j", "-s", f"hash:{source}"]) == 0
    assert sorted(json.loads(line).popitem() for line in capfd.readouterr().out.splitlines()) == [
        ("a", '"x"'),
        ("b", "2"),
    ]
    assert postmap.main(["-j", "-q", "b", f"hash:{source}"]) == 0
    assert json.loads(capfd.readouterr().out) == {"b": "2"}
    assert postmap.main(["-j", f"hash:{source}"]) == 1


def test_an_alias_database_names_myhostname_as_its_master(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source.parent / "main.cf").write_text("myhostname = mail.example.com\n")
    source.write_text("root: ana\n")
    assert postalias.main([f"lmdb:{source}"]) == 0
    assert postalias.main(["-q", "YP_MASTER_NAME", "-f", f"lmdb:{source}"]) == 0
    assert capsys.readouterr().out == "mail.example.com\n"


def test_a_mistyped_type_comes_with_what_may_have_been_meant(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert postmap.main([f"hsah:{source}"]) == 1
    assert capsys.readouterr().err == "postmap: fatal: unsupported dictionary type: hsah: did you mean hash?\n"
