"""`halo export`: a run's samples as files that `datasets` and other trainers load."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from halo_core.cli.filters import Directory, takes_filter
from halo_core.cli.output import replacing

_FORMATS = ("jsonl", "parquet", "sft", "dpo")
_ROWS = 10_000
"""Rows of a Parquet row group."""
_Rows = Iterator[dict[str, Any]]


@takes_filter
def export(
    directory: Directory,
    filter: Any,
    to: Annotated[
        str,
        typer.Option(
            metavar="|".join(_FORMATS),
            help="jsonl: every sample with all that is known of it; parquet: the same; "
            "sft: prompt and completion of what passed (--chosen: of what was trained on), each once; "
            "dpo: prompt, chosen, rejected. The last two leave held-out prompts out, but for --split heldout.",
        ),
    ] = "jsonl",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here, not to stdout.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=1, metavar="N", help="dpo: pairs of one prompt in one cycle, at most.")
    ] = 1,
    chat: Annotated[
        bool, typer.Option("--chat", help="sft, dpo: text as chats, for a model with a chat template.")
    ] = False,
) -> None:
    """Write samples as JSON Lines or Parquet, for `datasets`, `halo sft` or another trainer."""
    from halo_core.errors import ConfigError, did_you_mean
    from halo_core.ledger import export as rows
    from halo_core.ledger.ledger import open_run

    if to not in _FORMATS:
        raise ConfigError(f"--to {to!r}: there is no such format", hint=did_you_mean(to, _FORMATS))
    ledger = open_run(directory)
    made = {
        "jsonl": partial(rows.sample_rows, ledger, filter),
        "parquet": partial(rows.sample_rows, ledger, filter),
        "sft": partial(rows.sft_rows, ledger, filter, chat=chat),
        "dpo": partial(rows.dpo_rows, ledger, filter, pairs=pairs, chat=chat),
    }[to]()
    found = _some(made, to, ledger, filter)
    count = _parquet(output, found) if to == "parquet" else _lines(output, found)
    print(f"{count} rows" + (f" in {output}" if output else ""), file=sys.stderr)


def _some(rows: _Rows, to: str, ledger: Any, filter: Any) -> _Rows:
    """Return `rows`, or raise a `DataError` that says why there are none: no loader takes an empty file."""
    from halo_core.cli.filters import nothing_found
    from halo_core.errors import DataError
    from halo_core.ledger.browse import find

    first = next(rows, None)
    if first is not None:
        return chain([first], rows)
    if next(find(ledger, filter, limit=1), None) is None:
        raise nothing_found(ledger, filter)
    hints = {
        "sft": "sft takes what passed: name a --status or --stage; held-out prompts only with --split heldout",
        "dpo": "dpo needs two samples of one prompt in one cycle, one of them paid more; held-out prompts only"
        " with --split heldout",
    }
    raise DataError(f"{ledger.directory}: none of these samples makes a row of {to}", hint=hints.get(to, ""))


def _lines(output: Path | None, rows: _Rows) -> int:
    if output is None:
        return _write_lines(sys.stdout, rows)
    with replacing(output) as path, path.open("w", encoding="utf-8") as file:
        return _write_lines(file, rows)


def _write_lines(file: Any, rows: _Rows) -> int:
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        file.write(json.dumps(row) + "\n")
    return count


def _parquet(output: Path | None, rows: _Rows) -> int:
    from halo_core.errors import ConfigError

    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError("writing Parquet needs pyarrow", hint='pip install "halo-core[data]"') from error
    if output is None:
        raise ConfigError("Parquet is no text for a terminal", hint="say where to: --output samples.parquet")
    count = 0
    schema = _schema()
    with (
        replacing(output) as path,
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
