"""What somebody may have meant who mistyped a name. Only asked once there is a mistake to tell of."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`: did you mean mynetworks?`, to end a message with; empty when nothing that is known resembles `name`."""
    from difflib import get_close_matches  # slow to load, and hardly ever needed

    close = get_close_matches(name, known, n=1, cutoff=0.75)
    return f": did you mean {close[0]}?" if close else ""
