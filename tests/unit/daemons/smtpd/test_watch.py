"""What the log shows of a watched client's conversation: debug_peer_list."""

from __future__ import annotations

from collections import deque

from estafeta.daemons.smtpd.watch import Watched


def test_both_sides_line_by_line(said: list[str]) -> None:
    record = Watched(None, "c[1]")
    record.append((b"220 mail\r\n",))
    record.append(b"EHLO c\r\n")
    record.append((b"250-mail\r\n250 DSN\r\n",))
    assert said == ["> c[1]: 220 mail", "< c[1]: EHLO c", "> c[1]: 250-mail", "> c[1]: 250 DSN"]
    assert len(record) == 3


def test_secrets_are_not_shown(said: list[str]) -> None:
    record = Watched(None, "c[1]")
    record.append(b"AUTH PLAIN AGEAYg==\r\n")
    record.append((b"334 VXNlcm5hbWU6\r\n",))
    record.append(b"c2VjcmV0\r\n")
    assert not any("AGEAYg" in line or "c2VjcmV0" in line for line in said)
    assert said[-1] == "< c[1]: (not shown)"


def test_what_was_said_before_is_kept_for_the_transcript(said: list[str]) -> None:
    before: deque[bytes | tuple[bytes, ...]] = deque([b"x"])
    assert list(Watched(before, "c[1]")) == [b"x"]
    assert said == []
