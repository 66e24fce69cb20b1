"""Who may send, as the tutorials print it: TLS, SMTP AUTH on all ports and on one, notices, RBL, HELO; Debian's SASL.

ca.fi.upm.es is the host of the examples in sections 4 to 7 of the tutorial of 2003, servidor.pruebas.local that of the
one on Debian (2013). Passwords are made by saslpasswd2, and checked by a real Dovecot in the second.

Against the real Postfix, as root: ESTAFETA_SYSTEM=postfix pytest tests/whole/test_seed_access.py (it has no word for
`pwcheck_method: sasldb` any more, which was that of Cyrus SASL 1; there it is `auxprop`).
"""

from __future__ import annotations

import base64
import shutil
import smtplib
import ssl
from pathlib import Path

import pytest
from tests.support import printed
from tests.support.certificates import make_pair
from tests.support.dovecot import PROGRAM, start_dovecot
from tests.support.machines import REAL, Machine, Network
from tests.support.room import needs_room, play

SASLPASSWD2 = Path("/usr/sbin/saslpasswd2")
CONFIGURATIONS = Path(__file__).parent / "configurations"
MODEL = (CONFIGURATIONS / "2003.main.cf").read_text()
MASTER = (CONFIGURATIONS / "2003.master.cf").read_text()
DEBIAN_MAIN = (CONFIGURATIONS / "debian-3.7.main.cf").read_text()
DEBIAN_MASTER = (CONFIGURATIONS / "debian-3.7.master.cf").read_text()

HOST, OUTSIDE = "138.100.8.30", "203.0.113.25"
ROAMING, NAMELESS, LISTED = "203.0.113.66", "203.0.113.67", "203.0.113.68"
NAMES = {
    "ca.fi.upm.es": HOST,
    "mx.ejemplo.example": OUTSIDE,
    "casa.ejemplo.example": ROAMING,
}


def reverse(address: str, zone: str = "in-addr.arpa") -> str:
    return ".".join([*reversed(address.split(".")), zone])


def zone() -> dict[str, dict[str, list[str]]]:
    made: dict[str, dict[str, list[str]]] = {
        "ejemplo.example": {"MX": ["10 mx.ejemplo.example."]},
        "malo.example": {"A": [LISTED]},
        "mail.malo.example": {"A": [LISTED]},
        reverse(LISTED): {"PTR": ["mail.malo.example."]},
        reverse(LISTED, "relays.ordb.org"): {"A": ["127.0.0.2"], "TXT": ['"open relay"']},
        "malo.example.relays.ordb.org": {"A": ["127.0.0.2"]},
    }
    for name, address in NAMES.items():
        made[name] = {"A": [address]}
        made[reverse(address)] = {"PTR": [f"{name}."]}
    return made


def host(*sections: str, sasl: str = "pwcheck_method: sasldb\n", own: dict[str, str] | None = None) -> Machine:
    """ca.fi.upm.es: the complete files of 2003 with these sections on top."""
    machine = Machine("ca.fi.upm.es", HOST, ["antonio"])
    changes = {
        "myhostname": "ca.fi.upm.es",
        "mydomain": "fi.upm.es",
        "mynetworks": "127.0.0.1",
        "content_filter": "",  # printed: vscan:, a virus scanner that this machine does not have
        "smtpd_sasl_auth_enable": "no",  # printed: left blank, to be filled in by section 5
    }
    master = MASTER
    for place in sections:
        section = printed.section(place)
        changes |= printed.settings(section.main)
        master = printed.with_services(master, section.master) if section.master else master
    pair = make_pair("ca.fi.upm.es")
    files = {
        "/etc/aliases": "postmaster: antonio\n",
        "transport": "",
        "cert/cert.pem": pair.pem.decode(),
        "cert/keysin.pem": pair.key_pem.decode(),
        "cert/key.pem": pair.key_pem.decode(),
        "cert/CertCA.pem": pair.pem.decode(),
        "sasl/smtpd.conf": sasl.replace("sasldb", "auxprop") if REAL else sasl,
        "header_checks": printed.HEADER_CHECKS,
        "body_checks": printed.BODY_CHECKS,
    }
    machine.configure(printed.merged(MODEL, changes), master, files, {"smtpd_error_sleep_time": "0"} | (own or {}))
    machine.run("postmap", "/etc/postfix/transport")
    machine.run("newaliases")
    for name in ("key.pem", "keysin.pem"):
        (machine.etc / "cert" / name).chmod(0o600)
    return machine


