"""postmulti -e: add, remove, rename, enable and disable instances."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from estafeta.base import log
from estafeta.commands.postfix.layout import folders, make_missing
from estafeta.commands.postmulti.instances import Instance, MultiError
from estafeta.config.edit import remove_parameters, rewrite, set_parameters
from estafeta.config.instance import Config, load_settings
from estafeta.daemons.master.locks import running_master
from estafeta.services.showq import listing

WRAPPER = "${command_directory}/postmulti -p --"
PREFIX = "postfix-"
DIRECTORIES = ("config_directory", "queue_directory", "data_directory")
KEPT = ("deferred", "hold", "maildrop", "corrupt")
"""Queues in which every file counts, whatever its format."""
NOT_FOR_OTHERS = {"multi_instance_directories", "multi_instance_wrapper", "multi_instance_enable"}
"""What the primary's main.cf says of the primary alone."""


def act(action: str, instances: list[Instance], options: dict[str, str], settings: list[str]) -> int:
    """Do it; the exit status. Raises MultiError, ConfigError, OSError."""
    primary = instances[0]
    if action == "init":
        _change(primary.directory, {"multi_instance_wrapper": WRAPPER, "multi_instance_enable": "yes"})
        return 0
    if action in ("create", "import"):
        if not primary.conf.multi_instance_wrapper:
            raise MultiError("multi-instance support is not enabled: run 'postmulti -e init' first")
        return _add(instances, options, settings, make=action == "create")
    if action not in _ACTIONS:
        raise MultiError(f"unknown action: {action}: one of init, create, import, {', '.join(_ACTIONS)}")
    if "i" not in options:
        raise MultiError(f"-e {action} needs -i name")
    chosen = [each for each in instances if each.is_called(options["i"])]
    if len(chosen) != 1:
        raise MultiError(f"no instance is called {options['i']}: 'postmulti -l' lists them")
    _ACTIONS[action](instances, chosen[0], options)
    return 0


def _change(directory: str, values: dict[str, str]) -> None:
    rewrite(f"{directory}/main.cf", lambda text: set_parameters(text, values))


# --- a new one


def _add(instances: list[Instance], options: dict[str, str], settings: list[str], *, make: bool) -> int:
    primary = instances[0]
    name = options.get("I", "")
    name = "" if name == "-" else name
    if name and not name.startswith(PREFIX):
        raise MultiError(f"invalid instance name {name}: it must begin with {PREFIX}")
    if any(each.name == name for each in instances):
        raise MultiError(f"instance name {name} is already in use")
    places = _places(primary, name, settings)
    for each in instances:
        theirs = (each.directory, each.conf.queue_directory, each.conf.data_directory)
        for parameter, place in places.items():
            if place in theirs:
                raise MultiError(f"{parameter}={place} is already used by instance {each.name} in {each.directory}")
    directory = places["config_directory"]
    known = os.path.exists(f"{directory}/main.cf") and os.path.exists(f"{directory}/master.cf")
    if not known and not make:
        raise MultiError(f"{directory} has no main.cf and master.cf to import: use -e create to make them")
    if not known:
        _make(primary, places)
    own = {"multi_instance_name": name} if "I" in options else {}
    if "G" in options:
        own["multi_instance_group"] = "" if options["G"] == "-" else options["G"]
    if own:
        _change(directory, own)
    if not known:
        conf = Config.build(load_settings(directory))
        make_missing(conf)
    listed = list(primary.conf.multi_instance_directories)
    listed.insert(_position(instances, options), directory)
    _change(primary.directory, {"multi_instance_directories": " ".join(listed)})
    return 0


def _places(primary: Instance, name: str, settings: list[str]) -> dict[str, str]:
    """Where the new instance keeps what is its own: as told, or beside the primary's, with its name at the end."""
    places = {}
    for setting in settings:
        parameter, equals, value = setting.partition("=")
        if parameter not in DIRECTORIES or not equals or not value.startswith("/"):
            raise MultiError(f"{setting}: expected one of {', '.join(DIRECTORIES)}, = and an absolute path")
        places[parameter] = value
    theirs = (primary.directory, primary.conf.queue_directory, primary.conf.data_directory)
    for parameter, place in zip(DIRECTORIES, theirs, strict=True):
        if parameter in places:
            continue
        if not name:
            raise MultiError(f"specify -I name, or {parameter}=/path")
        places[parameter] = os.path.join(os.path.dirname(place), name)
    return places


