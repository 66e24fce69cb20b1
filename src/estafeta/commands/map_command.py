"""What postmap and postalias have in common: query, list, delete from and create tables.

They differ in the form of the source and of what they print, and postmap knows a few options more. Messages and
exit status are Postfix's: 0 if what was asked for was there or done, 1 otherwise.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from estafeta.base import log, verbose
from estafeta.base.fs_identity import acting_as
from estafeta.base.suggest import did_you_mean
from estafeta.commands.map_progress import shown_progress
from estafeta.commands.message_keys import message_keys
from estafeta.commands.options import Option, UsageError, parse_options
from estafeta.commands.terminal import Terminal
from estafeta.config.instance import Config, ConfigError
from estafeta.skeleton.log import for_command
from estafeta.tables import settings
from estafeta.tables.file_values import Unreadable, stored
from estafeta.tables.index import TRANSPARENT, TYPES, open_table
from estafeta.tables.index_update import IGNORE, REPLACE, WARN, WRITABLE, IndexUpdate, open_update
from estafeta.tables.source import alias_entries, is_utf8, map_entries
from estafeta.tables.table import Flags, Table, TableDown, TableError

DEFAULT_MODE = 0o644
HERE = "-"


class Fatal(Exception):
    """The command ends here; the text is its last line."""


@dataclass(slots=True)
class Job:
    """What the command line asks for."""

    program: str
    letters: str
    aliases: bool
    query: str | None = None
    delete: str | None = None
    sequence: bool = False
    incremental: bool = False
    flags: Flags = field(default_factory=Flags)
    on_duplicate: str = WARN
    nul: bool | None = None
    inherit_mode: bool = True
    as_owner: bool = True
    headers: bool = False
    body: bool = False
    mime: bool = False
    json: bool = False
    """`-j`: what is found goes out as one JSON object a line, as with Postfix 3.11 and later."""
    force_utf8: bool = False
    default_kind: str = "hash"
    myhostname: str = ""
    tables: list[str] = field(default_factory=list)

    @property
    def usage(self) -> str:
        # -j is left out: programs compare this line with what 3.7 prints.
        flags = "".join(letter for letter in self.letters if letter not in "cdjq:")
        return f"usage: {self.program} [-{flags}] [-c config_dir] [-d key] [-q key] [map_type:]file..."


def run(job: Job, words: list[str]) -> int:
    """Do what the words of the command line ask; the exit status."""
    before = log.install(Terminal(job.program))
    try:
        options, job.tables = parse_options(job.program, words, job.letters)
        conf = _configuration(options)
        for_command(job.program, conf)
        settings.take(conf, daemon=False)
        _apply(job, options, conf)
        return _act(job)
    except UsageError:
        log.fatal(job.usage)
    except Fatal as error:
        log.fatal(str(error))
    except (TableError, TableDown) as error:
        log.fatal(error.problem if isinstance(error, TableError) else str(error))
    except ConfigError as error:
        log.fatal(str(error))
    finally:
        settings.reset()
        log.install(before)
    return 1


def _configuration(options: list[Option]) -> Config:
    directory = next((value for letter, value in reversed(options) if letter == "c"), None)
    if directory is not None:
        os.environ["MAIL_CONFIG"] = directory
    return Config.load(directory)


def _apply(job: Job, options: list[Option], conf: Config) -> None:
    job.default_kind = conf.default_database_type
    job.myhostname = conf.myhostname
    job.flags = replace(job.flags, utf8=conf.smtputf8_enable, aliases=job.aliases)
    for letter, value in options:
        if letter in "qds" and (job.query is not None or job.delete is not None or job.sequence):
            raise Fatal("specify only one of -s -q or -d")
        match letter:
            case "q":
                job.query = value
            case "d":
                job.delete = value
            case "s":
                job.sequence = True
            case "i":
                job.incremental = True
            case "f":
                job.flags = replace(job.flags, fold=False)
            case "F":
                job.flags = replace(job.flags, base64_files=True)
            case "u":
                job.flags = replace(job.flags, utf8=False)
            case "U":
                job.force_utf8 = True
            case "r":
                job.on_duplicate = REPLACE
            case "w":
                job.on_duplicate = IGNORE
            case "n" | "N":
                job.nul = letter == "N"
            case "p":
                job.inherit_mode = False
            case "o":
                job.as_owner = False
            case "h":
                job.headers = True
            case "b":
                job.body = True
            case "m":
                job.mime = True
            case "j":
                job.json = True
            case _:
                pass  # -c and -v are done
    if job.json and job.query is None and not job.sequence:
        raise Fatal("specify -j only with -q or -s")
    if (job.headers or job.body or job.mime) and job.query != HERE:
        raise Fatal('specify -b -h or -m only with "-q -"')
    if (job.headers or job.body) and not job.force_utf8:
        job.flags = replace(job.flags, utf8=False)
    if not job.tables:
        raise Fatal(job.usage)


def _act(job: Job) -> int:
    if job.query is not None:
        return asyncio.run(_query(job, job.query))
    if job.delete is not None:
        return _delete(job, job.delete)
    if job.sequence:
        return _list(job)
    for table in job.tables:
        _create(job, *_split(job, table))
    return 0


def _split(job: Job, table: str) -> tuple[str, str]:
    kind, colon, name = table.partition(":")
    if not colon:
        return job.default_kind, table
    if kind in TRANSPARENT:
        return _split(job, name)
    return kind, name


def _opened(job: Job, table: str) -> Table:
    return open_table(table if ":" in table else f"{job.default_kind}:{table}", job.flags)


# --- queries ----------------------------------------------------------------------------------------------------


async def _query(job: Job, key: str) -> int:
    if key != HERE:
        for spec in job.tables:
            value = await _ask(job, _opened(job, spec), key)
            if value is not None:
                _print(_as_json(key, value) if job.json else value)
                return 0
        return 1
    tables = [_opened(job, spec) for spec in job.tables]
    found = False
    for one in _keys_from_input(job):
        for table in tables:
            value = await _ask(job, table, one)
            if value is not None:
                _show(job, one, value)
                found = True
                break
    return 0 if found else 1


def _keys_from_input(job: Job) -> Iterable[str]:
    if job.headers or job.body:
        return message_keys(_input_lines(), headers=job.headers, body=job.body, mime=job.mime)
    return _input_lines()


def _input_lines() -> Iterator[str]:
    for line in sys.stdin.buffer:
        yield line.removesuffix(b"\n").decode("utf-8", "surrogateescape")


async def _ask(job: Job, table: Table, key: str) -> str | None:
    if job.flags.utf8 and not is_utf8(key):
        log.warning(f'{table.spec}: non-UTF-8 key "{_without_bytes(key)}": malformed UTF-8 or invalid codepoint')
        return None
    if not key and table.indexed:
        return None
    value = await table.get(key)
    if value == "":
        log.warning(f"table {table.spec}: key {key}: empty string result is not allowed")
        log.warning(f"table {table.spec} should return NO RESULT in case of NOT FOUND")
    if value is not None and job.flags.utf8 and not is_utf8(value):
        log.warning(
            f'{table.spec}: key "{key}": non-UTF-8 value "{_without_bytes(value)}": '
            "malformed UTF-8 or invalid codepoint"
        )
        raise Fatal(f"table {table.spec}: query error")
    return _from_base64(table, key, value) if job.flags.base64_files and value is not None else value


def _from_base64(table: Table, key: str, value: str) -> str:
    try:
        return base64.b64decode(value.encode("ascii"), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        log.warning(f"table {table.spec}: key {key}: malformed BASE64 value: {value[:100]}")
        raise Fatal(f"table {table.spec}: query error") from None


def _without_bytes(text: str) -> str:
    return "".join("?" if "\udc80" <= char <= "\udcff" else char for char in text)


def _list(job: Job) -> int:
    table = _opened(job, job.tables[0])
    for key, raw in table.entries():
        value = _from_base64(table, key, raw) if job.flags.base64_files else raw
        _show(job, key, value)
    return 0


def _show(job: Job, key: str, value: str) -> None:
    _print(_as_json(key, value) if job.json else f"{key}{':' if job.aliases else ''}\t{value}")


def _as_json(key: str, value: str) -> str:
    return json.dumps({_without_bytes(key): _without_bytes(value)}, ensure_ascii=False)


def _print(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")


# --- changes ----------------------------------------------------------------------------------------------------


def _delete(job: Job, key: str) -> int:
    keys = list(_input_lines()) if key == HERE else [key]
    found = False
    for spec in job.tables:
        kind, name = _split(job, spec)
        if kind == "internal":
            continue  # writable, and empty
        if kind not in WRITABLE:
            if kind not in TYPES:
                raise Fatal(f"unsupported dictionary type: {kind}{did_you_mean(kind, TYPES)}")
            if kind == "fail":
                raise Fatal(f"table {kind}:{name}: delete error: Application error")
            if kind in ("static", "environ"):
                raise Fatal(f"table {kind}:{name}: delete operation is not supported")
            raise Fatal(f"{kind}:{name} map requires O_RDONLY access mode")
        status = _status(name)
        with acting_as(*_owner(job, status)):
            update = _update(job, kind, name, create=False, truncate=False, mode=_mode(job, status))
            verbose.tell(f"{kind}:{name}: delete {len(keys)} keys")
            removed = [one for one in keys if one and update.delete(one)]
            if removed:
                update.save()
        found = found or bool(removed)
    return 0 if found else 1


def _create(job: Job, kind: str, name: str) -> None:
    """Make the table's file from its source, or add what stands on standard input."""
    try:
        status = None if job.incremental else os.stat(name)
    except OSError as error:
        raise Fatal(f"open {name}: {error.strerror}") from None
    if kind not in TYPES:
        raise Fatal(f"unsupported dictionary type: {kind}{did_you_mean(kind, TYPES)}")
    if kind == "fail" and job.incremental and not any(_input_lines()):
        return  # it can be opened, and nothing is to be written
    if kind not in WRITABLE:
        raise Fatal(f"unsupported dictionary type: {kind} does not support bulk-mode creation.")
    status = status or _status(name)
    with acting_as(*_owner(job, status)):
        lines = _input_lines() if job.incremental else _source_lines(name)
        verbose.tell(f"{'update' if job.incremental else 'create'} {kind}:{name}")
        update = _update(job, kind, name, create=True, truncate=not job.incremental, mode=_mode(job, status))
        shown = "stdin" if job.incremental else name
        if job.aliases:
            entries = alias_entries(lines, shown, utf8=job.flags.utf8)
        else:
            entries = map_entries(lines, shown, utf8=job.flags.utf8)
        for number, key, value in shown_progress(job.program, shown, entries):
            if verbose.level >= verbose.MORE:
                verbose.tell(f'{shown}, line {number}: "{key}" = "{value}"')
            try:
                update.put(key, stored(value, job.flags))
            except Unreadable as problem:
                log.warning(f"{shown}, line {number}: {problem}: skipping this entry")
        if job.aliases and not job.incremental:
            _add_nis_marks(update, job.myhostname)
        update.save()


