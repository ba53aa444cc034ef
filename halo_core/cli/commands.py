"""Commands that packages add to `halo`, through the entry-point group `halo.commands`.

    [project.entry-points."halo.commands"]
    lr = "halo_lr_policies.lr_command.app:app"

The entry point names a `typer.Typer` or a function. `halo --help` lists the commands without importing them; a
command is imported when it is called. A package cannot replace a command of halo itself.
"""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from halo_core.cli.misplaced import hint_for, hint_for_option


class HaloGroup(TyperGroup):
    """The `halo` command group: its own commands and those of installed packages."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of halo's own commands, then those of packages in alphabetical order."""
        own = super().list_commands(ctx)
        return [*own, *sorted(_installed().keys() - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; for a package's command, a placeholder with its name and distribution."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        owners = _installed().get(cmd_name)
        return TyperCommand(cmd_name, short_help=_summary(owners)) if owners else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that `args` call; import it if it belongs to a package."""
        name = args[0]
        if super().get_command(ctx, name) is None and _is_from_package(name):
            return name, load_command(name), args[1:]
        return super().resolve_command(ctx, args)


def _summary(owners: list[str]) -> str:
    """Return the summary of the distribution that provides a command, or their names if there are several."""
    from importlib.metadata import metadata

    text = metadata(owners[0]).json.get("summary") if len(owners) == 1 else None
    return str(text) if text else f"Command of {' and '.join(owners)}."


def is_usage_error(error: BaseException) -> bool:
    """Return whether typer raised `error` because a command was called with wrong arguments."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def usage_error(error: Any) -> tuple[str, str]:
    """Return the message and the hint of typer's error; print the help and return "" if the arguments were missing.

    Typer itself would print three lines before the message.
    """
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return "", ""
    text = error.format_message().strip()
    known = re.fullmatch(r"(.*?)\.? \(?(Did you mean|Possible options:) (.*?)[?)]*", text, re.DOTALL)
    message = known[1] if known else text.removesuffix(".")
    message = re.sub(r"Input should be (.*?)(, unable to parse .*)?$", r"it must be \1", message)
    message = message.replace(": Value error, ", ": ")
    path = context.command_path if context else "halo"
    hint = f"did you mean {known[3]}?" if known else ""
    if extra := re.search(r"extra argument(?:s|\(s\))? \(([^\s)]+)", text):
        hint = hint_for(context, extra[1])
    elif context and (flag := getattr(error, "option_name", "")) and type(error).__name__ == "NoSuchOption":
        hint = hint_for_option(context, flag) or hint
    hint = hint or f"{path} -h shows how to call it"
    return message[:1].lower() + message[1:], hint


def _installed() -> dict[str, list[str]]:
    """Return the distributions that provide each command, without importing them."""
    from halo_core.plugin.installed import entry_points, owner

    found: dict[str, list[str]] = {}
    for entry in entry_points(group="halo.commands"):
        found.setdefault(entry.name, []).append(owner(entry.dist).name if entry.dist else "?")
    return found


def _is_from_package(name: str) -> bool:
    from halo_core.config.kinds import PACKAGES

    return name.rpartition(":")[2] in _installed() or ("command", name) in PACKAGES


def load_command(name: str) -> Any:
    """Import and return a command: a group for a `typer.Typer`, a plain command for a function.

    Raises a `PluginError` if it cannot be imported or is neither, or if several distributions provide the name.
    """
    from halo_core.errors import PluginError
    from halo_core.plugin.discovery import load

    loaded = load("command", name)
    value = loaded.value
    if isinstance(value, typer.Typer):
        command: Any = typer.main.get_group(value)
    elif callable(value):
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        app.command()(value)
        command = typer.main.get_command(app)
    else:
        raise PluginError(
            f"{loaded.source} is {type(value).__name__}, not a command",
            hint="its entry point must name a typer.Typer or a function",
        )
    command.name = name
    return command
