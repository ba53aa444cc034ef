"""`halo generate` and `halo merge`: using what a run has trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from halo_core.ledger.ledger import Ledger
    from halo_core.model.actor import Actor
    from halo_core.run.plan import Plan

Directory = Annotated[Path, typer.Argument(help="A run directory.")]
Cycle = Annotated[
    str,
    typer.Option(
        "--cycle",
        help="Whose weights: a number, 0 for the model before training, 'last', or 'best' by held-out pass rate.",
    ),
]


def generate(
    directory: Directory,
    prompt: Annotated[str, typer.Argument(help="The task, as the prompts of the run put it.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Completions to sample.")] = 1,
    cycle: Cycle = "last",
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Sample completions with the weights of one of a run's cycles, and the run's own sampling options."""
    from halo_core.model.contexts import SamplingContext
    from halo_core.types import Prompt, SamplingRequest

    ledger, plan = _opened(directory)
    chosen = cycle_of(ledger, cycle)
    request = SamplingRequest(
        cycle=chosen,
        split="heldout",
        prompts=(Prompt("prompt", prompt),),
        samples_per_prompt=count,
        seed=seed,
    )
    generator = plan.drivers.get("generator")
    for batch in generator.generate(request, SamplingContext(actor=_actor(ledger, plan, chosen))):
        for completion in batch:
            typer.echo(completion.text)
            if count > 1:
                typer.echo("-" * 40)


def merge(
    directory: Directory,
    output: Annotated[Path, typer.Argument(help="Directory of the model to write; must not be there.")],
    cycle: Cycle = "last",
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16 or float16; auto: what the model came in.")
    ] = "auto",
) -> None:
    """Fold a run's adapter into its model and write that, as transformers, vLLM and llama.cpp read it."""
    from halo_core import files
    from halo_core.errors import RunError

    ledger, plan = _opened(directory)
    chosen = cycle_of(ledger, cycle)
    if output.exists():
        raise RunError(f"{output} is there already", hint="choose another place")
    if not chosen:
        raise RunError("cycle 0 is the model before training", hint=f"it is {plan.config.model.name}")
    if not (ledger.check_adapter(chosen) / "adapter_config.json").exists():
        raise RunError(
            f"cycle {chosen} was trained whole, without an adapter", hint=f"it is in {ledger.adapter(chosen)}"
        )
    actor = _actor(ledger, plan, chosen)
    files.write_directory(output, lambda place: actor.save_merged(place, dtype))
    typer.echo(f"{output}: the model with the adapter of cycle {chosen}")


def cycle_of(ledger: Ledger, text: str) -> int:
    """Read `--cycle`. Raises a `RunError` for one that is not there."""
    from halo_core.errors import RunError
    from halo_core.metrics import best_cycle

    reports = ledger.reports()
    known = [0, *(report.cycle for report in reports if report.cycle)]
    named = {"last": known[-1], "best": best_cycle(reports) or 0, **{str(number): number for number in known}}
    if text not in named:
        raise RunError(
            f"{ledger.directory} has no cycle {text}",
            hint=f"finished: {', '.join(map(str, known))}; or last, or best",
        )
    return named[text]


def _opened(directory: Path) -> tuple[Ledger, Plan]:
    from halo_core.ledger.ledger import open_run
    from halo_core.run.plan import Plan

    ledger = open_run(directory)
    return ledger, Plan.from_raw(ledger.config())


def _actor(ledger: Ledger, plan: Plan, cycle: int) -> Actor:
    from halo_core.model.actor import Actor

    actor = Actor(plan.config.model)
    if cycle:
        actor.load(ledger.check_adapter(cycle))
    return actor
