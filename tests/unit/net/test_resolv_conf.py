"""resolv.conf(5) and hosts(5)."""

from __future__ import annotations

from pathlib import Path

from estafeta.net.resolv_conf import WatchedFile, parse_hosts, parse_settings


def test_settings() -> None:
    found = parse_settings(
        "# comment\n; too\nnameserver 192.0.2.53\nnameserver ::1\nnameserver nonsense\nnameserver 192.0.2.54\n"
        "nameserver 192.0.2.55\ndomain one.example\nsearch Two.example. three.example\n"
        "options ndots:2 timeout:40 attempts:0 rotate use-vc ndots:x\n"
    )
    assert found.nameservers == [("192.0.2.53", 53), ("::1", 53), ("192.0.2.54", 53)]
    assert found.search == ["two.example", "three.example"]
    assert (found.ndots, found.timeout, found.attempts, found.rotate, found.use_tcp) == (2, 30.0, 1, True, True)


def test_without_a_server_the_local_one_is_asked() -> None:
    assert parse_settings("").nameservers == [("127.0.0.1", 53)]


def test_hosts() -> None:
    found = parse_hosts("127.0.0.1 localhost Loop # own\n::1 localhost\nbad line\n#192.0.2.1 no\n127.0.0.1 other\n")
    assert found.addresses == {"localhost": ["127.0.0.1", "::1"], "loop": ["127.0.0.1"], "other": ["127.0.0.1"]}
    assert found.names == {"127.0.0.1": "localhost", "::1": "localhost"}


def test_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    file = WatchedFile(tmp_path / "hosts")
    assert file.read() is None
    (tmp_path / "hosts").write_text("one")
    assert file.read() == "one"
    assert file.read() is None
    (tmp_path / "hosts").write_text("three")
    assert file.read() == "three"
    (tmp_path / "hosts").unlink()
    assert file.read() is None
