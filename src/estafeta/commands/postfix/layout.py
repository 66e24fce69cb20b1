"""The directories of a mail system: which there are, whose, and with which rights.

The same as Postfix's, those that only Postfix uses included, so that a queue directory serves either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from estafeta.config.instance import Config
from estafeta.skeleton import privileges

OF_OWNER = (
    "active",
    "bounce",
    "corrupt",
    "defer",
    "deferred",
    "flush",
    "hold",
    "incoming",
    "private",
    "saved",
    "trace",
)


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory and what it should be. `group` None: does not matter. `deep`: its files have the same owner."""

    path: Path
    owner: str
    group: str | None
    mode: int
    deep: bool = False
    create: bool = True


def folders(conf: Config) -> Iterator[Folder]:
    """All of them, parents first. As an ordinary user everything belongs to that user."""
    root = privileges.is_root()
    queue = Path(conf.queue_directory)
    owner = conf.mail_owner if root else ""
    group = conf.setgid_group if root else None
    superuser = "root" if root else ""
    yield Folder(Path(conf.config_directory), superuser, None, 0o755, create=False)
    yield Folder(queue, superuser, None, 0o755)
    for name in OF_OWNER:
        yield Folder(queue / name, owner, None, 0o700, deep=name not in ("private", "saved"))
    # All may drop mail into it and nobody may look: our commands are scripts, which cannot be set-gid like Postfix's.
    yield Folder(queue / "maildrop", owner, group, 0o1733)
    yield Folder(queue / "public", owner, group, 0o710)
    yield Folder(queue / conf.process_id_directory, superuser, None, 0o755)
    yield Folder(Path(conf.data_directory), owner, None, 0o700, deep=True)


def make_missing(conf: Config) -> list[Path]:
    """Make the directories that are missing; which they were. Raises OSError."""
    made = []
    for folder in folders(conf):
        if folder.create and not folder.path.is_dir():
            folder.path.mkdir(parents=True)
            set_rights(folder)
            made.append(folder.path)
    return made


def set_rights(folder: Folder) -> None:
    """Owner, group and mode as they should be. Raises OSError, ConfigError."""
    uid, gid = ids(folder)
    os.chown(folder.path, uid, gid)
    folder.path.chmod(folder.mode)


def ids(folder: Folder) -> tuple[int, int]:
    """User and group number; -1 for one that does not matter. Raises ConfigError."""
    uid = -1
    if folder.owner:
        uid = 0 if folder.owner == "root" else privileges.mail_owner(folder.owner).pw_uid
    return uid, privileges.setgid_group(folder.group).gr_gid if folder.group else -1
