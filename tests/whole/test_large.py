"""A large message, which streams through a file of its own, reaches the mailbox whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.site import Site

LINES = "".join(f"line {number} {'x' * 60}\r\n" for number in range(3000))


@pytest.mark.parametrize("box", ["mailbox:%d/%u/", "inline:{ {ann@example.test = ann-mbox} }"], ids=["maildir", "mbox"])
def test_a_large_message_arrives_whole(tmp_path: Path, box: str) -> None:
    # As root, the mailbox's owner may not look into the queue.
    with Site(tmp_path, {"estafeta_large_message": "20000", "virtual_mailbox_maps": box}) as site:
        ident = site.submit("ann@example.test", f"Subject: large\r\n\r\n{LINES}")
        site.wait_for(rf"{ident}: to=<ann@example\.test>.*status=sent")
        site.wait_for(f"{ident}: removed")
        mbox = site.mailboxes / "ann-mbox"
        found = mbox.read_bytes() if mbox.exists() else site.mail("ann@example.test")[0]
        assert found.rstrip(b"\n").endswith(LINES.replace("\r\n", "\n").encode().rstrip(b"\n"))
        site.wait_until(lambda: not (site.queue / "incoming" / ident).exists(), what="its file stays")
