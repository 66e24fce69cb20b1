"""The form of a report is what Postfix 3.7 sends: recorded from it, with its names and times."""

import pytest

from estafeta.mail.report import Fate, Letter, Message, Template, compose, fold

HOST = "mail.example.test"
DATE = "Sat, 21 Nov 2026 01:20:23 +0000 (UTC)"
RETURNED = (
    b"Received: from client.test (localhost [127.0.0.1])\r\n"
    b"\tby mail.example.test (Postfix) with ESMTP id 15D8820C2D4;\r\n"
    b"\tSat, 21 Nov 2026 01:20:23 +0000 (UTC)\r\n"
    b"From: a@b\r\n"
    b"Subject: alias\r\n"
)


def letter(template: Template, **changes: object) -> Letter:
    values = {
        "hostname": HOST,
        "mail_name": "Postfix",
        "origin": "@example.test",
        "recipient": "sender@box.test",
        "template": template,
        "date": "Sat, 21 Nov 2026 01:20:24 +0000 (UTC)",
        "boundary": f"15D8820C2D4.1795224023/{HOST}",
    }
    return Letter(**(values | changes))  # type: ignore[arg-type]


FAILURE = Template("failure", "Undelivered Mail Returned to Sender", "Postmaster Copy: Undelivered Mail", "Sorry.\n")
DELAY = Template("delay", "Delayed Mail (still being retried)", "Postmaster Warning: Delayed Mail", "Late.\n")


def message(content: bytes, **changes: object) -> Message:
    values = {
        "queue_id": "15D8820C2D4",
        "sender": "sender@box.test",
        "arrival": DATE,
        "envid": "",
        "content": content,
        "headers_only": False,
    }
    return Message(**(values | changes))  # type: ignore[arg-type]


def test_a_failure_report_with_the_whole_message() -> None:
    fates = [
        Fate("nouser@box.test", "al@box.test", "", "failed", "5.1.1", 'unknown user: "nouser@box.test"'),
        Fate(
            "x@err.test",
            "x@err.test",
            "",
            "failed",
            "5.7.1",
            "go away and never come back here again with such a long text please oh please",
        ),
    ]
    head, body = compose(letter(FAILURE), message(RETURNED + b"\r\nbody\r\n"), fates)
    assert head.decode() == (
        "Date: Sat, 21 Nov 2026 01:20:24 +0000 (UTC)\r\n"
        "From: Mail Delivery System <MAILER-DAEMON@example.test>\r\n"
        "Subject: Undelivered Mail Returned to Sender\r\n"
        "To: sender@box.test\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        '\tboundary="15D8820C2D4.1795224023/mail.example.test"\r\n'
        "Content-Transfer-Encoding: 8bit\r\n"
        "\r\n"
    )
    assert body.decode().replace("\r\n", "\n") == (
        "This is a MIME-encapsulated message.\n"
        "\n"
        "--15D8820C2D4.1795224023/mail.example.test\n"
        "Content-Description: Notification\n"
        "Content-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n"
        "\n"
        "Sorry.\n"
        "\n"
        "<nouser@box.test> (expanded from <al@box.test>): unknown user:\n"
        '    "nouser@box.test"\n'
        "\n"
        "<x@err.test>: go away and never come back here again with such a long text\n"
        "    please oh please\n"
        "\n"
        "--15D8820C2D4.1795224023/mail.example.test\n"
        "Content-Description: Delivery report\n"
        "Content-Type: message/delivery-status\n"
        "\n"
        "Reporting-MTA: dns; mail.example.test\n"
        "X-Postfix-Queue-ID: 15D8820C2D4\n"
        "X-Postfix-Sender: rfc822; sender@box.test\n"
        f"Arrival-Date: {DATE}\n"
        "\n"
        "Final-Recipient: rfc822; nouser@box.test\n"
        "Original-Recipient: rfc822;al@box.test\n"
        "Action: failed\n"
        "Status: 5.1.1\n"
        'Diagnostic-Code: X-Postfix; unknown user: "nouser@box.test"\n'
        "\n"
        "Final-Recipient: rfc822; x@err.test\n"
        "Original-Recipient: rfc822;x@err.test\n"
        "Action: failed\n"
        "Status: 5.7.1\n"
        "Diagnostic-Code: X-Postfix; go away and never come back here again with such a\n"
        "    long text please oh please\n"
        "\n"
        "--15D8820C2D4.1795224023/mail.example.test\n"
        "Content-Description: Undelivered Message\n"
        "Content-Type: message/rfc822\n"
        "Content-Transfer-Encoding: 8bit\n"
        "\n"
        "Return-Path: <sender@box.test>\n" + RETURNED.decode().replace("\r\n", "\n") + "\n"
        "body\n"
        "\n"
        "--15D8820C2D4.1795224023/mail.example.test--\n"
    )


