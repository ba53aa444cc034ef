"""Layers of configuration: read YAML, merge one mapping over another, list differences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from halo_core import reading
from halo_core.config.kinds import clusters, driver_lists, driver_sections
from halo_core.errors import ConfigError, file_hint, first_line

_PATHS = (
    *("data.prompts", "data.heldout", "model.name", "model.adapter", "model.chat_template", "mix.pairs"),
    "data.databases",
)
"""Keys that hold paths, besides the names of drivers."""


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file. Raises a `ConfigError` with line and column if the file is unusable."""
    return normalise(load_mapping(path, "a configuration", "it needs at least: verifier: NAME"))


def load_mapping(path: str | Path, what: str, hint: str) -> dict[str, Any]:
    """Read a YAML file that contains a mapping; `what` it is and a `hint` are for the error message.

    Raises a `ConfigError`, with line and column where YAML cannot be parsed.
    """
    try:
        text = reading.read_text(path)
        loaded = yaml.load(text, _Loader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint=file_hint(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text", hint=file_hint(error)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        syntax = isinstance(error, (yaml.scanner.ScannerError, yaml.parser.ParserError))
        advice = "check indentation, brackets and quotes there and on the line before" if syntax else ""
        raise ConfigError(f"{place}: {error.problem or 'not YAML'}", hint=advice) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {first_line(error)}") from error
    if loaded is None:
        raise ConfigError(f"{path} is empty", hint=hint)
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: {what} is a mapping of keys, not a {type(loaded).__name__}", hint=hint)
    return loaded


def normalise(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return `layer` with every driver section as a mapping, so that layers can be merged.

    `ray: {samplers: 4}` is short for `cluster: {name: ray, samplers: 4}`.
    """
    raw = dict(layer)
    for name in clusters():
        if name in raw:
            raw["cluster"] = _cluster(name, raw.pop(name), raw.get("cluster"))
    for key in driver_sections():
        if isinstance(raw.get(key), str):
            raw[key] = {"name": raw[key]}
    for key in driver_lists():
        if raw.get(key) is not None:
            entries = raw[key] if isinstance(raw[key], (list, tuple)) else [raw[key]]
            raw[key] = [{"name": entry} if isinstance(entry, str) else entry for entry in entries]
    return raw


def _cluster(name: str, options: Any, other: Any) -> dict[str, Any]:
    """Return the section of a cluster that is written by its name, merged over the section `cluster`."""
    if not isinstance(options, Mapping | None):
        raise ConfigError(
            f"{name} is a section of keys, not {options!r}", hint=f"write {name}: {{samplers: 2}}"
        )
    before = {"name": other} if isinstance(other, str) else dict(other or {})
    if before.get("name") not in (None, name):
        raise ConfigError(
            f"both {name} and cluster {before['name']!r} are configured", hint="name one of them"
        )
    return {**before, "name": name, **(options or {})}


def check_paths(raw: Mapping[str, Any], file: Path) -> None:
    """Raise a `ConfigError` for a relative path in `raw` that exists beside `file`, but not in the working directory.

    Paths follow the working directory, wherever the configuration is.
    """
    for key, name in flat(raw).items():
        if key not in _PATHS and not (key.endswith("name") and str(name).partition(":")[0].endswith(".py")):
            continue
        path, _, attribute = str(name).partition(":")
        beside = file.parent / path
        if path and not Path(path).exists() and beside.exists():
            written = f"{beside}:{attribute}" if attribute else str(beside)
            raise ConfigError(
                f"{file}: {key}: there is no {path!r} in the working directory",
                hint=f"paths follow the working directory: write {written}, or run halo in {file.parent}",
            )


def assign(raw: dict[str, Any], path: str, value: Any) -> None:
    """Set `path` ("selector.threshold", "verifier.gcc.standard") in `raw`, in place.

    In a list of drivers, the part after the list's key is the name of an entry; it may be left out if there is only
    one entry. Naming another driver in a section drops the options of the previous driver.
    """
    *parents, last = path.split(".")
    if not parents and last in (*driver_sections(), *driver_lists()):
        return _set_driver(raw, last, value)
    node: Any = raw
    for part in parents:
        node = _entry(node, part, path) if isinstance(node, list) else node.setdefault(part, _new_node(part))
        if not isinstance(node, (dict, list)):
            raise ConfigError(f"{path}: {part!r} holds a value, not a section")
    if isinstance(node, list):
        node = _entry(node, None, path)
    if last == "name" and node.get("name") not in (None, value):
        node.clear()
    node[last] = value
    return None


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """List the differences between two resolved configurations, one line for each key."""
    old, new = flat(before), flat(after)
    return [
        f"{key}: was {_shown(old, key)}, is {_shown(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "absent"


def _set_driver(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set the driver of a section; keep options that were set for the same name or without a name."""
    chosen = normalise({key: value})[key]
    if key in driver_sections():
        if not isinstance(chosen, Mapping):
            raise ConfigError(f"{key}: expected one name (got {value!r})")
        before = raw.get(key)
        if isinstance(before, Mapping) and before.get("name") in (None, chosen.get("name")):
            chosen = {**before, **chosen}
        raw[key] = chosen
        return
    by_name = {entry.get("name"): entry for entry in raw.get(key) or [] if isinstance(entry, Mapping)}
    raw[key] = [{**by_name.get(entry["name"], by_name.get(None, {})), **entry} for entry in chosen]


def _new_node(part: str) -> Any:
    return [{}] if part in driver_lists() else {}


def _entry(entries: list[Any], name: str | None, path: str) -> Any:
    """Return the entry called `name`, in full or in short; None: the only entry."""
    for entry in entries:
        if name in names_of(entry):
            return entry
    if len(entries) == 1 and name is None:
        return entries[0]
    known = ", ".join(names_of(entry)[-1] for entry in entries if names_of(entry))
    problem = "name one" if name is None else f"{name!r} is not listed"
    raise ConfigError(f"{path}: {problem}; listed: {known or 'none'}")


def names_of(entry: Any) -> tuple[str, ...]:
    """Return the names of an entry in a list of drivers: in full, then in short."""
    name = entry.get("name") if isinstance(entry, Mapping) else entry
    return (name, short_name(name)) if isinstance(name, str) else ()


def short_name(name: str) -> str:
    """Return the name of a driver within a run: 'gcc' for 'dist:gcc', 'Mine' for './mine.py:Mine'."""
    path, _, attribute = name.partition(":")
    return attribute or Path(path).stem if path.endswith(".py") else name.rpartition(":")[2]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaf values of `value` as JSON values, by path ("verifier[0].flags"); empty lists are left out."""
    if isinstance(value, Mapping):
        return {
            k: v for key, sub in value.items() for k, v in flat(sub, f"{prefix}.{key}".lstrip(".")).items()
        }
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and any(isinstance(v, Mapping) for v in value)
    ):
        return {k: v for i, sub in enumerate(value) for k, v in flat(sub, f"{prefix}[{i}]").items()}
    return {prefix: json.loads(json.dumps(value, default=str))} if value != [] and value != () else {}


class _Loader(yaml.SafeLoader):
    """A YAML loader that rejects a key given twice in one mapping; PyYAML silently keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            if key is not None:
                seen.add(key)
        return super().construct_mapping(node, deep)
