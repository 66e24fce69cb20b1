"""Values that are the content of files, as `postmap -F` and tls_server_sni_maps have them: keys and certificates.

What the source says is a list of files; what the table holds is all of their content as base64, so that a process
without the right to read the files can have it. Tables without an index read the files when they are opened.
"""

from __future__ import annotations

import base64
import re

from estafeta.tables.table import Flags

_APART = re.compile(r"[,\s]+")


class Unreadable(Exception):
    """A file cannot be read; the text is `open FILE: reason`."""


def files_as_base64(value: str) -> str:
    """The content of the files that `value` names, newline between them, as base64. Raises Unreadable."""
    parts: list[bytes] = []
    for path in filter(None, _APART.split(value)):
        try:
            with open(path, "rb") as file:
                parts.append(file.read())
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise Unreadable(f"open {path}: {getattr(error, 'strerror', None) or error}") from None
    return base64.b64encode(b"\n".join(parts)).decode("ascii")


def stored(value: str, flags: Flags) -> str:
    """What a table opened with these flags holds for a value of its source. Raises Unreadable."""
    return files_as_base64(value) if flags.base64_files else value
