"""What daemons remember: seen at once, kept over a kill, never shared, begun anew when it is damaged."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from estafeta.config.instance import Config
from estafeta.tables import cache_store
from estafeta.tables.cache_file import CacheFile, CacheFileError
from estafeta.tables.cache_store import CacheStore
from estafeta.tables.table import TableError


@pytest.fixture
def conf(tmp_path: Path) -> Config:
    return Config.for_test(data_directory=str(tmp_path), mail_owner="root")


@pytest.fixture(params=["btree", "hash", "lmdb", "proxy:btree", "internal"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "internal:" if request.param == "internal" else f"{request.param}:{tmp_path}/cache"


def test_changes_are_seen_at_once(spec: str, conf: Config) -> None:
    store = CacheStore.open(spec, conf)
    store.put("a@b.example", "0:1:text ")
    store.put("gone", "x")
    store.delete("gone")
    store.delete("never there")
    assert (store.get("a@b.example"), store.get("gone"), store.get("A@b.example")) == ("0:1:text ", None, None)
    assert list(store.items()) == [("a@b.example", "0:1:text ")]
    store.close()


def test_what_was_closed_is_there_again(tmp_path: Path, conf: Config) -> None:
    store = CacheStore.open(f"btree:{tmp_path}/cache", conf)
    long = "k" * 2000
    store.put(long, "long key")
    store.put("é\udcff", "odd bytes \udcff")
    store.put("x", "1")
    store.close()
    again = CacheStore.open(f"btree:{tmp_path}/cache", conf)
    again.delete("x")
    again.put("y", "2")
    assert sorted(again.items()) == [("k" * 2000, "long key"), ("y", "2"), ("é\udcff", "odd bytes \udcff")]
    assert again.get("x") is None
    again.close()


def test_every_entry_is_listed_once_and_may_be_deleted_meanwhile(
    tmp_path: Path, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_store, "PAGE", 7)
    store = CacheStore.open(f"hash:{tmp_path}/cache", conf)
    for number in range(50):
        store.put(f"k{number}", "old")
    store.close()
    store = CacheStore.open(f"hash:{tmp_path}/cache", conf)
    store.put("k3", "new")
    seen = []
    for key, value in store.items():
        seen.append((key, value))
        store.delete(key)
    assert sorted(seen) == sorted((f"k{number}", "new" if number == 3 else "old") for number in range(50))
    assert list(store.items()) == []
    store.close()


def test_one_file_serves_one_process(tmp_path: Path, conf: Config) -> None:
    store = CacheStore.open(f"btree:{tmp_path}/cache", conf)
    with pytest.raises(TableError, match="another process holds it"):
        CacheStore.open(f"btree:{tmp_path}/cache", conf, lock_wait=0)
    store.close()
    CacheStore.open(f"btree:{tmp_path}/cache", conf, lock_wait=0).close()


def test_a_file_that_postfix_holds_is_left_alone(tmp_path: Path, conf: Config) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"\0" * 12 + b"\x62\x31\x05\0" + b"\0" * 4080)
    held = "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", held, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as postfix:
        assert postfix.stdout is not None
        postfix.stdout.readline()
        with pytest.raises(TableError, match="another process holds it"):
            CacheStore.open(f"btree:{tmp_path}/cache", conf, lock_wait=0)
        postfix.communicate(b"\n")


@pytest.mark.parametrize(
    "content", [b"\0" * 12 + b"\x62\x31\x05\0" + b"\0" * 4080, b"x", None], ids=["Berkeley DB", "short", "damaged"]
)
def test_a_foreign_or_damaged_file_is_set_aside(
    content: bytes | None, tmp_path: Path, conf: Config, lines: list[str]
) -> None:
    path = tmp_path / "cache.db"
    if content is None:
        store = CacheStore.open(f"btree:{tmp_path}/cache", conf)
        for number in range(2000):
            store.put(f"k{number}", "v" * 50)
        store.close()
        content = path.read_bytes()
        content = content[:8192] + os.urandom(len(content) // 2)
    path.write_bytes(content)
    store = CacheStore.open(f"btree:{tmp_path}/cache", conf)
    assert list(store.items()) == []
    store.put("a", "b")
    store.close()
    assert any("moved to" in line and line.startswith("warning: ") for line in lines)
    assert (tmp_path / "cache.db.aside").read_bytes() == content
    again = CacheStore.open(f"btree:{tmp_path}/cache", conf)
    assert again.get("a") == "b"
    again.close()


def test_a_killed_process_leaves_a_good_file(tmp_path: Path) -> None:
    spec = f"btree:{tmp_path}/cache"
    conf = Config.for_test(data_directory=str(tmp_path), mail_owner="root")
    child = os.fork()
    if child == 0:
        store = CacheStore.open(spec, conf)
        for number in count():
            store.put(f"k{number % 5000}", "v" * 100)
            if (tmp_path / "cache.db").stat().st_size > 100_000:
                os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    store = CacheStore.open(spec, conf)
    assert all(value == "v" * 100 for _, value in store.items())
    store.put("new", "entry")
    store.close()
    assert not (tmp_path / "cache.db.aside").exists()


def test_what_cannot_be_written_waits_and_is_tried_again(
    tmp_path: Path, conf: Config, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    monkeypatch.setattr(cache_store, "COLLECT", 0.0)
    write = CacheFile.write
    left = [2]

    def full(self: CacheFile, changes: dict[str, str | None]) -> None:
        if left[0]:
            left[0] -= 1
            raise CacheFileError("cannot write: No space left on device")
        write(self, changes)

    monkeypatch.setattr(CacheFile, "write", full)
    store = CacheStore.open(f"btree:{tmp_path}/cache", conf)
    store.put("a", "1")
    while left[0]:
        assert store.get("a") == "1"
    store.close()
    again = CacheStore.open(f"btree:{tmp_path}/cache", conf)
    assert again.get("a") == "1"
    again.close()
    assert sum("No space left on device" in line for line in lines) == 1


def test_types_that_cannot_be_written_say_so(conf: Config) -> None:
    with pytest.raises(TableError, match=r"tables of type static cannot be written.*btree"):
        CacheStore.open("static:x", conf)
    with pytest.raises(TableError, match="unsupported dictionary type: nonsense"):
        CacheStore.open("nonsense:x", conf)


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path, conf: Config) -> None:
    with pytest.raises(TableError, match="make the folder"):
        CacheStore.open(f"btree:{tmp_path}/none/cache", conf)


@pytest.mark.root
def test_root_leaves_the_file_to_the_mail_owner_in_his_folder(tmp_path: Path, lines: list[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 65534, 65534)
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and len(folder.parts) > 2:
            folder.chmod(folder.stat().st_mode | 0o011)
    conf = Config.for_test(data_directory=str(data), mail_owner="nobody")
    CacheStore.open(f"btree:{tmp_path}/cache", conf).close()
    assert (data / "cache.db").stat().st_uid == 65534
    assert not (tmp_path / "cache.db").exists()
    assert any("redirecting the request to nobody-owned data_directory" in line for line in lines)


def test_readers_wait_for_a_batch_and_see_it_whole(tmp_path: Path, conf: Config) -> None:
    """Postfix's programs, and postmap, take the shared whole-file lock."""
    store = CacheStore.open(f"lmdb:{tmp_path}/cache", conf)
    probe = "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f, getattr(fcntl, sys.argv[2]) | fcntl.LOCK_NB)"
    path = str(tmp_path / "cache.lmdb")
    assert subprocess.run([sys.executable, "-c", probe, path, "LOCK_SH"], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", probe, path, "LOCK_EX"], check=False, stderr=-3).returncode == 1
    store.close()
    with open(path, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(("kind", "suffix"), [("btree", "db"), ("lmdb", "lmdb")])
def test_postmap_shows_a_cache_in_use_and_leaves_it_alone(kind: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    conf = Config.for_test(data_directory=str(tmp_path), mail_owner="root")
    store = CacheStore.open(f"{kind}:{tmp_path}/cache", conf)
    store.put("a", "1")
    store.put("k" * 600, "long")
    store.close()
    store = CacheStore.open(f"{kind}:{tmp_path}/cache", conf)
    run = "import sys; from estafeta.commands import postmap; sys.exit(postmap.main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, "-c", str(tmp_path)]
    shown = subprocess.run([*command, "-s", f"{kind}:{tmp_path}/cache"], capture_output=True, text=True, check=True)
    assert sorted(shown.stdout.splitlines()) == ["a\t1", "k" * 600 + "\tlong"]
    asked = subprocess.run(
        [*command, "-q", "A", f"{kind}:{tmp_path}/cache"], capture_output=True, text=True, check=True
    )
    assert asked.stdout == "1\n"
    deleted = subprocess.run(
        [*command, "-d", "a", f"{kind}:{tmp_path}/cache"], capture_output=True, text=True, check=False
    )
    assert (deleted.returncode, deleted.stderr) == (
        1,
        f"postmap: fatal: open database {tmp_path}/cache.{suffix}: Resource temporarily unavailable\n",
    )
    assert store.get("a") == "1"
    store.close()


@pytest.mark.parametrize("spec", ["bogus", "nosuch:/x", "texthash:/x"])
def test_what_is_wrong_with_a_cache_names_its_parameter(spec: str) -> None:
    conf = Config.for_test(postscreen_cache_map=spec)
    with pytest.raises(TableError, match=f"^{conf.origin('postscreen_cache_map')}: postscreen_cache_map: .*{spec[:5]}"):
        CacheStore.of("postscreen_cache_map", spec, conf)
