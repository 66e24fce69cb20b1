"""Tables that tell what they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.talk.stage import logged

from estafeta.base import verbose
from estafeta.tables.index import open_table


@pytest.fixture
def loud() -> Iterator[None]:
    verbose.begin(1)
    yield
    verbose.begin(0)


@pytest.mark.usefixtures("loud")
def test_questions_and_answers_are_told() -> None:
    with logged() as lines:
        table = open_table("inline:{a@b.test=REJECT}")
        asyncio.run(table.get("a@b.test"))
        asyncio.run(table.get("c@b.test"))
    assert lines[-2:] == [
        'inline:{a@b.test=REJECT}: lookup "a@b.test" = "REJECT"',
        'inline:{a@b.test=REJECT}: lookup "c@b.test" = (notfound)',
    ]


@pytest.mark.usefixtures("loud")
def test_a_password_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "sasl_passwd").write_text("mx.test ana:geheim\n")
    with logged() as lines:
        asyncio.run(open_table(f"texthash:{tmp_path}/sasl_passwd").get("mx.test"))
    assert lines[-1].endswith('lookup "mx.test" = (not shown)') and not any("geheim" in line for line in lines)
