"""Safe output: text without terminal control codes, and files that are complete or absent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_HARMLESS = "\n\u200c\u200d"
"""Characters that Python calls unprintable and texts need: line ends, and joiners of letters and emoji."""
_RUN_FILES = (".lock", "run.yaml", "plugins.json", "machine.json", "run.log", "cycles")
_DATABASE = "ledger.db"


def printable(text: str) -> str:
    """Return `text` with U+FFFD for characters that would move the terminal's cursor or change its colours."""
    return "".join(letter if letter.isprintable() or letter in _HARMLESS else "\ufffd" for letter in text)


def name_of(path: Path) -> str:
    """Return a path for a line of a table."""
    return printable(str(path)).replace("\n", "\ufffd")


def check_output(output: Path) -> None:
    """Raise a `ConfigError` if `output` is a directory or a file that a run needs."""
    from halo_core.errors import ConfigError

    if output.is_dir():
        raise ConfigError(f"{output} is a directory", hint="name a file")
    resolved = output.resolve()
    for run in resolved.parents:
        if (run / "run.yaml").is_file():
            name = resolved.relative_to(run).parts[0]
            if name in _RUN_FILES or name.startswith(_DATABASE):
                raise ConfigError(f"{output} is part of the run in {run}", hint="write to another file")


def print_json(value: object) -> None:
    """Print a value, dataclasses included, as indented JSON; paths as text."""
    import json
    from dataclasses import asdict, is_dataclass

    def plain(other: Any) -> Any:
        return asdict(other) if is_dataclass(other) and not isinstance(other, type) else str(other)

    print(json.dumps(value, indent=2, default=plain))


@contextmanager
def atomic_output(output: Path) -> Iterator[Path]:
    """Yield a path to write to; on exit the file written there replaces `output`, on an error it is deleted.

    For a device or a pipe, the path is that of `output` itself. Raises a `ConfigError` if a disk operation fails.
    """
    from halo_core.errors import ConfigError, file_hint, os_message

    check_output(output)
    target = output.resolve()
    direct = target.exists() and not target.is_file()
    partial = target if direct else target.with_name(f"partial.{target.name}")
    try:
        yield partial
        if not direct:
            partial.replace(target)
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {os_message(error)}", hint=file_hint(error)) from error
    finally:
        if not direct:
            with suppress(OSError):  # a disk that cannot be written to
                partial.unlink()
