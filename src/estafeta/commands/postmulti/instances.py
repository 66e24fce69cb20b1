"""One of the instances that postmulti manages: its configuration directory, and what its main.cf says."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from estafeta.base import log
from estafeta.config.instance import Config, load_settings


class MultiError(Exception):
    """The command ends here; the text is its last line."""


@dataclass(slots=True)
class Instance:
    """`primary`: the one whose main.cf lists the others. `alone`: there are no others."""

    directory: str
    conf: Config
    primary: bool = False
    alone: bool = False

    @property
    def name(self) -> str:
        return self.conf.multi_instance_name or "-"

    @property
    def enabled(self) -> bool:
        return self.conf.multi_instance_enable or self.alone

    def is_called(self, name: str) -> bool:
        """By name or directory; `-` is the primary."""
        return (self.primary and name == "-") or name == self.directory or (name == self.name and name != "-")

    def listed(self) -> str:
        """The line of `postmulti -l`."""
        group = self.conf.multi_instance_group or "-"
        return f"{self.name:<15} {group:<15} {'y' if self.enabled else 'n':<9} {self.directory}"

    def run(self, command: list[str]) -> int:
        """Run a command for this instance, with its settings in the environment; the exit status."""
        conf = self.conf
        environment = {
            **os.environ,
            "MAIL_CONFIG": self.directory,
            "config_directory": self.directory,
            "command_directory": conf.command_directory,
            "daemon_directory": conf.daemon_directory,
            "queue_directory": conf.queue_directory,
            "data_directory": conf.data_directory,
            "multi_instance_name": conf.multi_instance_name,
            "multi_instance_group": conf.multi_instance_group,
            "multi_instance_enable": "yes" if conf.multi_instance_enable else "no",
        }
        try:
            return abs(subprocess.run(command, env=environment, check=False).returncode)
        except OSError as error:
            log.error(f"{command[0]}: {error.strerror}")
            return 1


def load_all(directory: str) -> list[Instance]:
    """The primary instance, then the others as it lists them. Raises ConfigError, MultiError."""
    primary = Instance(directory, Config.build(load_settings(directory)), primary=True)
    instances = [primary]
    for folder in primary.conf.multi_instance_directories:
        if not folder.startswith("/"):
            raise MultiError(f"{directory}/main.cf: multi_instance_directories: {folder} is not an absolute path")
        instances.append(Instance(folder, Config.build(load_settings(folder))))
    primary.alone = len(instances) == 1
    names = [each.name for each in instances if each.name != "-"]
    for name in names:
        if names.count(name) > 1:
            raise MultiError(f"multi_instance_name {name} is used by more than one instance: rename one of them")
    return instances
