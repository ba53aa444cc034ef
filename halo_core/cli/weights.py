"""`halo generate` and `halo merge`: use the weights that a run has trained."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halo_core.cli.signatures import RunDirectory

if TYPE_CHECKING:
    from halo_core.config.model import ModelConfig
    from halo_core.drivers.base import Generator
    from halo_core.errors import RunError
    from halo_core.ledger.ledger import Ledger
    from halo_core.model.actor import Actor
    from halo_core.run.plan import Plan

CycleOption = Annotated[
    str,
    typer.Option(
        "--cycle",
        metavar="CYCLE",
        help="Cycle of the weights: a number (0: before training), last, or best (by held-out pass rate).",
    ),
]


def generate(
    directory: RunDirectory,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="The task, worded like the prompts of the run.")
    ],
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, metavar="N", help="Completions to sample.")
    ] = 1,
    cycle: CycleOption = "last",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the sampling.")] = 0,
) -> None:
    """Sample completions with the weights of a cycle of a run.

    The sampling options are those of the run. A directory that `halo sft` wrote works, too, with default options.
    """
    from halo_core.drivers.transformers import Transformers
    from halo_core.run.open_generator import OpenGenerator
    from halo_core.types import Prompt, SamplingRequest

    request = SamplingRequest(
        cycle=0, split="heldout", prompts=(Prompt("prompt", prompt),), samples_per_prompt=count, seed=seed
    )
    if (actor := _checkpoint(directory)) is not None:
        generator: Generator = Transformers()
    else:
        ledger, plan = _open_run(directory)
        number = read_cycle(ledger, cycle)
        generator, actor = plan.drivers.generator("heldout")[0], _load_actor(ledger, plan, number)
        request = replace(request, cycle=number)
        if number:
            weights = ledger.adapter(number).resolve()
            request = replace(request, adapter=weights, weights_hash=ledger.weights_hash(number))
    with closing(OpenGenerator(generator, actor)) as opened:
        for batch in opened.generate(request):
            for completion in batch:
                typer.echo(completion.text)
                if count > 1:
                    typer.echo("-" * 40)


def merge(
    directory: RunDirectory,
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="New directory to write the model to.")],
    cycle: CycleOption = "last",
    dtype: Annotated[
        str,
        typer.Option(
            metavar="DTYPE", help="float32, bfloat16 or float16; auto: the precision of the stored model."
        ),
    ] = "auto",
    shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Largest file of weights: 5GB, 500MB.")
    ] = "5GB",
) -> None:
    """Merge a run's adapter into its model, and write model and card.

    transformers, vLLM and llama.cpp can read the result.
    """
    typer.echo(f"{output}: {write_merged(directory, output, cycle, dtype, shard_size)}")


def write_merged(
    directory: Path, output: Path, cycle: str, dtype: str = "auto", shard_size: str = "5GB"
) -> str:
    """Write the merged model of a run's cycle, or of an adapter, to the new directory `output`; return what it is."""
    from halo_core import files
    from halo_core.cli.sft import DTYPES, check_dtype
    from halo_core.errors import RunError
    from halo_core.ledger.card import CARD, card_of
    from halo_core.model.actor import Actor

    check_dtype(dtype, "--dtype", ("auto", *DTYPES))
    _check_size(shard_size)
    if output.exists():
        raise RunError(f"{output} already exists", hint="choose another directory")
    files.check_writable(output)
    checkpoint = _checkpoint(directory)
    if checkpoint is not None:
        files.write_directory(
            output, lambda place: checkpoint.save_merged(place, dtype, shard_size=shard_size)
        )
        return f"the model with the adapter of {directory}"
    ledger, plan = _open_run(directory)
    number = read_cycle(ledger, cycle)
    if not number:
        raise _nothing_to_merge(cycle, plan.config.model)
    if not (ledger.check_adapter(number) / "adapter_config.json").exists():
        raise RunError(
            f"cycle {number} trained all weights, without an adapter",
            hint=f"the model is already in {ledger.adapter(number)}",
        )
    actor = Actor(_exact(plan.config.model))
    actor.load(ledger.check_adapter(number))

    def write(place: Path) -> None:
        actor.save_merged(place, dtype, shard_size=shard_size)
        (place / CARD).write_text(card_of(ledger, number, merged=True), encoding="utf-8")

    files.write_directory(output, write)
    return f"the model with the adapter of cycle {number}"


def _nothing_to_merge(cycle: str, model: ModelConfig) -> RunError:
    """Return the error for cycle 0, whose weights are those that the run started from."""
    from halo_core.errors import RunError

    start = model.adapter or model.name
    if cycle == "best":
        return RunError(
            "no cycle has a higher held-out pass rate than the model before training",
            hint=f"use {start} as it is, or name a cycle: --cycle last",
        )
    return RunError("cycle 0 is the model before training, without an adapter", hint=f"use {start} as it is")


def read_cycle(ledger: Ledger, text: str) -> int:
    """Return the cycle that trained the weights of the cycle that `--cycle` names; 0: before training.

    Raises a `RunError` if the run has no such cycle.
    """
    from halo_core.errors import RunError
    from halo_core.metrics import best_cycle, weights_cycle

    reports = ledger.reports()
    finished = [0, *(report.cycle for report in reports if report.cycle)]
    by_name = {"last": finished[-1], "best": best_cycle(reports) or 0, **{str(n): n for n in finished}}
    if text not in by_name:
        raise RunError(
            f"{ledger.directory} has no cycle {text}",
            hint=f"finished cycles: {', '.join(map(str, finished))}; or last, or best",
        )
    return weights_cycle(reports, by_name[text])


def _check_size(text: str) -> None:
    from halo_core.errors import ConfigError

    if not re.fullmatch(r"[1-9]\d*(?:KB|MB|GB)", text):
        raise ConfigError(f"--shard-size: {text!r} is not a size", hint="write it as 5GB, 500MB or 64KB")


def _checkpoint(directory: Path) -> Actor | None:
    """Return the actor of a model or an adapter that `halo sft` wrote; None for a run directory."""
    from halo_core.config.model import ModelConfig
    from halo_core.model.actor import Actor

    is_run = (directory / "run.yaml").exists()
    is_model = any((directory / name).is_file() for name in ("config.json", "adapter_config.json"))
    return Actor(_exact(ModelConfig(name=str(directory)))) if is_model and not is_run else None


def _exact(model: ModelConfig) -> ModelConfig:
    """Return `model` in a precision to merge weights in: on a CPU float32, although sampling may use fewer bits."""
    from halo_core.model.devices import choose_device

    on_cpu = choose_device(model.device).type == "cpu"
    return replace(model, dtype="float32") if model.dtype == "auto" and on_cpu else model


def _open_run(directory: Path) -> tuple[Ledger, Plan]:
    from halo_core.ledger.ledger import open_run
    from halo_core.run.plan import Plan

    ledger = open_run(directory)
    return ledger, Plan.from_ledger(ledger)


def _load_actor(ledger: Ledger, plan: Plan, cycle: int) -> Actor:
    from halo_core.model.actor import Actor
    from halo_core.run.resume import recorded_precision

    actor = Actor(recorded_precision(ledger, plan.config.model))
    if cycle:
        actor.load(ledger.check_adapter(cycle))
    return actor
