"""What `estafeta limits` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from estafeta.commands.estafeta.limits import BAD_CONFIGURATION, DOWN, main, shown
from estafeta.services.anvil import ClientCounts, Surveyed, UserCounts


def test_counts_stand_beside_their_limits_and_what_has_none_is_left_out() -> None:
    found = Surveyed(
        0,
        60,
        [ClientCounts("smtp:192.0.2.1", 9, [51, 3, 0, 0, 0]), ClientCounts("25:x:2001:db8::/84", 1, [0, 0, 8, 0, 0])],
        [UserCounts("ana", 201, 350, 200, 500, 1200), UserCounts("bob", 3, 450, 0, 500, 7)],
        4,
    )
    limits = {"smtp": [10, 50, 0, 0, 0, 0], "25": [1, 1, 1, 1, 1, 1], "25:x": [0, 0, 0, 10, 0, 0]}
    assert list(shown(found, limits)) == [
        "user   ana: messages 201/200 OVER, recipients 350/500; begins anew in 1200s",
        "user   bob: recipients 450/500; begins anew in 7s",
        "client smtp:192.0.2.1: connections 9/10, connection rate 51/50 OVER in 60s",
        "client 25:x:2001:db8::/84: recipients 8/10 in 60s",
        "... and 4 clients more",
    ]
    assert list(shown(Surveyed(0, 60, [], []), limits)) == ["Nobody is near a limit."]


def test_without_anvil_it_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(tmp_path / "none")]) == BAD_CONFIGURATION
    (tmp_path / "main.cf").write_text(f"queue_directory = {tmp_path}\n")
    (tmp_path / "master.cf").write_text("smtp inet n - n - - smtpd\n")
    assert main(["-c", str(tmp_path)]) == DOWN
    assert "is the mail system running, with an anvil service in master.cf?" in capsys.readouterr().err
