"""mailbox: tables give every address a mailbox, and none outside of where mailboxes are."""

from __future__ import annotations

import pytest

from estafeta.tables.index import open_table
from estafeta.tables.mailbox import MailboxTable
from estafeta.tables.table import Flags, TableError


def table(template: str) -> MailboxTable:
    found = open_table(f"mailbox:{template}", Flags())
    assert isinstance(found, MailboxTable)
    return found


@pytest.mark.parametrize(
    ("template", "answer"),
    [("%d/%u/", "example.test/ann/"), ("%s", "ann@example.test"), ("100%%/%u", "100%/ann"), ("all/", "all/")],
)
def test_the_parts_of_the_address_are_filled_in(template: str, answer: str) -> None:
    assert table(template).lookup("ann@example.test") == answer


@pytest.mark.parametrize(
    "key",
    ["ann", "@example.test", "../x@example.test", "a/b@example.test", ".@d", "a\n@d", "a" * 65 + "@d", "a@../x"],
)
def test_what_could_lead_elsewhere_has_no_mailbox(key: str) -> None:
    assert table("%d/%u/").lookup(key) is None


def test_an_unknown_part_is_an_error() -> None:
    for template in ("%x/", "%"):
        with pytest.raises(TableError):
            table(template)
