"""`postfix check`: is the configuration sound, are all directories there, do they belong to whom they should.

What keeps the mail system from starting is an error; what is merely wrong is a warning. Both say what to do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from estafeta.accounts.index import account_kind
from estafeta.base import log
from estafeta.base.suggest import did_you_mean
from estafeta.commands.postconf.checks import builtin_names, comment_findings, examine
from estafeta.config.instance import Config, load_settings
from estafeta.config.main_cf import ConfigError
from estafeta.config.master_cf import ServiceEntry, load_rows, load_services
from estafeta.config.texts import Texts
from estafeta.daemons.index import LATER, PROGRAMS
from estafeta.daemons.smtpd.sasl import Demands
from estafeta.queue.files import MessageFiles
from estafeta.skeleton import privileges
from estafeta.skeleton.accept import explain

from . import layout
from .layout import Folder

REMEDY = "run 'postfix set-permissions'"
WRITABLE_BY_OTHERS = 0o022


def check(directory: str, *, report: bool = True) -> bool:
    """All of it. False when the mail system cannot start like this.

    `report` tells of parameters that are set and do nothing; master does that too when it starts.
    """
    try:
        conf = check_configuration(directory)
        accounts(conf)
        if report:
            conf.report()
        for text in mistyped(conf):
            log.warning(text)
        if made := layout.make_missing(conf):
            log.info(f"created missing directories: {', '.join(str(path) for path in made)}")
        fatal_rights(conf)
    except (ConfigError, OSError) as reason:
        log.fatal(explain(reason))
        return False
    for text in (*unheard(conf), *wrong_rights(conf), *mail_of_postfix(conf)):
        log.warning(text)
    for path in sorted(Path(conf.queue_directory, "corrupt").glob("*")):
        log.warning(f"damaged message: {path}: look at it with postcat, then move it back to maildrop or remove it")
    return True


def check_configuration(directory: str) -> Config:
    """Read main.cf and master.cf the way master does, each service with its own options. Raises ConfigError."""
    settings = load_settings(directory)
    conf = Config.build(settings)
    absolute(conf)
    entries = load_services(directory, conf)
    for entry in entries:
        if entry.overrides:
            try:
                Config.build(settings, entry.overrides, service=entry.name)
            except ConfigError as reason:
                raise ConfigError(f"{entry.where}: {reason}") from None
        if entry.program not in PROGRAMS and entry.program not in LATER:
            log.warning(f"{entry.where}: unknown program '{entry.program}': service {entry.name} does not run")
    check_log(conf, entries)
    for text in (*missing_services(conf, entries), *no_logins(conf, entries)):
        log.warning(text)
    return conf


def absolute(conf: Config) -> None:
    """Raises ConfigError where a directory would be another one for everybody who asks, by where he stands."""
    for name in ("queue_directory", "data_directory"):
        path = conf.value(name)
        if not Path(path).is_absolute():
            raise ConfigError(f"{conf.origin(name)}: {name} = {path}: write the whole path, beginning with a slash")


def missing_services(conf: Config, entries: list[ServiceEntry]) -> Iterator[str]:
    """Services that nobody asks for by connecting, so that nothing else tells of their absence."""
    path = os.path.join(conf.config_directory, "master.cf")
    wanted = (
        (conf.queue_service_name, "no mail is delivered", "300 1 qmgr"),
        (conf.pickup_service_name, "mail from sendmail stays where it is", "60 1 pickup"),
    )
    for name, consequence, columns in wanted:
        if not any(entry.name == name for entry in entries):
            yield f"{path}: missing '{name}' service: {consequence}: add '{name} unix n - n {columns}'"


def no_logins(conf: Config, entries: list[ServiceEntry]) -> Iterator[str]:
    """Settings of logins with which smtpd ends as soon as a client comes, though master starts."""
    for entry in entries:
        own = Config.build(conf.settings, entry.overrides, service=entry.name)
        if entry.program != "smtpd" or not own.smtpd_sasl_auth_enable:
            continue
        try:
            account_kind(own.smtpd_sasl_type)
            Demands("smtpd_sasl_security_options", own.smtpd_sasl_security_options)
            Demands("smtpd_sasl_tls_security_options", own.smtpd_sasl_tls_security_options)
        except (ConfigError, ValueError) as reason:
            yield f"{entry.where}: no client is served: {reason}"


def check_log(conf: Config, entries: list[ServiceEntry]) -> None:
    """Raises ConfigError."""
    if not conf.maillog_file:
        return
    if not any(entry.name == conf.postlog_service_name and entry.type == "unix-dgram" for entry in entries):
        raise ConfigError(
            f"{os.path.join(conf.config_directory, 'master.cf')}: missing '{conf.postlog_service_name}' service, which "
            "maillog_file needs: add 'postlog unix-dgram n - n - 1 postlogd'"
        )


def mistyped(conf: Config) -> Iterator[str]:
    """Names in main.cf and master.cf that nobody reads or nobody sets, with what may have been meant."""
    settings = load_settings(conf.config_directory)
    master = load_rows(conf.config_directory)
    texts = Texts(settings)
    findings = examine(texts, master.rows, master.path)
    yield from comment_findings(texts)
    for one in (*findings.undefined, *findings.unused):
        place = settings.origin(one.setting) if one.path == settings.path else ""
        yield f"{place or one.path}: {one.said}{did_you_mean(one.name, builtin_names()) if one.name else ''}"


def unheard(conf: Config, socket_path: str = "/dev/log") -> Iterator[str]:
    """Whether the log goes nowhere."""
    if not conf.maillog_file and not os.path.exists(socket_path):
        yield (
            f"maillog_file is empty and no syslog daemon listens on {socket_path}, so nothing is logged: start one, or "
            "run 'postconf -e maillog_file=/var/log/mail.log'"
        )


def accounts(conf: Config) -> None:
    """Raises ConfigError when mail_owner or setgid_group does not exist or may not serve."""
    if privileges.is_root():
        privileges.mail_owner(conf.mail_owner)
        privileges.setgid_group(conf.setgid_group)


def fatal_rights(conf: Config) -> None:
    """What the services could not work with. Raises ConfigError."""
    if not privileges.is_root():
        for folder in layout.folders(conf):
            if folder.create and not os.access(folder.path, os.W_OK | os.X_OK):
                raise ConfigError(f"{folder.path}: no permission to write: change its owner, or start as root")
        return
    owner = privileges.mail_owner(conf.mail_owner)
    data = Path(conf.data_directory)
    if data.stat().st_uid != owner.pw_uid:
        raise ConfigError(
            f"data_directory {data} is not owned by {conf.mail_owner}: {REMEDY}; Postfix releases before 2.5 had no "
            "such directory, so make sure that nothing else uses it"
        )
    for name in ("active", "deferred", "incoming", "hold"):
        path = Path(conf.queue_directory, name)
        if path.stat().st_uid != owner.pw_uid:
            raise ConfigError(f"{path} is not owned by {conf.mail_owner}: {REMEDY}")


def wrong_rights(conf: Config) -> Iterator[str]:
    """Everything whose owner, group or mode is not as it should be."""
    for folder in layout.folders(conf):
        yield from wrong_folder(folder)
        if folder.deep and folder.path.is_dir():
            yield from wrong_files(folder)
    for path in sorted(Path(conf.config_directory).iterdir()):
        yield from wrong_config_file(path)


def wrong_folder(folder: Folder) -> Iterator[str]:
    try:
        found = folder.path.stat()
    except OSError as reason:
        yield f"{folder.path}: {reason.strerror}"
        return
    uid, gid = layout.ids(folder)
    if uid not in (-1, found.st_uid):
        yield f"not owned by {folder.owner}: {folder.path}: {REMEDY}"
    if gid not in (-1, found.st_gid):
        yield f"not owned by group {folder.group}: {folder.path}: {REMEDY}"
    allowed = folder.mode | stat.S_ISGID | stat.S_ISVTX
    if found.st_mode & WRITABLE_BY_OTHERS & ~allowed:
        yield f"group or other writable: {folder.path}: {REMEDY}"


def mail_of_postfix(conf: Config) -> Iterator[str]:
    """What Postfix has left in the queues. We can neither read nor show it, so this is the place to hear of it."""
    files = MessageFiles(directory=conf.queue_directory, hash_names=(), hash_depth=0)
    for queue in ("maildrop", "incoming", "active", "deferred", "hold"):
        try:
            count = sum(1 for _ in files.foreign(queue))
        except PermissionError:
            continue
        if count:
            yield (
                f"{Path(conf.queue_directory, queue)}: {count} {'messages' if count > 1 else 'message'} of Postfix, "
                "left alone and not shown by mailq: to have them delivered, stop this mail system and start Postfix"
            )


def wrong_files(folder: Folder) -> Iterator[str]:
    uid, _ = layout.ids(folder)
    if uid == -1:
        return
    for place, _, names in os.walk(folder.path):
        for name in names:
            path = Path(place, name)
            try:
                owner = path.lstat().st_uid
            except FileNotFoundError:
                continue  # a message that was delivered meanwhile
            if owner != uid:
                yield f"not owned by {folder.owner}: {path}: {REMEDY}"


def wrong_config_file(path: Path) -> Iterator[str]:
    """Configuration that others may change is theirs."""
    try:
        found = path.stat()
    except OSError:
        return  # a dangling link
    if privileges.is_root() and found.st_uid != 0 and path.suffix == ".cf":
        yield f"not owned by root: {path}: chown root {path}"
    if found.st_mode & WRITABLE_BY_OTHERS:
        yield f"group or other writable: {path}: chmod go-w {path}"
