"""Rewriting and resolving as Postfix 3.7.11's trivial-rewrite(8) answered, recorded over its socket.

`recorded.json` has for each configuration: rewrite rows (text, local result, remote result) and resolve rows (address,
sender, transport, nexthop, recipient, flags). What Postfix does with text that is no single address is left out.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from estafeta.config.instance import Config
from estafeta.mail.address import quote
from estafeta.mail.mailboxes import scan
from estafeta.routing.routing import Resolved, Routing
from estafeta.tables.table import TableDown

HERE = Path(__file__).parent
RECORDED: dict[str, dict[str, Any]] = json.loads((HERE / "recorded.json").read_text())
NOT_ONE_ADDRESS = re.compile(r"[<>,;:()]|@\"|^\"[^\"]*$|^@$|\\$|@[^@]* |^\"\"$|^\"a@b\"$|^user\.$")
CLASS = {
    "local": "local",
    "alias": "virtual alias",
    "virtual": "virtual mailbox",
    "relay": "relay",
    "default": "default",
}

DIFFERENT = {
    # quotes in an address that is already in internal form: Postfix answers half a recipient
    '"a@b"@example.com',
    # both are "bad address syntax"; Postfix shows what it was looking at
    "@",
}


def routing(name: str) -> Routing:
    settings = {key: value.replace("@DIR@", str(HERE)) for key, value in RECORDED[name]["settings"].items()}
    return Routing.open(Config.for_test(**settings))


@pytest.mark.parametrize("name", [name for name in RECORDED if RECORDED[name]["rewrite"]])
def test_rewrite(name: str) -> None:
    rules = routing(name)
    wrong = []
    for text, local, remote in RECORDED[name]["rewrite"]:
        if not text or NOT_ONE_ADDRESS.search(text):
            continue
        boxes = scan(text)
        if len(boxes) != 1:
            continue
        box = boxes[0]
        for context, expected in (("local", local), ("remote", remote)):
            got = quote(rules.rewritten(box.address, context, quoted=box.quoted))
            if got != expected and not (expected == '""' and not got):
                wrong.append((text, context, expected, got))
    assert not wrong


async def answer(rules: Routing, address: str, sender: str) -> list[str]:
    try:
        found: Resolved = await rules.resolve(address, sender)
    except TableDown:
        return ["", "", "", "fail"]
    if found.invalid:
        return ["", "", found.recipient, "error"]
    flags = ("routed " if found.routed else "") + found.address_class
    return [found.transport, found.nexthop, found.recipient, flags]


def expected_of(row: list[str]) -> list[str]:
    transport, nexthop, recipient, flags = row
    words = flags.split()
    if "fail" in words:
        return ["", "", "", "fail"]
    if "error" in words:
        return ["", "", recipient, "error"]
    word = CLASS[words[-1]]
    return [transport, nexthop, recipient, ("routed " if "routed" in words else "") + word]


@pytest.mark.parametrize("name", list(RECORDED))
def test_resolve(name: str) -> None:
    rules = routing(name)

    async def wrong_ones() -> list[tuple[str, str, list[str], list[str]]]:
        wrong = []
        for _ in range(2):  # the second time from memory, where anything is remembered
            for address, sender, *row in RECORDED[name]["resolve"]:
                if address in DIFFERENT:
                    continue
                got = await answer(rules, address, sender)
                if got != expected_of(row):
                    wrong.append((address, sender, expected_of(row), got))
        return wrong

    assert not asyncio.run(wrong_ones())
