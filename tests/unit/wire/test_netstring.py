from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.netstring import NetstringError, NetstringTooLong, pack, split


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_what_was_packed_is_split_again(texts: list[bytes]) -> None:
    assert split(b"".join(map(pack, texts)), 300) == texts


@pytest.mark.parametrize("data", [b"5:hello", b"5:hello;", b"hello", b":x,", b"-1:x,", b"5 :hello,", b"3:ab", b"1"])
def test_what_is_no_netstring(data: bytes) -> None:
    with pytest.raises(NetstringError):
        split(data, 100)


@pytest.mark.parametrize("data", [b"101:", b"9999999999:x,", b"99999999999:x,"])
def test_what_is_too_long(data: bytes) -> None:
    with pytest.raises(NetstringTooLong):
        split(data, 100)


@given(st.binary(max_size=100))
def test_no_input_does_anything_else(data: bytes) -> None:
    try:
        found = split(data, 50)
    except (NetstringError, NetstringTooLong):
        return
    assert sum(len(each) for each in found) <= len(data)
