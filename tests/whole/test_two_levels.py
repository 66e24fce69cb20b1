"""The two levels of "Postfix [Tutorial]" (2003), sections 2.1, 2.2 and 3, with the configurations that it prints.

relay.univ.es is the first level: the only host that talks to the world. smtp.univ.es and smtp.depart1.univ.es are the
second: users have their mailboxes there, and send through the first. fund-univ.es comes later, in three ways. Every
main.cf is the tutorial's model (1.2) with the changes of the section; what a test adds is in `OWN` and
`machines.Machine.own`, and stands under a heading of its own in the file.

The same scenes against the real Postfix, as root: ESTAFETA_SYSTEM=postfix pytest tests/whole/test_two_levels.py
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support import printed, room
from tests.support.machines import REAL, Machine, Network
from tests.support.room import needs_room, play

from estafeta.config.params.index import declared

CONFIGURATIONS = Path(__file__).parent / "configurations"
MODEL = (CONFIGURATIONS / "2003.main.cf").read_text()
MASTER = (CONFIGURATIONS / "2003.master.cf").read_text()

RELAY, SMTP, DEPART1, FUND = "192.168.1.1", "192.168.1.2", "192.168.1.3", "192.168.1.4"
PC = "192.168.1.77"
"""A user's machine, inside."""
OUTSIDE, STRANGER = "203.0.113.25", "203.0.113.66"

NAMES = {
    "relay.univ.es": RELAY,
    "smtp.univ.es": SMTP,
    "smtp.depart1.univ.es": DEPART1,
    "smtp.fund-univ.es": FUND,
    "pc.univ.es": PC,
    "mx.ejemplo.example": OUTSIDE,
    "extranjero.example": STRANGER,
}


def zone() -> dict[str, dict[str, list[str]]]:
    """The world's DNS: the university's domains have the relay for MX, as sections 2 and 3 insist."""
    made = {name: {"A": [address]} for name, address in NAMES.items()}
    for name, address in NAMES.items():
        made[".".join(reversed(address.split("."))) + ".in-addr.arpa"] = {"PTR": [f"{name}."]}
    for domain in ("univ.es", "depart1.univ.es", "fund-univ.es"):
        made[domain] = {"MX": ["10 relay.univ.es."]}
    # Inside, hosts of the second level find one another without MX records (disable_dns_lookups = yes).
    made["depart1.univ.es"]["A"] = [DEPART1]
    for domain in ("ejemplo.example", "pastorro.com"):
        made[domain] = {"MX": ["10 mx.ejemplo.example."]}
    return made


OWN = {
    "content_filter": "",  # printed: vscan:, a virus scanner that this machine does not have
    "smtpd_sasl_auth_enable": "no",  # printed: left blank, to be filled in by section 5
    "minimal_backoff_time": "2s",
    "queue_run_delay": "2s",
}
FILES = {"header_checks": printed.HEADER_CHECKS, "body_checks": printed.BODY_CHECKS}
FIRST, SECOND = (
    printed.settings(printed.section(place).main)
    for place in ("2003, 2.1 first-level relay", "2003, 2.2 second-level host")
)


def first_level(*sections: str, transport: str = printed.TRANSPORT) -> Machine:
    """relay.univ.es: 1.2 with 2.1, and these sections."""
    relay = Machine("relay.univ.es", RELAY, ["antonio"])
    changes = dict(FIRST)
    for each in sections:
        changes |= printed.settings(printed.section(each).main)
    relay.configure(printed.merged(MODEL, changes), MASTER, FILES | {"transport": transport}, OWN)
    relay.run("postmap", "/etc/postfix/transport")
    relay.run("newaliases")
    return relay


