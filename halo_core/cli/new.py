"""`halo new`: create a plugin package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="verifier, generator, reward, selector, trainer, lr-policy or plugin."
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name that runs select it by: roman-numerals.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="New directory.  [default: halo-KIND-NAME]"),
    ] = None,
    program: Annotated[bool, typer.Option("--program", help="A verifier that runs programs.")] = False,
) -> None:
    """Create a package with a new driver or plugin.

    The package has an example that works, its contract tests, a README and a CI file. A verifier also has prompts,
    reference answers and attacks.
    """
    from halo_core.errors import ConfigError
    from halo_core.plugin.discovery import available
    from halo_core.scaffold.packages import Scaffold, render, write

    scaffold = Scaffold(kind.replace("-", "_"), name, program)
    if taken := {source.distribution for source in available(scaffold.kind) if source.name == name}:
        raise ConfigError(
            f"{scaffold.kind} {name!r} exists already, in {' and '.join(sorted(taken))}",
            hint="choose another name",
        )
    directory = output or Path(scaffold.distribution)
    files = render(scaffold)
    write(directory, files)
    for path in files:
        typer.echo(directory / path)
    typer.echo("\n".join(["", *_next_steps(directory, scaffold.kind, name)]))


def _next_steps(directory: Path, kind: str, name: str) -> list[str]:
    """Return the commands to type next."""
    from halo_core.errors import command

    steps = [command("pip", "install", "-e", f"{directory}[test]"), command("pytest", directory)]
    data = directory / "prompts.jsonl"
    if kind == "verifier":
        steps += [
            command("halo", "audit", "--verifier", name, "--data", data),
            command("halo", "run", "--verifier", name, "--data", data, "--model", "MODEL"),
        ]
    else:
        steps.append(command("halo", "run", "--verifier", "gcc", f"--{kind.replace('_', '-')}", name))
    return steps