def _update(job: Job, kind: str, name: str, *, create: bool, truncate: bool, mode: int) -> IndexUpdate:
    return open_update(
        kind,
        name,
        job.flags,
        truncate=truncate,
        create=create,
        on_duplicate=job.on_duplicate,
        mode=mode,
        nul=job.nul,
    )


def _source_lines(name: str) -> Iterator[str]:
    try:
        with open(name, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            yield from file
    except IsADirectoryError:
        return  # as Postfix: a folder is an empty source
    except OSError as error:
        raise Fatal(f"open {name}: {error.strerror}") from None


def _add_nis_marks(update: IndexUpdate, myhostname: str) -> None:
    """What Sendmail and NIS expect in an alias database: a mark of completeness, when and where it was made."""
    update.put("@", "@")
    update.put("YP_LAST_MODIFIED", str(int(time.time())), as_written=True)
    update.put("YP_MASTER_NAME", myhostname, as_written=True)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _owner(job: Job, status: os.stat_result | None) -> tuple[int, int]:
    """Whose rights to use: root works as the owner of the source, so that a trap in his folder cannot catch root."""
    if not job.as_owner or status is None or status.st_uid == 0:
        return 0, 0
    return status.st_uid, status.st_gid


def _mode(job: Job, status: os.stat_result | None) -> int:
    """Who may read the result: as the source says, but never to be executed."""
    return status.st_mode & 0o666 if job.inherit_mode and status is not None else DEFAULT_MODE
