"""The words of a report: built in, or from bounce_template_file. bounce(5).

A template file that is wrong is worth a warning and the built-in words, never a lost report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import idna

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
LARGEST_RESULT = 999
"""What people can be expected to read as a number of seconds, minutes or hours."""
_TIMED = ("delay_warning_time", "maximal_queue_lifetime")
_NAME = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\}|\((\w+)\)|)")
_HEADER = re.compile(r"([A-Za-z][\w-]*):[ \t]*(.*)$")
_FIELDS = {"charset": "charset", "from": "sender", "subject": "subject", "postmaster-subject": "postmaster_subject"}


class TemplateError(ValueError):
    """The template file is wrong as a whole: names file, line and remedy."""


def parse(text: str, path: str) -> tuple[dict[str, Template], list[str]]:
    """The templates of a file, by name; those that it does not have, or has wrong, are the built-in ones.

    Also what is to be said about those that are wrong. Raises TemplateError for what is no template file.
    """
    templates = dict(BUILT_IN)
    warnings: list[str] = []
    contents: dict[str, list[str]] = {}
    lines = text.removesuffix("\n").split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip() or line.startswith("#"):
            continue
        label, equals, value = line.partition("=")
        if not equals:
            raise TemplateError(f"{path}, line {number}: missing '=' after attribute name: \"{line}\"")
        start, label, value = number, label.strip(), value.strip()
        if value.startswith("<<"):
            marker = value[2:].strip()
            try:
                end = lines.index(marker, number)
            except ValueError:
                end = len(lines)
                warnings.append(f'{path}, line {end}: missing "{marker}" end marker')
            content = lines[number:end]
            number = end + 1
        else:
            content = [value]
        name = label.removesuffix("_template")
        if name not in BUILT_IN or name == label:
            warnings.append(f"{path}, line {start}: unknown template name: {label} -- ignoring this template")
            continue
        contents[name] = content
    for name in (each for each in BUILT_IN if each in contents):
        try:
            templates[name] = _template(name, contents[name])
        except ValueError as problem:
            warnings.append(f"{path}: {problem} -- ignoring this template")
    return templates, warnings


def _template(name: str, lines: list[str]) -> Template:
    """Raises ValueError, saying what is wrong."""
    fields: dict[str, str] = {}
    rest = 0
    for line in lines:
        header = _HEADER.match(line)
        if header is None:
            break
        rest += 1
        field = _FIELDS.get(header[1].lower())
        if field is None:
            raise ValueError(f'unknown "{header[1]}" header label in {name} template')
        if not header[2].isascii() or "\0" in header[2]:
            raise ValueError(f'non-ASCII "{header[1]}" header value in {name} template')
        fields[field] = header[2].strip()
    # An empty line ends the headers; another line that is none is text already.
    body = lines[rest + (rest < len(lines) and not lines[rest].strip()) :]
    if not body or not any(line.strip() for line in body):
        raise ValueError(f"missing message text in {name} template")
    base = BUILT_IN[name]
    template = Template(
        name,
        fields.get("subject", base.subject),
        fields.get("postmaster_subject", base.postmaster_subject),
        "".join(f"{line}\n" for line in body),
        fields.get("sender", base.sender),
        fields.get("charset", base.charset),
    )
    if not template.text.isascii() and template.charset.lower() == "us-ascii":
        raise ValueError(f"8-bit message text in {name} template: specify a charset other than us-ascii")
    return template


def expand(template: Template, lookup: Callable[[str], str | None], times: Mapping[str, int]) -> tuple[str, list[str]]:
    """The text with its `$name`, and warnings; `$delay_warning_time_hours` and its kin are times in the unit that the
    suffix names. `lookup` returns None for a parameter that does not exist. Raises TemplateError.
    """
    warnings: list[str] = []

    def value(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        name = found[2] or found[3] or found[4]
        if not name:
            raise TemplateError(f"bad $name syntax in {template.name} template: {_line(template, found)}")
        for parameter in times:
            if name.startswith(f"{parameter}_"):
                return _time(name, parameter)
        text = lookup(name)
        if text is None:
            raise TemplateError(f"undefined $name in {template.name} template: {_line(template, found)}")
        return text

    def _time(name: str, parameter: str) -> str:
        unit = name.removeprefix(f"{parameter}_")
        if unit not in UNITS:
            raise TemplateError(f'unrecognized suffix "{unit}" in parameter "{name}"')
        result = times[parameter] // UNITS[unit]
        if not result and times[parameter]:
            warnings.append(f'zero result in {template.name} template conversion of parameter "{name}"')
            warnings.append(f'please reduce time unit "{unit}" of "{name}" in {template.name} template')
            warnings.append("for instructions see the bounce(5) manual")
        elif result > LARGEST_RESULT:
            warnings.append(f'excessive result "{result}" in {template.name} template conversion of parameter "{name}"')
            warnings.append(f'please increase time unit "{unit}" of "{name}" in {template.name} template')
            warnings.append("for instructions see the bounce(5) manual")
        return str(result)

    return _NAME.sub(value, template.text), warnings


def _line(template: Template, found: re.Match[str]) -> str:
    text = template.text
    return text[text.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]


def values(conf: Config) -> tuple[Callable[[str], str | None], dict[str, int]]:
    """What `expand` needs of a configuration. Names of domains are shown as people write them, if SMTPUTF8 is on."""

    def lookup(name: str) -> str | None:
        text = conf.value(name)
        if name in ("myhostname", "mydomain") and conf.smtputf8_enable and "xn--" in text:
            return _readable(text)
        return text if text or conf.is_set(name) or conf.default(name) is not None else None

    return lookup, {name: int(getattr(conf, name)) for name in _TIMED}


def _readable(domain: str) -> str:
    try:
        return idna.decode(domain)
    except idna.IDNAError:
        return domain


def load(conf: Config) -> dict[str, Template]:
    """The templates of this configuration, texts expanded."""
    path = conf.bounce_template_file
    templates = BUILT_IN
    if path:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                templates, warnings = parse(file.read(), path)
        except OSError as error:
            log.warning(f"open {path}: {error.strerror}: using the built-in templates")
        except TemplateError as error:
            log.warning(f"{error}: using the built-in templates")
        else:
            for text in warnings:
                log.warning(text)
    return {name: _expanded(conf, template, path) for name, template in templates.items()}


def _expanded(conf: Config, template: Template, path: str) -> Template:
    lookup, times = values(conf)
    try:
        text, warnings = expand(template, lookup, times)
    except TemplateError as error:
        log.warning(f"{path}: {error}: using the built-in template")
        template = BUILT_IN[template.name]
        text, warnings = expand(template, lookup, times)
    if path:
        for each in warnings:
            log.warning(f"{path}: {each}")
    return replace(template, text=text)
