"""The log: where it goes and how its lines are made."""

from __future__ import annotations

from ..kinds import choice, flag, number, seconds, text, words


class Log:
    """What is logged, where, and under which name."""

    maillog_file = text("", "The file to log to, or /dev/stdout. Empty logs through syslog.")
    maillog_file_prefixes = words(
        "/var, /dev/stdout",
        "What the name of the log file must begin with, so that a mistake does not overwrite something else.",
        least=1,
    )
    maillog_file_permissions = text("0600", "The file mode that a new log file gets, in octal, such as 0600 or 0644.")
    maillog_file_rotate_suffix = text(
        "%Y%m%d-%H%M%S",
        "What `postfix logrotate` appends to the name of the finished log file, in the form of strftime.",
        least=1,
    )
    maillog_file_compressor = text(
        "gzip",
        "The command that `postfix logrotate` compresses the finished log file with.",
        least=1,
    )
    postlogd_watchdog_timeout = seconds(
        "10s", "How long the log writer may be stuck before it is ended and started again.", least=10
    )
    syslog_facility = choice(
        "mail",
        "The syslog facility that lines are logged under.",
        "auth authpriv cron daemon ftp kern lpr mail news syslog user uucp "
        "local0 local1 local2 local3 local4 local5 local6 local7",
    )
    syslog_name = text(
        "${multi_instance_name?{$multi_instance_name}:{postfix}}",
        "What comes before the program's name in a log line, as in postfix/smtpd. Log readers look for it.",
        least=1,
    )
    delay_logging_resolution_limit = number(
        "2",
        "How many digits after the point a delay in the log may have at the most.",
        most=6,
    )
    info_log_address_format = choice(
        "external",
        "How addresses are shown in the log: external quotes an unusual local part as a mail header does; internal "
        "does not.",
        "external internal",
    )
    respectful_logging = flag(
        "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
        "Whether log lines say allowlist and denylist. With no, they keep the words of Postfix before release 3.6.",
    )
    show_user_unknown_table_name = flag(
        "yes",
        "Whether the reply to mail for an unknown user says in which kind of table the user was looked for.",
    )
    backwards_bounce_logfile_compatibility = flag(
        "yes",
        "Whether files of failed recipients keep lines that Postfix before release 2.0 can read. Our spool has no "
        "such files, so this has no effect.",
    )
    destination_concurrency_feedback_debug = flag(
        "no",
        "Whether the queue manager logs what each delivery does to the concurrency window of its destination.",
    )
