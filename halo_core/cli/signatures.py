"""Signatures that commands share: common arguments, and flags that one parameter of a command expands to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Events = Annotated[bool, typer.Option("--json", help="Print one JSON object per line instead of the table.")]
SandboxTier = Literal["auto", "strong", "standard", "weak", "none"]


def flag(
    name: str,
    annotation: Any,
    help: str,
    *,
    default: object = None,
    spellings: Sequence[str] = (),
    **settings: Any,
) -> inspect.Parameter:
    """Return a parameter that Typer reads as an option. Without `spellings`, its flag is `name` with dashes."""
    names = spellings or [f"--{name.replace('_', '-')}"]
    option = typer.Option(*names, help=help, show_default=False, **settings)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, option]
    )


def expand(
    parameter: str, flags: Sequence[inspect.Parameter], combine: Callable[[dict[str, Any]], object]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that replaces `parameter` of a command by `flags`.

    The command still receives `parameter`: the result of `combine`, called with the value of each flag by name.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        annotations = get_type_hints(command, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for own in inspect.signature(command).parameters.values():
            kept = own.replace(annotation=annotations[own.name], kind=inspect.Parameter.KEYWORD_ONLY)
            parameters += flags if own.name == parameter else [kept]

        @wraps(command)
        def wrapper(**arguments: Any) -> None:
            values = {each.name: arguments.pop(each.name) for each in flags}
            command(**{parameter: combine(values)}, **arguments)

        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
        del wrapper.__wrapped__  # Typer would read the signature of the original
        return wrapper

    return decorate
