"""One message over one connection: MAIL FROM, RCPT TO, DATA, content, and what the answers mean for each recipient.

With PIPELINING all commands up to DATA leave in one write, and then all their answers are read: also those of RCPT TO
after a refused MAIL FROM, because every command has its answer (RFC 2920 3.1). A DATA that the server accepts
although it accepted no recipient gets an empty message (RFC 2920 3.1 again). LMTP answers the final dot once for each
accepted recipient (RFC 2033 4.2).

`settled` and `trouble` of the `Letter` are written here: what is final, and what the recipient gets if no other
server does better.
"""

from __future__ import annotations

import re

from estafeta.base import log
from estafeta.daemons.smtp.connection import Connection, Manner
from estafeta.daemons.smtp.errors import Broken, Failure, said
from estafeta.daemons.smtp.letter import Content, Letter, Unreadable
from estafeta.daemons.smtp.sending import prepare, send_content
from estafeta.mail.mime import headers_ascii
from estafeta.mail.outcome import Sent
from estafeta.queue.record import Damaged
from estafeta.wire.smtp.client import mail_command, rcpt_command, xforward_commands
from estafeta.wire.smtp.client_reply import Reply

_BREAKING = re.compile("[\r\n\0]")
END_OF_DATA = "sending end of data -- message may be sent more than once"


class Stale(Exception):
    """A kept connection ended before the server answered anything: nobody's fault, nothing happened."""


async def transfer(connection: Connection, letter: Letter, reader: Content, manner: Manner) -> bool:
    """Send the letter to whom is left. True when the connection is in a clean state for the next message.

    Raises Stale and Unreadable (the connection is then of no use). Every other trouble is in the letter.
    """
    connection.answered = False
    kept = connection.uses > 1
    try:
        return await _converse(connection, letter, reader, manner)
    except (OSError, Broken) as error:
        # Silence too: what is between us and the server may have forgotten the connection.
        if kept and not connection.answered:
            raise Stale from error
        failure = connection.broken(error)
        for index in list(letter.left):
            # A recipient that has its own refusal keeps it: it says more.
            if index not in letter.trouble:
                letter.fail(index, failure)
        connection.abort()
        return False


async def _converse(connection: Connection, letter: Letter, reader: Content, manner: Manner) -> bool:
    letter.trouble.clear()
    content = None if letter.probe else await prepare(connection, letter, reader, manner)
    refusal = _unsuitable(connection, letter, reader)
    if refusal is not None:
        letter.fail_all(refusal)
        return True
    accepted, ready = await _envelope(connection, letter, manner)
    if letter.probe:
        if ready:
            # The server waits for a message that there is not. Whatever we say now would be one.
            connection.abort()
            return False
        return await reset(connection, manner)
    if not accepted:
        if ready and manner.lmtp:
            # It should have refused (RFC 2033 4.2). The final dot has one answer for each recipient: here, none at all.
            connection.abort()
            return False
        if ready:
            connection.stream.timeout = manner.data_done_timeout
            connection.send(".")
            await connection.reply()
            return True
        return await reset(connection, manner)
    if not ready:
        return await reset(connection, manner)
    early = await send_content(connection, letter, reader, manner, content)
    if early is not None:
        for index in accepted:
            _judge_end(connection, letter, index, early)
        return False
    connection.doing = END_OF_DATA
    connection.stream.timeout = manner.data_done_timeout
    # Without PIPELINING, noise before an answer is only that, as everywhere else.
    connection.pipelined = manner.lmtp and len(accepted) > 1 and connection.extensions.pipelining
    if not manner.lmtp:
        answer = await connection.reply()
        for index in accepted:
            _judge_end(connection, letter, index, answer)
        return True
    for index in accepted:
        _judge_end(connection, letter, index, await connection.reply())
    connection.pipelined = False
    return True


def _unsuitable(connection: Connection, letter: Letter, reader: Content) -> Failure | None:
    """A reason why this server cannot take this message at all, known before asking."""
    offered = connection.extensions
    delivery = letter.delivery
    if delivery.smtputf8 and not offered.smtputf8 and _needs_utf8(letter, reader):
        text = f"SMTPUTF8 is required, but was not offered by host {connection.shown}"
        return Failure("5.6.7", text, hard=True, relay=connection.relay)
    if offered.size_limit and letter.size > offered.size_limit:
        text = f"message size {letter.size} exceeds size limit {offered.size_limit} of server {connection.shown}"
        return Failure("5.3.4", text, hard=True, relay=connection.relay)
    return None


def _needs_utf8(letter: Letter, reader: Content) -> bool:
    """Whether an address or a header line is in fact not ASCII. RFC 6531 3.2 is about these only.

    A message in the message counts as well, so that the report of one that needed SMTPUTF8 needs it, too.
    """
    delivery = letter.delivery
    if not letter.sender.isascii() or any(not letter.recipients[i].address.isascii() for i in letter.left):
        return True
    try:
        if not (reader.head(delivery.place) if letter.head is None else letter.head).isascii():
            return True
        return not headers_ascii(reader.pieces(delivery.place))
    except (OSError, Damaged) as error:
        raise Unreadable(str(error)) from error


