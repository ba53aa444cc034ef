"""`halo export`: a run's samples as files that `datasets` and other trainers load."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from halo_core.cli.filters import takes_filter

_FORMATS = ("jsonl", "parquet", "sft", "dpo")
_ROWS = 10_000
"""Rows of a Parquet row group."""


@takes_filter
def export(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    filter: Any,
    to: Annotated[
        str,
        typer.Option(
            help="jsonl: every sample with all that is known of it; parquet: the same; "
            "sft: prompt and completion of what passed (--chosen: of what was trained on), each once; "
            "dpo: prompt, chosen, rejected."
        ),
    ] = "jsonl",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write here, not to stdout.")] = None,
    pairs: Annotated[int, typer.Option(min=1, help="dpo: pairs of one prompt in one cycle, at most.")] = 1,
) -> None:
    """Write samples as JSON Lines or Parquet, for `datasets`, `halo sft` or another trainer."""
    from halo_core.errors import ConfigError, did_you_mean
    from halo_core.ledger import export as rows
    from halo_core.ledger import open_run

    if to not in _FORMATS:
        raise ConfigError(f"--to {to!r} is none", hint=did_you_mean(to, _FORMATS))
    ledger = open_run(directory)
    if to == "parquet":
        count = _parquet(output, rows.sample_rows(ledger, filter))
    else:
        made = {
            "jsonl": lambda: rows.sample_rows(ledger, filter),
            "sft": lambda: rows.sft_rows(ledger, filter),
            "dpo": lambda: rows.dpo_rows(ledger, filter, pairs=pairs),
        }[to]()
        count = _lines(output, made)
    print(f"{count} rows" + (f" in {output}" if output else ""), file=sys.stderr)


def _lines(output: Path | None, rows: Iterable[dict[str, Any]]) -> int:
    from contextlib import nullcontext

    from halo_core.errors import ConfigError

    count = 0
    try:
        with nullcontext(sys.stdout) if output is None else output.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row) + "\n")
                count += 1
    except OSError as error:
        raise ConfigError(f"cannot write {output or 'to standard output'}: {error.strerror}") from error
    return count


def _parquet(output: Path | None, rows: Iterator[dict[str, Any]]) -> int:
    from halo_core.errors import ConfigError

    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError("writing Parquet needs pyarrow", hint='pip install "halo-core[data]"') from error
    if output is None:
        raise ConfigError("Parquet is no text for a terminal", hint="say where to: --output samples.parquet")
    count = 0
    schema = pyarrow.schema(
        [
            ("cycle", pyarrow.int64()),
            *((name, pyarrow.string()) for name in ("split", "prompt_id")),
            ("index", pyarrow.int64()),
            ("messages", pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))),
            *((name, pyarrow.string()) for name in ("completion", "status", "stage")),
            ("score", pyarrow.float64()),
            ("warnings", pyarrow.int64()),
            ("detail", pyarrow.string()),
            *((name, pyarrow.float64()) for name in ("reward", "weight")),
            ("finish_reason", pyarrow.string()),
            ("logprob", pyarrow.float64()),
            *((name, pyarrow.list_(pyarrow.int64())) for name in ("prompt_token_ids", "token_ids")),
        ]
    )  # fmt: skip
    try:
        with pyarrow.parquet.ParquetWriter(output, schema) as writer:
            while chunk := [_unicode(row) for row in islice(rows, _ROWS)]:
                writer.write_table(pyarrow.Table.from_pylist(chunk, schema=schema))
                count += len(chunk)
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror or error}") from error
    return count


def _unicode(row: dict[str, Any]) -> dict[str, Any]:
    """Replace what is not Unicode (lone surrogates), which Parquet cannot hold."""
    return {
        key: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for key, value in row.items()
    }
