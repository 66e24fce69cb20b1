"""The tables of one parameter: order, failure, empty values, change."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from estafeta.tables.maps import Maps, when_stale
from estafeta.tables.table import Table, TableDown, TableError


def get(maps: Maps, key: str, **more: Any) -> str | None:
    return asyncio.run(maps.find(key, **more))


def test_first_table_that_has_the_key_answers() -> None:
    maps = Maps.open(["inline:{a=1}", "inline:{a=2,b=3}"], name="test_maps")
    assert [get(maps, key) for key in ("a", "b", "c", "")] == ["1", "3", None, None]


def test_no_table_is_false() -> None:
    assert not Maps.open([], name="test_maps")
    assert Maps.open(["static:x"], name="test_maps")


def test_failure_before_a_hit_is_passed_on_and_behind_it_is_not_seen() -> None:
    with pytest.raises(TableDown):
        get(Maps.open(["fail:x", "static:y"], name="test_maps"), "a")
    assert get(Maps.open(["static:y", "fail:x"], name="test_maps"), "a") == "y"


def test_partial_keys_are_put_to_indexed_tables_only() -> None:
    maps = Maps.open(["regexp:{{/./ pattern}}", "static:x", "inline:{a=1}"], name="test_maps")
    assert get(maps, "a") == "pattern"
    assert get(maps, "a", partial=True) == "1"


def test_empty_value_is_a_fault_of_configuration(lines: list[str]) -> None:
    with pytest.raises(TableDown):
        get(Maps.open(["regexp:{{/a/}}"], name="test_maps"), "a")
    assert "warning: test_maps lookup of a returns an empty string result" in lines


def test_table_that_cannot_be_opened_answers_later_until_it_is_there(
    tmp_path: Path, clock: Any, lines: list[str]
) -> None:
    path = tmp_path / "t"
    maps = Maps.open([f"texthash:{path}"], name="test_maps", clock=clock)
    assert lines == [
        f"error: open database {path}: No such file or directory: "
        "create the file, or take the table out of the configuration"
    ]
    with pytest.raises(TableDown):
        get(maps, "a")
    path.write_text("a 1\n")
    with pytest.raises(TableDown):
        get(maps, "a")
    clock.now += 1
    assert get(maps, "a") == "1"
    assert lines[1:] == [f"table texthash:{path} is available again"]


def test_strict_opening_raises() -> None:
    with pytest.raises(TableError, match="unsupported dictionary type: nosuch"):
        Maps.open(["nosuch:x"], name="test_maps", strict=True)


@pytest.mark.parametrize(
    "spec, remedy",
    [
        ("hsah:/x", r"must begin with one of: .*: did you mean hash\?"),
        ("mysql:/x", "tables in databases do not exist yet"),
    ],
)
def test_a_type_that_does_not_exist_comes_with_a_remedy(spec: str, remedy: str) -> None:
    with pytest.raises(TableError, match=remedy):
        Maps.open([spec], name="test_maps", strict=True)


@pytest.mark.parametrize("kind", ["texthash", "regexp", "pcre", "cidr"])
def test_changed_file_is_picked_up_after_a_second(kind: str, tmp_path: Path, clock: Any) -> None:
    path = tmp_path / "t"
    key = {"texthash": "1.2.3.4", "cidr": "1.2.3.4"}.get(kind, "/1.2.3.4/")
    path.write_text(f"{key} one\n")
    maps = Maps.open([f"{kind}:{path}"], name="test_maps", clock=clock)
    assert get(maps, "1.2.3.4") == "one"
    path.write_text(f"{key} another\n")
    assert get(maps, "1.2.3.4") == "one"
    clock.now += 1
    assert get(maps, "1.2.3.4") == "another"


def test_old_table_stays_when_the_new_one_cannot_be_opened(tmp_path: Path, clock: Any, lines: list[str]) -> None:
    path = tmp_path / "t"
    path.write_text("a 1\n")
    maps = Maps.open([f"texthash:{path}"], name="test_maps", clock=clock)
    path.unlink()
    path.mkdir()
    for _ in range(3):
        clock.now += 1
        assert get(maps, "a") == "1"
    assert len(lines) == 1
    assert "the old one stays in use" in lines[0]
    path.rmdir()
    clock.now += 1
    assert get(maps, "a") == "1"
    path.write_text("a 2\n")
    clock.now += 1
    assert get(maps, "a") == "2"


def test_two_parameters_share_a_table_and_its_renewal(tmp_path: Path, clock: Any) -> None:
    path = tmp_path / "t"
    path.write_text("a 1\n")
    one, two = (Maps.open([f"texthash:{path}"], name="test_maps", clock=clock) for _ in range(2))
    path.write_text("a 22\n")
    clock.now += 1
    assert (get(one, "a"), get(two, "a")) == ("22", "22")
    assert one._held[0].table is two._held[0].table


def test_proxy_is_the_table_behind_it(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a 1\n")
    assert get(Maps.open([f"proxy:texthash:{tmp_path}/t"], name="test_maps"), "a") == "1"


def test_index_is_made_anew_when_its_source_has_settled(tmp_path: Path, clock: Any, lines: list[str]) -> None:
    path = tmp_path / "t"
    path.write_text("a 1\n")
    maps = Maps.open([f"hash:{path}"], name="test_maps", clock=clock)
    assert get(maps, "a") == "1"
    path.write_text("a 2\n")
    clock.now += 1
    assert get(maps, "a") == "1", "an editor may still be writing"
    os.utime(path, (1, 1))
    clock.now += 1
    assert get(maps, "a") == "2"


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
@pytest.mark.parametrize("kind", ["texthash", "hash"])
def test_process_in_a_chroot_keeps_its_table_and_hears_that_it_is_stale(kind: str, tmp_path: Path, clock: Any) -> None:
    (tmp_path / "jail").mkdir()
    path = tmp_path / "t"
    path.write_text("a 1\n")
    maps = Maps.open([f"{kind}:{path}"], name="test_maps", clock=clock)
    assert get(maps, "a") == "1"
    path.with_name("new").write_text("a 2\n")
    os.rename(path.with_name("new"), path)
    child = os.fork()
    if child == 0:
        stale: list[str] = []
        os.chroot(tmp_path / "jail")
        when_stale(stale.append)
        for _ in range(3):
            clock.now += 1
            good = asyncio.run(maps.get("a")) == "1"
        os._exit(0 if good and stale == [f"{kind}:{path}"] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_answer_without_waiting() -> None:
    assert Maps.open(["inline:{a=1}"], name="test_maps").find_now("a") == "1"
    assert Maps.open(["inline:{a=1}"], name="test_maps").find_now("b") is None
    with pytest.raises(TableDown):
        Maps.open(["fail:x"], name="test_maps").find_now("a")


def test_a_table_that_must_be_waited_for_gives_no_answer_at_once() -> None:
    class Slow(Table):
        async def get(self, key: str) -> str | None:
            await asyncio.sleep(0)
            return "late"

    maps = Maps.open(["inline:{a=1}"], name="test_maps")
    maps._held[0].table = Slow()
    with pytest.raises(TableDown, match="must be waited for"):
        maps.find_now("a")
