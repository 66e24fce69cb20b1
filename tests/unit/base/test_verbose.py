"""What is told under -v and for peers of debug_peer_list, and that nothing is without them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from estafeta.base import verbose
from estafeta.commands.options import parse_options
from estafeta.config.instance import Config
from estafeta.daemons.smtpd.watch import Watched
from estafeta.tables.index import open_table
from estafeta.tables.maps import Maps
from estafeta.tables.table import TableDown
from estafeta.tables.told import ToldTable


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    yield
    verbose.begin(0)


def test_each_v_of_a_command_counts_except_those_that_mean_something_else(said: list[str]) -> None:
    parse_options("postmap", ["-vv", "-v", "x"], "v")
    assert verbose.level == 3
    parse_options("sendmail", ["-v", "-v"], "v", other_v=1)
    assert verbose.level == 1
    parse_options("sendmail", ["-v"], "v", other_v=1)
    verbose.tell("not heard")
    assert verbose.level == 0 and said == []


def test_configuration_files_and_with_more_v_what_they_set(said: list[str], tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("myhostname = mail.example\n")
    verbose.begin(1)
    Config.load(str(tmp_path))
    assert said == [f"configuration directory: {tmp_path}", f"open file {tmp_path}/main.cf"]
    verbose.begin(2)
    Config.load(str(tmp_path))
    assert said[-1] == f"{tmp_path}/main.cf, line 1: myhostname = mail.example"


def test_questions_to_tables_and_answers(said: list[str]) -> None:
    verbose.begin(1)
    maps = Maps.open(["inline:{told=yes}", "fail:told"], name="x")
    assert asyncio.run(maps.get("told")) == "yes" and maps.find_now("told") == "yes"
    with pytest.raises(TableDown):
        asyncio.run(maps.get("none"))
    assert said[0] == "dict_open: inline:{told=yes}"
    assert 'inline:{told=yes}: lookup "told" = "yes"' in said
    assert 'inline:{told=yes}: lookup "none" = (notfound)' in said
    assert said[-1].startswith('fail:told: lookup "none": error: ')


def test_without_v_a_table_is_not_wrapped() -> None:
    assert not isinstance(open_table("inline:{bare=yes}"), ToldTable)


def test_debug_peer_level_decides_whether_lookups_for_the_peer_are_told(said: list[str]) -> None:
    async def serve(watched: bool) -> None:
        if watched:
            Watched(None, "c[1]")
        await table.get("k")

    async def both() -> None:
        await asyncio.gather(asyncio.create_task(serve(True)), asyncio.create_task(serve(False)))

    verbose.begin(0, peers=2)
    table = open_table("inline:{k=peer}")
    asyncio.run(both())
    assert said == ['inline:{k=peer}: lookup "k" = "peer"']
    verbose.begin(0, peers=1)
    assert not isinstance(open_table("inline:{k=plain}"), ToldTable)


def test_watching_ends_with_its_block() -> None:
    verbose.begin(0, peers=2)
    with verbose.watching():
        assert verbose.now()
    assert not verbose.now()
