"""An SQL template with placeholders, as Cyrus SASL and Postfix write it, made into a statement with parameters.

`'%u@%r'` in a template is a string that a login name is put into. Here the whole string becomes one parameter, which
the database driver hands over apart from the statement: no name that a client sends is ever read as SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|%.|%$|[^'\"%]+|['\"]", re.S)
_PLACEHOLDER = re.compile(r"%(.)", re.S)


@dataclass(frozen=True, slots=True)
class Statement:
    """`texts` and `values` take turns, a text first; each value is a template itself."""

    texts: tuple[str, ...]
    values: tuple[str, ...]

    @classmethod
    def parse(cls, template: str, letters: str) -> Statement:
        """`letters`: the placeholders that there are. Raises ValueError for others and for a quote that stays open."""
        texts, values = [""], []
        for found in _TOKEN.finditer(template.strip().removesuffix(";")):
            piece = found[0]
            if piece in ("'", '"'):
                raise ValueError(f"a quote is not closed in: {template}")
            placeholders = [letter for letter in _PLACEHOLDER.findall(piece) if letter != "%"]
            for letter in placeholders:
                if letter not in letters:
                    raise ValueError(f"%{letter} means nothing in: {template}")
            if piece == "%":
                raise ValueError(f"a single % ends: {template}")
            if not placeholders:
                texts[-1] += piece.replace("%%", "%")
            elif piece.startswith('"'):
                raise ValueError(f"a name in double quotes cannot have a placeholder in: {template}")
            else:
                values.append(piece[1:-1].replace("''", "'") if piece.startswith("'") else piece)
                texts.append("")
        return cls(tuple(texts), tuple(values))

    def text(self, mark: str) -> str:
        """The statement with `mark` (`?`, `%s`) for each parameter."""
        texts = [text.replace("%", "%%") for text in self.texts] if mark.startswith("%") else list(self.texts)
        return mark.join(texts)

    def parameters(self, given: Mapping[str, str]) -> list[str]:
        """`given`: letter -> what stands for it now."""
        return [_PLACEHOLDER.sub(lambda found: given.get(found[1], "%"), value) for value in self.values]
