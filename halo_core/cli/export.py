"""`halo export`: write a run's samples as files that `datasets` and other trainers load."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from halo_core.cli.filters import takes_filter
from halo_core.cli.output import atomic_output
from halo_core.cli.signatures import RunDirectory

_FORMATS = ("jsonl", "parquet", "sft", "dpo", "gguf")
_CONVERTER = "convert_hf_to_gguf.py"
_ROWS = 10_000
"""Rows per Parquet row group."""
_Rows = Iterator[dict[str, Any]]


@takes_filter
def export(
    directory: RunDirectory,
    to: Annotated[
        str,
        typer.Option(
            metavar="|".join(_FORMATS),
            help="jsonl, parquet: every sample with all its data. "
            "sft: prompt and completion of the samples that passed (--chosen: that were trained on with a positive "
            "weight), without duplicates. dpo: prompt, chosen, rejected. sft and dpo include held-out prompts only "
            "with --split heldout. gguf: the model itself, by the converter of llama.cpp.",
        ),
    ] = "jsonl",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of to stdout.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=1, metavar="N", help="dpo: maximum pairs per prompt and cycle.")
    ] = 1,
    chat: Annotated[
        bool, typer.Option("--chat", help="sft, dpo: text as chats, for a model with a chat template.")
    ] = False,
    truncated: Annotated[
        bool,
        typer.Option("--truncated", help="sft, dpo: include completions that the token limit cut short."),
    ] = False,
    *,
    filter: Any,
) -> None:
    """Export samples as JSON Lines or Parquet, or the model as GGUF.

    The files load with `datasets`, `halo sft` and other trainers. For GGUF, the converter of llama.cpp is on PATH, or
    in the directory that LLAMA_CPP names.
    """
    from halo_core.errors import ConfigError, did_you_mean
    from halo_core.ledger import export as exports
    from halo_core.ledger.ledger import open_run

    if to not in _FORMATS:
        raise ConfigError(f"--to: unknown format {to!r}", hint=did_you_mean(to, _FORMATS))
    if to == "gguf":
        return _export_gguf(directory, output, "last" if filter.cycle is None else str(filter.cycle))
    ledger = open_run(directory)
    make_rows = {
        "jsonl": partial(exports.sample_rows, ledger, filter),
        "parquet": partial(exports.sample_rows, ledger, filter),
        "sft": partial(exports.sft_rows, ledger, filter, chat=chat, truncated=truncated),
        "dpo": partial(exports.dpo_rows, ledger, filter, pairs=pairs, chat=chat, truncated=truncated),
    }[to]
    rows = _require_rows(make_rows(), to, ledger, filter)
    count = _write_parquet(output, rows) if to == "parquet" else _write_jsonl(output, rows)
    print(f"{count} rows" + (f" in {output}" if output else ""), file=sys.stderr)
    return None


def _export_gguf(directory: Path, output: Path | None, cycle: str) -> None:
    """Merge the weights of a cycle and convert them with llama.cpp. Raises a `ConfigError` if it is not installed."""
    import subprocess
    import tempfile

    from halo_core.cli.output import check_output
    from halo_core.cli.weights import write_merged
    from halo_core.errors import ConfigError, command, first_line

    name = directory.resolve().name
    output = output or Path(f"{name}.gguf")
    check_output(output)
    converter = _converter()
    if converter is None:
        merged = Path(f"{name}-merged")
        first = command("halo", "merge", directory, merged, "--cycle", cycle)
        second = command("python", f"llama.cpp/{_CONVERTER}", merged, "--outfile", output)
        raise ConfigError(
            f"the converter of llama.cpp, {_CONVERTER}, is neither on PATH nor in the directory LLAMA_CPP",
            hint=f"get github.com/ggml-org/llama.cpp, then: {first} && {second}",
        )
    with tempfile.TemporaryDirectory(prefix="halo-") as place:
        model = Path(place) / "model"
        write_merged(directory, model, cycle)
        with atomic_output(output) as path:
            done = subprocess.run(
                [*converter, str(model), "--outfile", str(path)], capture_output=True, text=True, check=False
            )
            if done.returncode or not path.is_file():
                lines = [line for line in done.stderr.splitlines() if line.strip()]
                reason = first_line(RuntimeError(lines[-1] if lines else f"exit code {done.returncode}"))
                raise ConfigError(
                    f"{_CONVERTER} failed: {reason}", hint="it does not know every architecture"
                )
    print(f"{output}: the model in GGUF", file=sys.stderr)


def _converter() -> list[str] | None:
    """Return the command of llama.cpp's converter; None if it is not installed."""
    if home := os.environ.get("LLAMA_CPP"):
        script = Path(home).expanduser() / _CONVERTER
        return [sys.executable, str(script)] if script.is_file() else None
    found = shutil.which(_CONVERTER)
    return [found] if found else None


def _require_rows(rows: _Rows, to: str, ledger: Any, filter: Any) -> _Rows:
    """Return `rows`. Raises a `DataError` if they are empty, because loaders reject an empty file."""
    from halo_core.cli.filters import no_match
    from halo_core.errors import DataError
    from halo_core.ledger.browse import find

    first = next(rows, None)
    if first is not None:
        return chain([first], rows)
    if next(find(ledger, filter, limit=1), None) is None:
        raise no_match(ledger, filter)
    hints = {
        "sft": "sft exports samples that passed: name a --status or --stage for others, --split heldout for"
        " held-out prompts, and --truncated for completions that were cut short",
        "dpo": "dpo needs two samples of one prompt in one cycle with different rewards, and --split heldout for"
        " held-out prompts",
    }
    raise DataError(f"{ledger.directory}: no {to} row can be made from these samples", hint=hints.get(to, ""))


def _write_jsonl(output: Path | None, rows: _Rows) -> int:
    if output is None:
        return _write_lines(sys.stdout, rows)
    with atomic_output(output) as path, path.open("w", encoding="utf-8") as file:
        return _write_lines(file, rows)


def _write_lines(file: Any, rows: _Rows) -> int:
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        file.write(json.dumps(row) + "\n")
    return count


def _write_parquet(output: Path | None, rows: _Rows) -> int:
    from halo_core.errors import ConfigError

    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError("writing Parquet needs pyarrow", hint='pip install "halo-core[data]"') from error
    if output is None:
        raise ConfigError("Parquet cannot be written to stdout", hint="name a file: --output samples.parquet")
    count = 0
    schema = _schema()
    with (
        atomic_output(output) as path,
        path.open("wb") as file,
        pyarrow.parquet.ParquetWriter(file, schema) as writer,
    ):
        while chunk := list(islice(rows, _ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema=schema))
            count += len(chunk)
    return count


def _schema() -> Any:
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    return pa.schema(
        [
            ("cycle", pa.int64()),
            *((name, pa.string()) for name in ("split", "prompt_id")),
            ("index", pa.int64()),
            ("messages", pa.list_(message)),
            *((name, pa.string()) for name in ("completion", "status", "stage")),
            ("score", pa.float64()),
            ("warnings", pa.int64()),
            ("detail", pa.string()),
            *((name, pa.float64()) for name in ("cpu_seconds", "wall_seconds")),
            *((name, pa.string()) for name in ("sandbox", "integrity")),
            ("signals", pa.string()),
            *((name, pa.float64()) for name in ("reward", "weight")),
            ("finish_reason", pa.string()),
            ("logprobs", pa.list_(pa.float32())),
            ("loss_mask", pa.list_(pa.bool_())),
            *((name, pa.list_(pa.int64())) for name in ("prompt_token_ids", "token_ids")),
        ]
    )
