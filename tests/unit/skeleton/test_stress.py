"""Stress begins with a crowd, is seen by all processes, and ends by itself."""

from __future__ import annotations

import os

from estafeta.skeleton.stress import LASTS, Stress


def test_it_ends_some_time_after_the_last_crowd() -> None:
    now = [100.0]
    stress = Stress(lambda: now[0])
    assert not stress.on
    stress.begin()
    now[0] += LASTS - 1
    assert stress.on
    stress.begin()
    now[0] += LASTS - 1
    assert stress.on
    now[0] += 2
    assert not stress.on


def test_a_process_tells_the_others() -> None:
    stress = Stress()
    child = os.fork()
    if not child:
        stress.begin()
        os._exit(0)
    os.waitpid(child, 0)
    assert stress.on
