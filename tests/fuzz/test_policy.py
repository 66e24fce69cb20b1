"""A policy request has one line for each attribute, whatever a client says; an answer is an action or an error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.policy import BadAnswer, encode_request, parse_answer

NAMES = st.sampled_from(["sender", "recipient", "helo_name", "ccert_subject", "sasl_username"])


@given(st.dictionaries(NAMES, st.binary(max_size=80).map(lambda raw: raw.decode("utf-8", "surrogateescape"))))
def test_a_request_cannot_be_broken_into(values: dict[str, str]) -> None:
    lines = encode_request(dict(values)).split(b"\n")
    assert lines[-2:] == [b"", b""]
    assert [line.split(b"=", 1)[0].decode() for line in lines[:-2]] == list(values)


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=6))
def test_an_answer_is_an_action_or_an_error(lines: list[bytes]) -> None:
    try:
        action = parse_answer(lines)
    except BadAnswer:
        assert not any(line.partition(b"=")[0].strip() == b"action" and b"=" in line for line in lines)
    else:
        assert action == action.strip()
