"""What commands write: texts that cannot play with the terminal, files that are whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HARMLESS = "\n\u200c\u200d"
"""What Python calls unprintable and texts need: line ends, and what parts or joins letters and emoji."""
_OF_A_RUN = (".lock", "run.yaml", "plugins.json", "machine.json", "cycles")
_DATABASE = "ledger.db"


def printable(text: str) -> str:
    """Return `text` with U+FFFD for what would move the terminal's cursor or change its colours."""
    return "".join(letter if letter.isprintable() or letter in _HARMLESS else "\ufffd" for letter in text)


def name_of(path: Path) -> str:
    """Return a path for a line of a table."""
    return printable(str(path)).replace("\n", "\ufffd")


def check_output(output: Path) -> None:
    """Raise a `ConfigError` for a directory, and for a file that a run needs."""
    from halo_core.errors import ConfigError

    if output.is_dir():
        raise ConfigError(f"{output} is a directory", hint="name a file")
    whole = output.resolve()
    for run in whole.parents:
        if (run / "run.yaml").is_file():
            name = whole.relative_to(run).parts[0]
            if name in _OF_A_RUN or name.startswith(_DATABASE):
                raise ConfigError(f"{output} is part of the run in {run}", hint="write to another file")


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """Give a path to write to; what is written there takes the place of `output` when it is whole.

    A device or a pipe is written to as it is. Raises a `ConfigError` when the disk does not play along.
    """
    from halo_core.errors import ConfigError

    check_output(output)
    target = output.resolve()
    direct = target.exists() and not target.is_file()
    beside = target if direct else target.with_name(f"partial.{target.name}")
    try:
        yield beside
        if not direct:
            beside.replace(target)
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        if not direct:
            beside.unlink(missing_ok=True)
