"""`halo plugins`: what is installed, what its options are, and whether it works here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from halo_core.plugin.discovery import Source

plugins_app = typer.Typer(
    help="List, describe and check plugins.", invoke_without_command=True, rich_markup_mode=None
)
Kind = Annotated[str | None, typer.Option("--kind", "-k", help="Only this kind: verifier, lr_policy, ...")]


@plugins_app.callback()
def list_plugins(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List every installed plugin without importing any."""
    if context.invoked_subcommand is not None:
        return
    sources = _installed(None)
    if as_json:
        typer.echo(json.dumps([_plain(source) for source in sources], indent=2))
        return
    rows = [("kind", "name", "distribution", "version", "target")]
    rows += [(s.kind, s.name, s.distribution, s.version, s.target) for s in sources]
    typer.echo(_table(rows))


@plugins_app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name, or a file as ./file.py:Class.")], kind: Kind = None
) -> None:
    """Show what a plugin does and its options, with types and defaults."""
    from inspect import getdoc

    from halo_core.config.options import options_of
    from halo_core.plugin.discovery import load

    source = _find(name, kind)
    loaded = load(source.kind, source.address)
    typer.echo(f"{source}\n\n{getdoc(loaded.value) or 'no description'}\n")
    options = options_of(loaded.value) if isinstance(loaded.value, type) else []
    rows = [("option", "type", "default", "")]
    rows += [
        (o.name, o.type, "required" if o.default is ... else json.dumps(o.default, default=str), o.help)
        for o in options
    ]
    typer.echo(_table(rows) if options else "no options")


@plugins_app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Names; default: all.")] = None, kind: Kind = None
) -> None:
    """Import, construct and preflight plugins; exit 1 if any fails."""
    sources = [_find(name, kind) for name in names] if names else _installed(kind)
    failures = 0
    for source in sources:
        complaint = _check(source)
        failures += bool(complaint)
        typer.echo(f"{'FAIL' if complaint else 'ok  '}  {source}{': ' + complaint if complaint else ''}")
    if failures:
        raise typer.Exit(1)


def _check(source: Source) -> str:
    """Return what is wrong with a plugin, or an empty string."""
    from halo_core.cli.commands import load_command
    from halo_core.config.kinds import KINDS
    from halo_core.config.options import build, options_of
    from halo_core.errors import HaloError
    from halo_core.plugin.discovery import check_class, load
    from halo_core.plugin.manager import Hooks

    try:
        loaded = load(source.kind, source.address)
        interface = KINDS[source.kind].load_interface() if KINDS[source.kind].interface else None
        value = loaded.value if interface is None else check_class(loaded, interface)
        if isinstance(value, type):
            if any(option.default is ... for option in options_of(value)):
                return ""  # cannot be constructed without being told what for
            value = build(value, {}, where=str(source))
        if source.kind == "command":
            load_command(source.address)
        elif interface is not None:
            value.preflight()
        else:
            Hooks().register(value, loaded.source)
    except HaloError as error:
        return f"{error}{'; ' + error.hint if error.hint else ''}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _find(name: str, kind: str | None) -> Source:
    """Find the one plugin of any kind that `name` means."""
    from halo_core.config.kinds import PACKAGES
    from halo_core.errors import PluginError, did_you_mean

    everything = _installed(kind)
    if name.partition(":")[0].endswith(".py"):
        return _in_file(name, kind)
    found = [source for source in everything if name in (source.name, source.address)]
    if not found:
        packages = {short: package for (each, short), package in PACKAGES.items() if kind in (None, each)}
        hint = f"pip install {packages[name]}" if name in packages else ""
        hint = hint or did_you_mean(name, {source.name for source in everything})
        raise PluginError(f"no {kind or 'plugin'} named {name!r} is installed", hint=hint)
    if len(found) > 1:
        one_kind = len({source.kind for source in found}) == 1
        ways = [source.address if one_kind else f"--kind {source.kind}" for source in found]
        raise PluginError(
            f"{name!r} means {', '.join(map(str, found))}", hint=f"say which: {' or '.join(ways)}"
        )
    return found[0]


def _in_file(name: str, kind: str | None) -> Source:
    """Find a plugin in a file, taking its kind from its class unless told."""
    from dataclasses import replace

    from halo_core.config.kinds import KINDS
    from halo_core.plugin.discovery import load

    loaded = load(kind or "plugin", name)
    is_class = isinstance(loaded.value, type)
    kinds = [
        each.name
        for each in KINDS.values()
        if each.interface and is_class and issubclass(loaded.value, each.load_interface())
    ]
    return replace(loaded.source, kind=kind or (kinds or ["plugin"])[0])


def _installed(kind: str | None) -> list[Source]:
    from halo_core.config.kinds import KINDS
    from halo_core.errors import ConfigError, did_you_mean
    from halo_core.plugin.discovery import available

    if kind is not None and kind not in KINDS:
        raise ConfigError(f"no such kind: {kind!r}", hint=did_you_mean(kind, KINDS))
    return [source for each in KINDS if kind in (None, each) for source in available(each)]


def _plain(source: Source) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(source)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