def second_level(*sections: str, transport: str = printed.TRANSPORT_SECOND, virtual: str = "") -> Machine:
    """smtp.univ.es: 1.2 with 2.2, and these sections."""
    host = Machine("smtp.univ.es", SMTP, ["rgarcia", "laurar", "gramos"])
    changes = dict(SECOND)
    for each in sections:
        changes |= printed.settings(printed.section(each).main)
    files = FILES | {"transport": transport} | ({"virtual": virtual} if virtual else {})
    host.configure(printed.merged(MODEL, changes), MASTER, files, OWN)
    for table in ("transport", "virtual") if virtual else ("transport",):
        host.run("postmap", f"/etc/postfix/{table}")
    host.run("newaliases")
    return host


def likewise(name: str, domain: str, address: str, users: list[str]) -> Machine:
    """Another host of the second level, which the tutorial leaves to its reader: 2.2 with other names."""
    host = Machine(name, address, users)
    names = {"myhostname": name, "mydomain": domain}
    transport = printed.TRANSPORT_SECOND.replace("smtp.univ.es ", f"{name} ").replace(
        "localhost.univ.es", f"localhost.{domain}"
    )
    transport = transport.replace("\nuniv.es ", f"\n{domain} ")
    host.configure(printed.merged(MODEL, SECOND | names), MASTER, FILES | {"transport": transport}, OWN)
    host.run("postmap", "/etc/postfix/transport")
    host.run("newaliases")
    return host


def hand_in(net: Network, address: str, sender: str, recipient: str, subject: str, caller: str = OUTSIDE) -> str:
    """One message by SMTP, as any other system does it; the last reply."""
    client = net.telnet(address, caller)
    assert client.reply().startswith("220 ")
    name = next(name for name, own in NAMES.items() if own == caller)
    assert client.say(f"EHLO {name}").startswith("250 ")
    content = f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\n\r\nHola.\r\n".encode()
    answer = client.send(sender, recipient, content)
    assert client.say("QUIT") == "221 2.0.0 Bye"
    client.close()
    return answer


def received(message: str) -> list[tuple[str, str]]:
    """Each hop: from whom, by whom; the last one first."""
    head = message.partition("\n\n")[0].replace("\r", "")
    hops = re.findall(r"^Received: (.*(?:\n\s.*)*)", head, re.MULTILINE)
    found = [re.search(r"(?:from (\S+ \(.*?\)))?[\s\S]*?by (\S+)", hop) for hop in hops]
    return [(hop[1] or "", hop[2]) for hop in found if hop]


def pending(parameter: str) -> bool:
    """Whether it is among those that are known and have no effect yet."""
    return declared()[parameter].pending


# --- sections 2.1 and 2.2


def both_levels() -> None:
    with Network(zone(), OUTSIDE, [STRANGER, PC]) as net:
        relay, smtp = first_level(), second_level()
        depart = likewise("smtp.depart1.univ.es", "depart1.univ.es", DEPART1, ["marta"])
        machines = [relay, smtp, depart]
        for machine in machines:
            machine.start()
        from_outside_to_a_mailbox(net, relay, smtp, depart)
        from_inside_to_the_world(net, relay, smtp)
        between_departments(smtp, depart, relay)
        strangers_are_refused(net, relay, smtp)
        wrong_users(net, relay, smtp)
        what_the_model_refuses(net)
        if REAL or not pending("header_checks"):
            what_its_patterns_refuse(net, relay)
        a_host_is_down(net, relay, depart)
        for machine in machines:
            assert machine.complaints() == []
            assert machine.run("mailq") == "Mail queue is empty\n"
            machine.stop()


