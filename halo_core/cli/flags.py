"""The configuration flags, shared by every command that takes a configuration.

Each flag is another spelling of `--set PATH=VALUE`. The flags of drivers and of their options follow from
`config.kinds.KINDS`, the others from `SETTINGS`. A flag that is not given is None: the configuration has the defaults,
and the help only repeats them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from halo_core.cli.signatures import SandboxTier, expand, flag
from halo_core.config.kinds import KINDS, Kind
from halo_core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A flag that sets one key of the configuration."""

    name: str
    """Long flag, without the dashes."""
    path: str
    """Key of the configuration."""
    help: str
    short: str = ""
    type: Any = str
    min: int | None = None
    default: object = None
    """Default of the configuration, for the help."""
    metavar: str | None = None
    """Placeholder of the value in the help; None: Typer's own."""


SETTINGS = (
    Setting(
        name="model",
        path="model.name",
        help="Model to start from: a Hugging Face name or a directory.",
        short="-m",
        metavar="MODEL",
    ),
    Setting(name="adapter", path="model.adapter", help="PEFT adapter to start from.", metavar="ADAPTER"),
    Setting(
        name="device",
        path="model.device",
        help="Device of the model; auto: the accelerator if there is one.",
        default="auto",
        metavar="DEVICE",
    ),
    Setting(
        name="data",
        path="data.prompts",
        help="Prompts: .jsonl, .parquet, .csv, hf:owner/name:split, or a run.",
        short="-d",
        metavar="DATA",
    ),
    Setting(
        name="heldout",
        path="data.heldout",
        help="Held-out prompts, for measuring only; the same formats.",
        metavar="DATA",
    ),
    Setting(
        name="cycles",
        path="cycles",
        help="Cycles to run; 0: only measure the model.",
        short="-n",
        type=int,
        min=0,
        default=5,
        metavar="N",
    ),
    Setting(
        name="samples",
        path="samples_per_prompt",
        help="Completions per prompt and cycle.",
        type=int,
        min=1,
        default=8,
        metavar="N",
    ),
    Setting(
        name="heldout_samples",
        path="heldout.samples_per_prompt",
        help="Completions per held-out prompt.",
        type=int,
        min=1,
        default=8,
        metavar="N",
    ),
    Setting(
        name="max_new_tokens",
        path="generator.max_new_tokens",
        help="Longest completion in tokens; longer ones are cut.",
        type=int,
        min=1,
        metavar="N",
    ),
    Setting(
        name="seed",
        path="seed",
        help="Seed of every random choice.",
        type=int,
        min=0,
        default=0,
        metavar="N",
    ),
    Setting(
        name="sandbox",
        path="sandbox",
        help="Containment of untrusted code.",
        type=SandboxTier,
        default="auto",
    ),
)
"""The flags that set a single key."""

_SHORT_FLAGS = {"verifier": "-v", "plugin": "-p"}
"""Short flags of kinds; the table of kinds has those of their options."""
_VERIFICATION_FLAGS = ("config", "set", "verifier", "verifier_opt", "data", "sandbox")
_EVALUATION_FLAGS = (
    *("config", "set", "verifier", "verifier_opt", "generator", "generator_opt", "max_new_tokens"),
    *("seed", "device", "sandbox"),
)
_Texts = list[str] | None