def test_a_copy_to_the_postmaster_has_another_subject_and_no_text() -> None:
    fates = [Fate("a@b.test", "a@b.test", "", "failed", "5.1.1", "no")]
    head, body = compose(letter(FAILURE, to_sender=False), message(RETURNED, headers_only=True), fates)
    assert b"Subject: Postmaster Copy: Undelivered Mail\r\n" in head
    assert b"Auto-Submitted: auto-generated\r\n" in head
    assert b"Sorry." not in body
    assert b"Content-Type: text/rfc822-headers\r\n" in body
    assert b"Content-Description: Undelivered Message Headers\r\n" in body


def test_a_delay_report_says_until_when_delivery_is_tried() -> None:
    fates = [
        Fate(
            "x@slow.test",
            "x@slow.test",
            "",
            "delayed",
            "4.4.1",
            "connect to 127.0.0.1[127.0.0.1]:9: Connection refused",
        )
    ]
    _, body = compose(letter(DELAY, retry_until="Thu, 26 Nov 2026"), message(RETURNED, headers_only=True), fates)
    assert (
        b"Action: delayed\r\nStatus: 4.4.1\r\n"
        b"Diagnostic-Code: X-Postfix; connect to 127.0.0.1[127.0.0.1]:9: Connection\r\n    refused\r\n"
        b"Will-Retry-Until: Thu, 26 Nov 2026\r\n"
    ) in body


def test_what_the_remote_server_said_is_its_own_field() -> None:
    fate = Fate(
        "a@b.test", "a@b.test", "rfc822;A+x@b.test", "failed", "5.7.1", "host x said: no", "x.test", "550 5.7.1 no"
    )
    _, body = compose(letter(FAILURE), message(RETURNED, envid="abc+d"), [fate])
    assert b"Original-Envelope-Id: abc+d\r\n" in body
    assert b"Original-Recipient: rfc822;A+x@b.test\r\n" in body
    assert b"Remote-MTA: dns; x.test\r\nDiagnostic-Code: smtp; 550 5.7.1 no\r\n" in body


def test_international_mail_is_reported_with_the_global_types() -> None:
    fate = Fate("josé@b.test", "josé@b.test", "", "failed", "5.1.1", "no")
    _, body = compose(letter(FAILURE), message(RETURNED, smtputf8=True), [fate])
    assert b"message/global-delivery-status" in body
    assert "Final-Recipient: utf-8; josé@b.test\r\n".encode() in body
    assert b"Content-Type: message/global\r\n" in body


def test_a_reason_cannot_add_fields() -> None:
    fate = Fate("a@b.test", "a@b.test", "", "failed", "5.1.1", "no\r\nAction: delivered", "", "550 no\r\nX-Evil: 1")
    _, body = compose(letter(FAILURE), message(RETURNED), [fate])
    assert b"\r\nX-Evil" not in body
    assert b"\r\nAction: delivered" not in body


@pytest.mark.parametrize("where", ["recipient", "original", "orcpt", "remote_mta"])
def test_a_line_end_in_an_address_cannot_add_fields(where: str) -> None:
    facts = {"recipient": "a@b.test", "original": "a@b.test", "orcpt": "", "remote_mta": ""}
    evil = "rfc822;x\r\nX-Evil: 1"
    fate = Fate(**{**facts, where: evil}, action="failed", dsn="5.1.1", text="no")
    _, body = compose(letter(FAILURE), message(RETURNED, envid="id\r\nX-Evil: 2"), [fate])
    assert b"\nX-Evil" not in body


def test_an_original_recipient_of_rfc_6533() -> None:
    fate = Fate("a@b.test", "a@b.test", r"utf-8;j\x{F6}s\x{E9}\x{0A}\x{D800}@b.test", "failed", "5.1.1", "no")
    _, body = compose(letter(FAILURE), message(RETURNED, smtputf8=True), [fate])
    assert r"Original-Recipient: utf-8;jösé\x{0A}\x{D800}@b.test".encode() in body
    _, body = compose(letter(FAILURE), message(RETURNED), [fate])
    assert rb"Original-Recipient: utf-8;j\x{F6}s\x{E9}" in body


def test_a_report_that_answers_the_message() -> None:
    fate = Fate("a@b.test", "a@b.test", "", "failed", "5.1.1", "no")
    head, _ = compose(letter(FAILURE, thread="<1@x>"), message(RETURNED), [fate])
    assert b"\r\nReferences: <1@x>\r\nIn-Reply-To: <1@x>\r\n" in head


def test_a_word_longer_than_a_line_is_kept_whole() -> None:
    assert fold("a " + "x" * 100) == ["a", "    " + "x" * 100]
