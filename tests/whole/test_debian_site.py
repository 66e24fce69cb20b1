"""The site of "Instalación y administración de Servicio de Correo Electrónico en Debian" (2013), beyond its dialogue.

servidor.pruebas.local serves pruebas.local; a colleague's machine is in the same network, the world outside. Its
sections "Cómo instalar un MTA", "Configuración de redes" and "Creación de alias" on top of Debian's own main.cf and
master.cf. What asks for Dovecot, TLS, SpamAssassin or ClamAV is loaded by tests/whole/test_master_cf.py.

Against the real Postfix, as root: ESTAFETA_SYSTEM=postfix pytest tests/whole/test_debian_site.py
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support import printed
from tests.support.machines import Machine, Network
from tests.support.room import needs_room, play

CONFIGURATIONS = Path(__file__).parent / "configurations"
MAIN = (CONFIGURATIONS / "debian-3.7.main.cf").read_text()
MASTER = (CONFIGURATIONS / "debian-3.7.master.cf").read_text()

SERVER, COLLEAGUE, OUTSIDE = "10.23.2.5", "10.23.2.77", "203.0.113.25"
ALIASES = """\
postmaster:   root
# Todo el correo que llegue a root, lo envías a antonio, manuel y laura.
root:   antonio  manuel   laura
"""


def zone() -> dict[str, dict[str, list[str]]]:
    """As "Configuración de registros DNS" asks: A, PTR and MX."""
    return {
        "servidor.pruebas.local": {"A": [SERVER]},
        "5.2.23.10.in-addr.arpa": {"PTR": ["servidor.pruebas.local."]},
        "pruebas.local": {"MX": ["10 servidor.pruebas.local."]},
        "ejemplo.example": {"MX": ["10 mx.ejemplo.example."]},
        "mx.ejemplo.example": {"A": [OUTSIDE]},
        "25.113.0.203.in-addr.arpa": {"PTR": ["mx.ejemplo.example."]},
    }


def server(own: dict[str, str] | None = None, *sections: str) -> Machine:
    made = Machine("servidor.pruebas.local", SERVER, ["antonio", "manuel", "laura"])
    main = MAIN
    for place in ("Debian, Cómo instalar un MTA", "Debian, redes", *sections):
        main = printed.merged(main, printed.settings(printed.section(place).main))
    files = {"/etc/mailname": "pruebas.local\n", "/etc/aliases": ALIASES}
    quick = {"minimal_backoff_time": "2s", "queue_run_delay": "2s"}
    made.configure(main, MASTER, files, quick | (own or {}))
    made.run("newaliases")
    return made


def say(net: Network, caller: str, sender: str, recipient: str, subject: str) -> str:
    client = net.telnet(SERVER, caller)
    assert client.reply().startswith("220 servidor.pruebas.local ESMTP ")
    client.say("EHLO mx.ejemplo.example")
    answer = client.send(sender, recipient, f"Subject: {subject}\r\n\r\nHola.\r\n".encode())
    client.say("QUIT")
    client.close()
    return answer


def the_site() -> None:
    with Network(zone(), OUTSIDE, [COLLEAGUE]) as net:
        host = server()
        host.start()
        # From the world to a mailbox; to the administrators, whom an alias names.
        assert say(net, OUTSIDE, "ana@ejemplo.example", "antonio@pruebas.local", "uno").startswith("250 2.0.0 Ok: ")
        text = host.wait_for_mail("antonio", "Subject: uno")
        assert "\nReceived: from mx.ejemplo.example (mx.ejemplo.example [203.0.113.25])\n" in text
        assert say(net, OUTSIDE, "ana@ejemplo.example", "postmaster@pruebas.local", "dos").startswith("250 ")
        for user in ("antonio", "manuel", "laura"):
            assert "\nX-Original-To: postmaster@pruebas.local\n" in host.wait_for_mail(user, "Subject: dos")
        # The server itself sends to the world: 127.0.0.0/8 is trusted.
        host.run("sendmail", "ana@ejemplo.example", text="Subject: tres\n\nHola.\n", user="laura")
        message = net.arrived("Subject: tres")
        assert message.mail.startswith("MAIL FROM:<laura@pruebas.local>")
        # Nobody else does, not even from the same network, before SASL is set up. Debian's default says "later".
        for caller in (COLLEAGUE, OUTSIDE):
            answer = say(net, caller, "laura@pruebas.local", "ana@ejemplo.example", "cuatro")
            assert answer == "454 4.7.1 <ana@ejemplo.example>: Relay access denied"
        host.wait_for(
            r"NOQUEUE: reject: RCPT from unknown\[10\.23\.2\.77\]: 454 4\.7\.1 <ana@ejemplo\.example>: "
            r"Relay access denied; from=<laura@pruebas\.local> to=<ana@ejemplo\.example> proto=ESMTP"
        )
        # A colleague writes to a colleague: that is no relaying.
        assert say(net, COLLEAGUE, "laura@pruebas.local", "manuel@pruebas.local", "cinco").startswith("250 ")
        host.wait_for_mail("manuel", "Subject: cinco")
        assert say(net, OUTSIDE, "a@ejemplo.example", "nadie@pruebas.local", "x") == (
            "550 5.1.1 <nadie@pruebas.local>: Recipient address rejected: User unknown in local recipient table"
        )
        assert not [each for each in net.sink.messages if b"cuatro" in each.content]
        assert re.search(r"^Mail queue is empty$", host.run("mailq"), re.MULTILINE)
        assert host.complaints() == []
        host.stop()


def recipients_restricted() -> None:
    """With "Enviar un mensaje a destinatarios remotos" the refusal is for good."""
    with Network(zone(), OUTSIDE, [COLLEAGUE]) as net:
        own = {"smtpd_relay_restrictions": ""}  # as when the tutorial was written: reject_unauth_destination decides
        host = server(own, "Debian, autorización SASL, destinatarios remotos")
        host.start()
        answer = say(net, COLLEAGUE, "laura@pruebas.local", "ana@ejemplo.example", "x")
        assert answer == "554 5.7.1 <ana@ejemplo.example>: Relay access denied"
        assert say(net, COLLEAGUE, "laura@pruebas.local", "manuel@pruebas.local", "y").startswith("250 ")
        host.wait_for_mail("manuel", "Subject: y")
        assert host.complaints() == []


pytestmark = [pytest.mark.root, needs_room]


def test_the_site_serves_its_users_and_relays_for_nobody_else() -> None:
    play(the_site)


def test_a_restricted_recipient_list_refuses_for_good() -> None:
    play(recipients_restricted)
