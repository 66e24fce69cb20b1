"""Questions and answers as bytes."""

from __future__ import annotations

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.net import dns_message


def answer_to(query: bytes, *rrsets: dns.rrset.RRset) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(query))
    reply.answer.extend(rrsets)
    return reply.to_wire()


def test_question_reads_as_what_was_asked() -> None:
    message = dns.message.from_wire(dns_message.question(7, "mx.example.com", "MX"))
    assert str(message.question[0]) == "mx.example.com. IN MX"
    assert (message.id, message.payload) == (7, dns_message.PAYLOAD)
    assert dns.message.from_wire(dns_message.question(7, "a", "A", edns=False)).edns == -1


def test_only_the_answer_with_number_and_question_counts() -> None:
    query = dns_message.question(7, "a.example", "A")
    good = answer_to(query)
    assert dns_message.is_for(good, query)
    assert not dns_message.is_for(query, query), "a query is no answer"
    assert not dns_message.is_for(b"\0\x08" + good[2:], query)
    assert not dns_message.is_for(answer_to(dns_message.question(7, "b.example", "A")), query)
    assert not dns_message.is_for(b"", query)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(packet: bytes) -> None:
    try:
        dns_message.read(packet, "a.example", "A")
    except dns_message.Malformed:
        pass


@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    query = dns_message.question(7, "a.example", "MX")
    whole = answer_to(query, dns.rrset.from_text("a.example.", 5, "IN", "MX", "10 mx.a.example.", "20 ."))
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        dns_message.read(broken[: data.draw(st.integers(0, len(broken)))], "a.example", "MX")
    except dns_message.Malformed:
        pass


def test_malformed_names_the_reason() -> None:
    with pytest.raises(dns_message.Malformed, match="ShortHeader"):
        dns_message.read(b"abc", "a.example", "A")


def records(*texts: str, ttl: int = 300, rrtype: str = "A", owner: str = "a.example.") -> dns.rrset.RRset:
    return dns.rrset.from_text_list(owner, ttl, "IN", rrtype, texts)


def denied(query: bytes, rcode: int, *authority: dns.rrset.RRset) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(query))
    reply.set_rcode(dns.rcode.Rcode(rcode))
    reply.authority.extend(authority)
    return reply.to_wire()


SOA = records("ns.example. me.example. 1 2 3 4 60", rrtype="SOA", owner="example.", ttl=900)
QUERY = dns_message.question(7, "a.example", "A")
PLAIN = {
    "one address": answer_to(QUERY, records("127.0.0.2")),
    "several addresses": answer_to(QUERY, records("127.0.0.2", "127.0.0.10", ttl=5)),
    "no such name": denied(QUERY, 3, SOA),
    "no such record": denied(QUERY, 0, SOA),
    "no such name, and no word how long": denied(QUERY, 3),
}
NOT_PLAIN = {
    "an alias": answer_to(QUERY, records("b.example.", rrtype="CNAME"), records("127.0.0.2", owner="b.example.")),
    "a failure": denied(QUERY, 2),
    "a signed denial": denied(QUERY, 3, records("b.example. A", rrtype="NSEC"), SOA),
    "an answer about another name": answer_to(QUERY, records("127.0.0.2", owner="b.example.")),
}


@pytest.mark.parametrize("packet", PLAIN.values(), ids=PLAIN.keys())
def test_a_plain_answer_is_read_as_any_other(packet: bytes) -> None:
    quick = dns_message.plain(packet, QUERY, "a.example", "A")
    whole = dns_message.read(packet, "a.example", "A")
    assert quick is not None
    assert (quick.rcode, quick.records, quick.ttl, quick.secure) == (
        whole.rcode,
        whole.records,
        whole.ttl,
        whole.secure,
    )


@pytest.mark.parametrize("packet", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_what_is_not_plain_is_left_to_read(packet: bytes) -> None:
    assert dns_message.plain(packet, QUERY, "a.example", "A") is None


@pytest.mark.parametrize("packet", PLAIN.values(), ids=PLAIN.keys())
def test_a_plain_answer_that_is_cut_short_is_never_more_than_it_says(packet: bytes) -> None:
    whole = dns_message.plain(packet, QUERY, "a.example", "A")
    assert whole is not None
    for end in range(12, len(packet)):
        cut = dns_message.plain(packet[:end], QUERY, "a.example", "A")
        assert cut is None or cut == whole


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_question_are_plain_or_not(rest: bytes) -> None:
    packet = QUERY[:2] + b"\x81\x80\0\1\0\1\0\1\0\0" + QUERY[12:-11] + rest
    dns_message.plain(packet, QUERY, "a.example", "A")
