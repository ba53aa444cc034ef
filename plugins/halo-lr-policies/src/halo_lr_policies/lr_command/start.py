"""`halo lr recommend` and `halo lr steps`: a learning rate to start from, and the optimizer steps of a cycle."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from halo_core.cli.signatures import AsJSON
from halo_lr_policies.lr_command.defaults import ALPHA, BATCH, RANK


def _parse_size(text: str) -> float:
    from halo_lr_policies.lr_command.recommend import parse_size

    return parse_size(text)


def recommend(
    method: Annotated[
        str | None,
        typer.Argument(help="sft, raft, dpo, grpo or ppo.", show_default="a table of all methods"),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train all weights instead of a LoRA adapter.")
    ] = False,
    size: Annotated[
        float | None,
        typer.Option(
            parser=_parse_size, metavar="NUMBER", help="Parameters of the model, for example 7B or 350M."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences per optimizer step.")] = BATCH,
    rank: Annotated[int, typer.Option(min=1, help="LoRA rank.")] = RANK,
    alpha: Annotated[float, typer.Option(min=0.001, help="LoRA alpha.")] = ALPHA,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="Sampling temperature.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Sequences trained on per cycle.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the sequences per cycle.")] = 1,
    as_json: AsJSON = False,
) -> None:
    """Recommend a learning rate for a method and a setup.

    Prints the range to sweep, the confidence and the sources, and where published practice disagrees with the
    halo-forge notes. Try three or more learning rates: a recommendation is a starting point, not an answer.
    """
    from halo_lr_policies.lr_command.output import recommendation_table, recommendation_text
    from halo_lr_policies.lr_command.recommend import METHODS
    from halo_lr_policies.lr_command.recommend import recommend as recommend_lr

    recommendations = [
        recommend_lr(
            each_method,
            full=each_full,
            size=size,
            batch=batch,
            rank=rank,
            alpha=alpha,
            temperature=temperature,
            samples=samples,
            epochs=epochs,
        )
        for each_method in ([method] if method else METHODS)
        for each_full in ([full] if method else [True, False])
    ]
    if as_json:
        rows = [asdict(each) | {"lr_sum": each.lr_sum} for each in recommendations]
        typer.echo(json.dumps(rows[0] if method else rows, indent=2))
    elif method:
        typer.echo(recommendation_text(recommendations[0]))
    else:
        typer.echo(recommendation_table(recommendations))


def steps(
    samples: Annotated[int, typer.Argument(min=1, help="Sequences trained on per cycle.")],
    batch: Annotated[int, typer.Option(min=1, help="Sequences per forward pass on one device.")] = BATCH,
    accumulation: Annotated[int, typer.Option(min=1, help="Forward passes per optimizer step.")] = 1,
    world: Annotated[int, typer.Option(min=1, help="Devices that train in parallel.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the sequences per cycle.")] = 1,
    warmup: Annotated[
        int | None, typer.Option(min=0, help="Warmup steps.", show_default="as advised")
    ] = None,
    carried: Annotated[
        bool, typer.Option("--carried", help="The optimizer state is carried over from the previous cycle.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Count the optimizer steps of a cycle and check its warmup.

    For halo itself, give --batch alone: its `batch_size` counts all sequences of an optimizer step, however memory
    limits split them.
    """
    from halo_core.model.schedule import effective_steps, warmup_advice, warnings_for
    from halo_lr_policies.lr_command.output import labelled

    count = effective_steps(samples, batch, epochs=epochs, world=world, accumulation=accumulation)
    advised = warmup_advice(count, carried)
    chosen = advised if warmup is None else warmup
    warnings = warnings_for(count, chosen)
    if as_json:
        row = {"steps": count, "warmup": chosen, "warmup_advised": advised, "warnings": warnings}
        typer.echo(json.dumps(row, indent=2))
        return
    formula = f"{epochs} x ceil(ceil({samples} / ({batch} x {world})) / {accumulation})"
    unrounded = samples / batch / accumulation
    rows = [
        ("steps", f"{count} = {formula}"),
        ("warmup", f"{chosen}, {advised} advised"),
        (
            "halo-forge",
            f"{unrounded:.3g} steps, without rounding, epochs and devices; warmup: 5 of about 16 steps, otherwise a"
            " tenth",
        ),
        (
            "halo run",
            f"-T batch_size={batch * world * accumulation} -T epochs={epochs} -T warmup_steps={chosen}",
        ),
        *(("warning", text) for text in warnings),
    ]
    typer.echo(labelled(rows))
