"""`halo generate`: sample from what a run has trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def generate(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    prompt: Annotated[str, typer.Argument(help="The task, as the prompts of the run put it.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Completions to sample.")] = 1,
    cycle: Annotated[
        int | None, typer.Option(help="Use the adapter of this cycle; 0 is the model before training.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Sample completions with the adapter of a run's last cycle, and the run's own sampling options."""
    from halo_core.actor import Actor
    from halo_core.assemble import Plan
    from halo_core.errors import RunError
    from halo_core.ledger import Ledger
    from halo_core.types import Prompt, Round

    ledger = Ledger(directory)
    if not ledger.exists:
        raise RunError(f"{directory} holds no run", hint="name the directory that halo run printed")
    plan = Plan.from_raw(ledger.config())
    trained = [report.cycle for report in ledger.reports()]
    chosen = cycle if cycle is not None else max(trained, default=0)
    if chosen not in (0, *trained):
        raise RunError(
            f"{directory} has no cycle {chosen}", hint=f"finished: {', '.join(map(str, trained)) or 'none'}"
        )
    actor = Actor(plan.config.model)
    if chosen:
        actor.load(ledger.adapter(chosen))
    round = Round(chosen, "heldout", (Prompt("prompt", prompt),), count, seed)
    for batch in plan.drivers.generator.generate(actor, round):
        for completion in batch:
            typer.echo(completion.text)
            if count > 1:
                typer.echo("-" * 40)
