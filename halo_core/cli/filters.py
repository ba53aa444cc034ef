"""The flags that say which samples of a run are meant, shared by `halo samples` and `halo export`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from halo_core.errors import DataError
    from halo_core.ledger.browse import Filter
    from halo_core.ledger.ledger import Ledger

Directory = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]

_FLAGS: dict[str, Any] = {
    "cycle": Annotated[
        int | None,
        typer.Option("--cycle", "-c", min=0, metavar="N", help="Of this cycle; 0: before training."),
    ],
    "split": Annotated[
        str | None, typer.Option("--split", metavar="train|heldout", help="Of these prompts.")
    ],
    "prompt": Annotated[
        str | None, typer.Option("--prompt", "-p", metavar="ID", help="Of the prompt with this id.")
    ],
    "status": Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="pass, fail, error or inconclusive.")
    ],
    "stage": Annotated[
        str | None,
        typer.Option(
            "--stage", "-s", metavar="STAGE", help="invalid, flawed, untested, crashed, wrong or correct."
        ),
    ],
    "low": Annotated[
        float | None, typer.Option("--min-reward", metavar="X", help="With a reward of at least this.")
    ],
    "high": Annotated[
        float | None, typer.Option("--max-reward", metavar="X", help="With a reward of at most this.")
    ],
    "text": Annotated[
        str | None,
        typer.Option("--text", "-t", metavar="TEXT", help="With this in the completion or its diagnostics."),
    ],
    "chosen": Annotated[bool, typer.Option("--chosen", help="Only what was trained on.")],
}


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the flags; it receives what they say as its argument `filter`."""
    own = get_type_hints(command, include_extras=True)
    kept = [
        parameter.replace(annotation=own[parameter.name])
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "filter"
    ]
    flags = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=False if name == "chosen" else None, annotation=kind
        )
        for name, kind in _FLAGS.items()
    ]

    @wraps(command)
    def wrapper(**arguments: Any) -> None:
        command(filter=_filter({name: arguments.pop(name) for name in _FLAGS}), **arguments)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept] + flags
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del wrapper.__wrapped__  # typer would read the original's signature
    return wrapper


def nothing_found(ledger: Ledger, filter: Filter) -> DataError:
    """Return the error for a filter that no sample of the run meets; it says what there is."""
    from halo_core.errors import DataError, command, did_you_mean

    run = ledger.directory
    names = [prompt.id for split in ("train", "heldout") for prompt in ledger.prompts(split)]
    if filter.prompt is not None and filter.prompt not in names:
        hint = did_you_mean(filter.prompt, names)
        if not hint.startswith("did"):  # all names, which may be many
            hint = f"prompts are {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        return DataError(f"{run} has no prompt {filter.prompt!r}", hint=hint)
    with ledger.reading() as db:
        (last,) = db.execute("SELECT max(cycle) FROM rounds WHERE batches > 0").fetchone()
    if last is None:
        hint = (
            "it is being worked at" if ledger.in_use else f"{command('halo', 'resume', run)} goes on with it"
        )
        return DataError(f"{run} has no samples yet", hint=hint)
    if filter.cycle is not None and filter.cycle > last:
        return DataError(f"{run} has no samples of cycle {filter.cycle}", hint=f"its last is {last}")
    if filter.cycle == 0 and "train" in (filter.split, filter.chosen and "train"):
        hint = "cycle 0 measures the model before training: its samples are held-out ones"
        return DataError(f"{run} has no such samples", hint=hint)
    if filter.split == "heldout" and (filter.chosen or filter.low is not None or filter.high is not None):
        hint = "held-out samples get no reward and are not trained on"
        return DataError(f"{run} has no such samples", hint=hint)
    return DataError(f"{run} has no such samples", hint="leave a filter out")


def _filter(given: dict[str, Any]) -> Filter:
    from halo_core.errors import ConfigError, did_you_mean
    from halo_core.ledger.browse import Filter
    from halo_core.types import Stage, Status

    known = {
        "split": ("train", "heldout"),
        "status": tuple(map(str, Status)),
        "stage": tuple(map(str, Stage)),
    }
    for name, values in known.items():
        if given[name] is not None and given[name] not in values:
            raise ConfigError(
                f"--{name} {given[name]!r}: there is no such {name}", hint=did_you_mean(given[name], values)
            )
    low, high = given["low"], given["high"]
    if low != low or high != high:
        raise ConfigError("a reward to compare with must be a number")
    if low is not None and high is not None and low > high:
        raise ConfigError(f"--min-reward {low:g} is above --max-reward {high:g}")
    return Filter(**given)
