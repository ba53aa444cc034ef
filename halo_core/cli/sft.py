"""`halo sft`: a starting checkpoint from prompt and completion pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def sft(
    data: Annotated[
        Path, typer.Option("--data", "-d", help='JSON Lines of {"prompt": ..., "completion": ...}.')
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to write the checkpoint to.")],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Model to train further; with --scratch, only its tokenizer is used."
        ),
    ] = "",
    scratch: Annotated[
        Path | None, typer.Option(help="YAML of a transformers configuration: start from random weights.")
    ] = None,
    vocab_size: Annotated[
        int, typer.Option(help="Entries of the tokenizer made for a model from scratch.")
    ] = 2048,
    chat_template: Annotated[
        Path | None, typer.Option(help="Jinja file; the tokenizer's chat template.")
    ] = None,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-4,
    trainer_opt: Annotated[
        list[str] | None,
        typer.Option("--trainer-opt", "-T", metavar="KEY=VALUE", help="Option of trainer sft."),
    ] = None,
    save_dtype: Annotated[
        str, typer.Option(help="float32, bfloat16 or float16; for a model trained whole.")
    ] = "float32",
    device: Annotated[str, typer.Option(help="Device; auto picks the accelerator if there is one.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Every random choice derives from it.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
) -> None:
    """Train a starting checkpoint on prompt and completion pairs.

    Give --model for a pretrained one (LoRA, or the whole with -T full=true), or --scratch for a new one,
    which is trained whole. The schedule is cosine unless -T schedule= says otherwise.
    """
    from halo_core.config.model import ModelConfig
    from halo_core.config.options import build, parse_assignments
    from halo_core.config.training import TrainingOptions
    from halo_core.errors import ConfigError

    if not model and scratch is None:
        raise ConfigError(
            "nothing to start from", hint="name a model with --model, or a configuration with --scratch"
        )
    if save_dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"--save-dtype {save_dtype!r} is none of float32, bfloat16 and float16")
    _check_unused(output)
    given = parse_assignments(trainer_opt or (), flag="-T")
    options = {"schedule": "cosine", "full": scratch is not None, **given}
    settings = {
        "model": ModelConfig(name=model, device=device),
        "architecture": _architecture(scratch) if scratch else None,
        "vocab_size": vocab_size,
        "chat_template": _read(chat_template) if chat_template else None,
        "options": build(TrainingOptions, options, where="trainer 'sft'"),
        "lr": lr,
        "seed": seed,
        "save_dtype": save_dtype,
    }
    _train(data, output, settings, quiet=quiet)


def _train(data: Path, output: Path, settings: dict[str, Any], *, quiet: bool) -> None:
    from halo_core.builtin.console import ConsoleReport
    from halo_core.model.pretraining import read_pairs, train_checkpoint

    pairs = read_pairs(data)
    report = ConsoleReport(quiet=quiet)
    report.note(f"{len(pairs)} pairs from {data}")
    with report.stage("train", 0, "steps") as advance:

        def step(_done: int, total: int, loss: float) -> None:
            advance(total=total, note=f"loss {loss:.3f}")

        made = train_checkpoint(pairs, output, progress=step, **settings)
    skipped = f", {made.skipped} pairs too long" if made.skipped else ""
    stats = made.stats
    typer.echo(
        f"{made.path}: {made.parameters} parameters, {stats.steps} steps, {stats.tokens} tokens{skipped}, "
        f"loss {stats.loss_first:.3f} > {stats.loss_last:.3f}"
    )


def _check_unused(output: Path) -> None:
    from halo_core.errors import RunError

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunError(f"{output} is not empty", hint="choose another place with --output")


def _architecture(path: Path) -> dict[str, Any]:
    import yaml

    from halo_core.errors import ConfigError

    try:
        loaded = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: an architecture is a mapping", hint="at least: model_type: llama")
    return loaded


def _read(path: Path) -> str:
    from halo_core.errors import ConfigError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
