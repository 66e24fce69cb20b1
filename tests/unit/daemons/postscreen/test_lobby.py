"""Where clients wait: who has something to say is called once, who has left is passed over."""

from __future__ import annotations

import asyncio
import socket

from estafeta.daemons.postscreen.lobby import Line, Watch


def test_input_and_its_end_are_told_once() -> None:
    async def main() -> list[str]:
        told: list[str] = []
        watch: Watch[str] = Watch(asyncio.get_running_loop(), told.append)
        pairs = {name: socket.socketpair() for name in ("talks", "leaves", "silent", "removed")}
        for name, (ours, _) in pairs.items():
            watch.add(ours.fileno(), name)
        watch.remove(pairs["removed"][0].fileno())
        watch.remove(pairs["removed"][0].fileno())
        pairs["talks"][1].send(b"x")
        pairs["leaves"][1].close()
        pairs["removed"][1].send(b"x")
        for _ in range(5):
            await asyncio.sleep(0)
        assert watch.all() == ["silent"]
        watch.close()
        for ours, theirs in pairs.values():
            ours.close()
            theirs.close()
        return told

    assert sorted(asyncio.run(main())) == ["leaves", "talks"]


class Loop:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, object]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, act: object) -> Loop:
        self.timers.append((when, act))
        return self

    def call_later(self, delay: float, act: object) -> Loop:
        return self.call_at(self.now + delay, act)

    def cancel(self) -> None: ...

    def pass_to(self, now: float) -> None:
        self.now = now
        due, self.timers = [t for t in self.timers if t[0] <= now], [t for t in self.timers if t[0] > now]
        for _, act in due:
            act()  # type: ignore[operator]


def test_one_timer_serves_all_who_wait() -> None:
    loop, told = Loop(), list[str]()
    line: Line[str] = Line(loop, 6.0, told.append)  # type: ignore[arg-type]
    line.add("a")
    loop.pass_to(1.0)
    line.add("b")
    line.add("c")
    assert len(loop.timers) == 1
    loop.pass_to(6.0)
    assert told == ["a"]
    assert len(loop.timers) == 1
    loop.pass_to(7.0)
    assert told == ["a", "b", "c"]
    assert not loop.timers
    line.add("d")
    loop.pass_to(13.0)
    assert told[-1] == "d"


def test_who_has_left_at_the_front_of_the_line_is_forgotten_at_once() -> None:
    loop, told, left = Loop(), list[str](), {"a", "b", "d"}
    line: Line[str] = Line(loop, 6.0, told.append)  # type: ignore[arg-type]
    for name in "abcd":
        line.add(name)
    line.forget_first(left.__contains__)
    assert len(line) == 2  # d stands behind one who is there
    loop.pass_to(6.0)
    assert told == ["c", "d"]
    line.add("e")
    loop.pass_to(12.0)
    assert told[-1] == "e"
