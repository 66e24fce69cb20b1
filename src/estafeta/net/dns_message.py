"""One DNS question as bytes, and the bytes of its answer as records (RFC 1035 4, RFC 6891, RFC 2308).

The question is put together by hand, as it is made for every look-up; the answer, which a stranger sends, is
parsed by dnspython.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.SRV import SRV

PAYLOAD = 1232
"""The largest datagram asked for: it passes every link without fragments (DNS flag day 2020)."""

MOST_RECORDS = 100
"""Records of one type that are kept; Postfix 3.9 has the same limit."""

MOST_CNAMES = 10

RECURSION_DESIRED = 0x0100
AUTHENTIC_DATA = 0x0020

TRUNCATED = 0x0200
TO_THE_QUESTION = 0xC00C
"""An owner name that is a pointer to the name in the question. RFC 1035 4.1.4."""
A_IN, SOA_IN = 0x0001_0001, 0x0006_0001
"""Type and class in one."""
MOST_TTL = 0x7FFF_FFFF
"""A TTL with the highest bit set counts as 0: RFC 2181 8."""
_RECORD = struct.Struct("!HIIH")
_REST = struct.Struct("!IIH")

EDNS = b"\0\0\x29" + struct.pack("!HIH", PAYLOAD, 0, 0)


class Malformed(Exception):
    """The bytes are no answer to the question."""


@dataclass(slots=True)
class Reply:
    """An answer, read. `chased` is the CNAME target that the answer has no records for, if it ends so."""

    rcode: int
    truncated: bool
    secure: bool = False
    canonical: str = ""
    chased: str = ""
    ttl: int = 0
    records: list[str] = field(default_factory=list)
    loop: bool = False
    dropped: bool = False
    """There were more records than MOST_RECORDS."""


def question(number: int, name: str, rrtype: str, *, edns: bool = True) -> bytes:
    """The query. `name` is checked ASCII text without a final dot, "" the root. AD asks to be told of validation."""
    labels = b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b".") if label)
    kind = dns.rdatatype.from_text(rrtype)
    head = struct.pack("!6H", number, RECURSION_DESIRED | AUTHENTIC_DATA, 1, 0, 0, 1 if edns else 0)
    return head + labels + struct.pack("!xHH", kind, 1) + (EDNS if edns else b"")


def is_for(packet: bytes, asked: bytes) -> bool:
    """Whether a packet has the number and the question of the query `asked`; anything else is noise or a forgery."""
    if len(packet) < 12 or packet[:2] != asked[:2] or not packet[2] & 0x80:
        return False
    if packet[4:6] != b"\0\1":
        # A server that could not read the question may leave it out of its error reply.
        return packet[4:6] == b"\0\0" and packet[3] & 0x0F != 0
    end = len(asked) - (len(EDNS) if asked[10:12] == b"\0\1" else 0)
    return packet[12:end].lower() == asked[12:end].lower()


def plain(packet: bytes, asked: bytes, name: str, rrtype: str) -> Reply | None:
    """What `read` would say, for the answers that come most often: "there is none", and addresses without an alias.

    `packet` answers the query `asked` (`is_for`). None: it is not so simple, `read` it. DNS lists are asked for every
    client, and this takes a tenth of the time.
    """
    flags, questions, answers, authorities = struct.unpack_from("!4H", packet, 2)
    rcode = flags & 0x0F
    if flags & TRUNCATED or questions != 1 or rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    at = len(asked) - (len(EDNS) if asked[10:12] == b"\0\1" else 0)
    secure = bool(flags & AUTHENTIC_DATA)
    try:
        if not answers:
            ttl = _plain_negative_ttl(packet, at) if authorities else 0
            return None if ttl is None else Reply(rcode, False, secure, canonical=name, ttl=ttl)
        if rrtype != "A" or rcode or answers > MOST_RECORDS:
            return None
        least, found = MOST_TTL, []
        for _ in range(answers):
            owner, kind, ttl, size = _RECORD.unpack_from(packet, at)
            if owner != TO_THE_QUESTION or kind != A_IN or size != 4 or at + 16 > len(packet):
                return None
            least = min(least, ttl if ttl <= MOST_TTL else 0)
            found.append(".".join(map(str, packet[at + 12 : at + 16])))
            at += 16
    except struct.error:  # it ends too early
        return None
    return Reply(rcode, False, secure, canonical=name, ttl=least, records=list(dict.fromkeys(found)))


def _plain_negative_ttl(packet: bytes, at: int) -> int | None:
    """As `_negative_ttl`, from the first authority record; None if that is no SOA. Raises struct.error."""
    while at < len(packet) and 0 < packet[at] < 0x40:
        at += packet[at] + 1
    if at >= len(packet):
        return None
    at += 2 if packet[at] >= 0xC0 else 1
    kind, ttl, size = _REST.unpack_from(packet, at)
    end = at + _REST.size + size
    if kind != SOA_IN or size < 22 or end > len(packet):
        return None
    minimum: int = struct.unpack_from("!I", packet, end - 4)[0]
    return min(ttl if ttl <= MOST_TTL else 0, minimum)


def read(packet: bytes, name: str, rrtype: str) -> Reply:
    """The answer in `packet` to a question for `name`. Raises Malformed."""
    try:
        message = dns.message.from_wire(packet, ignore_trailing=True, raise_on_truncation=False)
    except (dns.exception.DNSException, ValueError, IndexError, struct.error) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from None
    reply = Reply(int(message.rcode()), bool(message.flags & dns.flags.TC), bool(message.flags & dns.flags.AD))
    if reply.rcode == dns.rcode.NOERROR:
        _collect(message, name, dns.rdatatype.from_text(rrtype), reply)
    if not reply.records and not reply.chased:
        reply.ttl = _negative_ttl(message)
    return reply


def _collect(message: dns.message.Message, name: str, kind: dns.rdatatype.RdataType, reply: Reply) -> None:
    """Follow the CNAMEs of the answer section to the records asked for."""
    sets: dict[tuple[dns.name.Name, int], dns.rrset.RRset] = {}
    for rrset in message.answer:
        if rrset.rdclass == dns.rdataclass.IN:
            sets.setdefault((rrset.name, rrset.rdtype), rrset)
    at = dns.name.from_text(name)
    ttl: int | None = None
    for _ in range(MOST_CNAMES + 1):
        found = sets.get((at, kind))
        if found is not None:
            reply.records = [text for rdata in list(found)[:MOST_RECORDS] if (text := _text(rdata)) is not None]
            reply.dropped = len(found) > MOST_RECORDS
            reply.ttl = found.ttl if ttl is None else min(ttl, found.ttl)
            reply.canonical = _name_text(at)
            return
        alias = sets.get((at, dns.rdatatype.CNAME))
        if alias is None:
            reply.canonical = _name_text(at)
            reply.chased = "" if reply.canonical == name else reply.canonical
            reply.ttl = ttl or 0
            return
        ttl = alias.ttl if ttl is None else min(ttl, alias.ttl)
        at = alias[0].target
    reply.loop = True


def _negative_ttl(message: dns.message.Message) -> int:
    """How long a "no" may be kept: RFC 2308 5. No SOA, no keeping."""
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return min(int(rrset.ttl), int(rrset[0].minimum))
    return 0


def _text(rdata: object) -> str | None:
    if isinstance(rdata, MX):
        return f"{rdata.preference} {_name_text(rdata.exchange)}"
    if isinstance(rdata, SRV):
        return f"{rdata.priority} {rdata.weight} {rdata.port} {_name_text(rdata.target)}"
    if isinstance(rdata, TXT):
        return b"".join(rdata.strings).decode("utf-8", "surrogateescape")
    target = getattr(rdata, "target", None)
    if isinstance(target, dns.name.Name) and type(rdata).__name__ in ("PTR", "CNAME", "NS"):
        return _name_text(target)
    return str(rdata)


def _name_text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else ""
