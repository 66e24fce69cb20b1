"""What the command line of sendmail(1) asks for. Options of other sendmails are accepted where they do no harm."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field

from estafeta.base import log
from estafeta.commands.options import UsageError, parse_options
from estafeta.mail import mailboxes
from estafeta.mail.envelope import (
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    RET_FULL,
    RET_HDRS,
    TRACE_REPORT,
    TRACE_VERIFY,
)

LETTERS = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:tvx"

ENQUEUE, FLUSH, STANDALONE, LIST, ALIASES, DAEMON = "enqueue", "flush", "standalone", "list", "aliases", "daemon"
_MODES = {"m": ENQUEUE, "v": ENQUEUE, "s": STANDALONE, "p": LIST, "i": ALIASES, "d": DAEMON, "l": DAEMON}
_IGNORED_MODES = "hH"

_NOTIFY = {"success": NOTIFY_SUCCESS, "failure": NOTIFY_FAILURE, "delay": NOTIFY_DELAY}
ENVID_LIMIT = 100
_FLAGS = re.sub("[A-Za-z]:", "", LETTERS)
_VALUED = "".join(re.findall("([A-Za-z]):", LETTERS))
_WANTS_VALUE = re.compile(f"-[{_FLAGS}]*[{_VALUED}]\\Z")
"""A word of options whose last one takes the next word as its value."""
_QUEUE_OPTION = re.compile(r"-q(.*)\Z", re.DOTALL)


class Fatal(Exception):
    """The command cannot go on; `status` is from sysexits.h."""

    def __init__(self, text: str, status: int = 75) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Request:
    """One call."""

    mode: str = ENQUEUE
    config: str = ""
    sender: str | None = None
    """Internal form; None if not given."""
    full_name: str | None = None
    recipients: list[str] = field(default_factory=list)
    extract: bool = False
    """-t"""
    ignore_dots: bool = False
    gateway: bool = False
    encoding: str = ""
    notify: int = 0
    ret: str = ""
    envid: str = ""
    verp: str | None = None
    """The two delimiters; "" for the default ones; None without -XV."""
    trace: int = 0
    verbose: int = 0
    site: str = ""
    queue_id: str = ""
    alias_file: str = ""


def parse(name: str, words: list[str]) -> Request:
    """`name` is what the program was called as. Raises Fatal."""
    request = Request(mode={"mailq": LIST, "newaliases": ALIASES, "smtpd": DAEMON}.get(name, ENQUEUE))
    words = _queue_options(words, request)
    try:
        options, rest = parse_options("sendmail", words, LETTERS)
    except UsageError:
        raise Fatal("usage: sendmail [options]") from None
    for letter, value in options:
        _option(request, letter, value)
    if request.verbose:
        request.trace |= TRACE_REPORT
    if request.mode == FLUSH and rest:
        raise Fatal("flush queue mode requires no recipient")
    for word in rest:
        request.recipients += mailboxes.addresses(word) or ([""] if not word.strip() else [])
    return request


def _queue_options(words: list[str], request: Request) -> list[str]:
    """Take `-q` and its kin out: the value may be missing, which getopt cannot say."""
    rest: list[str] = []
    is_value = False
    for index, word in enumerate(words):
        if is_value:
            rest.append(word)
            is_value = False
            continue
        if word in ("--", "-") or not word.startswith("-"):
            rest += words[index:]
            break
        is_value = _WANTS_VALUE.match(word) is not None
        match = _QUEUE_OPTION.match(word)
        if match is None:
            rest.append(word)
            continue
        value = match[1]
        if value[:1] == "I":
            request.mode, request.queue_id = FLUSH, value[1:]
        elif value[:1] == "R":
            request.mode, request.site = FLUSH, value[1:]
        elif value[:1] == "S":
            raise Fatal("-qS is not implemented")
        elif value[:1] == "-":
            raise Fatal("-q- is not implemented")
        elif not value:
            request.mode = FLUSH
        # else an interval between queue runs: queue_run_delay says that
    return rest


def _option(request: Request, letter: str, value: str) -> None:
    if letter == "b":
        _mode(request, value)
    elif letter == "o":
        _old_option(request, value)
    elif letter in "fr":
        found = mailboxes.addresses(value)
        request.sender = found[0] if found else ""
    elif letter == "F":
        request.full_name = value
    elif letter == "t":
        request.extract = True
    elif letter == "i":
        request.ignore_dots = True
    elif letter == "G":
        request.gateway = True
    elif letter == "I":
        request.mode = ALIASES
    elif letter == "n":
        raise Fatal("-n option not supported")
    elif letter == "C":
        request.config = value
    elif letter == "B":
        if value.upper() not in ("8BITMIME", "7BIT"):
            raise Fatal("-B option needs 8BITMIME or 7BIT")
        request.encoding = "8bit" if value.upper() == "8BITMIME" else "7bit"
    elif letter == "N":
        request.notify = _notify(value)
    elif letter == "R":
        request.ret = {"full": RET_FULL, "hdrs": RET_HDRS}.get(value.lower(), "")
        if not request.ret:
            log.warning("bad -R option value -- ignored")
    elif letter == "V":
        _envelope_id(request, value)
    elif letter == "X" and value.startswith("V"):
        _verp(request, value[1:])
    elif letter == "v":
        request.verbose += 1


def _mode(request: Request, value: str) -> None:
    letter = value[:1]
    if letter in _IGNORED_MODES and letter:
        return
    if letter not in _MODES or not letter:
        raise Fatal(f"unsupported: -b{letter}")
    request.mode = _MODES[letter]
    if letter == "v":
        request.trace |= TRACE_VERIFY


def _old_option(request: Request, value: str) -> None:
    if value.startswith("i"):
        request.ignore_dots = True
    elif value.startswith("A"):
        if len(value) < 2:
            raise Fatal("-oA requires pathname")
        request.alias_file = value[1:]
    elif value[:1] in ("7", "8", "m", ""):
        pass  # nothing to be switched: content is never changed, the sender never left out


def _notify(value: str) -> int:
    words = [word.strip().lower() for word in value.split(",") if word.strip()]
    if words == ["never"]:
        return NOTIFY_NEVER
    bits = 0
    for word in words:
        if word != "never" and word not in _NOTIFY:
            log.warning(f'unknown DSN NOTIFY command value "{word}" in "{value}"')
        if word not in _NOTIFY:
            bits = 0
            break
        bits |= _NOTIFY[word]
    if not bits:
        log.warning("bad -N option value -- ignored")
    return bits


def _envelope_id(request: Request, value: str) -> None:
    if not value or len(value) > ENVID_LIMIT or not value.isprintable():
        log.warning("bad syntax in -V option value -- ignored")
    else:
        request.envid = value


def _verp(request: Request, delimiters: str) -> None:
    if delimiters and len(delimiters) != 2:
        raise Fatal("-XV requires two verp delimiter characters")
    request.verp = delimiters


def complain(text: str) -> None:
    """Before the configuration is known, there is only standard error."""
    sys.stderr.write(f"sendmail: {text}\n")
