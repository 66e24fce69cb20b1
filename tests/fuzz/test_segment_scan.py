"""Any damage to a journal segment: what is undamaged is found, what is damaged is not believed, nothing raises."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from estafeta.mail import envelope as envelopes
from estafeta.mail.envelope import Envelope, Recipient
from estafeta.queue import record
from estafeta.queue.scan import scan_segment

NAME = "incoming/000000000001.journal"
BODIES = [b"", b"x\r\n", b"ESTF" * 20 + b"\r\n", bytes(range(256)) * 3]


def segment() -> tuple[bytes, list[tuple[int, int]]]:
    """A sealed segment, and the (start, end) of each message in it."""
    data, places = b"", []
    for number, body in enumerate(BODIES):
        packed = envelopes.encode(Envelope(f"Q{number}", 1.0, "a@b.test", [Recipient("c@d.test")]))
        piece = b"".join(record.pack(record.MESSAGE, b"Subject: x\r\n\r\n", (body,), packed))
        places.append((len(data), len(data) + len(piece)))
        data += piece
    return data + b"".join(record.pack(record.SEAL, b"", (), b"4")), places


DATA, PLACES = segment()


@settings()
@given(
    flips=st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(1, 255)), max_size=4),
    cut=st.integers(0, len(DATA)),
    tail=st.binary(max_size=64),
)
def test_undamaged_records_are_found_whatever_happened_to_the_others(
    flips: list[tuple[int, int]], cut: int, tail: bytes
) -> None:
    data = bytearray(DATA)
    for offset, change in flips:
        data[offset] ^= change
    data = data[:cut] + tail
    folder = tempfile.mkdtemp()
    try:
        path = Path(folder, NAME)
        path.parent.mkdir()
        path.write_bytes(data)
        found = scan_segment(folder, NAME)
    finally:
        shutil.rmtree(folder)
    offsets = {place.offset for place, _ in found.messages}
    for number, (start, end) in enumerate(PLACES):
        intact = bytes(data[start:end]) == DATA[start:end]
        assert (start in offsets) == intact, f"record {number}"
    assert len(found.messages) == found.total
    assert all(
        envelope.queue_id == f"Q{[s for s, _ in PLACES].index(place.offset)}" for place, envelope in found.messages
    )
