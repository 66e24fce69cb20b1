"""What may differ between two runs of the same case, or between two systems that do the same: ids, times, process ids,
sizes (they depend on the length of ids), and which of several messages or recipients comes first. Nothing else.
"""

from __future__ import annotations

import re

_DATE = re.compile(r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}(?: \(\w+\))?")
_ASCTIME = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} [ \d]\d \d\d:\d\d:\d\d(?: \d{4})?")
_QUEUE_ID = re.compile(r"(?:\[\d+\]: |queued as |notification: |forwarded as )([0-9A-F]{6,24})\b")
_WORD = re.compile(r"(?<![0-9A-Za-z])[0-9A-F]{6,24}(?![0-9A-Za-z])")
_STAMP = re.compile(r"<\d{14}\.")
_DELAYS = re.compile(r"delay=[\d.]+, delays=[\d./]+")
_BOUNDARY = re.compile(r"(Q\d+)\.\d{10}/")
_SIZE = re.compile(r"\b(size=|SIZE=)\d+")
_LISTED = re.compile(r"^(Q\d+)([*!]?#?) +\d+ (?=ASCTIME)", re.MULTILINE)
_LISTED_RECIPIENTS = re.compile(r"(?:^ {41}\S.*\n)+", re.MULTILINE)
_SINK_ID = re.compile(r"(queued as )\d{5}\b")
_JSON = re.compile(r'"(arrival_time|message_size)": \d+')
_FINGERPRINT = re.compile(r"\b(?:[0-9A-F]{2}:){15,}[0-9A-F]{2}\b")
_PORT = re.compile(r"\b(PORT=)\d+")
_RCPT = re.compile(r"(?:^RCPT TO:.*\n)+", re.MULTILINE)
_OWN_SIZE = re.compile(r"\bmessage size \d+ ")
_LISTED_MESSAGES = re.compile(r"(?<=Recipient-------\n)(.+?\n)(?=\n-- )", re.DOTALL)
_LISTED_TOTAL = re.compile(r"^-- \d+ Kbytes", re.MULTILINE)
_PROGRAM = re.compile(r"^/usr/s?bin/", re.MULTILINE)
_MAILDIR = re.compile(r"\d{10}\.V[0-9a-f]+I[0-9a-f]+M\d+\.[\w.-]+")
_LOG_LINE = re.compile(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ (?:[\w.-]+/)*([\w-]+)\[\d+\]: (.*)$")

_CLIENT_PORT = re.compile(r"(\[[0-9a-fA-F.:]+\]:?)\d{5}\b")
_TOOK = re.compile(r"(HANGUP|PREGREET \d+) after [\d.]+ from")
"""What postscreen says of a client."""

LEFT_OUT = [
    re.compile(pattern)
    for pattern in (
        r"^(postfix-script|postfix): ",
        r"^master: (daemon started|terminating|reload|daemon terminating)",
        r"^master: warning: .*(has no effect yet|is not available yet)",
        r"^anvil: statistics",
        r"^\w+: warning: .*backwards-compatible",
        r"^postlogd?: ",
        # The owner of our name server's SOA records is the root, which Postfix does not like.
        r"^dnsblog: warning: (valid_hostname: empty hostname|malformed domain name in resource name of SOA)",
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
        text = _SIZE.sub(r"\1N", text)
        text = _LISTED.sub(r"\1\2 SIZE ", text)
        text = _LISTED_RECIPIENTS.sub(_in_order, text)
        text = _SINK_ID.sub(r"\1NNNNN", text)
        text = _JSON.sub(r'"\1": N', text)
        text = _FINGERPRINT.sub("FINGERPRINT", text)
        text = _PORT.sub(r"\1N", text)
        text = _RCPT.sub(_in_order, text)
        text = _OWN_SIZE.sub("message size N ", text)
        text = _LISTED_MESSAGES.sub(lambda found: "\n\n".join(sorted(found[0].strip("\n").split("\n\n"))) + "\n", text)
        text = _LISTED_TOTAL.sub("-- N Kbytes", text)
        text = _PROGRAM.sub("", text)
        return _MAILDIR.sub("UNIQUE", text)

    def output(self, text: str, ignored: list[str]) -> str:
        """What a dialogue or a command said."""
        leave_out = [re.compile(pattern) for pattern in ignored]
        lines = self.text(text).splitlines(keepends=True)
        return "".join(line for line in lines if not any(pattern.search(line) for pattern in leave_out))

    def log(self, log: str, ignored: list[str]) -> str:
        """Lines by program. What a program that works on many messages at a time says is put together by message."""
        leave_out = LEFT_OUT + [re.compile(pattern) for pattern in ignored]
        programs: dict[str, list[str]] = {}
        for line in log.splitlines():
            found = _LOG_LINE.match(line)
            if found is None:
                programs.setdefault("?", []).append(self.text(line))
                continue
            entry = f"{found[1]}: {found[2]}"
            entry = self.text(entry)
            if found[1] in ("postscreen", "tlsproxy"):
                entry = _TOOK.sub(r"\1 after TIME from", _CLIENT_PORT.sub(r"\1PORT", entry))
            if not any(pattern.search(entry) for pattern in leave_out):
                programs.setdefault(found[1], []).append(entry)
        for program in programs.keys() - IN_SEQUENCE:
            programs[program].sort(key=_by_message)
        for program in programs.keys() & IN_PARALLEL:
            programs[program].sort(key=lambda line: (_by_message(line), line))
        return "".join(f"{line}\n" for program in sorted(programs) for line in programs[program])


IN_SEQUENCE = {"smtpd", "pickup", "postscreen", "?"}
"""These see one thing after the other, as the case has it; for others chance decides which message comes first."""

IN_PARALLEL = {"dnsblog", "smtp", "lmtp"}
"""Several processes of these work at once: chance decides which of two remarks about no message comes first."""

_ABOUT = re.compile(r"[\w-]+: (?:warning: )?(Q(\d+)): (to=.*)?")


def _by_message(line: str) -> tuple[int, str]:
    """Remarks about no message first; then message by message, recipients of one in the order of the alphabet."""
    found = _ABOUT.match(line)
    return (0, "") if found is None else (int(found[2]), found[3] or "")


def _in_order(lines: re.Match[str]) -> str:
    return "".join(sorted(lines[0].splitlines(keepends=True)))
