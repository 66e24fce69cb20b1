"""The instance that `estafeta up` runs: a folder with a configuration to read and change, queue, mailboxes and data.

It is made once; after that the files are the user's and are not touched. What does not belong into them, because it
depends on who calls and from where, is only ever set when they are made.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from estafeta.commands.postfix import layout
from estafeta.config.instance import Config
from estafeta.config.main_cf import ConfigError

MAIN_CF = """\
# The mail system that "estafeta up" runs. This is an ordinary Postfix main.cf: every parameter of postconf(5) may be
# set here. After a change: postfix -c {folder}/etc reload

compatibility_level = 3.6

# Who we are, and where everything is.
myhostname = mail.{domain}
mydomain = {domain}
myorigin = $mydomain
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = {owner}
setgid_group = {group}

# The log goes to the terminal. To write a file instead, name it here and add its directory to maillog_file_prefixes.
maillog_file = /dev/stdout

# Only this machine can connect.
inet_interfaces = loopback-only
mynetworks = 127.0.0.0/8 [::1]/128

# Every address in {domain} is a mailbox, made when its first message arrives: a Maildir in mail/{domain}/USER/.
mydestination =
alias_maps =
alias_database =
virtual_mailbox_domains = $mydomain
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = mailbox:%d/%u/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = {least_uid}

# Who may log in, once you set smtpd_sasl_auth_enable = yes: those whom "estafeta passwd {folder}/etc/users NAME" adds.
smtpd_sasl_type = estafeta

# Nothing leaves this machine by accident: mail for other domains is refused. Remove both lines to send it for real.
smtpd_relay_restrictions = reject_unauth_destination
default_transport = error:5.7.1 only {domain} is delivered here: see default_transport in main.cf
"""

MASTER_CF = """\
# The services, as in Postfix's master.cf. Clients at a time, not processes, are what maxproc limits.
#
# service        type       private unpriv chroot wakeup maxproc command
127.0.0.1:{port:<5}  inet       n       -      n      -      -       smtpd
pickup           unix       n       -      n      60     1       pickup
cleanup          unix       n       -      n      -      0       cleanup
qmgr             unix       n       -      n      300    1       qmgr
rewrite          unix       -       -      n      -      -       trivial-rewrite
bounce           unix       -       -      n      -      0       bounce
defer            unix       -       -      n      -      0       bounce
trace            unix       -       -      n      -      0       bounce
smtp             unix       -       -      n      -      -       smtp
relay            unix       -       -      n      -      -       smtp
flush            unix       n       -      n      1000?  0       flush
showq            unix       n       -      n      -      -       showq
anvil            unix       -       -      n      -      1       anvil
error            unix       -       -      n      -      -       error
retry            unix       -       -      n      -      -       error
discard          unix       -       -      n      -      -       discard
local            unix       -       n      n      -      -       local
virtual          unix       -       n      n      -      -       virtual
lmtp             unix       -       -      n      -      -       lmtp
postlog          unix-dgram n       -      n      -      1       postlogd
"""

PLAIN_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom services run as, and whose the mailboxes are."""

    owner: str
    group: str
    uid: int
    gid: int


def default_folder() -> Path:
    """Where the instance is when nobody says: in the caller's home, or for root where service accounts get in."""
    if os.geteuid() == 0:
        return Path("/var/lib/estafeta")
    data = os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()
    return Path(data, "estafeta")


def identity() -> Identity:
    """As an ordinary user all is that user's. As root, services get an account without rights. Raises ConfigError."""
    if os.geteuid() != 0:
        account = pwd.getpwuid(os.geteuid())
        return Identity(account.pw_name, grp.getgrgid(os.getegid()).gr_name, os.geteuid(), os.getegid())
    owner = _first_account("postfix", "daemon")
    mailboxes = _first_account("nobody", owner.pw_name)
    try:
        group = grp.getgrnam("postdrop").gr_name
    except KeyError:
        group = grp.getgrgid(owner.pw_gid).gr_name
    return Identity(owner.pw_name, group, mailboxes.pw_uid, mailboxes.pw_gid)


def _first_account(*names: str) -> pwd.struct_passwd:
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ConfigError(f"none of the accounts {', '.join(names)} exists: make one, as in 'useradd --system {names[0]}'")


def make(folder: Path, port: int, domain: str) -> bool:
    """Make what is missing of the instance; whether its configuration is new. Raises ConfigError or OSError."""
    if not PLAIN_DOMAIN.fullmatch(domain):
        raise ConfigError(f"{domain!r} is no domain: write letters, digits, dots and hyphens, as in example.test")
    config = folder / "etc"
    fresh = not (config / "main.cf").exists()
    config.mkdir(parents=True, exist_ok=True)
    if fresh:
        who = identity()
        values = {"folder": folder, "domain": domain, "port": port, "least_uid": min(who.uid, 100) or 1}
        values |= {"owner": who.owner, "group": who.group, "uid": who.uid, "gid": who.gid}
        (config / "master.cf").write_text(MASTER_CF.format(**values))
        mail = folder / "mail"
        mail.mkdir(mode=0o755, exist_ok=True)
        os.chown(mail, who.uid, who.gid)
        # Last, because it says that the folder is complete.
        (config / "main.cf").write_text(MAIN_CF.format(**values))
    layout.make_missing(Config.load(str(config)))
    return fresh


def out_of_reach(folder: Path) -> Path | None:
    """The directory that keeps services from getting into the folder when root calls: they do not run as root."""
    if os.geteuid() != 0:
        return None
    for parent in (folder, *folder.parents):
        if parent.exists() and not parent.stat().st_mode & stat.S_IXOTH:
            return parent
    return None