def set_password(machine: Machine, user: str, realm: str, password: str) -> None:
    machine.run(str(SASLPASSWD2), "-p", "-c", "-u", realm, user, text=password)
    shutil.chown(machine.place / "etc/sasldb2", "postfix")


def client(caller: str, port: int = 25, address: str = HOST) -> smtplib.SMTP:
    made = smtplib.SMTP(address, port, timeout=30, source_address=(caller, 0))
    made.ehlo("casa.ejemplo.example")
    return made


def anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def send(talk: smtplib.SMTP, sender: str, recipient: str, subject: str) -> str:
    """One letter; `queued`, or the reply that refuses it."""
    try:
        talk.sendmail(sender, [recipient], f"From: <{sender}>\nSubject: {subject}\n\nHola.\n")
    except smtplib.SMTPRecipientsRefused as refused:
        talk.rset()
        return _text(*refused.recipients[recipient])
    except smtplib.SMTPSenderRefused as refused_sender:
        talk.rset()
        return _text(refused_sender.smtp_code, refused_sender.smtp_error)
    return "queued"


def log_in_plain(talk: smtplib.SMTP, user: str, password: str) -> int:
    """The code of the reply."""
    return talk.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())[0]


def _text(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode() if isinstance(text, bytes) else text}"


DENIED = "554 5.7.1 <ana@ejemplo.example>: Relay access denied"


def log_in_everywhere() -> None:
    """4.2 and 5.2: who has logged in may relay from anywhere, in the clear or over TLS."""
    with Network(zone(), OUTSIDE, [ROAMING]) as net:
        machine = host("2003, 4.2 TLS", "2003, 5.2 SMTP AUTH on all ports", own={"smtpd_client_restrictions": ""})
        set_password(machine, "antonio", "ca.fi.upm.es", "secreto")
        machine.start()
        with client(ROAMING) as talk:
            lines = (talk.ehlo_resp or b"").decode().splitlines()
            assert "STARTTLS" in lines
            offered = next(line for line in lines if line.startswith("AUTH "))
            assert set(offered.split()) >= {"AUTH", "LOGIN", "PLAIN", "DIGEST-MD5", "CRAM-MD5"}
            assert offered.replace("AUTH ", "AUTH=") in lines  # for old clients
            assert send(talk, "antonio@fi.upm.es", "ana@ejemplo.example", "no") == DENIED
            assert log_in_plain(talk, "antonio", "otra") == 535
            talk.login("antonio", "secreto")  # CRAM-MD5 comes first with smtplib
            assert send(talk, "antonio@fi.upm.es", "ana@ejemplo.example", "uno") == "queued"
        net.arrived("Subject: uno")
        machine.wait_for(r"sasl_method=CRAM-MD5, sasl_username=antonio")
        with client(ROAMING) as talk:
            talk.starttls(context=anybody())
            talk.ehlo("casa.ejemplo.example")
            assert log_in_plain(talk, "antonio", "secreto") == 235
            assert send(talk, "antonio@fi.upm.es", "ana@ejemplo.example", "dos") == "queued"
        net.arrived("Subject: dos")
        machine.wait_for(r"sasl_method=PLAIN, sasl_username=antonio")
        assert "secreto" not in machine.log
        assert machine.complaints() == []


def log_in_on_one_port() -> None:
    """5.3: port 25 has no AUTH, port 8025 has. The restrictions are those of 5.2."""
    with Network(zone(), OUTSIDE, [ROAMING]) as net:
        restrictions = printed.settings(printed.section("2003, 5.2 SMTP AUTH on all ports").main)
        own = {
            "smtpd_recipient_restrictions": restrictions["smtpd_recipient_restrictions"],
            "smtpd_client_restrictions": "",
        }
        machine = host("2003, 5.3 SMTP AUTH on certain ports", own=own)
        set_password(machine, "antonio", "fi.upm.es", "secreto")
        machine.start()
        with client(ROAMING) as talk:
            assert b"AUTH" not in (talk.ehlo_resp or b"")
            assert talk.docmd("AUTH", "PLAIN")[0] == 503
            assert send(talk, "antonio@fi.upm.es", "ana@ejemplo.example", "no") == DENIED
        with client(ROAMING, 8025) as talk:
            assert b"AUTH=" in (talk.ehlo_resp or b"")
            assert send(talk, "antonio@fi.upm.es", "ana@ejemplo.example", "no") == DENIED
            talk.login("antonio", "secreto")
            assert send(talk, "antonio@fi.upm.es", "ana@ejemplo.example", "tres") == "queued"
        net.arrived("Subject: tres")
        assert machine.complaints() == []


