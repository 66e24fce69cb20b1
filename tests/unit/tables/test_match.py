"""Match lists: names, networks, tables, files, exclusion."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from estafeta.tables.match import MatchList
from estafeta.tables.table import TableDown, TableError


def listing(*members: str, parents: bool = False) -> MatchList:
    return MatchList.open(members, parent_matches_subdomains=parents, name="test_list")


def domain(found: MatchList, name: str) -> bool:
    return asyncio.run(found.matches_domain(name))


def client(found: MatchList, host: str, address: str) -> bool:
    return asyncio.run(found.matches_address(host, address))


def test_names_match_whole_and_in_any_case() -> None:
    found = listing("Example.com", "localhost")
    assert domain(found, "example.COM")
    assert domain(found, "localhost")
    assert not domain(found, "sub.example.com")
    assert not domain(found, "com")


def test_leading_dot_matches_subdomains_only() -> None:
    found = listing(".example.com")
    assert domain(found, "a.b.example.com")
    assert not domain(found, "example.com")
    assert not domain(found, "badexample.com")


def test_parent_matches_subdomains_where_it_is_asked_for() -> None:
    found = listing("example.com", ".other.example", parents=True)
    assert domain(found, "example.com")
    assert domain(found, "a.example.com")
    assert not domain(found, "badexample.com")
    assert not domain(found, "a.other.example")


def test_first_match_decides() -> None:
    found = listing("!no.example.com", ".example.com", "!late.example.com")
    assert not domain(found, "no.example.com")
    assert domain(found, "yes.example.com")
    assert domain(found, "late.example.com")
    assert not domain(listing("!!x", "!x"), "y")
    assert domain(listing("!!x", "!x"), "x")


def test_networks_and_host_names() -> None:
    found = listing(
        "127.0.0.0/8", "!10.1.0.0/16", "10.0.0.0/8", "[::1]/128", "[2001:db8::5]", "192.0.2.1", "trusted.example"
    )
    for address in ("127.1.2.3", "10.2.0.1", "::1", "2001:db8::5", "192.0.2.1"):
        assert client(found, "unknown", address), address
    for address in ("128.0.0.1", "10.1.2.3", "::2", "2001:db8::6", "192.0.2.2", "not an address"):
        assert not client(found, "unknown", address), address
    assert client(found, "Trusted.example", "203.0.113.1")
    assert not client(found, "", "203.0.113.1")


def test_table_is_asked_for_name_parents_and_address() -> None:
    found = listing("inline:{host.example=x,.sub.example=x,192.0.2.1=x}")
    assert domain(found, "host.example")
    assert domain(found, "a.sub.example")
    assert not domain(found, "sub.example")
    assert client(found, "", "192.0.2.1")
    assert not client(found, "other.example", "192.0.2.2")


def test_pattern_table_sees_the_whole_name_only() -> None:
    found = listing("regexp:{{/^sub.example$/ x}}", parents=True)
    assert domain(found, "sub.example")
    assert not domain(found, "a.sub.example")


def test_cidr_table_serves_networks() -> None:
    assert client(listing("cidr:{{192.0.2.0/24 x}}"), "unknown", "192.0.2.77")


def test_table_that_fails_is_later_unless_something_before_it_matches() -> None:
    found = listing("before.example", "fail:x", "behind.example")
    assert domain(found, "before.example")
    with pytest.raises(TableDown):
        domain(found, "behind.example")


def test_files_stand_for_their_content(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("two.example, 192.0.2.0/24\n# no.example\n!three.example\n")
    outer.write_text(f"one.example\n{inner}\n")
    found = listing(str(outer), "three.example")
    assert domain(found, "one.example")
    assert domain(found, "two.example")
    assert client(found, "", "192.0.2.9")
    assert not domain(found, "three.example")
    assert not domain(found, "no.example")
    assert not domain(listing(f"!{inner}", "two.example"), "two.example")
    assert domain(listing(f"!{inner}", "two.example"), "three.example")


def test_missing_file_is_later_not_no(tmp_path: Path, lines: list[str]) -> None:
    found = listing("first.example", f"{tmp_path}/none")
    assert f"{tmp_path}/none" in lines[0]
    assert domain(found, "first.example")
    with pytest.raises(TableDown):
        domain(found, "other.example")


def test_files_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"{tmp_path}/a\n")
    with pytest.raises(TableError, match="break the circle"):
        listing(f"{tmp_path}/a")


def test_bad_network_is_warned_of_and_means_later(lines: list[str]) -> None:
    found = listing("127.0.0.1", "10.0.0.1/8", "192.0.2.1")
    assert lines == [
        'warning: test_list: non-null host address bits in "10.0.0.1/8", perhaps you should use "10.0.0.0/8" instead'
    ]
    assert client(found, "", "127.0.0.1")
    with pytest.raises(TableDown):
        client(found, "", "192.0.2.1")
    with pytest.raises(TableError):
        MatchList.open(["10.0.0.1/8"], name="test_list", strict=True)


def test_constant_list_answers_at_once() -> None:
    found = listing("example.com", "!a.b", "127.0.0.0/8")
    assert found.constant
    assert found.has_domain("EXAMPLE.com")
    assert not found.has_domain("a.b")
    waits = found.matches_domain("example.com")
    with pytest.raises(StopIteration) as answer:
        waits.send(None)
    assert answer.value.value is True
    assert not listing("hash:x").constant


def test_address_literals_in_mydestination() -> None:
    found = listing("[192.0.2.1]", "[host.example]")
    assert domain(found, "[192.0.2.1]")
    assert domain(found, "[host.example]")
    assert client(found, "", "192.0.2.1")


def test_exact_name_has_no_parents() -> None:
    found = listing(
        ".example.com", "Example.org", "inline:{table.example=x,.table.example=y}", "!no.example", parents=True
    )
    for name, expected in {
        "example.ORG": True,
        "a.example.org": False,
        "a.example.com": False,
        ".example.com": True,
        "table.example": True,
        "a.table.example": False,
        "": False,
    }.items():
        assert asyncio.run(found.matches_name(name)) is expected, name
    assert listing("a.example").has_name("A.example")
    assert not listing("a.example", parents=True).has_name("b.a.example")
    with pytest.raises(TableDown):
        asyncio.run(listing("fail:x").matches_name("a"))


def test_a_file_in_a_list_is_read_again_when_it_has_changed(tmp_path: Path, clock: Any, lines: list[str]) -> None:
    file = tmp_path / "domains"
    file.write_text("old.example\n")
    matching = MatchList.open([str(file), "always.example"], name="relay_domains", clock=clock)
    assert matching.has_domain("old.example")
    file.write_text("new.example # two\n!192.168.1.1\n")
    clock.now += 0.5
    assert matching.has_domain("old.example"), "looked at once a second"
    clock.now += 1
    assert not matching.has_domain("old.example")
    assert asyncio.run(matching.matches_domain("new.example"))
    assert matching.has_name("always.example")
    file.write_text("10.0.0.1/8\n")
    clock.now += 1
    assert asyncio.run(matching.matches_domain("new.example")), "what makes no sense does not take its place"
    assert any("its old content counts" in line for line in lines)
    file.write_text("mended.example\n")
    clock.now += 1
    assert asyncio.run(matching.matches_name("mended.example"))
