"""Network blocks and sets of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.base.networks import Network, NetworkError, NetworkSet, number_of, parse_network, text_of


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("0.0.0.0/0", "255.1.2.3", "::1"),
        ("[2001:db8::]/32", "2001:db8:1::", "2001:db9::"),
        ("::/0", "::1", "127.0.0.1"),
        ("[::1]", "::1", "::2"),
    ],
)
def test_block_holds_its_addresses(pattern: str, inside: str, outside: str) -> None:
    network = parse_network(pattern)
    one = NetworkSet()
    one.add(network)
    for address, expected in ((inside, True), (outside, False)):
        number = number_of(address)
        assert number is not None
        assert network.covers(number) is expected
        assert (number in one) is expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("10.0.0.1/8", 'perhaps you should use "10.0.0.0/8" instead'),
        ("1.2.3.4/33", "bad mask length"),
        ("1.2.3.4/", "bad mask value"),
        ("10/8", "bad network value"),
        ("foo", "bad address pattern"),
        ("[::1", "missing ']'"),
        ("[::1]x", "garbage after"),
        ("1.2.3.4/99999999999", "bad mask length"),
    ],
)
def test_nonsense_is_refused_with_its_reason(pattern: str, reason: str) -> None:
    with pytest.raises(NetworkError) as refused:
        parse_network(pattern)
    assert reason in str(refused.value)


@given(st.integers(0, 2**128 - 1), st.integers(0, 128))
def test_any_block_reads_back(number: int, length: int) -> None:
    network = Network(6, length, number >> (128 - length))
    assert parse_network(str(network)) == network
    assert network.covers((6, number))


@given(st.text(max_size=20))
def test_any_text_is_an_address_or_none(text: str) -> None:
    number = number_of(text)
    assert number is None or number_of(text_of(*number)) == number
