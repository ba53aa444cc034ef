"""`halo verify`: verify a file of completions without a model."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.flags import takes_verifiers
from halo_core.tables import count

if TYPE_CHECKING:
    from typing import TextIO

    from halo_core.config.schema import RunConfig
    from halo_core.types import Completion, Prompt, Verdict
    from halo_core.verification.verifiers import VerifierSet

_BATCH = 256
"""Completions verified between writes: an interrupt loses at most the verdicts of one batch."""


@takes_verifiers
def verify(
    raw: dict[str, Any],
    completions: Annotated[
        Path,
        typer.Option(metavar="FILE", help='JSON Lines of {"prompt_id": ..., "completion": ...}; - is stdin.'),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the verdicts here instead of to stdout."),
    ] = None,
) -> None:
    """Verify completions from a file; write their verdicts.

    Writes one JSON object per line, in the order of the completions. Without --data, the prompts are those of the
    verifier's demo.
    """
    from halo_core.config.layers import normalise
    from halo_core.config.schema import read_config
    from halo_core.verification.errors import ErrorBudget
    from halo_core.verification.verifiers import verification_threads

    config = read_config(normalise(raw))
    verifiers = load_verifiers(config)
    prompts = {prompt.id: prompt for prompt in load_all_prompts(config, verifiers)}
    seen: Counter[str] = Counter()
    budget = ErrorBudget(config.max_error_rate)
    with _open_output(output, completions) as file, verification_threads(config.workers) as threads:
        for batch in _batches(_read_completions(completions, prompts)):
            tasks = [prompts[completion.prompt_id] for completion in batch]
            verdicts = verifiers.check_all(tasks, batch, threads)
            budget.add(verdicts)
            for completion, verdict in zip(batch, verdicts, strict=True):
                file.write(json.dumps(_row(completion, verdict)) + "\n")
                seen[verdict.status] += 1
            file.flush()
    total = seen.total()
    share = seen["pass"] / total
    print(f"{count(total, 'completion')}: {', '.join(f'{n} {s}' for s, n in seen.most_common())}; {share:.1%} pass",
          file=sys.stderr)  # fmt: skip
    budget.close()


def load_verifiers(config: RunConfig) -> VerifierSet:
    """Return the verifiers of `config`, ready to verify."""
    from halo_core.verification.verifiers import VerifierSet

    verifiers = VerifierSet.load(config.specs("verifier"))
    verifiers.preflight(config.sandbox)
    return verifiers


def load_all_prompts(config: RunConfig, verifiers: VerifierSet) -> list[Prompt]:
    """Return the training and held-out prompts of `config`, or those of the demo; all are checked."""
    from halo_core.run.prompts import names_prompts, prompts_in

    if names_prompts(config):
        prompts = prompts_in(config)
    else:
        demo = verifiers.demo()
        prompts = [*demo.prompts, *demo.heldout]
    prompts = prompts[: config.data.limit]
    verifiers.check_prompts(prompts)
    return prompts


def _open_output(output: Path | None, completions: Path) -> Any:
    from contextlib import nullcontext

    from halo_core.cli.output import check_output
    from halo_core.errors import DataError, file_hint, os_message

    if output is None:
        return nullcontext(sys.stdout)
    check_output(output)
    if output.is_file() and completions.is_file() and output.samefile(completions):
        raise DataError(f"{output} contains the completions", hint="write to another file")
    try:
        return output.open("w", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {output}: {os_message(error)}", hint=file_hint(error)) from error


def _read_completions(path: Path, prompts: dict[str, Prompt]) -> Iterator[Completion]:
    """Yield the completions of a file. Raises a `DataError` that names the first invalid line."""
    from halo_core.errors import DataError, did_you_mean
    from halo_core.types import Completion

    count: Counter[str] = Counter()
    with _open_input(path) as file:
        for number, line in enumerate(_lines(file, path), 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            prompt_id, text = _parse(line, where)
            if prompt_id not in prompts:
                raise DataError(f"{where}: no prompt {prompt_id!r}", hint=did_you_mean(prompt_id, prompts))
            yield Completion(prompt_id, count[prompt_id], text)
            count[prompt_id] += 1
    if not count:
        raise DataError(
            f"{path} contains no completions", hint='one per line: {"prompt_id": ..., "completion": ...}'
        )


def _open_input(path: Path) -> Any:
    from contextlib import nullcontext

    from halo_core import reading
    from halo_core.errors import DataError, file_hint

    if str(path) == "-":
        return nullcontext(sys.stdin)
    try:
        return reading.open_text(path, errors="surrogateescape")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", hint=file_hint(error)) from error


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    from halo_core import reading
    from halo_core.errors import DataError, file_hint

    try:
        yield from reading.lines_of(file, kept=False)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", hint=file_hint(error)) from error


def _parse(line: str, where: str) -> tuple[str, str]:
    from halo_core.data import parse_json
    from halo_core.errors import DataError

    match parse_json(line, where):
        case {"prompt_id": str(prompt_id), "completion": str(text)} | {
            "id": str(prompt_id),
            "completion": str(text),
        }:
            return prompt_id, text
    raise DataError(f"{where}: prompt_id and completion must be strings", hint="see halo verify --help")


def _batches(completions: Iterator[Completion]) -> Iterator[Sequence[Completion]]:
    from itertools import islice

    while batch := list(islice(completions, _BATCH)):
        yield batch


def _row(completion: Completion, verdict: Verdict) -> dict[str, Any]:
    return {"prompt_id": completion.prompt_id, "index": completion.index, **asdict(verdict)}
