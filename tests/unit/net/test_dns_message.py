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
