"""The policy delegation protocol."""

import pytest

from estafeta.wire.policy import BadAnswer, encode_request, parse_answer


def test_a_request_is_lines_and_an_empty_one() -> None:
    assert encode_request({"request": "smtpd_access_policy", "size": 3}) == b"request=smtpd_access_policy\nsize=3\n\n"


def test_a_stranger_cannot_add_an_attribute() -> None:
    assert encode_request({"helo_name": "x\nsender=me\0\r"}) == b"helo_name=x sender=me  \n\n"


def test_bytes_that_are_no_utf8_arrive_as_they_came() -> None:
    assert encode_request({"sender": b"\xff".decode("utf-8", "surrogateescape")}) == b"sender=\xff\n\n"


def test_the_action_is_found_among_other_attributes() -> None:
    assert parse_answer([b"other=x", b"action= OK really "]) == "OK really"


@pytest.mark.parametrize("lines", [[], [b"hello"], [b"actions=OK"], [b"action"]])
def test_without_an_action_there_is_no_answer(lines: list[bytes]) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(lines)
