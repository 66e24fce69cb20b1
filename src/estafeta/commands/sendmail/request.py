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
IGNORE = "ignore"
"""Asked for something that has no meaning here (-bh, -q30m): nothing is done, and that is no error."""
_MODES = {"m": ENQUEUE, "v": ENQUEUE, "s": STANDALONE, "p": LIST, "i": ALIASES, "d": DAEMON, "l": DAEMON}
_IGNORED_MODES = "hH"
_NO_RECIPIENTS = {
    FLUSH: "flush queue mode",
    STANDALONE: "stand-alone mode",
    LIST: "display queue mode",
    ALIASES: "alias initialization mode",
    DAEMON: "daemon mode",
}

_NOTIFY = {"success": NOTIFY_SUCCESS, "failure": NOTIFY_FAILURE, "delay": NOTIFY_DELAY}
ENVID_LIMIT = 100
_FLAGS = re.sub("[A-Za-z]:", "", LETTERS)
_VALUED = "".join(re.findall("([A-Za-z]):", LETTERS))
_OLD_VERP = re.compile(r"-V[^\w\s]{2}")
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
    words = _old_verp(_queue_options(words, request))
    try:
        options, rest = parse_options(name, words, LETTERS, other_v=1)
    except UsageError:
        raise Fatal(f"usage: {name} [options]") from None
    for letter, value in options:
        _option(request, letter, value)
    if request.verbose:
        request.trace |= TRACE_REPORT
    if request.extract and request.mode != ENQUEUE:
        raise Fatal("-t can be used only in delivery mode")
    if request.extract and request.trace & TRACE_VERIFY:
        raise Fatal("-t option cannot be used with -bv")
    if request.notify and request.trace & TRACE_VERIFY:
        raise Fatal("-N option cannot be used with -bv")
    if request.ret and request.trace & TRACE_VERIFY:
        raise Fatal("-R option cannot be used with -bv")
    if rest and request.mode in _NO_RECIPIENTS:
        raise Fatal(f"{_NO_RECIPIENTS[request.mode]} requires no recipient")
    for word in rest:
        # As in Postfix, a word that names nobody is the null address: mail to it is for whoever MAILER-DAEMON is.
        request.recipients += mailboxes.addresses(word) or [""]
    return request


def config_of(name: str, words: list[str]) -> str:
    """The value of -C, which has to be known before anything can be logged. "" if there is none, or no sense in it."""
    try:
        options, _ = parse_options(name, _queue_options(words, Request(), strict=False), LETTERS, other_v=1)
    except UsageError:
        return ""
    return next((value for letter, value in options if letter == "C"), "")


def _queue_options(words: list[str], request: Request, *, strict: bool = True) -> list[str]:
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
        _queue_option(match[1], request, strict)
    return rest


def _queue_option(value: str, request: Request, strict: bool) -> None:
    kind, name = value[:1], value[1:]
    if kind in ("I", "R"):
        if not name and strict:
            raise Fatal("specify: -qIqueueid" if kind == "I" else "specify: -qRsitename")
        request.mode = FLUSH
        request.queue_id, request.site = (name, "") if kind == "I" else ("", name)
    elif not value:
        request.mode = FLUSH
    elif kind.isdigit():
        # An interval between queue runs, which queue_run_delay says. With -bd it is the usual start of a daemon.
        request.mode = IGNORE
    elif strict:
        raise Fatal(f"-q{kind} is not implemented")


def _old_verp(words: list[str]) -> list[str]:
    """`-V` and `-Vxy` as Postfix 2.2 had them, before -V became the envelope id."""
    found: list[str] = []
    is_value = False
    for index, word in enumerate(words):
        if not is_value and (word == "--" or not word.startswith("-")):
            return found + words[index:]
        following = words[index + 1] if index + 1 < len(words) else "-"
        bare = word == "-V" and following.startswith("-")
        if not is_value and (bare or _OLD_VERP.fullmatch(word)):
            log.warning(f"option {word} is deprecated with Postfix 2.3; specify -X{word[1:]} instead")
            word = f"-X{word[1:]}"
        is_value = not is_value and _WANTS_VALUE.match(word) is not None
        found.append(word)
    return found


def _option(request: Request, letter: str, value: str) -> None:
    if letter == "b":
        _mode(request, value)
    elif letter == "o":
        _old_option(request, value)
    elif letter in "fr":
        found = mailboxes.addresses(value)
        if len(found) > 1:
            log.warning(f"-{letter} option specified malformed sender: {value}")
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
    elif letter == "B":
        if value not in ("8BITMIME", "7BIT"):
            raise Fatal("-B option needs 8BITMIME or 7BIT")
        request.encoding = "8bit" if value == "8BITMIME" else "7bit"
    elif letter == "N":
        request.notify = _notify(value)
    elif letter == "R":
        request.ret = {"full": RET_FULL, "hdrs": RET_HDRS}.get(value.lower(), "")
        if not request.ret:
            log.warning("bad -R option value -- ignored")
    elif letter == "V":
        _envelope_id(request, value)
    elif letter == "X":
        if not value.startswith("V"):
            raise Fatal(f"unsupported: -X{value[:1]}")
        request.verp = value[1:]
    elif letter == "v":
        request.verbose += 1


def _mode(request: Request, value: str) -> None:
    letter = value[:1]
    if letter in _IGNORED_MODES and letter:
        request.mode = IGNORE
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
    if len(value.encode("utf-8", "surrogateescape")) > ENVID_LIMIT:
        log.warning("too long -V option value -- ignored")
    elif not value or not value.isprintable():
        log.warning("bad syntax in -V option value -- ignored")
    else:
        request.envid = value


def complain(name: str, text: str) -> None:
    """Before the configuration is known, there is only standard error."""
    sys.stderr.write(f"{name}: {text}\n")