def from_outside_to_a_mailbox(net: Network, relay: Machine, smtp: Machine, depart: Machine) -> None:
    assert hand_in(net, RELAY, "ana@ejemplo.example", "laurar@univ.es", "de fuera").startswith(
        "250 2.0.0 Ok: queued as "
    )
    text = smtp.wait_for_mail("laurar", "Subject: de fuera")
    assert text.startswith("From ana@ejemplo.example  ")
    for line in ("Return-Path: <ana@ejemplo.example>", "X-Original-To: laurar@univ.es", "Delivered-To: laurar@univ.es"):
        assert f"\n{line}\n" in text
    assert received(text) == [
        ("relay.univ.es (relay.univ.es [192.168.1.1])", "smtp.univ.es"),
        ("mx.ejemplo.example (mx.ejemplo.example [203.0.113.25])", "relay.univ.es"),
    ]
    assert "(Postfix-TLS-SASL/MJ-1.04) with ESMTP id " in text
    relay.wait_for(
        r"postfix/smtp\[\d+\]: \w+: to=<laurar@univ\.es>, relay=smtp\.univ\.es\[192\.168\.1\.2\]:25, delay=\S+, "
        r"delays=\S+, dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as \w+\)$"
    )
    smtp.wait_for(
        r"postfix/local\[\d+\]: \w+: to=<laurar@univ\.es>, relay=local, .*status=sent \(delivered to mailbox\)$"
    )
    assert hand_in(net, RELAY, "ana@ejemplo.example", "marta@depart1.univ.es", "al departamento").startswith("250 ")
    text = depart.wait_for_mail("marta", "Subject: al departamento")
    assert [by for _, by in received(text)] == ["smtp.depart1.univ.es", "relay.univ.es"]
    # The first level has users of its own only where they cannot be avoided.
    assert hand_in(net, RELAY, "ana@ejemplo.example", "antonio@relay.univ.es", "al relay").startswith("250 ")
    relay.wait_for_mail("antonio", "Subject: al relay")


def from_inside_to_the_world(net: Network, relay: Machine, smtp: Machine) -> None:
    smtp.run("sendmail", "ana@ejemplo.example", text="Subject: hacia fuera\n\nHola.\n", user="rgarcia")
    message = net.arrived("Subject: hacia fuera")
    assert message.mail.startswith("MAIL FROM:<rgarcia@univ.es>")  # myorigin: not smtp.univ.es
    text = message.content.decode()
    assert "\r\nFrom: Rgarcia <rgarcia@univ.es>\r\n" in text
    assert received(text) == [
        ("smtp.univ.es (smtp.univ.es [192.168.1.2])", "relay.univ.es"),
        ("", "smtp.univ.es"),
    ]
    assert "(Postfix-TLS-SASL/MJ-1.04, from userid 3001)" in text
    smtp.wait_for(r"to=<ana@ejemplo\.example>, relay=relay\.univ\.es\[192\.168\.1\.1\]:25, .*status=sent")
    relay.wait_for(r"to=<ana@ejemplo\.example>, relay=mx\.ejemplo\.example\[203\.0\.113\.25\]:25, .*status=sent")
    # A user's own machine hands in by SMTP.
    assert hand_in(net, SMTP, "laurar@univ.es", "ana@ejemplo.example", "desde el PC", PC).startswith("250 ")
    assert [by for _, by in received(net.arrived("Subject: desde el PC").content.decode())] == [
        "relay.univ.es",
        "smtp.univ.es",
    ]
    # Neighbours.
    smtp.run("sendmail", "laurar", text="Subject: de casa\n\nHola.\n", user="gramos")
    assert "\nDelivered-To: laurar@univ.es\n" in smtp.wait_for_mail("laurar", "Subject: de casa")


def between_departments(smtp: Machine, depart: Machine, relay: Machine) -> None:
    smtp.run("sendmail", "marta@depart1.univ.es", text="Subject: entre nosotros\n\nHola.\n", user="rgarcia")
    text = depart.wait_for_mail("marta", "Subject: entre nosotros")
    assert [by for _, by in received(text)] == ["smtp.depart1.univ.es", "smtp.univ.es"]  # `.univ.es smtp:`: directly
    depart.run("sendmail", "rgarcia@univ.es", text="Subject: de vuelta\n\nHola.\n", user="marta")
    text = smtp.wait_for_mail("rgarcia", "Subject: de vuelta")
    # `.univ.es` does not mean univ.es itself: what depart1 sends there takes the way through the relay.
    assert [by for _, by in received(text)] == ["smtp.univ.es", "relay.univ.es", "smtp.depart1.univ.es"]