def takes_config(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` all configuration flags; it receives the merged configuration as its argument `raw`."""
    return expand("raw", list(_flags().values()), _merge)(command)


def takes_verifiers(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` only the flags for verifiers and prompts; otherwise like `takes_config`."""
    flags = _flags()
    return expand("raw", [flags[name] for name in _VERIFICATION_FLAGS], _merge)(command)


def takes_evaluation(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the flags of an evaluation; its argument `configure` returns a configuration merged over another.

    The evaluated prompts are the held-out prompts of that configuration: those of --data, else the held-out prompts of
    the file, else all prompts of the file.
    """
    flags = _flags()
    data = flag(
        "heldout",
        str | None,
        "Prompts to evaluate on: a file, hf:owner/name:split, or a run: its held-out prompts.  "
        "[default: the held-out prompts of the run or of the verifier's demo]",
        spellings=["--data", "-d"],
        metavar="DATA",
    )
    samples = flag(
        "heldout_samples",
        int | None,
        "Completions per prompt.  [default: 8]",
        spellings=["--samples", "-k"],
        min=1,
        metavar="N",
    )
    limit = flag(
        "heldout_limit", int | None, "Only the first N prompts.", spellings=["--limit"], min=1, metavar="N"
    )
    given = [data, samples, limit, *(flags[name] for name in _EVALUATION_FLAGS)]
    return expand("configure", given, lambda values: partial(_configure_evaluation, values))(command)


_FORM_OF_DATA = ("recipe", "columns", "template", "where", "databases")
"""Keys of the section `data` for reading prompts from their source."""


def _configure_evaluation(given: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    raw = _merge(given, base)
    data = raw.get("data") or {}
    source = data.get("heldout") or data.get("prompts")
    if not source and data.get("sources"):
        raise ConfigError(
            "data.sources are training prompts",
            hint="name the prompts to evaluate on with --data, one file or run",
        )
    form = {key: data[key] for key in _FORM_OF_DATA if key in data}
    if given["heldout_limit"] is not None:
        raw["heldout"] = {**(raw.get("heldout") or {}), "limit": given["heldout_limit"]}
    fixed = {"cycles": 0, "start_from": "previous", "per_cycle": {}, "curriculum": {}, "mix": {}}
    return raw | fixed | {"data": {**form, "heldout": source}}


def _flags() -> dict[str, inspect.Parameter]:
    """Return every configuration flag by parameter name, in the order of the help."""
    set_help = "Set any key: --set selector.threshold=0.7; repeatable."
    flags = [
        flag(
            "config",
            Path | None,
            "YAML file; flags override it.",
            spellings=["--config", "-c"],
            metavar="FILE",
        ),
        flag("set", _Texts, set_help, metavar="PATH=VALUE"),
        *map(_driver_flag, KINDS.values()),
        flag("no_plugin", _Texts, "Leave out a plugin that the file lists; repeatable.", metavar="PLUGIN"),
        *map(_setting_flag, SETTINGS),
        *(_option_flag(kind) for kind in KINDS.values() if kind.option_flag),
    ]
    return {each.name: each for each in flags}


def _driver_flag(kind: Kind) -> inspect.Parameter:
    return flag(
        kind.name,
        _Texts if kind.many else str | None,
        _with_default(kind.help, kind.default or None),
        spellings=_spellings(kind.name, _SHORT_FLAGS.get(kind.name, "")),
        metavar=kind.name.rpartition("_")[2].upper(),
    )


def _option_flag(kind: Kind) -> inspect.Parameter:
    help = f"Option of --{kind.name.replace('_', '-')}; repeatable."
    if kind.many:
        help += " With several: NAME.KEY=VALUE."
    spellings = _spellings(kind.option_flag, kind.short)
    return flag(_option_parameter(kind), _Texts, help, spellings=spellings, metavar="KEY=VALUE")


def _setting_flag(setting: Setting) -> inspect.Parameter:
    return flag(
        setting.name,
        setting.type | None,
        _with_default(setting.help, setting.default),
        spellings=_spellings(setting.name, setting.short),
        metavar=setting.metavar,
        min=setting.min,
    )


def _option_parameter(kind: Kind) -> str:
    return kind.option_flag.replace("-", "_")


def _spellings(name: str, short: str) -> list[str]:
    return [f"--{name.replace('_', '-')}", *filter(None, [short])]


def _with_default(help: str, default: object) -> str:
    return help if default is None else f"{help}  [default: {default}]"


def _merge(given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Merge `base`, the sections of the file, `--set` and the flags; later ones override earlier ones."""
    from copy import deepcopy

    from halo_core.config.layers import assign, check_paths, load_yaml
    from halo_core.config.options import parse_assignments

    raw = {**deepcopy(dict(base or {})), **(load_yaml(given["config"]) if given["config"] else {})}
    lists = [kind for kind in KINDS.values() if kind.many and kind.interface and given.get(kind.name)]
    for kind in lists:  # --set may address their entries, so they are named before it and again after it
        assign(raw, kind.key, given[kind.name])
    for path, value in parse_assignments(given["set"] or (), flag="--set").items():
        assign(raw, path, value)
    for kind in lists:
        assign(raw, kind.key, given[kind.name])
    for kind in KINDS.values():
        if not kind.many and given.get(kind.name) is not None:
            assign(raw, kind.key, given[kind.name])
    for setting in SETTINGS:
        if given.get(setting.name) is not None:
            assign(raw, setting.path, given[setting.name])
    if given.get("plugin") or given.get("no_plugin"):
        raw["plugins"] = _plugins(raw.get("plugins") or [], given["plugin"] or [], given["no_plugin"] or [])
    for kind in KINDS.values():
        texts = given.get(_option_parameter(kind)) or ()
        for key, value in parse_assignments(texts, flag=kind.short or f"--{kind.option_flag}").items():
            assign(raw, f"{kind.key}.{key}", value)
    if given["config"]:
        check_paths(raw, given["config"])
    return raw


def _plugins(listed: list[Any], added: list[str], removed: list[str]) -> list[Any]:
    """Return the plugins that the file lists and those that were added, without those that were removed."""
    from halo_core.config.layers import names_of
    from halo_core.errors import did_you_mean

    plugins = [*listed, *({"name": name} for name in added)]
    for name in removed:
        remaining = [plugin for plugin in plugins if name not in names_of(plugin)]
        if len(remaining) == len(plugins):
            known = {names_of(plugin)[-1] for plugin in plugins if names_of(plugin)}
            raise ConfigError(f"--no-plugin {name!r} is not listed", hint=did_you_mean(name, known))
        plugins = remaining
    return plugins
