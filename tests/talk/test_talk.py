"""Every .talk file in this folder, spoken with a session. See dialogue.py for how they are written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.talk.dialogue import BASE, CLOSE, matches, parse
from tests.talk.stage import Stage, logged

FILES = sorted(Path(__file__).parent.glob("*.talk"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.timeout(20)
def test_talk(path: Path) -> None:
    asyncio.run(spoken(path))


async def spoken(path: Path) -> None:
    dialogue = parse(path)
    with logged() as opening:
        stage = Stage(BASE | dialogue.settings, dialogue.client)
    with logged() as lines:
        for step in dialogue.steps:
            heard = await stage.start() if step.sent == b"" else await stage.send(step.sent)
            replies = heard.decode().split("\r\n")[:-1]
            if stage.transport.closed and step.sent is not None and replies + step.replies:
                replies.append(CLOSE)
            expected = [line for line in step.replies if line != CLOSE or step.sent is not None]
            shown = f"{path.name}: after {step.sent!r}\nexpected {expected}\nheard    {replies}\n{opening + lines}"
            assert len(replies) == len(expected), shown
            assert all(map(matches, expected, replies)), shown
        await stage.hang_up()
    if dialogue.log:
        shown = f"{path.name}: log\nexpected {dialogue.log}\nfound    {lines}"
        assert len(lines) == len(dialogue.log), shown
        assert all(map(matches, dialogue.log, lines)), shown
    assert stage.released == 1
