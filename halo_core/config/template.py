"""A configuration file with comments: the keys that are set, and every other key with its default, commented out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from halo_core.config.kinds import KINDS
from halo_core.config.options import Option, options_of
from halo_core.config.schema import RunConfig

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Section:
    """The options of a section, and the name of its driver, if it has one."""

    options: Sequence[Option]
    help: str
    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The options that are set."""


def commented(values: Mapping[str, Any], drivers: Mapping[str, type]) -> str:
    """Return `values` as YAML, with the help of every key.

    `drivers` are the classes of the drivers by configuration key. Help starts with `# `; a key that is not set follows
    `#` without a space, so that removing that character sets it to its default.
    """
    kinds = {kind.key: kind for kind in KINDS.values()}
    keys = [*values, *(key for key in RunConfig.model_fields if key not in values)]
    parts = []
    for key in keys:
        info, given = RunConfig.model_fields[key], values.get(key)
        if key in kinds and key in drivers:
            name = given["name"] if isinstance(given, Mapping) and "name" in given else kinds[key].default
            set_options = {k: v for k, v in (given or {}).items() if k != "name"}
            section = Section(options_of(drivers[key]), _summary(drivers[key]), name, set_options)
            parts.append(_section(key, section, is_set=True))
        elif (options := _fields(info.default)) is not None:
            section = Section(options, info.description or "", values=given or {})
            parts.append(_section(key, section, is_set=bool(given)))
        else:
            parts.append(_scalar(key, info.description or "", info.default, values.get(key, ...)))
    return "\n".join(parts)


def _section(key: str, section: Section, *, is_set: bool) -> str:
    lines = [*_comment(section.help), f"{'' if is_set else '#'}{key}:"]
    lines += [f"  name: {_text(section.name)}"] if section.name else []
    for option in section.options:
        lines += _comment(option.help, indent="  ")
        if option.name in section.values:
            lines.append(f"  {option.name}: {_text(section.values[option.name])}")
        else:
            default = "" if option.default is ... else _text(option.default)
            lines.append(f"{'  #' if is_set else '#  '}{option.name}: {default}".rstrip())
    return "\n".join(lines) + "\n"


def _scalar(key: str, help: str, default: Any, value: Any) -> str:
    line = f"#{key}: {_text(_plain(default))}" if value is ... else f"{key}: {_text(value)}"
    return "\n".join([*_comment(help), line]) + "\n"


def _comment(help: str, indent: str = "") -> Iterator[str]:
    prefix = f"{indent}# "
    yield from textwrap.wrap(" ".join(help.split()), _WIDTH, initial_indent=prefix, subsequent_indent=prefix)


def _fields(default: Any) -> list[Option] | None:
    """Return the keys of a nested section; None if the default is not one."""
    if is_dataclass(default) and not isinstance(default, type):
        return options_of(type(default))
    if not isinstance(default, BaseModel) or "name" in type(default).model_fields:
        return None
    return [
        Option(name, "", _plain(info.default), info.description or "")
        for name, info in type(default).model_fields.items()
    ]


def _summary(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition("\n\n")[0]


def _plain(default: Any) -> Any:
    return default.model_dump() if isinstance(default, BaseModel) else default


def _text(value: Any) -> str:
    """Return a value as YAML on one line."""
    plain = json.loads(json.dumps(value, default=str))
    return (
        yaml.safe_dump(plain, default_flow_style=True, width=10**6, allow_unicode=True)
        .removesuffix("...\n")
        .strip()
    )
