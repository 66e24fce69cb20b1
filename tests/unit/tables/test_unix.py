"""unix: users and groups, also from inside a chroot."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from estafeta.base.users import UsersDown
from estafeta.tables import unix
from estafeta.tables.index import open_table
from estafeta.tables.table import Flags, TableDown

OWN = pwd.getpwuid(os.getuid())


def get(spec: str, key: str) -> str | None:
    return asyncio.run(open_table(spec, Flags()).get(key))


def in_child(work: Callable[[], bool]) -> bool:
    """Whether `work` says so in a process of its own."""
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = work()
        finally:
            os._exit(0 if good else 1)
    return os.waitpid(child, 0)[1] == 0


def test_the_value_is_the_entry() -> None:
    entry = get("unix:passwd.byname", OWN.pw_name)
    assert entry is not None and entry.split(":")[2:] == [
        str(OWN.pw_uid),
        str(OWN.pw_gid),
        OWN.pw_gecos,
        OWN.pw_dir,
        OWN.pw_shell,
    ]
    assert get("unix:passwd.byname", "no-such-user-here") is None
    assert get("unix:group.byname", "no-such-group-here") is None


def test_a_directory_that_is_down_means_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(name: str) -> str | None:
        raise UsersDown(f"cannot find user {name}: no answer")

    monkeypatch.setitem(unix.SOURCES, "passwd.byname", down)
    with pytest.raises(TableDown, match="cannot find user ana: no answer"):
        get("unix:passwd.byname", "ana")


def test_a_process_outside_answers() -> None:
    def work() -> bool:
        # The table is opened first: a process that has none leaves nobody outside.
        table = open_table("unix:passwd.byname", Flags())
        unix.stay_outside(lambda: None, lambda: None)
        unix.SOURCES.clear()  # nothing is asked in here any more
        names = [OWN.pw_name, "no-such-user-here", "a\0b", "\udcff"]
        found = [asyncio.run(table.get(name)) for name in names]
        return found[0] is not None and found[0].startswith(OWN.pw_name + ":") and found[1:] == [None] * 3

    assert in_child(work)


def test_when_the_process_outside_is_gone_the_answer_is_later() -> None:
    def work() -> bool:
        table = open_table("unix:passwd.byname", Flags())
        lost: list[bool] = []
        unix.stay_outside(lambda: os._exit(0), lambda: lost.append(True))
        try:
            asyncio.run(table.get(OWN.pw_name))
        except TableDown:
            return lost == [True]
        return False

    assert in_child(work)


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_users_are_found_from_inside_a_chroot(tmp_path: Path) -> None:
    def work() -> bool:
        table = open_table("unix:passwd.byname", Flags())
        unix.stay_outside(lambda: None, lambda: None)
        os.chroot(tmp_path)
        return asyncio.run(table.get(OWN.pw_name)) is not None

    assert in_child(work)
