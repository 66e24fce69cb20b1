"""The words of a report: built in, or from bounce_template_file. bounce(5).

A template file that is wrong is worth a warning and the built-in words, never a lost report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from estafeta.base import log
from estafeta.config.instance import Config
from estafeta.mail.report import Template

_HELP = """\
For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system
"""

BUILT_IN = {
    "failure": Template(
        "failure",
        "Undelivered Mail Returned to Sender",
        "Postmaster Copy: Undelivered Mail",
        "This is the mail system at host $myhostname.\n"
        "\n"
        "I'm sorry to have to inform you that your message could not\n"
        "be delivered to one or more recipients. It's attached below.\n"
        "\n" + _HELP,
    ),
    "delay": Template(
        "delay",
        "Delayed Mail (still being retried)",
        "Postmaster Warning: Delayed Mail",
        "This is the mail system at host $myhostname.\n"
        "\n"
        "####################################################################\n"
        "# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n"
        "####################################################################\n"
        "\n"
        "Your message could not be delivered for more than $delay_warning_time_hours hour(s).\n"
        "It will be retried until it is $maximal_queue_lifetime_days day(s) old.\n"
        "\n" + _HELP,
    ),
    "success": Template(
        "success",
        "Successful Mail Delivery Report",
        "Postmaster Copy: Successful Mail Delivery Report",
        "This is the mail system at host $myhostname.\n"
        "\n"
        "Your message was successfully delivered to the destination(s)\n"
        "listed below. If the message was delivered to mailbox you will\n"
        "receive no further notifications. Otherwise you may still receive\n"
        "notifications of mail delivery errors from other systems.\n"
        "\n"
        "                   The mail system\n",
    ),
    "verify": Template(
        "verify",
        "Mail Delivery Status Report",
        "Postmaster Copy: Mail Delivery Status Report",
        "This is the mail system at host $myhostname.\n"
        "\n"
        "Enclosed is the mail delivery report that you requested.\n"
        "\n"
        "                   The mail system\n",
    ),
}

UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}
_TIMED = ("delay_warning_time", "maximal_queue_lifetime")
_NAME = re.compile(r"\$\$|\$(\w+)|\$\{(\w+)\}|\$\((\w+)\)")
_BEGIN = re.compile(r"(\w+)_template\s*=\s*<<(\S+)\s*$")
_HEADER = re.compile(r"(charset|from|subject|postmaster-subject):[ \t]*(.*)$", re.IGNORECASE)
_FIELDS = {"charset": "charset", "from": "sender", "subject": "subject", "postmaster-subject": "postmaster_subject"}


class TemplateError(ValueError):
    """The template file is wrong: names file, line and remedy."""


def parse(text: str, path: str) -> dict[str, Template]:
    """The templates of a file, by name; those that it does not have are the built-in ones. Raises TemplateError."""
    templates = dict(BUILT_IN)
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip() or line.startswith("#"):
            continue
        begin = _BEGIN.match(line)
        if begin is None or begin[1] not in BUILT_IN:
            raise TemplateError(f"{path}, line {number}: expected 'failure_template = <<EOF' or another template")
        try:
            end = lines.index(begin[2], number)
        except ValueError:
            raise TemplateError(f"{path}, line {number}: no line '{begin[2]}' ends this template") from None
        templates[begin[1]] = _template(begin[1], lines[number:end], path, number)
        number = end + 1
    return templates


def _template(name: str, lines: list[str], path: str, start: int) -> Template:
    fields: dict[str, str] = {}
    for index, line in enumerate(lines):
        if not line.strip():
            text = "\n".join(lines[index + 1 :]) + "\n"
            break
        header = _HEADER.match(line)
        if header is None or not header[2].isascii():
            raise TemplateError(f"{path}, line {start + index + 1}: bad template header: {line!r}")
        fields[_FIELDS[header[1].lower()]] = header[2].strip()
    else:
        raise TemplateError(f"{path}, line {start + len(lines)}: an empty line must follow the template headers")
    base = BUILT_IN[name]
    return Template(
        name,
        fields.get("subject", base.subject),
        fields.get("postmaster_subject", base.postmaster_subject),
        text,
        fields.get("sender", base.sender),
        fields.get("charset", base.charset),
    )


def expand(text: str, lookup: Callable[[str], str], times: Mapping[str, int]) -> str:
    """The text with its `$name`; `$delay_warning_time_hours` and its kin are times in the unit the suffix names."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2] or found[3]
        if name is None:
            return "$"
        parameter, _, unit = name.rpartition("_")
        if parameter in times and unit in UNITS:
            return str(times[parameter] // UNITS[unit])
        return lookup(name)

    return _NAME.sub(value, text)


def load(conf: Config) -> dict[str, Template]:
    """The templates of this configuration, texts expanded."""
    templates = BUILT_IN
    if conf.bounce_template_file:
        try:
            with open(conf.bounce_template_file, encoding="utf-8", errors="surrogateescape") as file:
                templates = parse(file.read(), conf.bounce_template_file)
        except OSError as error:
            log.warning(f"open {conf.bounce_template_file}: {error.strerror}: using the built-in templates")
        except TemplateError as error:
            log.warning(f"{error}: using the built-in templates")
    times = {name: int(getattr(conf, name)) for name in _TIMED}
    return {
        name: Template(
            name,
            template.subject,
            template.postmaster_subject,
            expand(template.text, conf.value, times),
            template.sender,
            template.charset,
        )
        for name, template in templates.items()
    }
