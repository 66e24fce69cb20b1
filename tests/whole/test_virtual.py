"""Virtual mailboxes through the whole system: socket in, Maildir out."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.support.site import Site


def test_many_messages_for_many_mailboxes_arrive_once(tmp_path: Path) -> None:
    names = [f"user{number}@example.test" for number in range(6)]
    with Site(tmp_path) as site:
        with site.client() as client:
            for number in range(20):
                client.sendmail("bob@example.com", names, f"Subject: {number}\r\n\r\nFrom here\r\n")
        for name in names:
            found = site.wait_for_mail(name, 20)
            subjects = sorted(int(re.search(rb"Subject: (\d+)\n", each)[1]) for each in found)  # type: ignore[index]
            assert subjects == list(range(20))
            assert all(each.endswith(b"\n\nFrom here\n") for each in found)
        line = site.wait_for(r"postfix/virtual\[\d+\]: (.*to=<user3@example.test>.*)")[1]
        assert line.endswith("dsn=2.0.0, status=sent (delivered to maildir)")


def test_an_mbox_and_an_unknown_user(tmp_path: Path) -> None:
    maps = "inline:{ { ann@example.test = box/ann } }"
    with Site(tmp_path, main={"virtual_mailbox_maps": maps, "smtpd_reject_unlisted_recipient": "no"}) as site:
        (site.mailboxes / "box").mkdir()
        if site.root:
            os.chown(site.mailboxes / "box", site.mailboxes.stat().st_uid, site.mailboxes.stat().st_gid)
        site.submit("ann@example.test")
        site.wait_for(r"to=<ann@example.test>.*status=sent \(delivered to mailbox\)")
        text = (site.mailboxes / "box/ann").read_text()
        assert text.startswith("From bob@example.com  ")
        assert text.endswith("\nHello.\n\n")
        site.submit("who@example.test", sender="")  # no report, which would need name servers
        site.wait_for(r'to=<who@example.test>.*dsn=5.1.1, status=bounced \(unknown user: "who@example.test"\)')
