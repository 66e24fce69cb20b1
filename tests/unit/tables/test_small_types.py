"""Tables in the configuration itself, tables of tables, debug, proxy: as `postmap -q k` of Postfix answers them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from estafeta.config.instance import Config
from estafeta.tables import settings
from estafeta.tables.index import open_table
from estafeta.tables.maps import Maps
from estafeta.tables.table import Flags, TableDown, TableError


def get(spec: str, key: str = "k") -> str | None:
    return asyncio.run(open_table(spec).get(key))


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ("unionmap:{static:a,static:b}", "a,b"),
        ("unionmap:{ inline:{{k = v w}}, inline:{x=y} }", "v w"),
        ("unionmap:{regexp:{{/^k/ a}}, regexp:{{/x/ b}}}", "a"),
        ("unionmap:{inline:{x=y}}", None),
        ("pipemap:{inline:{k=v},inline:{v=w}}", "w"),
        ("pipemap:{inline:{k=v},inline:{x=w}}", None),
        ("pipemap:{inline:{z=v},fail:x}", None),
        ("pipemap:{inline:{k={}},static:x}", "x"),
        ("pipemap:{unionmap:{static:a,inline:{k=b}},inline:{{a,b=both}}}", "both"),
        ("randmap:{a}", "a"),
        ("randmap:{{a b}}", "{a b}"),
        ("randmap:{ { a b } }", "{ a b }"),
        ("randmap:{{a}x}", "{a}x"),
        ("randmap:{{}}", "{}"),
        ("environ:x", None),
        ("internal:x", None),
        ("static:{a b}", "a b"),
        ("static:{}", ""),
        ("static:{{a b}}", "{a b}"),
        ("inline:{k=}", ""),
        ("inline:{ {k = a b, c}, j=w }", "a b, c"),
        ("inline:{{k=v} }", "v"),
        ("inline:{k=v k=w}", "w"),
        ("inline:{{k={a b}}}", "{a b}"),
    ],
)
def test_answers(spec: str, value: str | None) -> None:
    assert get(spec) == value


@pytest.mark.parametrize(
    "spec", ["unionmap:{fail:x, static:b}", "unionmap:{static:b fail:x}", "pipemap:{static:v,fail:x}"]
)
def test_a_member_that_fails_fails_the_whole(spec: str) -> None:
    with pytest.raises(TableDown, match="query error: Application error"):
        get(spec)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("unionmap:static:a", 'bad syntax: "unionmap:static:a"; need "unionmap:{type:name...}"'),
        ("unionmap:{ }", 'bad syntax: "unionmap:{ }"; need "unionmap:{type:name...}"'),
        ("unionmap:{static:a", 'bad syntax: "unionmap:{static:a"; need "unionmap:{type:name...}"'),
        ("unionmap:{static}", 'bad syntax: "unionmap:{static}"; need "unionmap:{type:name...}"'),
        ("unionmap:{static:a}x", 'bad syntax: "unionmap:{static:a}x"; need "unionmap:{type:name...}"'),
        ("unionmap:{nosuch:x}", "unsupported dictionary type: nosuch"),
        ("pipemap:{static:}", 'open dictionary: expecting "type:name" form instead of "static:"'),
        ("pipemap:{static:x fail}", 'bad syntax: "pipemap:{static:x fail}"; need "pipemap:{type:name...}"'),
        ("randmap:{a b", 'bad syntax: "randmap:{a b"; need "randmap:{value...}"'),
        ("randmap:{}", 'bad syntax: "randmap:{}"; need "randmap:{value...}"'),
        ("environ:", 'open dictionary: expecting "type:name" form instead of "environ:"'),
        ("static:{a b", "bad static:name syntax: missing '}' in \"{a b\""),
        ("static:{a b}c", "bad static:name syntax: syntax error after '}' in \"{a b}c\""),
        ("inline:{k}", 'missing \'=\' after attribute name: "inline:{k}"; need "inline:{name=value...}"'),
        (
            "inline:{{k=v}x }",
            'syntax error after \'}\' in "{k=v}x": "inline:{{k=v}x }"; need "inline:{name=value...}"',
        ),
    ],
)
def test_complaints(spec: str, complaint: str) -> None:
    with pytest.raises(TableError) as caught:
        open_table(spec)
    assert caught.value.problem == complaint


def test_debug_logs_every_lookup(lines: list[str]) -> None:
    assert get("debug:inline:{k=v}") == "v"
    assert get("debug:inline:{k=v}", "x") is None
    with pytest.raises(TableDown):
        get("debug:fail:x")
    assert lines == [
        'inline:{k=v} lookup: "k" = "v"',
        'inline:{k=v} lookup: "x" = "not_found"',
        'fail:x lookup: "k" = "error"',
    ]


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "in_force", settings.Settings())
    conf = Config.for_test(
        virtual_alias_maps="proxy:inline:{k=listed}, unionmap:{proxy:static:within, static:b}",
        address_verify_map="proxy:btree:/listed",
    )
    settings.take(conf, daemon=True)


def test_proxy_opens_what_is_listed_only(proxied: None, lines: list[str]) -> None:
    assert get("proxy:inline:{k=listed}") == "listed"
    assert get("unionmap:{proxy:static:within, static:b}") == "within,b"
    assert get("static:unlisted") == "unlisted"
    with pytest.raises(TableError) as caught:
        open_table("proxy:static:unlisted")
    assert caught.value.problem == 'proxymap service is not configured for table "static:unlisted"'
    assert lines == [
        'warning: request for unapproved table: "static:unlisted"',
        "warning: to approve this table for read-only access, list proxy:static:unlisted in main.cf:proxy_read_maps",
    ]


def test_local_passes_over_proxy(proxied: None) -> None:
    assert asyncio.run(open_table("proxy:static:unlisted", Flags(trusted=True)).get("k")) == "unlisted"


def test_a_table_that_cannot_be_opened_may_end_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    Maps.open([f"texthash:{tmp_path}/none"], name="test_maps")
    monkeypatch.setattr(settings, "in_force", settings.Settings(open_error_is_fatal=True))
    with pytest.raises(TableError):
        Maps.open([f"texthash:{tmp_path}/none"], name="test_maps")
