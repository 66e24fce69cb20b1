"""sendmail(1): mail from local programs goes into the maildrop, mail system up or down.

    sendmail [option ...] [recipient ...]

Exit status 0 only when the message is on stable storage; 75 (try again) or another of sysexits.h otherwise.
"""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Iterable

from estafeta.base import log
from estafeta.commands import postdrop
from estafeta.commands.help import answer_help
from estafeta.commands.options import again
from estafeta.commands.sendmail import request as requests
from estafeta.commands.sendmail.message import Input, recipients_in
from estafeta.commands.sendmail.request import Fatal, Request, complain
from estafeta.commands.submit_rights import SubmitRights
from estafeta.config.instance import Config, ConfigError, default_directory
from estafeta.intake.maildrop import Drop
from estafeta.mail.address import quote
from estafeta.mail.envelope import TRACE_VERIFY, Envelope, Recipient
from estafeta.mail.verp import usable
from estafeta.skeleton.log import for_command

EX_DATAERR, EX_TEMPFAIL = 65, 75


def main(words: list[str] | None = None, name: str = "") -> int:
    """The console script, under any of its names: mailq and newaliases are other modes of the same command."""
    name = name or os.path.basename(sys.argv[0]).removesuffix(".py")
    log.install(lambda level, text, program: complain(name, log.PREFIX[level] + text))
    try:
        arguments = list(sys.argv[1:] if words is None else words)
        answer_help(name, arguments)
        path = requests.config_of(name, arguments)
        if path:
            os.environ["MAIL_CONFIG"] = os.path.dirname(path) or "." if os.path.isfile(path) else path
        conf = Config.load(default_directory())
        for_command(name, conf)
        request = requests.parse(name, arguments)
        if request.mode in _OTHERS:
            return _OTHERS[request.mode](request)
        if request.mode == requests.STANDALONE:
            return _standalone(conf)
        return _enqueue(conf, request)
    except ConfigError as reason:
        complain(name, f"fatal: {reason}")
        return EX_TEMPFAIL
    except Fatal as reason:
        log.fatal(str(reason))
        return reason.status


# --- other commands under this name


def _list(request: Request) -> int:
    from estafeta.commands import postqueue

    return postqueue.main([*again(), "-p"])


def _aliases(request: Request) -> int:
    from estafeta.commands import newaliases, postalias

    return postalias.main([*again(), request.alias_file]) if request.alias_file else newaliases.main([])


def _flush(request: Request) -> int:
    from estafeta.commands import postqueue

    if request.queue_id:
        return postqueue.main([*again(), "-i", request.queue_id])
    if request.site:
        return postqueue.main([*again(), "-s", request.site])
    return postqueue.main([*again(), "-f"])


def _daemon(request: Request) -> int:
    """Start the mail system, in the background."""
    import subprocess

    command = [sys.executable, "-m", "estafeta.commands.postfix", "start"]
    subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    return 0


def _ignore(request: Request) -> int:
    return 0


_OTHERS = {
    requests.LIST: _list,
    requests.ALIASES: _aliases,
    requests.FLUSH: _flush,
    requests.DAEMON: _daemon,
    requests.IGNORE: _ignore,
}


def _standalone(conf: Config) -> int:
    """-bs: an SMTP session on standard input and output."""
    from estafeta.commands.sendmail.standalone import run_stdio

    refusal = SubmitRights(conf).refusal()
    if refusal:
        raise Fatal(refusal)
    return run_stdio(conf)


# --- a message


