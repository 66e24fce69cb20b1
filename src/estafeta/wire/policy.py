"""Policy delegation: a request of attributes, an answer of one action. SMTPD_POLICY_README.

Both are lines `name=value`, ended by an empty one. Values come from strangers: what would end a line is taken out.
"""

from __future__ import annotations

MOST_BYTES = 20_480
"""An answer has no more than that."""

_UNFIT = str.maketrans({"\n": " ", "\r": " ", "\0": " "})


class BadAnswer(ValueError):
    """An answer that makes no sense; the text says why."""


def encode_request(attributes: dict[str, str | int]) -> bytes:
    """The request, its empty line included."""
    lines = [f"{name}={str(value).translate(_UNFIT)}\n" for name, value in attributes.items()]
    return "".join((*lines, "\n")).encode("utf-8", "surrogateescape")


def parse_answer(lines: list[bytes]) -> str:
    """The action of an answer whose lines, without their ends and the empty one, are these. Raises BadAnswer."""
    for line in lines:
        name, equals, value = line.partition(b"=")
        if equals and name.strip() == b"action":
            return value.decode("utf-8", "surrogateescape").strip()
    raise BadAnswer("missing attribute action")
