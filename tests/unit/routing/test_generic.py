"""generic(5): one lookup, extensions where they are wanted, domains, several values."""

from __future__ import annotations

import asyncio

import pytest

from estafeta.config.instance import Config
from estafeta.routing.generic import Generic
from estafeta.tables.table import TableDown

TABLE = (
    "inline:{{ann@x.test=ann@isp.test}, {@d.test=@isp.test}, {a@x.test=b@x.test}, {b@x.test=c@x.test}, {bare@x.test=q}}"
)


def generic(table: str = TABLE, **settings: str) -> Generic:
    settings = {"myhostname": "mail.x.test", "myorigin": "x.test", "recipient_delimiter": "+", **settings}
    conf = Config.for_test(smtp_generic_maps=table, **settings)
    return Generic(conf, conf.client("smtp").generic_maps, "smtp_generic_maps")


def ask(rules: Generic, address: str) -> str:
    return asyncio.run(rules.address(address))


def test_extensions() -> None:
    assert ask(generic(), "ann+e@x.test") == "ann@isp.test"
    assert ask(generic(propagate_unmatched_extensions="generic"), "ann+e@x.test") == "ann+e@isp.test"


def test_domain_keeps_the_user_and_results_are_not_looked_up_again() -> None:
    rules = generic()
    assert ask(rules, "u+e@d.test") == "u+e@isp.test"
    assert ask(rules, "a@x.test") == "b@x.test"
    assert ask(rules, "bare@x.test") == "q@x.test"
    assert ask(rules, "") == ""
    assert ask(rules, "other@z.test") == "other@z.test"


def test_a_header() -> None:
    head = b"From: Ann <ann@x.test>\r\nX-From: ann@x.test\r\nTo: other@z.test\r\n\r\n"
    rules = generic()
    assert asyncio.run(rules.head(head)) == head.replace(b"From: Ann <ann@x.test>", b"From: Ann <ann@isp.test>")
    plain = b"From: other@z.test\r\nTo:  odd   (spacing) <x@y.test>\r\n\r\n"
    assert asyncio.run(rules.head(plain)) is plain


def test_a_table_that_is_down_says_so() -> None:
    with pytest.raises(TableDown):
        ask(generic("fail:x"), "ann@x.test")


def test_unset_is_false() -> None:
    assert not generic("")