def kept_out() -> None:
    """7.1 to 7.4: no name, on a block list, a HELO that is none; and the postmaster hears of it."""
    with Network(zone(), OUTSIDE, [ROAMING, NAMELESS, LISTED]):
        machine = host("2003, 7.1 notices", "2003, 7.2 unknown clients", "2003, 7.4 HELO")
        machine.start()
        with client(NAMELESS) as talk:
            answer = send(talk, "x@ejemplo.example", "antonio@fi.upm.es", "no")
            assert answer == f"450 4.7.25 Client host rejected: cannot find your hostname, [{NAMELESS}]"
        with client(ROAMING) as talk:
            assert send(talk, "ana@ejemplo.example", "antonio@fi.upm.es", "cuatro") == "queued"
            for name, words in (
                ("-yo", "501 5.5.2 <-yo>: Helo command rejected: Invalid name"),
                ("pc", "504 5.5.2 <pc>: Helo command rejected: need fully-qualified hostname"),
                ("no.existe.example", "450 4.7.1 <no.existe.example>: Helo command rejected: Host not found"),
            ):
                talk.docmd("RSET")
                talk.docmd("EHLO", name)
                answer = send(talk, "ana@ejemplo.example", "antonio@fi.upm.es", "no")
                # An unknown name comes before one that is not complete, in the order of 7.4.
                assert answer == words or (name == "pc" and "Host not found" in answer)
        machine.wait_for_mail("antonio", "Subject: cuatro")
        notice = machine.wait_for_mail("antonio", "Transcript of session follows.")
        assert "Client host rejected" in notice or "Helo command rejected" in notice
        machine.stop()


def on_a_list() -> None:
    """7.3, with the client restriction of 7.2 replaced by it."""
    with Network(zone(), OUTSIDE, [ROAMING, LISTED]):
        machine = host("2003, 7.3 RBL")
        machine.start()
        with client(LISTED) as talk:
            answer = send(talk, "x@ejemplo.example", "antonio@fi.upm.es", "no")
            words = f"554 5.7.1 Service unavailable; Client host [{LISTED}] blocked using relays.ordb.org; open relay"
            assert answer == words
        with client(ROAMING) as talk:
            answer = send(talk, "x@malo.example", "antonio@fi.upm.es", "no")
            assert (
                answer == "554 5.7.1 Service unavailable; Sender address [x@malo.example] blocked using relays.ordb.org"
            )
            assert send(talk, "ana@ejemplo.example", "antonio@fi.upm.es", "cinco") == "queued"
        machine.wait_for_mail("antonio", "Subject: cinco")
        assert machine.complaints() == []


class Logins:
    """What the tutorial on Debian asks of Dovecot: PLAIN and LOGIN for these users."""

    argument = "plain login"
    lines = ("john:{PLAIN}uno", "mary:{PLAIN}dos")


def debian(*sections: str, own: dict[str, str] | None = None) -> Machine:
    machine = Machine("servidor.pruebas.local", "10.23.2.5", ["antonio"])
    main = DEBIAN_MAIN
    for place in ("Debian, Cómo instalar un MTA", "Debian, redes", *sections):
        main = printed.merged(main, printed.settings(printed.section(place).main))
    pair = make_pair("servidor.pruebas.local")
    owners = "john@example.com        john\nmary@example.com        mary\nsupport@example.com     john, mary\n"
    files = {
        "/etc/mailname": "pruebas.local\n",
        "/etc/aliases": "postmaster: antonio\n",
        "controlled_envelope_senders": f"# sender                owners (SASL login names)\n{owners}",
        "/etc/ssl/certs/ssl-cert-snakeoil.pem": pair.pem.decode(),
        "/etc/ssl/private/ssl-cert-snakeoil.key": pair.key_pem.decode(),
    }
    machine.configure(main, DEBIAN_MASTER, files, own)
    machine.run("newaliases")
    machine.run("postmap", "/etc/postfix/controlled_envelope_senders")
    return machine


