"""The cleanup service: mail from writers that may not touch the spool themselves."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.support.site import Site

from estafeta.mail.envelope import Envelope, Recipient
from estafeta.services.submission import Accepted, Submission, Submitter


def letter(recipient: str, **options: object) -> Submission:
    envelope = Envelope("", 0.0, "bob@example.test", [Recipient(recipient)], context="local")
    body = b"Hello.\r\n"
    return Submission(0, envelope, b"Subject: hello\r\n\r\n", body, **options)  # type: ignore[arg-type]


def submit(site: Site, *letters: Submission) -> list[Accepted]:
    async def run() -> list[Accepted]:
        submitter = Submitter(str(site.queue / "public/cleanup"), timeout=20)
        return list(await asyncio.gather(*(submitter.submit(each) for each in letters)))

    return asyncio.run(run())


def test_letters_are_taken_in_many_at_a_time(tmp_path: Path) -> None:
    with Site(tmp_path, {"virtual_alias_maps": "inline:{{list@example.test=cat@example.test}}"}) as site:
        answers = submit(
            site,
            *(letter("ann@example.test") for _ in range(20)),
            letter("list@example.test"),
            letter("list@example.test", mapped=False),
        )
        assert all(re.fullmatch("[0-9A-F]+", answer.queue_id) for answer in answers)
        assert len({answer.queue_id for answer in answers}) == len(answers)
        mail = site.wait_for_mail("ann@example.test", 20)[0]
        assert re.search(
            rb"^Received: by mail\.example\.test \(Estafeta\)\n\tid [0-9A-F]+; .+\nSubject: hello\n", mail, re.MULTILINE
        ), mail
        assert b"\nFrom: bob@example.test\n" in mail
        site.wait_for_mail("cat@example.test")
        site.wait_for_mail("list@example.test")


def test_refusals_and_trouble_are_told_apart(tmp_path: Path) -> None:
    with Site(tmp_path, {"virtual_alias_maps": "fail:broken"}) as site:
        nobody = letter("ann@example.test", mapped=False)
        nobody.envelope.recipients = []
        later, never = submit(site, letter("ann@example.test"), nobody)
        assert (later.queue_id, later.dsn) == ("", "4.3.0")
        assert (never.queue_id, never.dsn) == ("", "5.1.0")
        assert never.reason == "no recipients specified"
