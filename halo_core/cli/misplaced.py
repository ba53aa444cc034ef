"""Hints for words and options that a command does not take, but another form does.

`halo run gcc` means `halo run --verifier gcc`; `halo run --threshold 0.7` means `halo run -S threshold=0.7`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_DATA = ("data", "completions", "output")
_YAML = ("config", "scratch", "output")
_FORMATS = {
    **dict.fromkeys((".yaml", ".yml"), _YAML),
    **dict.fromkeys((".jsonl", ".csv", ".parquet"), _DATA),
    **dict.fromkeys((".json", ".svg", ".png", ".html"), ("output",)),
}
"""Suffix of a file -> the options that take such a file, the likeliest first."""


_ALIASES = {"lr": "base_lr", "learning_rate": "base_lr", "system_prompt": "system", "num_epochs": "epochs"}
"""Names that other tools have for the options of drivers."""


def hint_for_option(context: Any, flag: str) -> str:
    """Return how to set what the unknown `flag` names, or "" if neither a default driver nor the configuration has it.

    `context` is the one of the call that failed.
    """
    from halo_core.config.kinds import KINDS

    name = flag.lstrip("-").replace("-", "_")
    name = _ALIASES.get(name, name)
    taken = {opt for each in context.command.params for opt in each.opts}
    if f"--{name.replace('_', '-')}" in taken:
        return ""  # the parser's own hint is nearer
    forms = [
        f"{kind.short} {name}=VALUE"
        for kind in KINDS.values()
        if kind.short in taken and kind.default and name in _options_of(kind.name, kind.default)
    ]
    forms += [f"--set {path}=VALUE" for path in _paths(name) if "--set" in taken]
    return f"did you mean {', '.join(forms)}?" if forms else ""


def _paths(name: str) -> list[str]:
    """Return the keys of the configuration called `name`: at the top, or else in its sections."""
    from halo_core.config.kinds import KINDS
    from halo_core.config.schema import RunConfig, fields_of

    if name in RunConfig.model_fields:
        return [name]
    sections = RunConfig.model_fields.keys() - {kind.key for kind in KINDS.values()}
    return [f"{key}.{name}" for key in sorted(sections) if name in fields_of([key])]


def _options_of(kind: str, name: str) -> set[str]:
    from halo_core.config.options import options_of
    from halo_core.errors import HaloError
    from halo_core.plugin.loading import load_class

    try:
        return {option.name for option in options_of(load_class(kind, name).value)}
    except HaloError:
        return set()


def hint_for(context: Any, word: str) -> str:
    """Return how to give `word` to the command of `context`, or "" if none of its options takes it.

    `context` is the one of the call that failed.
    """
    options = {each.name: each for each in context.command.params if each.param_type_name == "option"}
    arguments = [each for each in context.command.params if each.name not in options]
    if arguments and arguments[-1].metavar == "PROMPT":
        return "put the text in quotes"
    choices = (name for name, option in options.items() if word in _choices(context, option))
    found = [name for name in (*_kinds(word), *choices) if name in options] or _others(word, options)[:1]
    forms = (f"{options[name].opts[0]} {shlex.quote(word)}" for name in found)
    return f"did you mean {', '.join(forms)}?" if found else ""


def _kinds(word: str) -> Iterator[str]:
    """Yield the kinds of driver that have a driver called `word`; each has an option of its name."""
    from halo_core.config.kinds import KINDS, PACKAGES
    from halo_core.plugin.discovery import available

    for kind in KINDS:
        known = {name for of, name in PACKAGES if of == kind} | {source.name for source in available(kind)}
        if word.rpartition(":")[2] in known:
            yield kind


def _choices(context: Any, option: Any) -> list[str]:
    """Return the values that the help lists: `--to jsonl|parquet`, `--sandbox <auto|strong>`."""
    usage = (option.get_help_record(context) or ("", ""))[0]
    listed = re.search(r"\s[<\[]?([\w-]+(?:\|[\w-]+)+)[>\]]?$", usage)
    return listed[1].split("|") if listed else []


def _others(word: str, options: dict[str, Any]) -> list[str]:
    """Return the options that take `word` as a setting, a file of its format, a file with a driver, or a model."""
    from halo_core.config.kinds import KINDS

    if re.match(r"[\w.-]+=", word):
        return [name for name in options if name == "set" or name.endswith("_opt")]
    if re.search(r"\.py(:|$)", word):
        kinds = [name for name in options if name in KINDS]
        return kinds if len(kinds) == 1 else []
    names = _FORMATS.get(Path(word).suffix, ())
    if not names and (Path(word).is_dir() or "/" in word):
        names = ("model",)
    return [name for name in names if name in options]
