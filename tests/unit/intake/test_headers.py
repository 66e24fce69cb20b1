"""What becomes of headers: the expected texts are what Postfix 3.7.11 stored for the same message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from estafeta.intake.verdict import TOO_MANY_HOPS, Queued

from .conftest import Bench

ADDED = "Message-Id: <20261121012302.3F2A81C0@mail.example.com>\nDate: Sat, 21 Nov 2026 01:23:02 +0000 (UTC)\n"
FROM = "From: s@send.example\n"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def stored(bench: Bench, text: str, **options: str) -> str:
    message = bench.begin(**options)  # type: ignore[arg-type]
    message.feed(text.replace("\n", "\r\n").encode())
    answer = asyncio.run(message.finish())
    assert isinstance(answer, Queued), answer
    _, head, body = bench.last
    return (head + body).decode().replace("\r\n", "\n")


CASES = {
    "addresses": (
        "From: joe\nTo: Old User <old@example.com>, user,\n\t\"a b\"@foo.bar (comment), Group: x, y;\n"
        "Cc: user%host, a!b, <@r:z@w>\nBcc: hidden\nReturn-Path: <x>\nContent-Length: 5\nReply-To: joe (Joe D)\n"
        "Date: x\nMessage-ID: <m@i>\nX-Addr: joe\n\nbody\n",
        "From: Joe.Doe@example.com\nTo: Old User <new@example.com>, user@example.com,\n"
        "\t\"a b\"@foo.bar (comment), Group: x@example.com, y@example.com;\nCc: user@host, b@a, <z@w>\n"
        "Reply-To: Joe.Doe@example.com (Joe D)\nDate: x\nMessage-ID: <m@i>\nX-Addr: joe\n\nbody\n",
    ),
    "resent": (
        "From: a@b.c\nResent-To: x@y.z\n\nbody\n",
        "From: a@b.c\nResent-To: x@y.z\nResent-Message-Id: <20261121012302.3F2A81C0@mail.example.com>\n"
        "Resent-Date: Sat, 21 Nov 2026 01:23:02 +0000 (UTC)\nResent-From: s@send.example\n\nbody\n",
    ),
    "resent with a sender": (
        "From: a@b.c\nDate: d\nMessage-id: <x@y>\nResent-From: joe\nResent-Bcc: x\n\nbody\n",
        "From: a@b.c\nDate: d\nMessage-id: <x@y>\nResent-From: Joe.Doe@example.com\n"
        "Resent-Message-Id: <20261121012302.3F2A81C0@mail.example.com>\n"
        "Resent-Date: Sat, 21 Nov 2026 01:23:02 +0000 (UTC)\n\nbody\n",
    ),
    "no header": ("this is no header\nline two\n", ADDED + FROM + "\nthis is no header\nline two\n"),
    "separator": (
        "From root@x Mon Jan 1\nSubject: x\n\nbody\n",
        "X-Mailbox-Line: From root@x Mon Jan 1\nSubject: x\n" + ADDED + FROM + "\nbody\n",
    ),
    "quoted separator": (
        ">From root@x Mon Jan 1\nSubject: x\n\nbody\n",
        "X-Mailbox-Line: >From root@x Mon Jan 1\nSubject: x\n" + ADDED + FROM + "\nbody\n",
    ),
    "broken": (
        "Subject: x\nbroken line\nTo: a\n\nbody\n",
        "Subject: x\n" + ADDED + FROM + "\nbroken line\nTo: a\n\nbody\n",
    ),
    "empty": ("", ADDED + FROM),
    "header alone": ("Subject: x\n", "Subject: x\n" + ADDED + FROM),
    "header and empty line": ("Subject: x\n\n", "Subject: x\n" + ADDED + FROM + "\n"),
    "empty line": ("\n", ADDED + FROM + "\n"),
    "empty fields": (
        "From:\nTo:\nDate:\nMessage-Id:\nSubject:\n\nbody\n",
        "From:\nTo:\nDate:\nMessage-Id:\nSubject:\n\nbody\n",
    ),
    "folded first line": (
        " folded first\nSubject: x\n\nbody\n",
        ADDED + FROM + "\n folded first\nSubject: x\n\nbody\n",
    ),
    "8-bit": (
        "Subject: é\nContent-Transfer-Encoding: 8bit\n\nbödy\n",
        "Subject: é\nContent-Transfer-Encoding: 8bit\n" + ADDED + FROM + "\nbödy\n",
    ),
    "long list": (
        "To: " + ", ".join(f"user{n}" for n in range(6)) + "\n\nbody\n",
        "To: user0@example.com, user1@example.com, user2@example.com,\n"
        "\tuser3@example.com, user4@example.com, user5@example.com\n" + ADDED + FROM + "\nbody\n",
    ),
}  # fmt: skip
CANONICAL = "inline:{{old@example.com=new@example.com},{joe=Joe.Doe},{@oldcorp.example=@newcorp.example}}"


@pytest.mark.parametrize("name", CASES)
def test_mail_from_here(name: str, bench: Callable[..., Bench]) -> None:
    given, expected = CASES[name]
    assert stored(bench(canonical_maps=CANONICAL), given) == expected


def test_null_sender(bench: Callable[..., Bench]) -> None:
    assert stored(bench(), "Subject: x\n\nbody\n", sender="") == (
        "Subject: x\n" + ADDED + "From: MAILER-DAEMON\n\nbody\n"
    )


def test_mail_from_elsewhere_is_left_alone(bench: Callable[..., Bench]) -> None:
    text = "From: joe\nTo: Old <old@example.com>, user\nBcc: hidden\nReturn-Path: <x>\n\nbody\n"
    expected = "From: joe\nTo: Old <old@example.com>, user\n\nbody\n"
    assert stored(bench(canonical_maps=CANONICAL), text, context="remote") == expected
    assert stored(bench(), "Subject: x\n\nbody\n", context="remote") == "Subject: x\n\nbody\n"


def test_an_unchanged_header_is_the_very_bytes(bench: Callable[..., Bench]) -> None:
    made = bench()
    message = made.begin(context="remote")
    message.feed(b"Subject: x\r\n" * 10 + b"\r\nbody\r\n")
    asyncio.run(message.finish())
    assert made.last[1] == b"Subject: x\r\n" * 10 + b"\r\n"


def test_remote_header_rewrite_domain(bench: Callable[..., Bench]) -> None:
    made = bench(remote_header_rewrite_domain="domain.invalid", canonical_maps=CANONICAL)
    text = "From: joe\nTo: joe@h, Old <old@example.com>\n\nbody\n"
    assert stored(made, text, context="remote") == (
        "From: joe@domain.invalid\nTo: joe@h.domain.invalid, Old <new@example.com>\n" + ADDED + "\nbody\n"
    )


def test_always_add_missing_headers_and_undisclosed(bench: Callable[..., Bench]) -> None:
    made = bench(always_add_missing_headers="yes", undisclosed_recipients_header="To:undisclosed-recipients:;")
    assert stored(made, "Subject: x\n\nbody\n", context="remote") == (
        "Subject: x\n" + ADDED + FROM + "To:undisclosed-recipients:;\n\nbody\n"
    )
    assert "undisclosed" not in stored(made, "Cc: a@b.c\n\nbody\n", context="remote")


def test_full_names(bench: Callable[..., Bench]) -> None:
    rules = bench().intake.headers
    assert rules.from_value("root@example.com", "root") == "root <root@example.com>"
    assert rules.from_value("root@example.com", "Joe, D. Doe") == '"Joe, D. Doe" <root@example.com>'
    assert rules.from_value("root@example.com", "") == "root@example.com"
    assert rules.from_value("root@example.com", "José") == "=?utf-8?B?Sm9zw6k=?= <root@example.com>"
    rules = bench(header_from_format="obsolete").intake.headers
    assert rules.from_value("root@example.com", "Joe (x)") == "root@example.com (Joe (x))"
    assert rules.from_value("root@example.com", "Joe )x(") == "root@example.com (Joe \\)x\\()"


def test_hops(bench: Callable[..., Bench]) -> None:
    made = bench()
    for hops, refused in ((49, False), (50, True)):
        message = made.begin()
        message.feed(b"Received: a\r\n" * hops + b"\r\nbody\r\n")
        assert (asyncio.run(message.finish()) == TOO_MANY_HOPS) is refused


def test_prepended_fields_count_and_come_first(bench: Callable[..., Bench]) -> None:
    made = bench()
    message = made.begin(context="remote")
    message.prepend(b"Received: by us\r\n")
    message.prepend(b"X-Spam: no\r\n")
    message.feed(b"Received: a\r\n" * 50 + b"\r\nbody\r\n")
    assert asyncio.run(message.finish()) == TOO_MANY_HOPS
    message = made.begin(context="remote")
    message.prepend(b"Received: by us\r\n")
    message.feed(b"From root\r\n\r\nbody\r\n")
    asyncio.run(message.finish())
    assert made.last[1] == b"Received: by us\r\nX-Mailbox-Line: From root\r\n\r\n"


def test_a_field_over_the_limit_is_cut(bench: Callable[..., Bench]) -> None:
    made = bench(header_size_limit="50")
    assert stored(made, "Subject: " + "x" * 100 + "\nX: y\n\n", context="remote") == (
        "Subject: " + "x" * 41 + "\nX: y\n\n"
    )


def test_message_drop_headers(bench: Callable[..., Bench]) -> None:
    made = bench(message_drop_headers="X-Drop")
    assert stored(made, "X-Drop: a\n b\nBcc: c\n\n", context="remote") == "Bcc: c\n\n"


def test_message_id_is_logged(bench: Callable[..., Bench], lines: list[tuple[str, str]]) -> None:
    made = bench()
    for text, context in (
        ("Message-ID: <m@i>\n\n", "remote"),
        ("Subject: x\n\n", "remote"),
        ("Resent-To: a@b\n\n", "local"),
    ):
        stored(made, text, context=context)
    assert lines == [
        ("cleanup", "3F2A81C0: message-id=<m@i>"),
        ("cleanup", "3F2A81C0: message-id=<>"),
        ("cleanup", "3F2A81C0: resent-message-id=<20261121012302.3F2A81C0@mail.example.com>"),
        ("cleanup", "3F2A81C0: message-id=<>"),
    ]


def test_an_open_quote_does_not_swallow_the_line_end(bench: Callable[..., Bench]) -> None:
    got = stored(bench(), 'To: "open <joe>\nX: y\n\n')
    assert got.startswith('To: "open <joe>"@example.com\nX: y\n')


def test_a_blank_before_the_colon_is_taken_out(bench: Callable[..., Bench]) -> None:
    text = "From: a@b.c\nSubject : x : y\nX-Folded:\n a :b\n\nz : body\n"
    assert stored(bench(), text, context="remote") == text.replace("Subject :", "Subject:")