def strangers_are_refused(net: Network, relay: Machine, smtp: Machine) -> None:
    for machine in (relay, smtp):
        answer = hand_in(net, machine.address, "spam@extranjero.example", "ana@ejemplo.example", "spam", STRANGER)
        assert answer == "554 5.7.1 <ana@ejemplo.example>: Relay access denied"
        machine.wait_for(
            r"postfix/smtpd\[\d+\]: NOQUEUE: reject: RCPT from extranjero\.example\[203\.0\.113\.66\]: 554 5\.7\.1 "
            r"<ana@ejemplo\.example>: Relay access denied; from=<spam@extranjero\.example> to=<ana@ejemplo\.example> "
            r"proto=ESMTP helo=<extranjero\.example>$"
        )
    assert not [message for message in net.sink.messages if b"Subject: spam" in message.content]
    # The world's mail for the university passes, whoever brings it.
    assert hand_in(net, RELAY, "ana@extranjero.example", "gramos@univ.es", "legítimo", STRANGER).startswith("250 ")
    smtp.wait_for_mail("gramos", "Subject: leg")


def wrong_users(net: Network, relay: Machine, smtp: Machine) -> None:
    # The relay does not know the users of the second level: it takes the mail, and returns what is refused there.
    assert hand_in(net, RELAY, "ana@ejemplo.example", "nadie@univ.es", "a nadie").startswith("250 ")
    report = net.arrived("nadie@univ.es")
    assert report.mail.startswith("MAIL FROM:<>") and report.rcpt[0].startswith("RCPT TO:<ana@ejemplo.example>")
    text = report.content.decode()
    assert "From: Mail Delivery System <MAILER-DAEMON@univ.es>\r\n" in text
    assert (
        "<nadie@univ.es>: host smtp.univ.es[192.168.1.2] said: 550 5.1.1\r\n"
        "    <nadie@univ.es>: Recipient address rejected: User unknown in local\r\n"
        "    recipient table (in reply to RCPT TO command)\r\n"
    ) in text
    assert hand_in(net, SMTP, "ana@ejemplo.example", "nadie@univ.es", "a nadie").startswith(
        "550 5.1.1 <nadie@univ.es>: Recipient address rejected: User unknown in local recipient table"
    )
    smtp.run("sendmail", "ninguno", text="Subject: a ninguno\n\nHola.\n", user="laurar")
    text = smtp.wait_for_mail("laurar", "Subject: a ninguno")
    assert '\n<ninguno@univ.es> (expanded from <ninguno>): unknown user: "ninguno"\n' in text


def what_the_model_refuses(net: Network) -> None:
    """HELO rules of 1.2 and 7.4."""
    for helo, expected in (
        ("", "503 5.5.1 Error: send HELO/EHLO first"),
        ("mal..formado", "501 5.5.2 <mal..formado>: Helo command rejected: Invalid name"),
        ("nadie.ejemplo.example", "450 4.7.1 <nadie.ejemplo.example>: Helo command rejected: Host not found"),
        ("mx", "450 4.7.1 <mx>: Helo command rejected: Host not found"),
    ):
        assert refusal(net, helo) == expected


def what_its_patterns_refuse(net: Network, relay: Machine) -> None:
    """Header and content rules, 7.5 and 7.6."""
    for head in ("Subject: new photos from my party!", 'From: "a" <_x@y.example>', "X-Unsent: 1", "date: x"):
        content = f"{head}\r\n\r\nx\r\n".encode()
        assert refusal(net, "mx.ejemplo.example", content) == "550 5.7.1 message content rejected", head
    content = b"Subject: x\r\n\r\nGUARANTEED!\r\n"
    assert refusal(net, "mx.ejemplo.example", content) == "550 5.7.1 message content rejected"
    relay.wait_for(r"reject: body GUARANTEED! from mx\.ejemplo\.example\[203\.0\.113\.25\]; from=<ana@ejemplo")
    # Small letters only: `i` after a pattern turns the usual disregard for case off.
    content = b"Date: Sat, 21 Nov 2026 04:00:00 +0000\r\n\r\nx\r\n"
    assert refusal(net, "mx.ejemplo.example", content).startswith("250 ")


