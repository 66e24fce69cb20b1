"""postconf -t and -b: the texts of bounce messages, as written and with `$name` filled in. bounce(5)."""

from __future__ import annotations

import re
from dataclasses import replace

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
    found = _as_written(conf.bounce_template_file)
    if request.subject == "b":
        times = {name: int(getattr(conf, name)) for name in ("delay_warning_time", "maximal_queue_lifetime")}
        found = [replace(one, text=templates.expand(one.text, conf.value, times)) for one in found]
        blocks = [f"expanded_{one.name}_text = <<EOF\n{one.text}EOF\n" for one in found]
    else:
        standard = conf.header_from_format == "standard"
        blocks = [f"{one.name}_template = <<EOF\n{_header(one, standard)}\n{one.text}EOF\n" for one in found]
    return "\n".join(blocks)


def _as_written(path: str) -> list[Template]:
    every = templates.BUILT_IN
    if path:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                every = templates.parse(file.read(), path)
        except OSError as reason:
            raise ConfigError(f"open {path}: {reason.strerror}: check bounce_template_file") from reason
        except templates.TemplateError as reason:
            raise ConfigError(str(reason)) from reason
    return [every[name] for name in ORDER]


def _header(one: Template, standard: bool) -> str:
    sender = re.sub(r"^(\S+) \((.*)\)$", r"\2 <\1>", one.sender) if standard else one.sender
    lines = [f"Charset: {one.charset}", f"From: {sender}", f"Subject: {one.subject}"]
    if one.name in ("failure", "delay"):
        lines.append(f"Postmaster-Subject: {one.postmaster_subject}")
    return "\n".join(lines) + "\n"
