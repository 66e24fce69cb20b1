"""The tally of commands at the end of a session's log: ` ehlo=1 mail=1 rcpt=0/1 commands=2/3`."""

from __future__ import annotations


class Tally:
    """What a client asked for, and how often it was done."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        """Verb -> [done, asked]."""

    def add(self, counted: str, good: bool) -> None:
        """One more command, `counted` as the log names it."""
        pair = self._counts.get(counted)
        if pair is None:
            pair = self._counts[counted] = [0, 0]
        pair[0] += good
        pair[1] += 1

    def undo(self, counted: str) -> None:
        """One less is done: the count that follows at once must come to nothing."""
        self._counts.setdefault(counted, [0, 0])[0] -= 1

    def __str__(self) -> str:
        parts, done, asked = [], 0, 0
        for name in ORDER:
            pair = self._counts.get(name)
            if pair is None:
                continue
            parts.append(f"{name}={_ratio(*pair)}")
            done += pair[0]
            asked += pair[1]
        return "".join(f" {part}" for part in (*parts, f"commands={_ratio(done, asked)}"))


ORDER = (
    "helo",
    "ehlo",
    "xclient",
    "xforward",
    "starttls",
    "auth",
    "mail",
    "rcpt",
    "data",
    "bdat",
    "rset",
    "noop",
    "vrfy",
    "etrn",
    "quit",
    "unknown",
)
"""The order in which the disconnect line names the commands."""


def _ratio(done: int, asked: int) -> str:
    return str(asked) if done == asked > 0 else f"{done}/{asked}"