def refusal(net: Network, helo: str, content: bytes = b"") -> str:
    """The reply that decides about a message to the relay from a client that gives this name."""
    client = net.telnet(RELAY, OUTSIDE)
    assert re.fullmatch(r"220 relay\.univ\.es ESMTP Postfix-TLS-SASL/MJ-1\.04 \([\d.]+\)", client.reply())
    if helo:
        client.say(f"HELO {helo}")
    said = client.send("ana@ejemplo.example", "laurar@univ.es", content)
    client.say("QUIT")
    client.close()
    return said


def a_host_is_down(net: Network, relay: Machine, depart: Machine) -> None:
    depart.stop()
    assert hand_in(net, RELAY, "ana@ejemplo.example", "marta@depart1.univ.es", "paciencia").startswith("250 ")
    relay.wait_for(
        r"to=<marta@depart1\.univ\.es>, relay=none, .*dsn=4\.4\.1, status=deferred "
        r"\(connect to smtp\.depart1\.univ\.es\[192\.168\.1\.3\]:25: Connection refused\)"
    )
    for command in (["mailq"], ["postqueue", "-p"]):
        said = relay.run(*command)
        assert re.search(
            r"^-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
            r"[0-9A-F]{6,}\*? +\d+ \w{3} \w{3} +\d+ [\d:]{8}  ana@ejemplo\.example\n"
            r" *\(connect to smtp\.depart1\.univ\.es\[192\.168\.1\.3\]:25: Connection refused\)\n"
            r" +marta@depart1\.univ\.es\n\n-- \d Kbytes in 1 Request\.\n$",
            said,
        ), said
    depart.start()
    relay.run("postqueue", "-f")
    depart.wait_for_mail("marta", "Subject: paciencia")


# --- section 3


def fund_shares_the_users() -> None:
    with Network(zone(), OUTSIDE, [STRANGER]) as net:
        relay = first_level("2003, 3 several domains, on the relay", transport=printed.TRANSPORT_FUND_SHARED)
        smtp = second_level("2003, 3 several domains, one set of users", transport=printed.TRANSPORT_SECOND_FUND)
        for machine in (relay, smtp):
            machine.start()
        for domain in ("univ.es", "fund-univ.es"):
            assert hand_in(net, RELAY, "ana@ejemplo.example", f"rgarcia@{domain}", f"a {domain}.").startswith("250 ")
            text = smtp.wait_for_mail("rgarcia", f"Subject: a {domain}.")
            assert f"\nDelivered-To: rgarcia@{domain}\n" in text
            assert [by for _, by in received(text)] == ["smtp.univ.es", "relay.univ.es"]
        assert relay.run("postmap", "-q", "fund-univ.es", "hash:/etc/postfix/transport") == "smtp:[smtp.univ.es]\n"
        assert hand_in(net, RELAY, "x@extranjero.example", "a@otra-univ.es", "x", STRANGER) == (
            "554 5.7.1 <a@otra-univ.es>: Relay access denied"
        )
        assert relay.complaints() + smtp.complaints() == []


