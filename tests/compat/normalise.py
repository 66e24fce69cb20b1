"""What may differ between two runs of the same case: ids, times, process ids, and nothing else."""

from __future__ import annotations

import re

_DATE = re.compile(r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}(?: \(\w+\))?")
_ASCTIME = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} [ \d]\d \d\d:\d\d:\d\d(?: \d{4})?")
_QUEUE_ID = re.compile(r"(?:\[\d+\]: |queued as |notification: |forwarded as )([0-9A-F]{6,16})\b")
_WORD = re.compile(r"(?<![0-9A-Za-z])[0-9A-F]{6,16}(?![0-9A-Za-z])")
_STAMP = re.compile(r"<\d{14}\.")
_DELAYS = re.compile(r"delay=[\d.]+, delays=[\d./]+")
_BOUNDARY = re.compile(r"(Q\d+)\.\d{10}/")
_SIZE = re.compile(r"size=\d+")
_MAILDIR = re.compile(r"\d{10}\.V[0-9a-f]+I[0-9a-f]+M\d+\.[\w.-]+")
_LOG_LINE = re.compile(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ (?:[\w.-]+/)*([\w-]+)\[\d+\]: (.*)$")

LEFT_OUT = [
    re.compile(pattern)
    for pattern in (
        r"^(postfix-script|postfix): ",
        r"^master: (daemon started|terminating|reload|daemon terminating)",
        r"^master: warning: .*(has no effect yet|is not available yet)",
        r"^anvil: statistics",
        r"^\w+: warning: .*backwards-compatible",
        r"^postlogd?: ",
    )
]


class Normaliser:
    """One a run: the first queue id that is shown is Q1, the next Q2, and so on. `raw` is where ids can be learnt."""

    def __init__(self, raw: str) -> None:
        self._known = set(_QUEUE_ID.findall(raw))
        self._ids: dict[str, str] = {}

    def _name(self, found: re.Match[str]) -> str:
        if found[0] not in self._known:
            return found[0]
        return self._ids.setdefault(found[0], f"Q{len(self._ids) + 1}")

    def text(self, text: str) -> str:
        text = _DATE.sub("DATE", text)
        text = _ASCTIME.sub("ASCTIME", text)
        text = _STAMP.sub("<STAMP.", text)
        text = _WORD.sub(self._name, text)
        text = _BOUNDARY.sub(r"\1.TIME/", text)
        text = _DELAYS.sub("delay=D, delays=D", text)
        text = _SIZE.sub("size=N", text)
        return _MAILDIR.sub("UNIQUE", text)

    def log(self, log: str, ignored: list[str]) -> str:
        """Lines by program, in the order in which each program wrote them."""
        leave_out = LEFT_OUT + [re.compile(pattern) for pattern in ignored]
        programs: dict[str, list[str]] = {}
        for line in log.splitlines():
            found = _LOG_LINE.match(line)
            if found is None:
                programs.setdefault("?", []).append(line)
                continue
            entry = f"{found[1]}: {found[2]}"
            if not any(pattern.search(entry) for pattern in leave_out):
                programs.setdefault(found[1], []).append(self.text(entry))
        return "".join(f"{line}\n" for program in sorted(programs) for line in programs[program])
