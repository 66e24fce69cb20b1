"""What each command answers to `--help`, when that is all it is asked: what it does, and its options.

Postfix's commands have letters only and answer `--help` with an error, so that nothing collides.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

_C = "-c DIR  use the configuration in DIR"
_V = "-v      say more, on standard error"
_MAPS = (
    "-q KEY  look a key up; - reads keys from standard input",
    "-d KEY  remove a key",
    "-s      list all entries",
    "-j      write JSON objects (with -q, -s)",
    "-i      add entries from standard input",
    "-r, -w  replace duplicate entries; ignore them in silence",
    "-f      do not fold upper case to lower case",
    "-N, -n  with, without null bytes after keys and values",
    "-o      do not give up root's rights for a file of another user",
    "-p      do not take over the permissions of the source",
    "-u      no UTF-8 checks",
)

HELP: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mailq": ("mailq", "List the mail queue.", ()),
    "newaliases": ("newaliases [-C FILE]", "Make the databases anew that alias_database names.", ()),
    "postalias": ("postalias [options] [TYPE:]FILE...", "Make alias databases, or ask them.", (*_MAPS, _C, _V)),
    "postcat": (
        "postcat [options] [FILE...]",
        "Show queue files, or messages of the queue.",
        (
            "-q      the arguments are queue ids",
            "-e, -h, -b  show the envelope, the header, the body (default: all)",
            "-d, -o  show the types, the offsets of records",
            "-r      show records in the order of the file",
            "-s N    skip to offset N",
            _C,
            _V,
        ),
    ),
    "postconf": (
        "postconf [options] [PARAMETER...]",
        "Show or change the configuration.",
        (
            "-n, -d  only what main.cf sets; the defaults",
            "-e, -#, -X  set name=value; comment parameters out; remove them",
            "-h, -H  without names, without values",
            "-x      expand $name",
            "-M, -F, -P  entries of master.cf, their fields, their parameters",
            "-m, -l, -a, -A, -T, -t, -b  tables, locks, SASL, TLS and bounce texts that there are",
            "-o N=V  as if main.cf set it",
            _C,
            _V,
        ),
    ),
    "postdrop": ("postdrop [-c DIR] [-r] [-v]", "Put a message into the maildrop: for sendmail.", ()),
    "postfix": (
        "postfix [-c DIR] [-Dv] COMMAND",
        "Start, stop and check a mail system.",
        (
            "start, start-fg  start it; and stay in the foreground",
            "stop, abort      end it when work is done; at once",
            "reload           read the configuration anew",
            "status, check    say whether it runs; look for mistakes",
            "flush            try all deferred mail now",
            "set-permissions, upgrade-configuration, logrotate",
        ),
    ),
    "postkick": ("postkick [-c DIR] [-v] CLASS SERVICE REQUEST", "Send a request to a service.", ()),
    "postlock": ("postlock [-c DIR] [-l STYLE] [-v] FILE COMMAND...", "Run a command while a mailbox is locked.", ()),
    "postlog": ("postlog [-i] [-c DIR] [-p PRIORITY] [-t TAG] [-v] [TEXT...]", "Write to the mail log.", ()),
    "postmap": (
        "postmap [options] [TYPE:]FILE...",
        "Make lookup tables, or ask them.",
        (*_MAPS, "-h, -b, -m  with -q -: keys are headers, body lines, with MIME", "-F      values name files", _C, _V),
    ),
    "postmulti": (
        "postmulti -l|-p|-x|-e ACTION [options] [COMMAND...]",
        "Manage several mail systems on one machine.",
        (
            "-l, -p, -x  list them; run a postfix command, any command for them",
            "-e ACTION  init, create, import, destroy, deport, enable, disable, assign",
            "-a, -g GROUP, -i NAME  all, those of a group, one",
            "-G GROUP, -I NAME  for a new one",
            "-R      in reverse order",
            _V,
        ),
    ),
    "postqueue": (
        "postqueue [-c DIR] [-v] -f | -p | -j | -i ID | -s SITE",
        "List the queue, or have mail tried.",
        (
            "-p, -j  list the queue; as JSON",
            "-f      try all deferred mail now",
            "-i ID   try one message",
            "-s SITE try the mail for a site",
            _C,
            _V,
        ),
    ),
    "postsuper": (
        "postsuper [options] [QUEUE...]",
        "Change the queue. An id of - reads ids from standard input, ALL means all.",
        (
            "-d ID   delete",
            "-h, -H ID  hold, release",
            "-r ID   send through the whole system again",
            "-e, -f ID  return to the sender; -f those on hold, too",
            "-p, -s, -S  remove old drafts; repair",
            _C,
            _V,
        ),
    ),
    "sendmail": (
        "sendmail [options] [RECIPIENT...]",
        "Send the message on standard input.",
        (
            "-t      recipients from the header",
            "-f ADDRESS  the sender; -F NAME  the full name",
            "-i      a line with a dot does not end the message",
            "-N WHEN, -R RET, -V ID  delivery reports: RFC 3461",
            "-bp, -bi, -bs, -bv  list the queue; newaliases; SMTP on standard input; report only",
            "-q      try all deferred mail now",
            "-C FILE use this configuration",
            "-v      send a report of delivery",
        ),
    ),
}
"""Command -> usage, what it does, options."""


def help_text(program: str) -> str:
    usage, purpose, options = HELP[program]
    return "\n".join(
        [f"usage: {usage}", "", purpose, *([""] if options else []), *(f"  {each}" for each in options), ""]
    )


def answer_help(program: str, words: Sequence[str]) -> None:
    """Print the text and end the command with status 0, if it is asked for help and nothing else."""
    if list(words) == ["--help"] and program in HELP:
        sys.stdout.write(help_text(program))
        raise SystemExit(0)