def _enqueue(conf: Config, request: Request) -> int:
    who = _Caller(conf)
    refusal = SubmitRights(conf).refusal()
    if refusal:
        raise Fatal(refusal)
    verify = bool(request.trace & TRACE_VERIFY)
    message = Input(sys.stdin.buffer, dot_ends=not request.ignore_dots, line_ends=conf.sendmail_fix_line_endings)
    recipients = list(request.recipients)
    if request.extract and not verify:
        recipients += recipients_in(message.header())
        if not recipients:
            raise Fatal(f"{_named(request, who)}: No recipient addresses found in message header")
    if not recipients:
        raise Fatal(
            f"{_named(request, who)}: Recipient addresses must be specified on the command line or via the -t option"
        )
    envelope = _envelope(request, who, recipients)
    envelope.verp = _verp(conf, request, envelope.sender, who)
    described = Drop(envelope, _full_name(request, who))
    content: Iterable[bytes] = (_probe(described.envelope),) if verify else message.pieces()
    _store(conf, who, described, content)
    if request.trace:
        sys.stdout.write(f"Mail Delivery Status Report will be mailed to <{described.envelope.sender}>.\n")
    return 0


def _probe(envelope: Envelope) -> bytes:
    """The message that -bv sends on its way instead of one."""
    to = ",\r\n\t".join(quote(each.address) for each in envelope.recipients)
    text = f"From: {quote(envelope.sender)}\r\nSubject: probe\r\nTo:\t{to}\r\n\r\nTest message.\r\n"
    return text.encode("utf-8", "surrogateescape")


class _Caller:
    """The account that runs the command."""

    def __init__(self, conf: Config) -> None:
        self.uid = os.getuid()
        try:
            entry = pwd.getpwuid(self.uid)
            self.login, self.gecos = entry.pw_name, entry.pw_gecos
        except KeyError:
            # A container may run as a uid that nobody has written down; Postfix gives up here.
            self.login, self.gecos = str(self.uid), ""
            log.warning(f"unable to find login name for user ID {self.uid}: using the number as the sender")

    def __str__(self) -> str:
        return f"{self.login}({self.uid})"


def _named(request: Request, who: _Caller) -> str:
    """The sender, as far as one is named, and who calls."""
    return str(who) if request.sender is None else f"{_utf8(request.sender, who)}({who.uid})"


def _full_name(request: Request, who: _Caller) -> str:
    """-F, or NAME, or the account's comment: `&` in it stands for the login name. `-F ""`: none."""
    for given in (request.full_name, os.environ.get("NAME") or None):
        if given is not None:
            return _clean(" ".join(given.split()))
    name = who.gecos.partition(",")[0].replace("&", who.login.capitalize())
    return _clean(" ".join(name.split()))


def _envelope(request: Request, who: _Caller, recipients: list[str]) -> Envelope:
    sender = request.sender if request.sender is not None else who.login
    addresses = [_utf8(address, who) for address in recipients]
    return Envelope(
        "",
        time.time(),
        _utf8(sender, who),
        [Recipient(address, "", request.notify) for address in addresses],
        envid=_clean(request.envid),
        ret=request.ret,
        encoding=request.encoding,
        context="remote" if request.gateway else "local",
        trace=request.trace,
        owner_uid=who.uid,
    )


def _verp(conf: Config, request: Request, sender: str, who: _Caller) -> str:
    """The delimiters that -XV asks for; empty where it does not."""
    if request.verp is None:
        return ""
    delimiters = request.verp or conf.default_verp_delimiters
    if not usable(delimiters, conf.verp_delimiter_filter):
        raise Fatal(f"-V requires two characters from {conf.verp_delimiter_filter}")
    if not sender:
        raise Fatal(f"{sender}({who.uid}): -V option requires non-null sender address")
    return delimiters


def _utf8(address: str, who: _Caller) -> str:
    try:
        address.encode()
    except UnicodeEncodeError:
        raise Fatal(f"{who}: address is not valid UTF-8: {address!r}", EX_DATAERR) from None
    return address


def _clean(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _store(conf: Config, who: _Caller, described: Drop, content: Iterable[bytes]) -> None:
    """Into the maildrop, with the caller's own rights: a script cannot be set-gid."""
    try:
        postdrop.drop(conf, content, described)
    except postdrop.TooBig:
        raise Fatal(f"{described.envelope.sender}({who.uid}): message file too big", EX_TEMPFAIL) from None
    except postdrop.CannotDrop as error:
        raise Fatal(f"{who}: {error}") from None
