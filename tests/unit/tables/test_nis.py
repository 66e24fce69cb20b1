"""nis: tables answer "not there", so that the default alias_maps work."""

import asyncio

from estafeta.base import log
from estafeta.tables.index import open_table


def test_nothing_is_found_and_one_warning_says_so() -> None:
    lines: list[str] = []
    before = log.install(lambda level, text, program: lines.append(text))
    try:
        for _ in range(2):
            assert asyncio.run(open_table("nis:test_nis.aliases").get("root")) is None
    finally:
        log.install(before)
    assert lines == ["nis:test_nis.aliases: NIS lookups are disabled: nothing is found there; take it out of main.cf"]
