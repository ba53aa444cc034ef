"""`halo plugins`: list, describe and check the installed plugins."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.output import print_json
from halo_core.cli.signatures import AsJSON

if TYPE_CHECKING:
    from halo_core.plugin.discovery import Source

plugins_app = typer.Typer(
    help="List, describe and check plugins.\n\nWithout a command: list all installed plugins.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
KindOption = Annotated[
    str | None,
    typer.Option("--kind", "-k", metavar="KIND", help="Only this kind: verifier, lr_policy, ..."),
]

_LISTING = ("kind", "name", "distribution", "version", "target")
_OPTIONS = ("option", "type", "default", "")


@plugins_app.callback()
def list_plugins(
    context: typer.Context,
    as_json: AsJSON = False,
) -> None:
    """List all installed plugins without importing any."""
    from halo_core.tables import table

    if context.invoked_subcommand is not None:
        return
    sources = _installed(None)
    if as_json:
        print_json(sources)
        return
    rows = [(s.kind, s.name, s.distribution, s.version, s.target) for s in sources]
    typer.echo(table([_LISTING, *rows], left=len(_LISTING), ranks=(1, 0, 2, 3, 4)))


@plugins_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name, or a file as ./file.py:Class.")],
    kind: KindOption = None,
    as_json: AsJSON = False,
) -> None:
    """Show the description of a plugin and its options."""
    from inspect import getdoc

    from halo_core.config.options import options_of
    from halo_core.plugin.discovery import load
    from halo_core.tables import table

    source = _find(name, kind)
    loaded = load(source.kind, source.address)
    description = getdoc(loaded.value) or "no description"
    options = options_of(loaded.value) if isinstance(loaded.value, type) else []
    if as_json:
        listed = [asdict(o) | {"required": o.default is ..., "default": _plain(o.default)} for o in options]
        print_json({**asdict(source), "description": description, "options": listed})
        return
    typer.echo(f"{source}\n\n{description}\n")
    rows = [
        (o.name, o.type, "required" if o.default is ... else json.dumps(o.default, default=str), o.help)
        for o in options
    ]
    typer.echo(table([_OPTIONS, *rows], left=len(_OPTIONS)) if options else "no options")


@plugins_app.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names or files; default: all installed plugins."),
    ] = None,
    kind: KindOption = None,
    as_json: AsJSON = False,
) -> None:
    """Import, construct and preflight plugins; exit with 1 if one fails."""
    sources = [_find(name, kind) for name in names] if names else _installed(kind)
    problems: list[str] = []
    for source in sources:
        problems.append(problem := _problem(source))
        if not as_json:
            reason = f": {problem.removeprefix(f'{source} ')}" if problem else ""
            typer.echo(f"{'FAIL' if problem else 'ok  '}  {source}{reason}")
    if as_json:
        rows = zip(sources, problems, strict=True)
        print_json([asdict(source) | {"ok": not problem, "problem": problem} for source, problem in rows])
    if any(problems):
        raise typer.Exit(1)


def _plain(default: Any) -> Any:
    return None if default is ... else default


def _problem(source: Source) -> str:
    """Return the error of a plugin, or an empty string."""
    from halo_core.cli.commands import load_command
    from halo_core.config.kinds import COMMAND
    from halo_core.errors import HaloError

    try:
        load_command(source.address) if source.kind == COMMAND else _try(source)
    except HaloError as error:
        return f"{error}{'; ' + error.hint if error.hint else ''}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _try(source: Source) -> None:
    """Load, construct and preflight a plugin, and call the methods of a verifier that need no completion.

    Without its required options a plugin is only loaded: it cannot be constructed.
    """
    from halo_core.config.options import options_of
    from halo_core.config.schema import DriverSpec
    from halo_core.plugin.blame import preflight
    from halo_core.plugin.discovery import load
    from halo_core.plugin.hook_checks import check_plugin
    from halo_core.plugin.loading import load_class, load_driver, load_plugin
    from halo_core.verification.verifiers import VerifierSet

    spec = DriverSpec(name=source.address)
    hooks = source.kind == "plugin"
    value = (load(source.kind, spec.name) if hooks else load_class(source.kind, spec.name)).value
    if isinstance(value, type) and any(option.default is ... for option in options_of(value)):
        if hooks:
            check_plugin(value, source)
        return
    if hooks:
        preflight(*load_plugin(spec))
        return
    driver, found = load_driver(source.kind, spec)
    preflight(driver, found)
    if source.kind == "verifier":
        VerifierSet({source.name: driver}, {source.name: found}).check_answers()


def _find(name: str, kind: str | None) -> Source:
    """Return the plugin called `name`. Raises an `UnknownPluginError` if there is not exactly one."""
    from halo_core.config.kinds import PACKAGES
    from halo_core.errors import UnknownPluginError, did_you_mean

    installed = _installed(kind)
    if name.partition(":")[0].endswith(".py"):
        return _in_file(name, kind)
    found = [source for source in installed if name in (source.name, source.address)]
    if not found:
        packages = {short: package for (each, short), package in PACKAGES.items() if kind in (None, each)}
        hint = f"pip install {packages[name]}" if name in packages else ""
        hint = hint or did_you_mean(name, {source.name for source in installed})
        raise UnknownPluginError(f"no {kind or 'plugin'} named {name!r} is installed", hint=hint)
    if len(found) > 1:
        one_kind = len({source.kind for source in found}) == 1
        choices = [source.address if one_kind else f"--kind {source.kind}" for source in found]
        raise UnknownPluginError(
            f"{name!r} is ambiguous: {', '.join(map(str, found))}", hint=f"choose one: {' or '.join(choices)}"
        )
    return found[0]


def _in_file(name: str, kind: str | None) -> Source:
    """Return the plugin in a file; without `kind`, its class determines the kind."""
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
    from halo_core.config.kinds import COMMAND, KINDS
    from halo_core.errors import ConfigError, did_you_mean
    from halo_core.plugin.discovery import available

    kinds = [*KINDS, COMMAND]
    if kind is not None and kind not in kinds:
        raise ConfigError(f"unknown kind {kind!r}", hint=did_you_mean(kind, kinds))
    return [source for each in kinds if kind in (None, each) for source in available(each)]
