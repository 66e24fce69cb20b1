import pytest

from estafeta.mail.logline import delay_text, delays_of, delivery_line


@pytest.mark.parametrize(
    ("seconds", "limit", "text"),
    [
        # What Postfix 3.7 prints for the same numbers.
        (0, 2, "0"),
        (0.004999, 2, "0"),
        (0.005, 2, "0.01"),
        (0.0123, 2, "0.01"),
        (0.0123, 6, "0.012"),
        (0.096, 2, "0.1"),
        (0.125, 2, "0.13"),
        (0.994999, 0, "1"),
        (0.995, 2, "1"),
        (1.049999, 2, "1"),
        (1.05, 2, "1.1"),
        (9.949999, 2, "9.9"),
        (9.95, 2, "10"),
        (12.5, 2, "13"),
        (123.456789, 2, "123"),
        (0.000001, 6, "0.000001"),
        (-3, 2, "0"),
    ],
)
def test_delays_have_two_significant_digits(seconds: float, limit: int, text: str) -> None:
    assert delay_text(seconds, limit) == text


def test_the_whole_line() -> None:
    line = delivery_line(
        "3F2A81C0",
        "a@b.example",
        "x@b.example",
        "mx[192.0.2.1]:25",
        (0.02, 0.01, 0.3, 0.19),
        "2.0.0",
        "sent",
        "250 Ok",
        conn_use=2,
    )
    assert line == (
        "3F2A81C0: to=<a@b.example>, orig_to=<x@b.example>, relay=mx[192.0.2.1]:25, conn_use=2, delay=0.52, "
        "delays=0.02/0.01/0.3/0.19, dsn=2.0.0, status=sent (250 Ok)"
    )


def test_an_odd_local_part_is_quoted() -> None:
    line = delivery_line("1", "a b@c", 'x"@c', "none", (0, 0, 0, 0), "4.3.0", "deferred", "why")
    assert line.startswith('1: to=<"a b"@c>, orig_to=<"x\\""@c>, relay=none')


def test_an_original_equal_to_the_recipient_is_not_shown() -> None:
    line = delivery_line("1", "a@b", "a@b", "none", (0, 0, 0, 0), "4.3.0", "deferred", "why")
    assert line == "1: to=<a@b>, relay=none, delay=0, delays=0/0/0/0, dsn=4.3.0, status=deferred (why)"


def test_a_clock_that_went_back_makes_no_negative_delay() -> None:
    assert delays_of(10, 9, 12, 0, 11) == (0, 3, 0, 0)
    assert delays_of(10, 11, 12, 13, 15) == (1, 1, 1, 2)
