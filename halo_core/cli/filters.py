"""The flags that say which samples of a run are meant, shared by `halo samples` and `halo export`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

_FLAGS: dict[str, Any] = {
    "cycle": Annotated[int | None, typer.Option("--cycle", "-c", help="Of this cycle.")],
    "split": Annotated[str | None, typer.Option("--split", help="train or heldout.")],
    "prompt": Annotated[str | None, typer.Option("--prompt", "-p", help="Of the prompt with this id.")],
    "status": Annotated[str | None, typer.Option("--status", help="pass, fail, error or inconclusive.")],
    "stage": Annotated[
        str | None,
        typer.Option("--stage", "-s", help="invalid, flawed, untested, crashed, wrong or correct."),
    ],
    "low": Annotated[float | None, typer.Option("--min-reward", help="With a reward of at least this.")],
    "high": Annotated[float | None, typer.Option("--max-reward", help="With a reward of at most this.")],
    "text": Annotated[
        str | None, typer.Option("--text", "-t", help="With this in the completion or its diagnostics.")
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


def _filter(given: dict[str, Any]) -> Any:
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
            raise ConfigError(f"--{name} {given[name]!r} is none", hint=did_you_mean(given[name], values))
    return Filter(**given)
