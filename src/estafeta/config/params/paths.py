"""Where things are, whose they are, and which instances run side by side."""

from __future__ import annotations

from ..kinds import flag, text, words


class Paths:
    """Directories, programs and the accounts that own them."""

    config_directory = text(
        "/etc/postfix",
        "The directory with main.cf and master.cf. It cannot be set in main.cf itself: use `-c` or MAIL_CONFIG.",
    )
    queue_directory = text(
        "/var/spool/postfix",
        "The directory of the queue, which is also the root directory of services that run in a chroot. Names that "
        "are not absolute are relative to it.",
    )
    data_directory = text(
        "/var/lib/postfix",
        "A directory for files that programs write for themselves, such as caches. It belongs to the mail system's "
        "account and to nobody else.",
        least=1,
    )
    meta_directory = text(
        "/etc/postfix",
        "Where files that packages need are kept. We install none, so nothing is read from here.",
    )
    daemon_directory = text(
        "/usr/libexec/postfix",
        "Where Postfix keeps its service programs. Ours are part of the Python package, so names in master.cf are "
        "looked up there and this directory is not used.",
    )
    command_directory = text(
        "/usr/sbin",
        "Where the administrator's commands, such as postconf and postqueue, are expected. "
        "Postfix's installer uses it; here it has no effect.",
    )
    shlib_directory = text(
        "no",
        "Where Postfix keeps its plug-in libraries. We have none, so this has no effect.",
        least=1,
    )
    process_id_directory = text(
        "pid",
        "The directory for files with process numbers and locks, relative to the queue directory.",
        least=1,
    )
    alternate_config_directories = words(
        "",
        "Other configuration directories that commands with extra rights may be pointed to by ordinary users with "
        "`-c`. Our commands have no extra rights, so this has no effect.",
    )
    sendmail_path = text(
        "/usr/sbin/sendmail",
        "Where the sendmail command is installed. Postfix's installer uses it; here it has no effect.",
        least=1,
    )
    newaliases_path = text(
        "/usr/bin/newaliases",
        "Where the newaliases command is installed. Postfix's installer uses it; here it has no effect.",
        least=1,
    )
    mailq_path = text(
        "/usr/bin/mailq",
        "Where the mailq command is installed. Postfix's installer uses it; here it has no effect.",
        least=1,
    )
    manpage_directory = text(
        "/usr/local/man",
        "Where the manual pages are installed. Postfix's installer uses it; here it has no effect.",
        least=1,
    )
    html_directory = text(
        "no",
        "Where the documentation in HTML is installed, or no. Postfix's installer uses it; here it has no effect.",
        least=1,
    )
    readme_directory = text(
        "no",
        "Where the plain documentation is installed, or no. Postfix's installer uses it; here it has no effect.",
        least=1,
    )
    sample_directory = text(
        "/etc/postfix",
        "Where sample configuration files used to be. It is no longer used.",
        least=1,
        obsolete=True,
    )
    openssl_path = text(
        "openssl", "The openssl command, for programs that create keys and certificates.", least=1, pending=True
    )
    mail_owner = text(
        "postfix",
        "The account that owns the queue and that most services run as. It must not be shared with any other use.",
        least=1,
    )
    setgid_group = text(
        "postdrop",
        "The group that lets sendmail and postqueue reach the queue on behalf of ordinary users. It must have no "
        "members.",
        least=1,
    )
    default_privs = text(
        "nobody",
        "The account whose rights are used to deliver to commands and files when no user is involved. Never choose "
        "root or the mail system's own account.",
        least=1,
        pending=True,
    )


class Instances:
    """Several mail systems on one machine, managed together by postmulti."""

    multi_instance_directories = words(
        "",
        "The configuration directories of the further instances, listed in the first instance's main.cf.",
    )
    multi_instance_enable = flag(
        "no",
        "Whether this instance is started and stopped together with the others.",
    )
    multi_instance_group = text("", "A group name that lets postmulti act on several instances at once.")
    multi_instance_name = text(
        "",
        'The name of this instance, which begins with "postfix-". It also appears in the log.',
    )
    multi_instance_wrapper = text(
        "",
        "A command that the postfix command calls to act on all instances, normally postmulti.",
    )
    postmulti_start_commands = words(
        "start",
        "The commands that postmulti takes for a start: instances that are not enabled are only checked, and a "
        "failure keeps the later ones of a group from starting.",
    )
    postmulti_stop_commands = words(
        "stop abort drain quick-stop",
        "The commands that postmulti takes for a stop: instances that are not enabled are passed over, and the "
        "others are taken in reverse order.",
    )
    postmulti_control_commands = words(
        "reload flush",
        "The commands that postmulti runs for running instances only.",
    )
