"""`halo verify`: verdicts on a file of completions, without a model."""

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

if TYPE_CHECKING:
    from halo_core.config.schema import RunConfig
    from halo_core.types import Completion, Prompt, Verdict
    from halo_core.verification.verifiers import VerifierSet

_BATCH = 256
"""Completions judged before their verdicts are written: an interrupt loses at most so many."""


@takes_verifiers
def verify(
    raw: dict[str, Any],
    completions: Annotated[
        Path, typer.Option(help='JSON Lines: {"prompt_id": ..., "completion": ...} each; - is stdin.')
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the verdicts here instead of to stdout.")
    ] = None,
) -> None:
    """Judge completions from a file; write one verdict a line, in the same order.

    Without --data, the completions are taken to answer the verifier's demo prompts.
    """
    from halo_core.config.layers import normalise
    from halo_core.config.schema import read_config
    from halo_core.verification.errors import ErrorBudget
    from halo_core.verification.verifiers import verification_threads

    config = read_config(normalise(raw))
    verifiers = verifiers_of(config)
    prompts = {prompt.id: prompt for prompt in prompts_of(config, verifiers)}
    seen: Counter[str] = Counter()
    budget = ErrorBudget(config.max_error_rate)
    with _writer(output) as file, verification_threads(config.workers) as threads:
        for batch in _batches(_completions(completions, prompts)):
            tasks = [prompts[completion.prompt_id] for completion in batch]
            verdicts = verifiers.check_all(tasks, batch, threads)
            budget.add(verdicts)
            for completion, verdict in zip(batch, verdicts, strict=True):
                file.write(json.dumps(_row(completion, verdict)) + "\n")
                seen[verdict.status] += 1
            file.flush()
    total = seen.total()
    share = seen["pass"] / total
    print(f"{total} completions: {', '.join(f'{n} {s}' for s, n in seen.most_common())}; {share:.1%} pass",
          file=sys.stderr)  # fmt: skip
    budget.close()


def verifiers_of(config: RunConfig) -> VerifierSet:
    """Return the verifiers of `config`, ready to judge."""
    from halo_core.verification.verifiers import VerifierSet

    verifiers = VerifierSet.load(config.specs("verifier"))
    verifiers.preflight(config.sandbox)
    return verifiers


def prompts_of(config: RunConfig, verifiers: VerifierSet) -> list[Prompt]:
    """Return the prompts of `config`, else those of the demo, the held-out ones included; all checked."""
    from halo_core.data import load_prompts

    if config.data.prompts:
        prompts = load_prompts(config.data.prompts)
        prompts += load_prompts(config.data.heldout) if config.data.heldout else []
    else:
        demo = verifiers.demo()
        prompts = [*demo.prompts, *demo.heldout]
    prompts = prompts[: config.data.limit]
    verifiers.check_prompts(prompts)
    return prompts


def _writer(output: Path | None) -> Any:
    from contextlib import nullcontext

    from halo_core.errors import DataError

    if output is None:
        return nullcontext(sys.stdout)
    try:
        return output.open("w", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {output}: {error.strerror}") from error


def _completions(path: Path, prompts: dict[str, Prompt]) -> Iterator[Completion]:
    """Read completions one by one; raise a `DataError` that names the line of what is none."""
    from halo_core.errors import DataError, did_you_mean
    from halo_core.types import Completion

    count: Counter[str] = Counter()
    with _reader(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            prompt_id, text = _parsed(line, where)
            if prompt_id not in prompts:
                raise DataError(f"{where}: no prompt {prompt_id!r}", hint=did_you_mean(prompt_id, prompts))
            yield Completion(prompt_id, count[prompt_id], text)
            count[prompt_id] += 1
    if not count:
        raise DataError(
            f"{path}: no completions in it", hint='one a line: {"prompt_id": ..., "completion": ...}'
        )


def _reader(path: Path) -> Any:
    from contextlib import nullcontext

    from halo_core.errors import DataError

    if str(path) == "-":
        return nullcontext(sys.stdin)
    try:
        return path.open(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _parsed(line: str, where: str) -> tuple[str, str]:
    from halo_core.errors import DataError

    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    match row:
        case {"prompt_id": str(prompt_id), "completion": str(text)} | {
            "id": str(prompt_id),
            "completion": str(text),
        }:
            return prompt_id, text
    raise DataError(f"{where}: needs texts for prompt_id and completion", hint="see halo verify --help")


def _batches(completions: Iterator[Completion]) -> Iterator[Sequence[Completion]]:
    from itertools import islice

    while batch := list(islice(completions, _BATCH)):
        yield batch


def _row(completion: Completion, verdict: Verdict) -> dict[str, Any]:
    return {"prompt_id": completion.prompt_id, "index": completion.index, **asdict(verdict)}
