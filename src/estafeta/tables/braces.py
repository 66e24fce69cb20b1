"""Lists in braces, as the names of inline, unionmap, pipemap and randmap tables are written."""

from __future__ import annotations


def members_of(name: str) -> list[str] | None:
    """`{ a, {b c} d }` -> ["a", "{b c}", "d"]; None if it is not one list in braces, or a brace is left open.

    Members stand between white space and commas; what is in braces of its own belongs together.
    """
    if not (name.startswith("{") and name.endswith("}") and len(name) > 1):
        return None
    members: list[str] = []
    word, depth = "", 0
    for char in name[1:-1]:
        if depth == 0 and (char.isspace() or char == ","):
            if word:
                members.append(word)
            word = ""
            continue
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth < 0:
            return None
        word += char
    if depth:
        return None
    if word:
        members.append(word)
    return members


class BraceError(ValueError):
    """Not one text in braces; the text says why, in Postfix's words."""


def inside(text: str) -> str:
    """`{ text }` -> "text". Raises BraceError where the opening brace is not closed by the last character."""
    if not text.startswith("{"):
        raise BraceError(f"no '{{' at start of text in \"{text}\"")
    depth = 0
    for at, char in enumerate(text):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth == 0:
            if at < len(text) - 1:
                raise BraceError(f"syntax error after '}}' in \"{text}\"")
            return text[1:-1].strip()
    raise BraceError(f"missing '}}' in \"{text}\"")