async def _envelope(connection: Connection, letter: Letter, manner: Manner) -> tuple[list[int], bool]:
    """MAIL FROM, RCPT TO and DATA. Returns the accepted recipients, and whether the server waits for content."""
    delivery, offered = letter.delivery, connection.extensions
    mail = mail_command(
        letter.sender,
        offered,
        # A server without 8BITMIME may get another content than the one that was measured.
        size=letter.size if offered.eight_bit or not manner.convert else 0,
        encoding=delivery.encoding,
        ret=delivery.ret,
        envid=delivery.envid,
        smtputf8=delivery.smtputf8,
        quoting=manner.quoting,
    )
    asked = list(letter.left)
    recipients = [rcpt_command(letter.recipients[i], offered, quoting=manner.quoting) for i in asked]
    if _BREAKING.search(mail) or any(map(_BREAKING.search, recipients)):
        asked, recipients = _without_breaks(letter, mail, asked, recipients)
        if not asked:
            return [], False
    stream = connection.stream
    pipelining = offered.pipelining
    stops_at_rcpt = letter.probe and not manner.probe_data
    connection.pipelined = pipelining
    forward = (
        xforward_commands(delivery.client, delivery.queue_id, delivery.context, offered)
        if manner.xforward and "XFORWARD" in offered.keywords
        else []
    )
    if pipelining:
        commands = [command for _, command in forward]
        commands += [mail, *recipients] if stops_at_rcpt else [mail, *recipients, "DATA"]
        connection.send("\r\n".join(commands))
    if forward:
        await _forward(connection, manner, forward)
    if not pipelining:
        connection.send(mail)
    connection.doing = "sending MAIL FROM"
    stream.timeout = manner.mail_timeout
    answer = await _first_answer(connection)
    willing = answer.kind == 2
    if not willing:
        letter.fail_all(_said(connection, answer, "MAIL FROM"))
        if not pipelining:
            return [], False
    accepted = await _recipients(connection, letter, manner, asked, recipients, willing)
    if stops_at_rcpt or (not pipelining and not accepted):
        connection.pipelined = False
        return accepted, False
    if not pipelining:
        connection.send("DATA")
    connection.doing = "sending DATA command"
    stream.timeout = manner.data_init_timeout
    answer = await connection.reply()
    connection.pipelined = False
    ready = answer.kind == 3
    if ready and letter.probe:
        for index in accepted:
            letter.done(index, Sent("2.0.0", answer.text, connection.relay, connection.server.host, answer.text))
    elif not ready and accepted:
        failure = _said(connection, answer, "DATA")
        if not failure.diagnostic or answer.kind not in (4, 5):
            connection.sound = False  # what the server takes the next bytes for, nobody knows
        for index in accepted:
            letter.fail(index, failure)
    elif not ready and answer.kind not in (4, 5):
        connection.sound = False
    return accepted, ready


def _without_breaks(letter: Letter, mail: str, asked: list[int], recipients: list[str]) -> tuple[list[int], list[str]]:
    """Leave out addresses with line ends in them: on the wire they would be commands of somebody's own."""
    if _BREAKING.search(mail):
        letter.fail_all(Failure("5.1.7", "the sender address contains control characters", hard=True))
        return [], []
    kept = [(index, command) for index, command in zip(asked, recipients, strict=True) if not _BREAKING.search(command)]
    for index in set(asked) - {index for index, _ in kept}:
        letter.fail(index, Failure("5.1.3", "the recipient address contains control characters", hard=True))
    return [index for index, _ in kept], [command for _, command in kept]


async def _first_answer(connection: Connection) -> Reply:
    """The next answer; Stale if it shows that the server was just closing a kept connection."""
    first = not connection.answered
    answer = await connection.reply()
    if first and answer.code == 421 and connection.uses > 1:
        raise Stale
    return answer


async def _forward(connection: Connection, manner: Manner, commands: list[tuple[str, str]]) -> None:
    """XFORWARD: a server that does not like it gets the mail all the same."""
    connection.stream.timeout = manner.xforward_timeout
    for about, command in commands:
        if not connection.pipelined:
            connection.send(command)
        connection.doing = f"sending XFORWARD {about}"
        answer = await _first_answer(connection)
        if answer.kind != 2:
            where = f"host {connection.relay} said: {answer.text}"
            log.warning(f"{where} (in reply to XFORWARD {about} command)")


async def _recipients(
    connection: Connection, letter: Letter, manner: Manner, asked: list[int], commands: list[str], willing: bool
) -> list[int]:
    connection.doing = "sending RCPT TO"
    connection.stream.timeout = manner.rcpt_timeout
    pipelining = connection.extensions.pipelining
    accepted: list[int] = []
    for index, command in zip(asked, commands, strict=True):
        if not pipelining:
            connection.send(command)
        answer = await connection.reply()
        if not willing:
            continue
        if answer.kind != 2:
            letter.fail(index, _said(connection, answer, "RCPT TO"))
        elif letter.probe and not manner.probe_data:
            letter.done(index, _sent(connection, letter, answer))
        else:
            accepted.append(index)
    return accepted


def _judge_end(connection: Connection, letter: Letter, index: int, answer: Reply) -> None:
    if answer.kind == 2:
        letter.done(index, _sent(connection, letter, answer))
        return
    if answer.kind not in (4, 5):
        connection.sound = False
    letter.fail(index, _said(connection, answer, "end of DATA"))


def _sent(connection: Connection, letter: Letter, answer: Reply) -> Sent:
    if connection.extensions.dsn:
        action = ""  # the server knows what the sender wants to hear, and tells it. RFC 3461 5.2.2
    else:
        action = "delivered" if letter.final else "relayed"
    return Sent(answer.dsn, answer.text, connection.relay, connection.server.host, answer.text, action)


def _said(connection: Connection, answer: Reply, command: str) -> Failure:
    connection.blame(answer)
    return said(connection.shown, connection.relay, connection.server.host, answer, command)


async def reset(connection: Connection, manner: Manner) -> bool:
    """End an unfinished transaction, so that the connection can be used again. False when that did not work."""
    if not connection.sound:
        return False
    connection.doing = "sending final RSET"
    connection.stream.timeout = manner.rset_timeout
    try:
        connection.send("RSET")
        answer = await connection.reply()
    except (OSError, Broken):
        connection.abort()
        return False
    return answer.kind == 2 and connection.sound
