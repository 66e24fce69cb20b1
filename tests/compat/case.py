"""One case of comparison: a configuration, what happens to the mail system, and what is looked at afterwards.

A case is a text file. Its first line, a comment, says which rule it shows. Sections begin with `== `:

    # Relaying is refused to strangers.
    == main                      settings added to the common main.cf
    smtpd_relay_restrictions = reject_unauth_destination
    == master                    lines added to master.cf
    == file transport            a file in /srv/etc; `== map transport`: the same, and postmap makes its index
    == dns                       NAME TYPE DATA lines for the name server, NAME STATUS for SERVFAIL and the like,
                                 NAME TYPE STATUS for one type, NAME flags TC for answers that need TCP
    == hosts                     lines added to /etc/hosts
    == resolv                    lines added to /etc/resolv.conf
    == user antonio              a system user
    == sasldb sasldb2            a password file made by saslpasswd2; lines USER REALM PASSWORD
    == saslauthd DIR             a saslauthd whose socket is DIR/mux below /srv; lines USER PASSWORD
    == sqlite users.db           an SQLite file in /srv/etc, made by the section's statements
    == dovecot plain login       a Dovecot whose auth service offers these mechanisms on the socket private/auth and on
                                 port 12345; lines of a passwd-file, and settings (`auth_realms = x`)
    == tls                       certificates in /srv/etc/tls, as tests/support/certificates.py has them; in main.cf and
                                 files, @client.sha256@ and @client.key.sha256@ are fingerprints
    == sink 2526                 an SMTP server of ours; VERB = REPLY lines say what it answers
                                 (`sink 127.0.0.2:2526`: on that address; `sink unix:/srv/sink/s`: a local socket)
    == policy 10040              a policy server (`policy unix:/srv/sink/p` too); ATTRIBUTE=VALUE: REPLY lines, or
                                 `*: REPLY` for all; replies and what is shown: see tests/support/policy_server.py
    == talk                      a dialogue on port 25; `== talk 2525 from 127.0.0.2`: another port, another client;
                                 `== talk 25 first`: the client speaks before it is greeted; `== talk 465 tls`: TLS from
                                 the first byte
    C: EHLO client.test          a line; its reply is read
    C+: MAIL FROM:<a@b.test>     a line that is sent together with the next one
    R: text\\x0d\\x0a              bytes as written, no line end added, no reply read
    W:                           read a reply
    64: \x00ana\x00secret          a line in base64, with escapes
    TLS: 1.2 cert=client         the client begins TLS, with a version, cert=NAME, name=SERVER, ciphers=LIST, resume
    A: CRAM-MD5 ana secret       the answer to the challenge that was read last
    == sendmail -f a@b.test x    the command, with the section's text as its input
    == run postqueue -p          a command whose output is kept
    == wait status=sent          until the log has a line that matches (`== wait 3 ...`: three lines)
    == show mailbox PATH         a mailbox file or Maildir below /srv, `show log`, `show queue`, `show sink 2526`,
                                 `show policy 10040`
    == ignore REGEX              lines that are left out of the comparison, with the reason on the next line

Talks, commands and waits happen in the order of the file; the rest is prepared before the start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

CASES = Path(__file__).parent / "cases"


@dataclass
class Section:
    kind: str
    argument: str
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


@dataclass
class Case:
    path: Path
    rule: str
    sections: list[Section]

    def all(self, kind: str) -> list[Section]:
        return [section for section in self.sections if section.kind == kind]

    @property
    def name(self) -> str:
        return str(self.path.relative_to(CASES)).removesuffix(".case")

    @property
    def recorded(self) -> Path:
        """What Postfix did."""
        return self.path.with_suffix(".postfix")


KINDS = {
    "main",
    "master",
    "file",
    "map",
    "dns",
    "hosts",
    "resolv",
    "user",
    "dovecot",
    "sink",
    "policy",
    "talk",
    "tls",
    "saslauthd",
    "sasldb",
    "sqlite",
    "sendmail",
    "run",
    "wait",
    "show",
    "ignore",
}


def load(path: Path) -> Case:
    """Raises ValueError with file and line."""
    lines = path.read_text().split("\n")
    if not lines[0].startswith("# "):
        raise ValueError(f"{path}, line 1: the first line says which rule this case shows")
    sections: list[Section] = []
    for number, line in enumerate(lines[1:], 2):
        if line.startswith("== "):
            kind, _, argument = line[3:].partition(" ")
            if kind not in KINDS:
                raise ValueError(f"{path}, line {number}: no such section: {kind}")
            sections.append(Section(kind, argument.strip()))
        elif sections:
            sections[-1].lines.append(line)
    for section in sections:
        while section.lines and not section.lines[-1]:
            section.lines.pop()
    return Case(path, lines[0][2:], sections)


def cases() -> list[Case]:
    """Every case, by name."""
    return [load(path) for path in sorted(CASES.rglob("*.case"))]
