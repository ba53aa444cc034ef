"""`halo lr recommend` and `halo lr steps`: where to start, and how many steps a cycle has."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

AsJSON = Annotated[bool, typer.Option("--json", help="As JSON.")]


def recommend(
    method: Annotated[
        str | None, typer.Argument(help="sft, raft, dpo, grpo or ppo; default: a table of all.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train every weight instead of a LoRA adapter.")
    ] = False,
    size: Annotated[str | None, typer.Option(help="Parameters of the model, as 7B or 350M.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences per optimizer step.")] = 32,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapter.")] = 16,
    alpha: Annotated[float, typer.Option(min=0.001, help="Alpha of the adapter.")] = 32.0,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="That of sampling.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Sequences to train on in a cycle.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them.")] = 1,
    as_json: AsJSON = False,
) -> None:
    """Recommend a learning rate to start from, with range, confidence and sources.

    Says where published practice and the notes that halo grew out of disagree. A starting point for trying
    three rates or more, not an answer.
    """
    from halo_lr_policies.lr_command.output import advice, overview
    from halo_lr_policies.lr_command.recommend import METHODS, read_size, recommend

    found = [
        recommend(
            each,
            full=whole,
            size=read_size(size) if size else None,
            batch=batch,
            rank=rank,
            alpha=alpha,
            temperature=temperature,
            samples=samples,
            epochs=epochs,
        )
        for each in ([method] if method else METHODS)
        for whole in ([full] if method else [True, False])
    ]
    if as_json:
        rows = [asdict(each) | {"lr_sum": each.lr_sum} for each in found]
        typer.echo(json.dumps(rows[0] if method else rows, indent=2))
    elif method:
        typer.echo(advice(found[0]))
    else:
        typer.echo(overview(found))


def steps(
    samples: Annotated[int, typer.Argument(min=1, help="Sequences to train on in a cycle.")],
    batch: Annotated[int, typer.Option(min=1, help="Sequences of a forward pass on one device.")] = 32,
    accumulation: Annotated[int, typer.Option(min=1, help="Forward passes of an optimizer step.")] = 1,
    world: Annotated[int, typer.Option(min=1, help="Devices that train side by side.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the sequences.")] = 1,
    warmup: Annotated[int | None, typer.Option(min=0, help="Steps of warmup; default: as advised.")] = None,
    carried: Annotated[
        bool, typer.Option("--carried", help="The optimizer is carried over from the last cycle.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Count the optimizer steps of a cycle, advise on its warmup, and warn of too few.

    In halo `batch_size` is all sequences of an optimizer step, however memory makes it split them: --batch alone.
    """
    from halo_core.model.schedule import effective_steps, warmup_advice, warnings_for
    from halo_lr_policies.lr_command.output import listed

    found = effective_steps(samples, batch, epochs=epochs, world=world, accumulation=accumulation)
    advised = warmup_advice(found, carried)
    taken = advised if warmup is None else warmup
    warnings = warnings_for(found, taken)
    if as_json:
        row = {"steps": found, "warmup": taken, "warmup_advised": advised, "warnings": warnings}
        typer.echo(json.dumps(row, indent=2))
        return
    formula = f"{epochs} x ceil(ceil({samples} / ({batch} x {world})) / {accumulation})"
    unrounded = samples / batch / accumulation
    rows = [
        ("steps", f"{found} = {formula}; the notes, for one epoch and device, unrounded: {unrounded:.3g}"),
        ("warmup", f"{taken}, {advised} advised; the notes: 5 of some 16, otherwise a tenth"),
        (
            "in halo",
            f"-T batch_size={batch * world * accumulation} -T epochs={epochs} -T warmup_steps={taken}",
        ),
        *(("warning", text) for text in warnings),
    ]
    typer.echo(listed(rows))
