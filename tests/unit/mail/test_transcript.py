"""Transcripts of sessions: what the postmaster reads."""

from estafeta.mail.transcript import MOST_ENTRIES, OMITTED, Entry, notice, recording, told

ENTRIES: list[Entry] = [(b"220 mail.example.test ESMTP\r\n",), b"FOO\r\n", (b"500 5.5.2 Error\r\n",)]


def test_each_line_of_both_sides_is_marked() -> None:
    assert told([(b"250-a\r\n250 b\r\n",), b"QUIT\r\n"]) == [" Out: 250-a", " Out: 250 b", " In:  QUIT"]


def test_what_cannot_be_printed_is_a_question_mark() -> None:
    assert told([b"F\x07\x08oo \xc3\xa1\xff\r\n"]) == [" In:  F??oo á?"]


def test_long_lines_are_broken_at_blanks_and_long_words_stay_whole() -> None:
    word = b"x" * 100
    assert told([b"RCPT TO:<" + word]) == [" In:  RCPT", "     TO:<" + "x" * 100]
    line = b"MAIL FROM:<a@b.test> VERYLONG=" + b" ".join(letter * 20 for letter in (b"x", b"y", b"z"))
    assert [len(each) <= 78 for each in told([line])] == [True, True]


def test_a_password_is_not_shown() -> None:
    assert told([b"auth plain AGEAYg==\r\n"]) == [" In:  auth plain (not shown)"]
    assert told([b"AUTH LOGIN\r\n"]) == [" In:  AUTH LOGIN"]
    assert told([(b"334 UGFzc3dvcmQ6\r\n",), b"c2VjcmV0\r\n"]) == [" Out: 334 UGFzc3dvcmQ6", " In:  (not shown)"]


def test_of_a_long_session_the_end_is_kept() -> None:
    entries = recording()
    entries.extend(b"NOOP %d" % number for number in range(MOST_ENTRIES + 5))
    assert len(entries) == MOST_ENTRIES
    assert told(entries)[:2] == [OMITTED, " In:  NOOP 5"]
    assert told(entries)[-1] == f" In:  NOOP {MOST_ENTRIES + 4}"


def _notice(reason: str = "", *, standard: bool = True) -> str:
    head, body = notice(
        date="DATE",
        sender="MAILER-DAEMON@example.test",
        recipient="postmaster@example.test",
        subject="Estafeta SMTP server: errors from a[1]",
        entries=ENTRIES,
        reason=reason,
        standard=standard,
    )
    return (head + body).decode()


def test_the_notice() -> None:
    assert _notice().replace("\r\n", "\n") == (
        "Date: DATE\nFrom: Mail Delivery System <MAILER-DAEMON@example.test>\n"
        "To: Postmaster <postmaster@example.test>\n"
        "Subject: Estafeta SMTP server: errors from a[1]\n\n"
        "Transcript of session follows.\n\n Out: 220 mail.example.test ESMTP\n In:  FOO\n Out: 500 5.5.2 Error\n\n\n"
        "For other details, see the local mail logfile\n"
    )


def test_the_reason_why_a_session_ended() -> None:
    assert "Error\r\n\r\nSession aborted, reason: timeout\r\n\r\nFor other" in _notice("timeout")


def test_the_old_form_of_addresses() -> None:
    assert "To: postmaster@example.test (Postmaster)\r\n" in _notice(standard=False)


def test_a_password_said_after_a_refused_auth_is_not_told() -> None:
    entries = [
        b"AUTH \xff c2VjcmV0\r\n",
        (b"535 no\r\n",),
        b"c2VjcmV0cw==\r\n",
        b"c2VjcmV0czEy\r\n",
        b"STARTTLS\r\n",
        b"QUIT\r\n",
    ]
    lines = told(entries)
    assert not [line for line in lines if "c2Vj" in line]
    assert lines[-2:] == [" In:  STARTTLS", " In:  QUIT"]
