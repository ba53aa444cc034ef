"""`halo sft`: train a starting checkpoint on pairs of prompt and completion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.signatures import Quiet

if TYPE_CHECKING:
    from halo_core.model.pretraining import Pair

DTYPES = ("float32", "bfloat16", "float16")
"""Precisions that models are stored in."""


def check_dtype(name: str, flag: str, known: Sequence[str]) -> None:
    """Raise a `ConfigError` for a precision that `flag` does not take."""
    from halo_core.errors import ConfigError, did_you_mean

    if name not in known:
        raise ConfigError(f"{flag}: unknown precision {name!r}", hint=did_you_mean(name, known))


def sft(
    data: Annotated[
        Path,
        typer.Option(
            "--data", "-d", metavar="FILE", help='JSON Lines of {"prompt": ..., "completion": ...}.'
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIRECTORY", help="Directory to write the checkpoint to."),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Pretrained model to start from; with --scratch, only its tokenizer is used.",
        ),
    ] = "",
    scratch: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML of a transformers configuration: start from random weights."),
    ] = None,
    vocab_size: Annotated[
        int, typer.Option(metavar="N", help="Vocabulary of the tokenizer trained for a model from scratch.")
    ] = 2048,
    chat_template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Jinja file: the tokenizer's chat template.")
    ] = None,
    template_value: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Value for the chat template: enable_thinking=false; repeatable."
        ),
    ] = None,
    lr: Annotated[float, typer.Option(metavar="LR", help="Peak learning rate.")] = 2e-4,
    trainer_opt: Annotated[
        list[str] | None,
        typer.Option(
            "--trainer-opt", "-T", metavar="KEY=VALUE", help="Option of the trainer sft; repeatable."
        ),
    ] = None,
    save_dtype: Annotated[
        str,
        typer.Option(metavar="DTYPE", help="float32, bfloat16 or float16; only without an adapter."),
    ] = "float32",
    device: Annotated[
        str,
        typer.Option(metavar="DEVICE", help="Device of the model; auto: the accelerator if there is one."),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of every random choice.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train a starting checkpoint on pairs of prompt and completion.

    --model starts from a pretrained model and trains a LoRA adapter, or all weights with -T full=true. --scratch
    starts from random weights and trains all of them. The default schedule is cosine; -T schedule= changes it.
    """
    from halo_core.config.layers import load_mapping
    from halo_core.config.model import ModelConfig
    from halo_core.config.options import build, parse_assignments
    from halo_core.config.training import TrainingOptions
    from halo_core.errors import ConfigError

    if not model and scratch is None:
        raise ConfigError(
            "nothing to start from", hint="give a model with --model, or an architecture with --scratch"
        )
    check_dtype(save_dtype, "--save-dtype", DTYPES)
    _check_unused(output)
    given = parse_assignments(trainer_opt or (), flag="-T")
    options = {"schedule": "cosine", "full": scratch is not None, **given}
    architecture = scratch and load_mapping(
        scratch, "an architecture", "it needs at least: model_type: llama"
    )
    settings = {
        "model": build(ModelConfig, _model(model, device, chat_template, template_value), where="model"),
        "architecture": architecture,
        "vocab_size": vocab_size,
        "options": build(TrainingOptions, options, where="trainer 'sft'"),
        "lr": lr,
        "seed": seed,
        "save_dtype": save_dtype,
    }
    _train(data, output, settings, quiet=quiet)


def _model(name: str, device: str, template: Path | None, values: Sequence[str] | None) -> dict[str, Any]:
    from halo_core.config.options import parse_assignments

    given = parse_assignments(values or (), flag="--template-value")
    return {
        "name": name,
        "device": device,
        "chat_template": str(template.resolve()) if template else None,
        "chat_template_kwargs": given,
    }


def _train(data: Path, output: Path, settings: dict[str, Any], *, quiet: bool) -> None:
    from halo_core.builtin.console import ConsoleReport
    from halo_core.errors import Interrupted, command
    from halo_core.model.pretraining import read_pairs, train_checkpoint
    from halo_core.tables import count

    pairs = read_pairs(data)
    report = ConsoleReport(quiet=quiet)
    report.note(f"{count(len(pairs), 'pair')} from {data}")
    with report.stage("train", 0, "steps") as advance:

        def step(_done: int, total: int, loss: float) -> None:
            advance(total=total, note=f"loss {loss:.3f}")

        try:
            checkpoint = train_checkpoint(pairs, output, progress=step, **settings)
        except KeyboardInterrupt:
            raise Interrupted("stopped; nothing was written") from None
    skipped = f", {count(checkpoint.skipped, 'pair')} too long" if checkpoint.skipped else ""
    stats = checkpoint.stats
    typer.echo(
        f"{checkpoint.path}: {checkpoint.parameters} parameters, {count(stats.steps, 'step')}, "
        f"{stats.tokens} tokens{skipped}, loss {stats.loss_first:.3f} > {stats.loss_last:.3f}"
    )
    report.note(f"try it   {command('halo', 'generate', checkpoint.path, _task(pairs[0]))}")
    report.note(f"train it {command('halo', 'run', '--model', checkpoint.path)} --verifier NAME --data FILE")


def _check_unused(output: Path) -> None:
    from halo_core.errors import RunError
    from halo_core.files import check_writable

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunError(f"{output} is not empty", hint="choose another directory with --output")
    check_writable(output)  # before the training, not after it


def _task(pair: Pair) -> str:
    """Return the text of a pair's prompt; of a chat, the last message."""
    return pair.prompt or str(pair.messages[-1]["content"])
