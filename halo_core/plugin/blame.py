"""Blame: notes on an exception that name the plugin which raised it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from halo_core.errors import HaloError, PluginError
from halo_core.plugin.discovery import Source

_BLAME = "raised by "


def add_blame(error: BaseException, who: str) -> None:
    """Add a note to `error` that `who` raised it, unless an inner caller has been blamed already."""
    if not any(note.startswith(_BLAME) for note in getattr(error, "__notes__", ())):
        error.add_note(f"{_BLAME}{who}")


def blame_of(error: BaseException) -> str:
    """Return the note that `add_blame` added, or an empty string."""
    return next((note for note in getattr(error, "__notes__", ()) if note.startswith(_BLAME)), "")


def preflight(plugin: object, source: Source) -> None:
    """Call the `preflight` of a driver, or of a hook plugin that has one; blame `source` for an exception."""
    check = getattr(plugin, "preflight", None)
    if callable(check):
        with blamed(source):
            check()


def exited(who: str, error: SystemExit) -> PluginError:
    """Return the error for a plugin that called `sys.exit`."""
    return PluginError(
        f"{who} called sys.exit({error.code!r})",
        hint="to end a run, raise an error of halo_core with a message",
    )


@contextmanager
def blamed(source: Source) -> Iterator[None]:
    """Blame `source` for every exception except `HaloError`, which is already meant for users.

    `SystemExit` becomes a `PluginError`: it would end the process without any message.
    """
    try:
        yield
    except HaloError:
        raise
    except SystemExit as error:
        raise exited(str(source), error) from error
    except Exception as error:
        add_blame(error, str(source))
        raise
