import asyncio
import os
import pwd
import threading

import pytest

from estafeta.accounts.system import User, Users, UsersDown, find_user

ANA = User("ana", 5, 6, "Ana", "/home/ana", "/bin/sh")


def test_the_system_is_asked() -> None:
    me = pwd.getpwuid(os.getuid())
    assert find_user(me.pw_name) == User(me.pw_name, me.pw_uid, me.pw_gid, me.pw_gecos, me.pw_dir, me.pw_shell)


@pytest.mark.parametrize("name", ["no-such-user-here", "", "a\0b", "a:b", "a\nb", "\udcff"])
def test_a_name_that_nobody_has(name: str) -> None:
    assert find_user(name) is None


def test_answers_are_kept_for_a_few_seconds_and_asked_in_a_thread() -> None:
    now, asked = [0.0], []

    def ask(name: str) -> User | None:
        asked.append((name, threading.current_thread() is threading.main_thread()))
        return ANA if name == "ana" else None

    async def case() -> None:
        users = Users(ask=ask, clock=lambda: now[0])
        assert [await users.find(name) for name in ("ana", "bea", "ana", "bea")] == [ANA, None, ANA, None]
        assert asked == [("ana", False), ("bea", False)]
        now[0] = 6.0
        await users.find("ana")
        assert len(asked) == 3

    asyncio.run(case())


def test_a_directory_that_is_down_is_not_a_user_that_does_not_exist() -> None:
    def ask(name: str) -> User | None:
        raise UsersDown("cannot find user ana: Input/output error")

    async def case() -> None:
        with pytest.raises(UsersDown):
            await Users(ask=ask).find("ana")

    asyncio.run(case())
