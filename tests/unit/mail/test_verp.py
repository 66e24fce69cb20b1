"""Senders that name their recipient."""

import pytest

from estafeta.mail.verp import usable, verp_sender


@pytest.mark.parametrize(
    "delimiters, sender, recipient, expected",
    [
        ("+=", "list@a.test", "user@b.test", "list+user=b.test@a.test"),
        ("-=", "list-x@a.test", "user+ext@b.test", "list-x-user+ext=b.test@a.test"),
        ("+=", "list", "user@b.test", "list+user=b.test"),
        ("+=", "list@a.test", "user", "list+user@a.test"),
        ("+=", '"a@b"@c.test', "d@e.test", '"a@b"+d=e.test@c.test'),
        ("+=", "", "user@b.test", ""),
    ],
)
def test_the_recipient_is_in_the_sender(delimiters: str, sender: str, recipient: str, expected: str) -> None:
    assert verp_sender(delimiters, sender, recipient) == expected


@pytest.mark.parametrize("delimiters, good", [("+=", True), ("-=", True), ("ab", False), ("+", False), ("+=-", False)])
def test_only_some_characters_can_be_delimiters(delimiters: str, good: bool) -> None:
    assert usable(delimiters, "-=+") == good
