from __future__ import annotations

from pathlib import Path

from estafeta.base import log
from estafeta.commands.postfix.upgrade import LINES, upgrade
from estafeta.config.instance import Config

OLD = "smtp inet n - n - - smtpd\nqmgr fifo n - n 300 1 qmgr\nflush unix - - n 1000? 0 flush\n# the end"


def test_what_is_missing_is_added_and_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("myhostname = host.example\n")
    master = tmp_path / "master.cf"
    master.write_text(OLD)
    said: list[str] = []
    before = log.install(lambda level, text, program: said.append(text))
    assert upgrade(Config.load(str(tmp_path))) == 0
    text = master.read_text()
    assert text.startswith(OLD + "\n")
    assert text.count("flush") == 2 and "\nretry     unix" in text
    assert len(said) == len(LINES) - 1
    assert upgrade(Config.load(str(tmp_path))) == 0
    log.install(before)
    assert master.read_text() == text and len(said) == len(LINES) - 1
