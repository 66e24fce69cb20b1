"""postconf -t and -b: the texts of bounce messages, as written and with `$name` filled in. bounce(5)."""

from __future__ import annotations

import re

from ...base import log
from ...config.instance import Config
from ...config.main_cf import ConfigError, load_settings
from ...daemons.bounce import templates
from ...mail.report import Template
from .options import Request

ORDER = ("failure", "delay", "success", "verify")


def show(request: Request, directory: str) -> str:
    """The output of -t or -b. A file name on the command line wins over bounce_template_file, '' means built in.

    Raises ConfigError.
    """
    settings = load_settings(directory)
    if request.names:
        settings.values["bounce_template_file"] = request.names[0]
    conf = Config.build(settings)
    path = conf.bounce_template_file
    found = _as_written(path)
    if request.subject == "b":
        blocks = [f"expanded_{one.name}_text = <<EOF\n{_expanded(one, conf, path)}EOF\n" for one in found]
    else:
        standard = conf.header_from_format == "standard"
        blocks = [f"{one.name}_template = <<EOF\n{_header(one, standard)}\n{one.text}EOF\n" for one in found]
    return "\n".join(blocks)


def _expanded(one: Template, conf: Config, path: str) -> str:
    try:
        text, warnings = templates.expand(one, *templates.values(conf))
    except templates.TemplateError as reason:
        raise ConfigError(f"{path}: {reason}") from reason
    for warning in warnings if path else ():
        log.warning(f"{path}: {warning}")
    return text


def _as_written(path: str) -> list[Template]:
    every = templates.BUILT_IN
    if path:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                every, warnings = templates.parse(file.read(), path)
        except OSError as reason:
            raise ConfigError(f"open {path}: {reason.strerror}: check bounce_template_file") from reason
        except templates.TemplateError as reason:
            raise ConfigError(str(reason)) from reason
        for warning in warnings:
            log.warning(warning)
    return [every[name] for name in ORDER]


def _header(one: Template, standard: bool) -> str:
    sender = one.sender
    if standard and sender == templates.BUILT_IN[one.name].sender:
        sender = re.sub(r"^(\S+) \((.*)\)$", r"\2 <\1>", sender)
    lines = [f"Charset: {one.charset}", f"From: {sender}", f"Subject: {one.subject}"]
    if one.name in ("failure", "delay"):
        lines.append(f"Postmaster-Subject: {one.postmaster_subject}")
    return "\n".join(lines) + "\n"
