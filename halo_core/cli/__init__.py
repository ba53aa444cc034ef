"""The command line: one module per command, with heavy imports inside the functions.

`halo --help` must stay fast: importing this package must not import pydantic, numpy, torch or yaml.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from halo_core.cli.audit import audit
from halo_core.cli.commands import HaloGroup, is_usage_error, usage_error
from halo_core.cli.compare import compare
from halo_core.cli.configs import config_app
from halo_core.cli.diagnose import diagnose
from halo_core.cli.diff import diff
from halo_core.cli.doctor import doctor
from halo_core.cli.evaluate import evaluate
from halo_core.cli.export import export
from halo_core.cli.init import init
from halo_core.cli.new import new
from halo_core.cli.plugins import plugins_app
from halo_core.cli.report import report
from halo_core.cli.reverify import reselect, reverify
from halo_core.cli.run import resume, run
from halo_core.cli.runs import runs
from halo_core.cli.samples import samples
from halo_core.cli.sft import sft
from halo_core.cli.verify import verify
from halo_core.cli.weights import generate, merge
from halo_core.errors import HaloError, file_hint, os_message

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PATH_ERRORS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, *_FULL)
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)

app = typer.Typer(
    name="halo",
    cls=HaloGroup,
    help="Train language models with rewards that a program can check.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(init)
app.command()(run)
app.command()(resume)
app.command("eval")(evaluate)
app.command()(generate)
app.command()(merge)
app.command()(sft)
app.command()(audit)
app.command()(verify)
app.command()(diagnose)
app.command()(runs)
app.command()(report)
app.command()(samples)
app.command()(export)
app.command()(compare)
app.command()(diff)
app.command()(reverify)
app.command()(reselect)
app.command()(doctor)
app.command()(new)
app.add_typer(plugins_app, name="plugins")
app.add_typer(config_app, name="config")


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"halo {version('halo-core')}")
        raise typer.Exit


@app.callback()
def _globals(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; allowed in any position.")] = False,
) -> None:
    """Options of all commands."""


def _hide_deprecations() -> None:
    """Print no warnings about deprecated parts of libraries: a user of the command line cannot change their callers."""
    show = warnings.showwarning

    def show_others(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)):
            show(message, category, *args, **kwargs)

    warnings.showwarning = show_others  # some libraries set filters that print all of them


def main() -> None:
    """Run the command line; print an error as one line and exit with its code."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if not debug:
        _hide_deprecations()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for characters outside the terminal's encoding
    try:
        code = app(args=arguments, prog_name="halo", standalone_mode=False) or 0
        sys.stdout.flush()  # or Python reports an error after the end, in its own words
        sys.exit(code)
    except typer.Abort:
        sys.exit(1)
    except BrokenPipeError:  # `halo export RUN | head`
        _close_stdout()
        sys.exit(1)
    except HaloError as error:
        if debug:
            raise
        sys.exit(_print_error(str(error), error.hint, _notes(error), error.exit_code))
    except Exception as error:
        if is_usage_error(error):
            sys.exit(_print_usage_error(error))
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in _PATH_ERRORS and (place := _place(error)):
            message, hint = f"{place}: {os_message(error)}", file_hint(error)
        else:
            message, hint = f"{type(error).__name__}: {error}", _hint(error)
        sys.exit(_print_error(message, hint, _notes(error), 1))


def _place(error: OSError) -> str:
    """Return the file that an error is about; empty if that is unknown."""
    if error.filename:
        return str(error.filename)
    try:
        print(flush=True)  # fails again, if it was the standard output
    except OSError:
        _close_stdout()
        return "standard output"
    return ""


def _close_stdout() -> None:
    """Discard what could not be written, which Python would try again at its end."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _print_usage_error(error: Any) -> int:
    message, hint = usage_error(error)
    return _print_error(message, hint, "", error.exit_code) if message else int(error.exit_code)


def _hint(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return file_hint(error)
    if os_message(error) in map(os.strerror, _DISK_ERRORS):
        return "check the disk, its free space and its permissions; --debug shows the traceback"
    if _notes(error):
        return "--debug shows the traceback"
    return "this is a bug in halo: please report it, with the output of the same command and --debug"


def _notes(error: BaseException) -> str:
    return "; ".join(getattr(error, "__notes__", ()))


def _print_error(message: str, hint: str, notes: str, code: int) -> int:
    line = " ".join(message.split())
    if notes:
        line += f" ({notes})"
    with suppress(BrokenPipeError):  # the exit code tells the rest
        print(f"halo: error: {line}", file=sys.stderr)
        if hint:
            print(f"halo: hint: {hint}", file=sys.stderr)
    return code