def fund_has_names_of_its_own() -> None:
    with Network(zone(), OUTSIDE, [STRANGER]) as net:
        relay = first_level("2003, 3 several domains, on the relay", transport=printed.TRANSPORT_FUND_SHARED)
        smtp = second_level("2003, 3 several domains, virtual", virtual=printed.VIRTUAL)
        for machine in (relay, smtp):
            machine.start()
        for name, user in (("gerente", "rgarcia"), ("gestion", "laurar"), ("gramos", "gramos")):
            assert hand_in(net, RELAY, "ana@ejemplo.example", f"{name}@fund-univ.es", f"a {name}.").startswith("250 ")
            text = smtp.wait_for_mail(user, f"Subject: a {name}.")
            assert f"\nX-Original-To: {name}@fund-univ.es\nDelivered-To: {user}@univ.es\n" in text
        # tesorero reads his mail elsewhere: out again, through the smarthost.
        assert hand_in(net, RELAY, "ana@ejemplo.example", "tesorero@fund-univ.es", "cuentas").startswith("250 ")
        message = net.arrived("Subject: cuentas")
        assert message.rcpt[0].startswith("RCPT TO:<jheras@pastorro.com>")
        assert [by for _, by in received(message.content.decode())] == [
            "relay.univ.es",
            "smtp.univ.es",
            "relay.univ.es",
        ]
        # Local users are not seen from the virtual domain.
        assert hand_in(net, RELAY, "ana@ejemplo.example", "laurar@fund-univ.es", "x").startswith("250 ")
        report = net.arrived("laurar@fund-univ.es>: host").content.decode()
        assert (
            "550 5.1.1\r\n    <laurar@fund-univ.es>: Recipient address rejected: User unknown in virtual\r\n" in report
        )
        # "no olvidar usar la directiva postmap cada vez que se modifique": a new name, then in force.
        with (smtp.etc / "virtual").open("a") as table:
            table.write("secretaria@fund-univ.es  laurar\n")
        smtp.run("postmap", "/etc/postfix/virtual")
        assert smtp.run("postmap", "-q", "secretaria@fund-univ.es", "/etc/postfix/virtual") == "laurar\n"
        smtp.run("postfix", "reload")
        room.until(
            lambda: hand_in(net, SMTP, "ana@ejemplo.example", "secretaria@fund-univ.es", "nueva")[:3] == "250",
            "the new name is not known",
        )
        smtp.wait_for_mail("laurar", "Subject: nueva")
        assert relay.complaints() + smtp.complaints() == []


def fund_moves_out() -> None:
    with Network(zone(), OUTSIDE) as net:
        relay = first_level("2003, 3 several domains, on the relay", transport=printed.TRANSPORT_FUND_SHARED)
        smtp = second_level()
        fund = likewise("smtp.fund-univ.es", "fund-univ.es", FUND, ["gerente"])
        for machine in (relay, smtp, fund):
            machine.start()
        (relay.etc / "transport").write_text(printed.TRANSPORT_FUND_MOVED)
        relay.run("postmap", "/etc/postfix/transport")
        relay.run("postfix", "reload")
        relay.wait_for("reload -- version")
        assert hand_in(net, RELAY, "ana@ejemplo.example", "gerente@fund-univ.es", "mudanza").startswith("250 ")
        text = fund.wait_for_mail("gerente", "Subject: mudanza")
        assert [by for _, by in received(text)] == ["smtp.fund-univ.es", "relay.univ.es"]
        fund.run("sendmail", "laurar@univ.es", text="Subject: gracias\n\nx\n", user="gerente")
        text = smtp.wait_for_mail("laurar", "Subject: gracias")
        assert [by for _, by in received(text)] == ["smtp.univ.es", "relay.univ.es", "smtp.fund-univ.es"]
        assert "\nFrom: Gerente <gerente@fund-univ.es>\n" in text
        assert relay.complaints() + smtp.complaints() + fund.complaints() == []


pytestmark = [pytest.mark.root, needs_room]


def test_mail_crosses_both_levels_and_strangers_are_refused() -> None:
    play(both_levels)


def test_another_domain_with_the_same_users() -> None:
    play(fund_shares_the_users)


def test_another_domain_with_names_of_its_own() -> None:
    play(fund_has_names_of_its_own)


def test_another_domain_moves_to_its_own_host() -> None:
    play(fund_moves_out)
