"""Local delivery: system users, aliases, forwarding, commands and files. See local(8) and aliases(5)."""

from __future__ import annotations

from ..kinds import choice, flag, number, raw, seconds, text, words


class Local:
    """What local(8) does with a recipient."""

    alias_maps = words(
        "$default_database_type:/etc/aliases, nis:mail.aliases",
        "Tables of aliases for local delivery: names that stand for users, addresses, files, commands or included "
        "lists.",
    )
    alias_database = words(
        "$default_database_type:/etc/aliases",
        "The alias tables that newaliases rebuilds; those of alias_maps that are under this system's control.",
    )
    allow_mail_to_commands = words(
        "alias, forward",
        'From where delivery to "|command" is allowed: alias, forward, include.',
        among="alias forward include",
    )
    allow_mail_to_files = words(
        "alias, forward",
        "From where delivery to /file/name is allowed: alias, forward, include.",
        among="alias forward include",
    )
    allow_min_user = flag(
        "no",
        'Whether a recipient may begin with "-". Commands might take such a name for an option, so it is refused by '
        "default.",
    )
    expand_owner_alias = flag(
        "no",
        "Whether mail to a list with an owner alias gets what that alias stands for as its sender, instead of the "
        "alias itself.",
    )
    reset_owner_alias = flag(
        "no",
        "Whether an inner alias that has no owner alias of its own drops the owner of the outer one, instead of "
        "keeping it as the sender.",
    )
    frozen_delivered_to = flag(
        "yes",
        "Whether the Delivered-To address is fixed when local delivery begins. With no, it follows each alias and "
        "forward file on the way.",
    )
    prepend_delivered_header = words(
        "command, file, forward",
        "For which deliveries a Delivered-To header is added: command, file, forward. Without it, forwarding loops "
        "go unseen.",
        among="command file forward",
    )
    forward_path = raw(
        "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
        "Where local(8) looks for a user's forward file: a list of paths with $home, $user, $extension and the "
        "like. The first that exists is used.",
    )
    command_expansion_filter = raw(
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        'Characters that may stand in values put into mailbox commands; all others become "_".',
        least=1,
        pending=True,
    )
    execution_directory_expansion_filter = raw(
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        'Characters that may stand in values put into the name of a command\'s directory; all others become "_".',
        least=1,
        pending=True,
    )
    forward_expansion_filter = raw(
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        'Characters that may stand in values put into the search path for forward files; all others become "_".',
        least=1,
        pending=True,
    )
    command_execution_directory = raw(
        "",
        "The directory that local(8) changes to before it runs a command. It may contain $user, $home and the like; "
        "empty is the queue directory.",
        pending=True,
    )
    command_time_limit = seconds(
        "1000s",
        "How long a command may take for one delivery before it is killed and the mail waits.",
        least=1,
        pending=True,
    )
    local_command_shell = text(
        "",
        "The shell that runs all commands of local(8). Empty uses /bin/sh for those that need one, and none for the "
        "others.",
        pending=True,
    )
    local_delivery_status_filter = words(
        "$default_delivery_status_filter",
        "Tables that change the status code and text of local(8)'s outcomes before they are logged and acted upon.",
    )
    pipe_delivery_status_filter = words(
        "$default_delivery_status_filter",
        "Tables that change the status code and text of pipe(8)'s outcomes before they are logged and acted upon.",
        pending=True,
    )
    luser_relay = raw(
        "",
        "Where mail for unknown local users goes, as in catchall or $user@other.example. Empty returns it. Local "
        "recipient checks must be off for this to be reached.",
    )
    biff = flag(
        "yes",
        "Whether local(8) tells a user's terminal that mail came, through the comsat service. It costs time on "
        "systems with many users.",
        pending=True,
    )
    require_home_directory = flag(
        "no",
        "Whether mail waits when a user's home directory is missing, as when a network disk is away. Directories "
        "that are in the way are not told from missing ones.",
    )
    local_login_sender_maps = words(
        "static:*",
        "Tables that say which sender addresses a system user may use with sendmail, by login name. The default "
        "allows any.",
    )
    empty_address_local_login_sender_maps_lookup_key = text(
        "<>",
        "What the table of senders by login name must list to allow the empty sender.",
    )


class Mailboxes:
    """Where local(8) puts a user's mail, and how."""

    home_mailbox = text(
        "",
        'A mailbox path below each user\'s home directory. A "/" at the end means Maildir. Empty uses the mail spool '
        "directory.",
    )
    mail_spool_directory = text(
        "/var/mail",
        'The directory with one mailbox for each user. A "/" at the end means Maildir below it.',
    )
    mailbox_command = raw(
        "",
        "A command that takes every local user's mail instead of a mailbox, such as procmail. It runs as the user.",
        pending=True,
    )
    mailbox_command_maps = words(
        "",
        "Tables that give a delivery command by user, which goes before the general one.",
        pending=True,
    )
    mailbox_transport = text(
        "",
        "A transport that takes mail for all local users, before mailbox command and mailbox. Aliases still apply.",
    )
    mailbox_transport_maps = words(
        "",
        "Tables that give a transport by user, which goes before the general one.",
    )
    fallback_transport = text(
        "",
        "A transport for local recipients that are not in the alias tables nor in the list of system users.",
    )
    fallback_transport_maps = words(
        "",
        "Tables that give the transport for a recipient who is no system user.",
    )
    mailbox_size_limit = number(
        "51200000",
        "The size that a local mailbox file may reach, in bytes; for Maildir, the size of one message. 0 for no "
        "limit. It must not be less than the message size limit.",
    )
    mailbox_delivery_lock = words(
        "fcntl, dotlock",
        "How an mbox file is locked while local(8) adds to it: fcntl, flock, dotlock. It must be what the mail "
        "reading programs use.",
        least=1,
        among="dotlock fcntl flock",
    )
    deliver_lock_attempts = number("20", "How often locking a mailbox is tried before the mail waits.", least=1)
    deliver_lock_delay = seconds("1s", "The pause between two attempts to lock a mailbox.", least=1)
    stale_lock_time = seconds("500s", "The age from which a left-over lock file is removed.", least=1)
    strict_mailbox_ownership = flag(
        "yes",
        "Whether mail waits when a mailbox file belongs to somebody other than its user.",
    )
    sun_mailtool_compatibility = flag(
        "no",
        "An old way to ask for lock files beside mailboxes. Write dotlock in mailbox_delivery_lock instead.",
        obsolete=True,
    )
    estafeta_mailbox_sync = choice(
        "batch",
        "How mailbox deliveries are made durable: batch syncs many new files together, which is several times "
        "faster; file syncs each one by itself.",
        "batch file",
    )