def debian_zone() -> dict[str, dict[str, list[str]]]:
    return zone() | {"servidor.pruebas.local": {"A": ["10.23.2.5"]}}


def senders_by_login() -> None:
    """Over the Unix socket: AUTH twice for old clients, and each login writes as its own senders only."""
    with Network(debian_zone(), OUTSIDE, [ROAMING]) as net:
        machine = debian(
            "Debian, Habilitar autenticación SASL, Unix socket",
            "Debian, autorización SASL, remitentes",
            own={"smtpd_relay_restrictions": ""},
        )
        machine.start()
        dovecot = start_dovecot(Logins, machine.place / "dovecot", machine.place / "spool/postfix/private/auth")
        try:
            with client(ROAMING, address="10.23.2.5") as talk:
                lines = (talk.ehlo_resp or b"").decode().splitlines()
                assert "AUTH PLAIN LOGIN" in lines
                assert "AUTH=PLAIN LOGIN" in lines
                answer = send(talk, "john@example.com", "ana@ejemplo.example", "no")
                assert answer == "553 5.7.1 <john@example.com>: Sender address rejected: not logged in"
                talk.login("john", "uno")
                answer = send(talk, "mary@example.com", "ana@ejemplo.example", "no")
                assert answer == "553 5.7.1 <mary@example.com>: Sender address rejected: not owned by user john"
                for sender in ("john@example.com", "support@example.com"):
                    assert send(talk, sender, "ana@ejemplo.example", f"de {sender}") == "queued"
            for sender in ("john@example.com", "support@example.com"):
                net.arrived(f"Subject: de {sender}")
        finally:
            dovecot.terminate()
            dovecot.wait()
        assert machine.complaints() == []


def passwords_over_tls_only() -> None:
    """Over TCP, and no login before STARTTLS."""
    with Network(debian_zone(), OUTSIDE, [ROAMING]) as net:
        machine = debian(
            "Debian, Habilitar autenticación SASL, TCP and TLS",
            "Debian, autorización SASL, destinatarios remotos",
            own={"smtpd_relay_restrictions": ""},
        )
        dovecot = start_dovecot(Logins, machine.place / "dovecot", machine.place / "dovecot-auth")
        try:
            machine.start()
            with client(ROAMING, address="10.23.2.5") as talk:
                assert b"AUTH" not in (talk.ehlo_resp or b"")
                assert send(talk, "john@example.com", "ana@ejemplo.example", "no") == DENIED
                talk.starttls(context=anybody())
                talk.ehlo("casa.ejemplo.example")
                assert b"AUTH PLAIN LOGIN" in (talk.ehlo_resp or b"")
                talk.login("mary", "dos")
                assert send(talk, "mary@example.com", "ana@ejemplo.example", "seis") == "queued"
            assert b"with ESMTPSA id" in net.arrived("Subject: seis").content
        finally:
            dovecot.terminate()
            dovecot.wait()
        assert machine.complaints() == []


needs_saslpasswd2 = pytest.mark.skipif(
    not Path("/usr/sbin/saslpasswd2").exists(), reason="saslpasswd2 is not installed"
)
needs_dovecot = pytest.mark.skipif(not PROGRAM.exists(), reason="dovecot is not installed")
pytestmark = [pytest.mark.root, needs_room]


@needs_saslpasswd2
def test_who_logs_in_may_relay() -> None:
    play(log_in_everywhere)


@needs_saslpasswd2
def test_logins_on_one_port_only() -> None:
    play(log_in_on_one_port)


def test_strangers_without_a_name_and_with_a_false_one() -> None:
    play(kept_out)


def test_block_lists() -> None:
    play(on_a_list)


@needs_dovecot
def test_debian_senders_belong_to_logins() -> None:
    play(senders_by_login)


@needs_dovecot
def test_debian_logins_over_tls_only() -> None:
    play(passwords_over_tls_only)
