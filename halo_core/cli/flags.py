"""The flags that say what a run is made of, shared by every command that takes a configuration.

One table: each flag is another spelling of `--set PATH=VALUE`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

_DRIVER_FLAGS: tuple[tuple[str, str, str, str], ...] = (
    # parameter, configuration path, short form, help
    ("lr_policy", "lr_policy", "", "What sets each cycle's learning rate."),
    ("generator", "generator", "", "What samples completions."),
    ("reward", "reward", "", "What turns verdicts into numbers."),
    ("selector", "selector", "", "What chooses the samples to train on."),
    ("trainer", "trainer", "", "What trains."),
    ("model", "model.name", "-m", "Model to start from: a Hugging Face name or a directory."),
    ("adapter", "model.adapter", "", "PEFT adapter to go on from."),
    ("device", "model.device", "", "Device; auto picks the accelerator if there is one."),
    ("data", "data.prompts", "-d", "Prompts: .jsonl, .parquet, .csv, or hf:owner/name:split."),
    ("heldout", "data.heldout", "", "Prompts that are only measured on."),
    ("cycles", "cycles", "-n", "How often to sample and train."),
    ("samples", "samples_per_prompt", "", "Completions for each prompt in each cycle."),
    ("seed", "seed", "", "Every random choice derives from it."),
    ("sandbox", "sandbox", "", "auto, strong, standard, weak or none."),
)
_OPTION_FLAGS: tuple[tuple[str, str, str, str], ...] = (
    ("verifier_opt", "verifier", "-V", "Option of the verifier, as key=value."),
    ("lr_opt", "lr_policy", "-L", "Option of the LR policy."),
    ("generator_opt", "generator", "-G", "Option of the generator."),
    ("reward_opt", "reward", "-R", "Option of the reward."),
    ("selector_opt", "selector", "-S", "Option of the selector."),
    ("trainer_opt", "trainer", "-T", "Option of the trainer."),
    ("plugin_opt", "plugins", "", "Option of a plugin, as plugin.key=value."),
)
_Texts = list[str] | None


def takes_config(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` all configuration flags; it receives them merged, as its first argument `raw`."""
    return _with_flags(command, _parameters())


def takes_verifiers(command: Callable[..., None]) -> Callable[..., None]:
    """As `takes_config`, with those flags only that say what judges, and by what prompts."""
    wanted = ("config", "set", "verifier", "verifier_opt", "data", "sandbox")
    flags = _parameters()
    return _with_flags(command, {name: flags[name] for name in wanted})


def _with_flags(command: Callable[..., None], flags: dict[str, inspect.Parameter]) -> Callable[..., None]:
    own = get_type_hints(command, include_extras=True)
    kept = [
        p.replace(annotation=own[p.name], kind=p.KEYWORD_ONLY)
        for p in inspect.signature(command).parameters.values()
        if p.name != "raw"
    ]

    @wraps(command)
    def wrapper(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in flags}
        command(_merge({**dict.fromkeys(_parameters()), **given}), **arguments)

    parameters = [*flags.values(), *kept]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del wrapper.__wrapped__  # typer would read the original's signature
    return wrapper


def _merge(given: dict[str, Any]) -> dict[str, Any]:
    """Lay the flags over the settings over the file."""
    from halo_core.config.layers import assign, load_yaml
    from halo_core.config.options import parse_assignments

    raw = load_yaml(given["config"]) if given["config"] else {}
    if given["verifier"]:  # before the settings, which may address one, and after them, to go over them
        assign(raw, "verifier", given["verifier"])
    for path, value in parse_assignments(given["set"] or (), flag="--set").items():
        assign(raw, path, value)
    if given["verifier"]:
        assign(raw, "verifier", given["verifier"])
    for name, path, _, _ in _DRIVER_FLAGS:
        if given[name] is not None:
            assign(raw, path, given[name])
    if given["plugin"] or given["no_plugin"]:
        raw["plugins"] = _plugins(raw.get("plugins") or [], given["plugin"] or [], given["no_plugin"] or [])
    for name, path, short, _ in _OPTION_FLAGS:
        for key, value in parse_assignments(given[name] or (), flag=short or "--plugin-opt").items():
            assign(raw, f"{path}.{key}", value)
    return raw


def _plugins(listed: list[Any], added: list[str], dropped: list[str]) -> list[Any]:
    from halo_core.config.layers import names_of
    from halo_core.errors import ConfigError, did_you_mean

    plugins = [*listed, *({"name": name} for name in added)]
    for name in dropped:
        kept = [plugin for plugin in plugins if name not in names_of(plugin)]
        if len(kept) == len(plugins):
            known = {names_of(plugin)[-1] for plugin in plugins if names_of(plugin)}
            raise ConfigError(f"--no-plugin {name!r} is not listed", hint=did_you_mean(name, known))
        plugins = kept
    return plugins


def _parameters() -> dict[str, inspect.Parameter]:
    found = {
        "config": _flag("config", Path | None, ["--config", "-c"], "YAML file; the flags go over it."),
        "set": _flag("set", _Texts, ["--set"], "Set any key, as path=value: --set selector.threshold=0.7"),
        "verifier": _flag(
            "verifier", _Texts, ["--verifier", "-v"], "What judges; may be given more than once."
        ),
    }
    for name, _, short, text in _DRIVER_FLAGS:
        found[name] = _flag(name, str | None, [f"--{name.replace('_', '-')}", short], text)
    for name, _, short, text in _OPTION_FLAGS:
        found[name] = _flag(name, _Texts, [f"--{name.replace('_', '-')}", short], text)
    found["plugin"] = _flag("plugin", _Texts, ["--plugin", "-p"], "Hook plugin, by name or file; in order.")
    found["no_plugin"] = _flag(
        "no_plugin", _Texts, ["--no-plugin"], "Leave out a plugin that the file lists."
    )
    return found


def _flag(name: str, kind: Any, spellings: list[str], text: str) -> inspect.Parameter:
    metavar = "KEY=VALUE" if name == "set" or name.endswith("_opt") else name.rpartition("_")[2].upper()
    option = typer.Option(*filter(None, spellings), help=text, show_default=False, metavar=metavar)
    annotation = Annotated[kind, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
