"""The session of the Spanish tutorial for Debian, as printed: telnet to port 25, mail(1), mailq, postsuper -d ALL.

Source: "Instalación y administración de Servicio de Correo Electrónico en Debian", sections "Cómo instalar un MTA",
"Cómo enviar e-mail desde la línea de comandos, de forma local" and "Cómo chequear el e-mail".
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.support import room
from tests.support.room import Dialogue, needs_room, play, run

CONFIGURATIONS = Path(__file__).parent / "configurations"

# What the tutorial has its reader change in Debian's main.cf. The name in the greeting is mail_name, and is ours
# unless main.cf says otherwise.
MAIN = """
myhostname = servidor.pruebas.local
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
myorigin = /etc/mailname
mydestination = servidor.pruebas.local, localhost.pruebas.local, pruebas.local, localhost
inet_interfaces = all
inet_protocols = ipv4
mail_name = Postfix
"""

SESSION = [
    ("", "220 servidor.pruebas.local ESMTP Postfix (Debian/GNU)"),
    ("HELO root", "250 servidor.pruebas.local"),
    ("MAIL FROM: root", "250 2.1.0 Ok"),
    ("RCPT TO: antonio", "250 2.1.5 Ok"),
    ("DATA", "354 End data with <CR><LF>.<CR><LF>"),
    (
        "SUBJECT: Saber que tal vas...\r\n\r\nHola Antonio, qué tal va todo por ahí?\r\nSaludos.\r\n.",
        "250 2.0.0 Ok: queued as ",
    ),
    ("quit", "221 2.0.0 Bye"),
]


def begin() -> None:
    Path("/etc/mailname").write_text("pruebas.local\n")
    room.configure(
        (CONFIGURATIONS / "debian-3.7.main.cf").read_text() + MAIN,
        (CONFIGURATIONS / "debian-3.7.master.cf").read_text(),
    )
    run("newaliases")
    room.start()


def type_the_session() -> str:
    """The queue id that it ends with."""
    telnet = Dialogue()
    ident = ""
    for line, printed in SESSION:
        answer = telnet.say(line) if line else telnet.reply()
        if printed.endswith(" "):
            assert answer.startswith(printed)
            ident = answer.removeprefix(printed)
        else:
            assert answer == printed
    assert telnet.reply() == ""  # Connection closed by foreign host.
    assert re.fullmatch("[0-9A-F]{6,}", ident)
    return ident


def the_session() -> None:
    begin()
    ident = type_the_session()
    room.wait_for(rf"{ident}: to=<antonio@pruebas.local>, orig_to=<antonio>, relay=local, .*status=sent")
    mailbox = room.MAILBOXES / "antonio"
    assert (mailbox.stat().st_uid, mailbox.stat().st_mode & 0o777) == (room.USERS["antonio"], 0o600)
    text = mailbox.read_text()
    assert re.match(r"From root@pruebas\.local  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n", text)
    for line in (
        "Return-Path: <root@pruebas.local>",
        "X-Original-To: antonio",
        "Delivered-To: antonio@pruebas.local",
        "Received: from root (localhost [127.0.0.1])",
        f"\tby servidor.pruebas.local (Postfix) with SMTP id {ident}",
        "SUBJECT: Saber que tal vas...",
        "From: root@pruebas.local",
    ):
        assert f"\n{line}\n" in text, line
    assert text.endswith("\n\nHola Antonio, qué tal va todo por ahí?\nSaludos.\n\n")
    room.wait_for(f"{ident}: removed")
    assert run("mailq") == "Mail queue is empty\n"
    room.stop()


def mail_reads_it() -> None:
    begin()
    ident = type_the_session()
    room.wait_for(f"{ident}: removed")
    seen = run("/usr/bin/mail", user="antonio", text="1\nd*\nq\n")
    assert re.search(r'"/var/mail/antonio": 1 message 1 new', seen)
    assert re.search(r"^>N +1 root@pruebas\.loca.*Saber que tal vas", seen, re.MULTILINE)
    assert "Hola Antonio" in seen
    assert (room.MAILBOXES / "antonio").read_bytes() == b""  # d* deleted it: mail(1) could lock and write
    # "mail antonio", Subject, text, a dot: mail(1) hands over to sendmail.
    with Path("/etc/mail.rc").open("a") as mail_rc:
        mail_rc.write(f"set sendmail={room.COMMANDS / 'sendmail'}\n")
    run("/usr/bin/mail", "-s", "Saludos", "antonio", text="Hola que tal te va todo?\nSaludos\n.\n")
    second = room.wait_for(r"pickup\[\d+\]: (\w+): uid=0 from=<root>")[1]
    room.wait_for(f"{second}: removed")
    seen = run("/usr/bin/mail", user="antonio", text="1\nx\n")
    assert "Hola que tal te va todo?" in seen, seen
    # Postfix has written it so since 3.3; the tutorial is of 2012, when it was "root@pruebas.local (root)".
    assert "\nFrom: root <root@pruebas.local>\n" in seen
    room.stop()


def all_is_deleted() -> None:
    begin()
    run("postconf", "-e", "defer_transports=smtp", "default_transport=smtp")
    run("postfix", "reload")
    room.until(lambda: "reload" in room.log(), "no reload")
    for number in range(3):
        run("sendmail", f"user{number}@ejemplo.example", text="Subject: x\n\nx\n")
    room.until(lambda: room.log().count("status=deferred") >= 3, "not deferred")
    listed = run("mailq")
    assert listed.count("@ejemplo.example") == 3 and re.search(r"^-- \d Kbytes in 3 Requests\.$", listed, re.MULTILINE)
    assert "postsuper: Deleted: 3 messages" in run("postsuper", "-d", "ALL")
    assert run("mailq") == "Mail queue is empty\n"
    room.stop()


@pytest.mark.root
@needs_room
def test_the_session_gives_the_replies_as_printed_and_reaches_the_mailbox() -> None:
    play(the_session)


@pytest.mark.root
@needs_room
@pytest.mark.skipif(shutil.which("mail") is None, reason="mail(1) is not installed (bsd-mailx)")
def test_mail_reads_the_message_and_sends_one() -> None:
    play(mail_reads_it)


@pytest.mark.root
@needs_room
def test_postsuper_deletes_all() -> None:
    play(all_is_deleted)
