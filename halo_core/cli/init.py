"""`halo init`: write a configuration, sample prompts and a schema to start from."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from halo_core.config.schema import RunConfig
    from halo_core.drivers.base import Demo
    from halo_core.types import Prompt

CONFIG, PROMPTS, SCHEMA = "halo.yaml", "prompts.jsonl", "halo.schema.json"


def init(
    verifier: Annotated[
        str, typer.Argument(metavar="VERIFIER", help="Verifier driver: a name, or a file as ./file.py:Class.")
    ],
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Directory to write to; created if it does not exist.")
    ] = Path(),
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Model to train: a Hugging Face name or a directory.  [default: the tiny model of the demo]",
            show_default=False,
        ),
    ] = None,
    prompts: Annotated[
        int, typer.Option(min=2, metavar="N", help="Sample prompts to write, from the verifier's demo.")
    ] = 32,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Write a commented configuration with sample prompts.

    Writes halo.yaml, prompts.jsonl and halo.schema.json, which editors use to complete and check the configuration. The
    prompts are those of the verifier's demo: replace them by your own.
    """
    from halo_core.config.schema import read_config
    from halo_core.errors import ConfigError, command
    from halo_core.run.config_schema import config_schema
    from halo_core.verification.verifiers import VerifierSet

    config = read_config({"verifier": [{"name": verifier}]})
    verifiers = VerifierSet.load(config.specs("verifier"))
    demo = verifiers.by_name[verifiers.first].demo()
    if demo is None and model is None:
        raise ConfigError(
            f"verifier {verifiers.first!r} ships no demo, so there is no model to start from",
            hint="name one: --model MODEL",
        )
    files = {
        directory / CONFIG: _configuration(config, demo, model),
        directory / SCHEMA: json.dumps(config_schema(), indent=1) + "\n",
    }
    if demo is not None:
        count = min(prompts, len(demo.prompts))
        chosen = [demo.prompts[number * len(demo.prompts) // count] for number in range(count)]
        files[directory / PROMPTS] = "".join(map(_row, chosen))
    _write(files, force=force)
    for path in files:
        typer.echo(f"wrote    {path}")
    if demo is None:
        typer.echo(
            f"next     write {directory / PROMPTS}: one JSON object per line, with 'prompt' and 'reference'"
        )
    moves = directory != Path()
    if moves:
        typer.echo(f"next     {command('cd', directory)}")
    for words in (("config", "validate"), ("run",)):
        typer.echo(f"next     {command('halo', *words, '-c', CONFIG, after_cd=moves)}")


def _configuration(config: RunConfig, demo: Demo | None, model: str | None) -> str:
    """Return the contents of halo.yaml."""
    from halo_core.config.kinds import KINDS
    from halo_core.config.template import commented
    from halo_core.plugin.discovery import load
    from halo_core.run.plan import demo_settings

    names = {kind.key: config.spec(kind.name).name for kind in KINDS.values() if not kind.many}
    (verifier,) = config.specs("verifier")
    settings: dict[str, Any] = {"lr_policy": {"name": "exponential", "base_lr": 2e-4, "decay": 0.85}}
    if model is not None:
        settings["model"] = {"name": model}
    if demo is not None:
        settings |= {"lr_policy": {}} if model is None else {}
        settings |= demo_settings(demo, with_model=model is None)
    values: dict[str, Any] = {
        "verifier": {"name": verifier.name},
        "model": settings.pop("model"),
        "data": {"prompts": PROMPTS, "heldout_share": 0.25},
        "cycles": 5,
        "samples_per_prompt": 8,
        "seed": 0,
        **settings,
    }
    for key, name in names.items():
        if key in values:
            names[key] = values[key].get("name", name)
            values[key] = {"name": names[key], **values[key]}
    classes = {key: load(_kind_of(key), name).value for key, name in names.items()}
    classes["verifier"] = load("verifier", verifier.name).value
    head = _HEAD.format(schema=SCHEMA, config=CONFIG, name=verifier.name)
    head += _DEMO_MODEL if model is None else ""
    return f"{head}\n{commented(values, classes)}"


def _kind_of(key: str) -> str:
    from halo_core.config.kinds import KINDS

    return next(kind.name for kind in KINDS.values() if kind.key == key)


def _row(prompt: Prompt) -> str:
    row: dict[str, Any] = {"id": prompt.id}
    row |= (
        {"messages": [dict(each) for each in prompt.messages]} if prompt.messages else {"prompt": prompt.text}
    )
    row |= {"reference": prompt.reference} if prompt.reference else {}
    return json.dumps({**row, **prompt.meta}, ensure_ascii=False) + "\n"


def _write(contents: dict[Path, str], *, force: bool) -> None:
    """Write all files, or no new one.

    Raises a `ConfigError`, before anything is written, if one exists and `force` is not set.
    """
    from halo_core import files
    from halo_core.errors import ConfigError

    existing = [path for path in contents if path.exists()]
    if existing and not force:
        raise ConfigError(
            f"{existing[0]} exists already", hint="name another directory, or replace the files with --force"
        )
    missing = [place for place in next(iter(contents)).parents if not place.exists()]
    try:
        for path, text in contents.items():
            files.make_directory(path.parent)
            files.write(path, text)
    except BaseException:  # without this, the next attempt would find some of the files
        for path in contents.keys() - set(existing):
            with suppress(OSError):
                path.unlink()
        for place in missing:
            with suppress(OSError):
                place.rmdir()
        raise


_HEAD = """\
# yaml-language-server: $schema={schema}
#
# A run of halo: halo run -c {config}
# Every key that is not set has its default, commented out: remove the # to set it. Flags override this file.
# halo plugins show {name} explains the verifier; halo plugins lists what else can be named here.
"""
_DEMO_MODEL = """\
# The model is the tiny one of the verifier's demo, and the settings suit it. For another model, name it below and
# remove the settings: halo lr recommend raft prints a learning rate.
"""
