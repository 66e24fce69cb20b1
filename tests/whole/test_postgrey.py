"""Greylisting by postgrey, a policy server of the site: a stranger's first letter has to come again."""

from __future__ import annotations

import getpass
import grp
import os
import shutil
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.site import Site, free_port

POSTGREY = shutil.which("postgrey", path="/usr/sbin:/usr/bin")

pytestmark = pytest.mark.skipif(POSTGREY is None, reason="postgrey is not installed")


@pytest.fixture
def postgrey(tmp_path: Path) -> Iterator[int]:
    """Its port."""
    port, folder = free_port(), tmp_path / "postgrey"
    folder.mkdir()
    nothing = folder / "nothing"
    nothing.write_text("")
    assert POSTGREY is not None
    process = subprocess.Popen(
        [
            POSTGREY,
            f"--inet=127.0.0.1:{port}",
            "--delay=1",
            f"--dbdir={folder}",
            f"--user={getpass.getuser()}",
            f"--group={grp.getgrgid(os.getgid()).gr_name}",
            f"--whitelist-clients={nothing}",
            f"--whitelist-recipients={nothing}",
            "--greylist-text=come again",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, "postgrey has ended"
                assert time.monotonic() < deadline, "postgrey does not listen"
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def letter(site: Site, recipient: str) -> str:
    """What came of one letter: `queued`, or the refusal."""
    with site.client() as client:
        try:
            client.sendmail("ann@far.example", [recipient], "Subject: x\n\nbody\n")
        except smtplib.SMTPRecipientsRefused as refused:
            code, text = refused.recipients[recipient]
            return f"{code} {text.decode()}"
    return "queued"


def test_a_letter_is_taken_when_it_comes_again(tmp_path: Path, postgrey: int) -> None:
    place = tmp_path / "site"
    place.mkdir()
    restrictions = f"reject_unauth_destination, check_policy_service inet:127.0.0.1:{postgrey}"
    with Site(place, main={"smtpd_recipient_restrictions": restrictions, "mynetworks": "192.0.2.1"}) as site:
        recipient = "ann@example.test"
        first = letter(site, recipient)
        assert first == f"450 4.2.0 <{recipient}>: Recipient address rejected: come again"
        time.sleep(1.2)  # postgrey's own delay
        assert letter(site, recipient) == "queued"
        assert b"X-Greylist: delayed" in site.wait_for_mail(recipient)[0]
