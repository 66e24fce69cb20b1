"""A connection handed over, with what the other process says of it."""

from __future__ import annotations

import os
import socket

import msgspec
import pytest

from estafeta.services import passed
from estafeta.services.passed import Origin


@pytest.mark.parametrize("origin", [None, Origin("192.0.2.7", "4711", "192.0.2.99", "25"), Origin("2001:db8::1", "1")])
def test_descriptor_and_origin_arrive_together(origin: Origin | None) -> None:
    here, there = socket.socketpair()
    reading, writing = os.pipe()
    with here, there:
        passed.send(here, writing, origin)
        payload, descriptors, _, _ = socket.recv_fds(there, passed.LONGEST, 8)
    assert passed.decode(payload) == origin
    os.write(descriptors[0], b"x")
    assert os.read(reading, 1) == b"x"
    for descriptor in (reading, writing, *descriptors):
        os.close(descriptor)


def test_what_nobody_of_ours_sends_is_refused() -> None:
    assert passed.decode(b"") is None
    with pytest.raises(msgspec.MsgspecError):
        passed.decode(b"\x93\x01\x02\x03")
