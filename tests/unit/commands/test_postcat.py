from __future__ import annotations

import io
from pathlib import Path

import pytest

from estafeta.commands import postcat
from estafeta.intake.maildrop import Draft, Drop
from estafeta.mail.envelope import Envelope, Recipient, encode
from estafeta.queue.record import AMENDMENT, MESSAGE, pack

CONTENT = b"Subject: x\r\nX-Folded: one\r\n two\r\n\r\nbody\r\n"


@pytest.fixture
def dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A message in maildrop/, by its id."""
    (tmp_path / "main.cf").write_text(
        f"queue_directory = {tmp_path}\nmaillog_file = /dev/null\nmyhostname = h.example\n"
    )
    for name in ("maildrop", "incoming", "deferred", "hold"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    draft = Draft(str(tmp_path / "maildrop"), "A1B2C3")
    draft.write(CONTENT)
    draft.commit(Drop(Envelope("", 1.0, "a@b", [Recipient("c@d")]), "Ana"))
    return "A1B2C3"


def shown(*words: str) -> list[str]:
    out = io.BytesIO()
    assert postcat.run(list(words), out) == 0
    return out.getvalue().decode().split("\n")[:-1]


def test_header_and_body_come_apart_at_the_empty_line(dropped: str) -> None:
    assert shown("-h", "-q", dropped) == ["Subject: x", "X-Folded: one", " two"]
    assert shown("-b", "-q", dropped) == ["", "body"]
    assert shown("-bh", "-q", dropped) == ["Subject: x", "X-Folded: one", " two", "", "body"]


def test_offsets_and_types_of_records(dropped: str) -> None:
    assert shown("-ho", "-q", dropped) == ["       28 Subject: x", "       40 X-Folded: one", "       55  two"]
    assert shown("-bdo", "-q", dropped) == ["       61  78 ", "       63  78 body"]
    assert shown("-b", "-s", "63", "-q", dropped) == ["body"]
    lines = shown("-ed", "-q", dropped)
    assert " 83 sender: a@b" in lines and " 82 recipient: c@d" in lines
    assert lines[-1] == " 69 *** MESSAGE FILE END maildrop/A1B2C3 ***"


def test_in_file_order_the_envelope_comes_last(dropped: str) -> None:
    lines = shown("-r", "-q", dropped)
    assert lines.index("body") < lines.index("sender: a@b") < lines.index("*** MESSAGE FILE END maildrop/A1B2C3 ***")
    lines = shown("-q", dropped)
    assert lines.index("body") > lines.index("sender: a@b")


@pytest.mark.parametrize("words", [["-s", "x", "-q", "A1B2C3"], ["-q", "no/id"], ["-q", "F00"], ["-q"]])
def test_what_makes_no_sense_is_an_error(dropped: str, words: list[str]) -> None:
    assert postcat.main(words) == 1


def test_each_field_of_the_envelope_has_the_offset_at_which_it_lies(dropped: str, tmp_path: Path) -> None:
    raw = (tmp_path / "maildrop" / dropped).read_bytes()
    offsets = {line[10:]: int(line[:9]) for line in shown("-eo", "-q", dropped)[1:]}
    for record in ("sender: a@b", "recipient: c@d", "sender_fullname: Ana"):
        value = record.partition(": ")[2].encode()
        at = offsets[record]
        assert raw[at + 1 : at + 1 + len(value)] == value
    in_order = [int(line[:9]) for line in shown("-eor", "-q", dropped)[1:-2]]
    assert in_order == sorted(in_order)
    late = shown("-e", "-s", str(offsets["recipient: c@d"]), "-q", dropped)
    assert "recipient: c@d" in late and "sender: a@b" not in late


def test_the_amendment_that_counts_is_the_one_that_is_shown(tmp_path: Path) -> None:
    first, second = Envelope("A1", 1.0, "a@b", [Recipient("c@d")]), Envelope("A1", 1.0, "a@b", [Recipient("c@d")])
    second.done = [0]
    path = tmp_path / "A1"
    parts = pack(MESSAGE, b"Subject: x\r\n\r\n", [b"body\r\n"], encode(first))
    end = sum(map(len, parts))
    path.write_bytes(b"".join([*parts, *pack(AMENDMENT, b"", [], encode(second))]))
    out = io.BytesIO()
    opened = postcat.named(str(path))
    assert opened is not None
    postcat.show(opened, postcat.Wanted({"e"}, offsets=True), out)
    (line,) = [line for line in out.getvalue().decode().split("\n") if "done_recipient" in line]
    at = int(line[:9])
    assert at > end and path.read_bytes()[at + 1 : at + 4] == b"c@d"


def test_verbose_lines_bear_the_labels_of_records(dropped: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("-v", "-b", "-q", dropped) == ["regular_text: ", "regular_text: body"]
    assert "postcat: open file " in capsys.readouterr().err
