"""A field in which no address changes stays byte for byte; what surrounds one that does stays too."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.address_field import replaced
from estafeta.mail.mailboxes import Mailbox

TEXT = st.text(alphabet='ab.@<>(),;:"\\ \t[]!%é\udcff', max_size=60)


async def same(box: Mailbox) -> str:
    return box.address


async def mapped(box: Mailbox) -> str:
    return {"m@x.test": "new@y.test", "none@x.test": ""}.get(box.address, box.address)


def change(value: str, how: object = mapped, limit: int = 10240) -> str | None:
    raw = b"To:" + value.encode("utf-8", "surrogateescape") + b"\r\n"
    new = asyncio.run(replaced(raw, 3, how, limit))  # type: ignore[arg-type]
    return None if new is None else new[3:-2].decode("utf-8", "surrogateescape")


@given(TEXT)
def test_no_change_leaves_the_field_alone(value: str) -> None:
    new = change(value, same)
    assert new is None or "@" in value  # a route is taken off, that is all that may happen
    if "<@" not in value.replace(" ", "").replace("\t", "") and not value.lstrip(' \t,;:()"').startswith("@"):
        assert new is None or "@" in value


@given(TEXT)
def test_an_address_among_anything_never_fails(value: str) -> None:
    change(value + ", m@x.test")
    change("m@x.test, " + value)


def test_names_comments_and_folding_stay() -> None:
    assert change(' "Lee, A" (x (y) \\) z) <m@x.test>,\r\n\tother@z.test') == (
        ' "Lee, A" (x (y) \\) z) <new@y.test>,\r\n\tother@z.test'
    )
    assert change(" Group: m@x.test, b@x.test; (end)") == " Group: new@y.test, b@x.test; (end)"
    assert change(" <@a,@b:m@x.test>") == " <new@y.test>"
    assert change(" m (in the middle) @ x . test") == " new@y.test"
    assert change(" other@x.test") is None
    assert change(" none@x.test, Ann <none@x.test>") == ' "", Ann <>'


def test_what_is_over_the_limit_is_dropped_where_something_changes() -> None:
    assert change(" m@x.test, b, c, d", limit=7) == " new@y.test, b"
    assert change(" a@x.test, b, c, d", limit=7) is None


def test_long_and_hostile_lists_take_linear_time() -> None:
    for value in ("m@x.test, " * 20_000, "(" * 100_000, "<" * 50_000, '"' * 50_001, "a" * 200_000, ":;" * 50_000):
        begun = time.process_time()
        change(value, limit=200_000)
        assert time.process_time() - begun < 20  # quadratic would be minutes