def _make(primary: Instance, places: dict[str, str]) -> None:
    """main.cf and master.cf of a new instance: the primary's, switched off, without a port and without submission."""
    directory = Path(places["config_directory"])
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    own = {
        "queue_directory": places["queue_directory"],
        "data_directory": places["data_directory"],
        "master_service_disable": "inet",
        "authorized_submit_users": "",
    }
    text = Path(primary.directory, "main.cf").read_text("utf-8", "surrogateescape")
    text = set_parameters(remove_parameters(text, NOT_FOR_OTHERS | {"multi_instance_name"}), own)
    (directory / "main.cf").write_text(text, "utf-8", "surrogateescape")
    shutil.copyfile(Path(primary.directory, "master.cf"), directory / "master.cf")


def _position(instances: list[Instance], options: dict[str, str]) -> int:
    """Where in the list: at the front (-a), before a group's first (-g) or an instance (-i), or at the end."""
    others = instances[1:]
    if "a" in options:
        return 0
    for index, each in enumerate(others):
        if "g" in options and each.conf.multi_instance_group == options["g"]:
            return index
        if "i" in options and each.is_called(options["i"]):
            return index
    return len(others)


# --- what is there


def _enable(instances: list[Instance], instance: Instance, options: dict[str, str]) -> None:
    _change(instance.directory, {"multi_instance_enable": "yes"})


def _disable(instances: list[Instance], instance: Instance, options: dict[str, str]) -> None:
    _change(instance.directory, {"multi_instance_enable": "no"})


def _assign(instances: list[Instance], instance: Instance, options: dict[str, str]) -> None:
    own = {}
    if "I" in options:
        name = "" if options["I"] == "-" else options["I"]
        if name and not name.startswith(PREFIX):
            raise MultiError(f"invalid instance name {name}: it must begin with {PREFIX}")
        if name and any(each.name == name for each in instances if each is not instance):
            raise MultiError(f"instance name {name} is already in use")
        own["multi_instance_name"] = name
    if "G" in options:
        own["multi_instance_group"] = "" if options["G"] == "-" else options["G"]
    if not own:
        raise MultiError("-e assign needs -I name or -G group")
    _change(instance.directory, own)


def _deport(instances: list[Instance], instance: Instance, options: dict[str, str]) -> None:
    if instance.primary:
        raise MultiError("the primary instance cannot be removed from the list")
    left = [each.directory for each in instances[1:] if each is not instance]
    _change(instances[0].directory, {"multi_instance_directories": " ".join(left)})


def _destroy(instances: list[Instance], instance: Instance, options: dict[str, str]) -> None:
    """Only what we made goes: files of others stay, with a warning, and so do their directories."""
    conf = instance.conf
    if instance.primary:
        raise MultiError("the primary instance cannot be destroyed")
    if instance.enabled:
        raise MultiError(f"instance {instance.name} is enabled: run 'postmulti -e disable -i {instance.name}' first")
    if running_master(conf):
        raise MultiError(f"instance {instance.name} is running: stop it first")
    if _holds_mail(conf.queue_directory):
        raise MultiError(f"the queue of {instance.name} holds messages: deliver or delete them first")
    for folder in sorted((each.path for each in folders(conf)), key=lambda path: -len(path.parts)):
        if folder.is_relative_to(conf.queue_directory) and folder != Path(conf.queue_directory):
            shutil.rmtree(folder, ignore_errors=True)
    Path(conf.data_directory, "master.lock").unlink(missing_ok=True)
    for name in ("main.cf", "master.cf"):
        Path(instance.directory, name).unlink(missing_ok=True)
    for place in (conf.data_directory, conf.queue_directory, instance.directory):
        try:
            Path(place).rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning(f"{place} is not removed: {error.strerror}: look what is in it, and remove it by hand")
    _deport(instances, instance, options)


def _holds_mail(directory: str) -> bool:
    kept = any(path.is_file() for queue in KEPT for path in Path(directory, queue).rglob("*"))
    return kept or next(listing(directory), None) is not None


_ACTIONS = {"destroy": _destroy, "deport": _deport, "enable": _enable, "disable": _disable, "assign": _assign}
