"""`estafeta passwd FILE USER`: set a user's password in a passwd file (smtpd_sasl_path = passwd-file:FILE).

The password is asked for twice at a terminal; else the first line of standard input is taken. Other lines of the file,
comments too, and further fields of the user's own line stay as they are. The file is written beside and renamed, so
that a server reads the old one or the new one.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import getpass
import os
import sys
from collections.abc import Iterator, Sequence

from estafeta.accounts import hashes
from estafeta.accounts.libcrypt import CryptUnavailable
from estafeta.base.durable import fsync_folder, write_all
from estafeta.skeleton.accept import explain

USAGE, NOT_THERE = 64, 1


def main(words: Sequence[str]) -> int:
    """Exit status 0; 1 when it could not be done; 64 for a wrong command line."""
    asked = parser().parse_args(words)
    if not asked.user or any(char in asked.user for char in ":\n\r\0") or asked.user[0] in "# \t":
        sys.stderr.write(f"estafeta passwd: {asked.user!r} cannot be a user's name in this file\n")
        return USAGE
    try:
        if asked.delete:
            return _delete(asked.file, asked.user)
        password = ask_password(f"New password of {asked.user}: ", again=True)
        stored = hashes.make(password, asked.scheme)
        with edited(asked.file) as lines:
            set_password(lines, asked.user, stored)
    except (OSError, CryptUnavailable) as reason:
        sys.stderr.write(f"estafeta passwd: {explain(reason) if isinstance(reason, OSError) else reason}\n")
        return 1
    except ValueError as reason:
        sys.stderr.write(f"estafeta passwd: {reason}\n")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("estafeta passwd", description="Set a user's password in a passwd file.")
    made.add_argument("file", metavar="FILE", help="the file; it is made if it is not there")
    made.add_argument("user", metavar="USER", help="the login name, with @domain if users log in so")
    made.add_argument(
        "--scheme",
        type=str.upper,
        default="ARGON2ID",
        choices=list(hashes.MAKERS),
        help="how the password is kept (default: ARGON2ID; SCRAM-SHA-256 and PLAIN allow more login mechanisms)",
    )
    made.add_argument("--delete", action="store_true", help="remove the user")
    return made


def ask_password(prompt: str, *, again: bool = False) -> str:
    """From the terminal without echo, or the first line of standard input. Raises ValueError for none."""
    if sys.stdin.isatty():
        password = getpass.getpass(prompt)
        if again and getpass.getpass("The same again: ") != password:
            raise ValueError("these were not the same: nothing was changed")
    else:
        password = sys.stdin.buffer.readline().rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    if not password or "\0" in password:
        raise ValueError("an empty password is none: nothing was changed")
    return password


def set_password(lines: list[str], user: str, stored: str) -> None:
    """Change the user's line, or add one. Raises ValueError for what the file cannot hold."""
    if ":" in stored or "\n" in stored:
        raise ValueError("a password that is kept as it is cannot have a colon: choose another scheme")
    for number, line in enumerate(lines):
        fields = line.split(":")
        if fields[0] == user:
            lines[number] = ":".join([user, stored, *fields[2:]])
            return
    lines.append(f"{user}:{stored}")


def _delete(path: str, user: str) -> int:
    with edited(path) as lines:
        kept = [line for line in lines if line.split(":")[0] != user]
        found = len(kept) < len(lines)
        lines[:] = kept
    if not found:
        sys.stderr.write(f"estafeta passwd: {path} has no user {user}\n")
    return 0 if found else NOT_THERE


@contextlib.contextmanager
def edited(path: str) -> Iterator[list[str]]:
    """The file's lines, to be changed; they take the file's place when the block ends well. Raises OSError."""
    path = os.path.realpath(path)
    fd = _locked(path)
    try:
        status = os.fstat(fd)
        with open(fd, "rb", closefd=False) as file:
            before = file.read().decode("utf-8", "surrogateescape")
        lines = before.split("\n")
        if lines and not lines[-1]:
            lines.pop()
        yield lines
        after = "".join(f"{line}\n" for line in lines)
        if after != before:
            _replace(path, after.encode("utf-8", "surrogateescape"), status)
    finally:
        os.close(fd)


def _locked(path: str) -> int:
    """The file that bears the name now, locked against others who change it."""
    while True:
        fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        held, seen = os.fstat(fd), os.stat(path)
        if (held.st_dev, held.st_ino) == (seen.st_dev, seen.st_ino):
            return fd
        os.close(fd)  # somebody replaced it while we waited


def _replace(path: str, content: bytes, like: os.stat_result) -> None:
    """With the owner and the permissions of the old one."""
    draft = f"{path}.{os.getpid()}.tmp"
    fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(fd, like.st_uid, like.st_gid)
        os.fchmod(fd, like.st_mode & 0o7777)
        write_all(fd, [content])
        os.fsync(fd)
        os.rename(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    finally:
        os.close(fd)
    fsync_folder(os.path.dirname(path))
