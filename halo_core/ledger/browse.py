"""Queries on the stored samples of a run: by filter, and by held-out prompt. Nothing is run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from halo_core import files
from halo_core.ledger import rows
from halo_core.ledger.ledger import Ledger
from halo_core.types import Prompt, Sample, Split

__all__ = ["Filter", "Found", "find"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on samples; None: any."""

    cycle: int | None = None
    split: Split | None = None
    prompt: str | None = None
    """Prompt id."""
    status: str | None = None
    stage: str | None = None
    low: float | None = None
    """Lowest reward; samples without a reward are left out."""
    high: float | None = None
    """Highest reward; samples without a reward are left out."""
    text: str | None = None
    """Part of the completion or of its verdict's detail; ASCII case-insensitive."""
    chosen: bool = False
    """Only samples that were trained on."""


@dataclass(frozen=True, slots=True)
class Found:
    """A sample with its cycle and split. Its weight is 0 unless it was trained on."""

    cycle: int
    split: Split
    sample: Sample


def find(ledger: Ledger, filter: Filter, *, limit: int | None = None) -> Iterator[Found]:
    """Yield the samples that match `filter`, in the order of sampling."""
    prompts: dict[str, Prompt] = {}
    contexts: dict[int, tuple[int, ...]] = {}
    where, values = _conditions(filter)
    with ledger.reading() as db, files.reading(ledger.path):
        requests = _requests(db, filter)
        query = _SELECT.format(marks=",".join("?" * len(requests)), where=where)
        for cycle, split, name, context, reward, weight, *row in db.execute(
            query, [*requests, *values, -1 if limit is None else limit]
        ):
            if name not in prompts:
                body = db.execute("SELECT body FROM prompts WHERE name = ?", (name,)).fetchone()[0]
                prompts[name] = rows.read_prompt(name, body)
            if context not in contexts:
                tokens = db.execute("SELECT tokens FROM contexts WHERE id = ?", (context,)).fetchone()[0]
                contexts[context] = rows.unpack_tokens(tokens)
            sample = rows.read_sample(
                row, prompts[name], contexts[context], reward=reward, weight=weight or 0.0
            )
            yield Found(cycle, split, sample)


@dataclass(frozen=True, slots=True)
class PromptOutcome:
    """The results of a held-out prompt before training and after a cycle, as (passes, verdicts of pass or fail)."""

    prompt: str
    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def change(self) -> float:
        """Share of passes after minus the share before."""
        return self.after[0] / self.after[1] - self.before[0] / self.before[1]


def prompt_outcomes(ledger: Ledger, cycle: int) -> list[PromptOutcome]:
    """Compare the held-out prompts of `cycle` with those of cycle 0, in the order of the file."""
    with ledger.reading() as db:
        counts = {
            number: {name: (passed, total) for name, passed, total in db.execute(_OUTCOMES, (number,))}
            for number in (0, cycle)
        }
    return [
        PromptOutcome(name, counts[0][name], after)
        for name, after in counts[cycle].items()
        if name in counts[0]
    ]


def prompt_text(prompt: Prompt) -> str:
    """Return a prompt as text for a person."""
    if prompt.text:
        return prompt.text
    return "\n\n".join(f"[{message['role']}] {message['content']}" for message in prompt.messages)


def _requests(db: sqlite3.Connection, filter: Filter) -> list[int]:
    found = db.execute("SELECT id, cycle, split FROM rounds")
    return [
        number
        for number, cycle, split in found
        if filter.cycle in (None, cycle) and filter.split in (None, split)
    ]


def _conditions(filter: Filter) -> tuple[str, list[Any]]:
    conditions: list[tuple[str, list[Any]]] = []
    if filter.prompt is not None:
        conditions.append(
            ("completions.prompt = (SELECT id FROM prompts WHERE name = ?)", [rows.pack_text(filter.prompt)])
        )
    if filter.status is not None:
        conditions.append(("status = ?", [filter.status]))
    if filter.stage is not None:
        conditions.append(("stage = ?", [filter.stage]))
    if filter.low is not None:
        conditions.append(("reward >= ?", [filter.low]))
    if filter.high is not None:
        conditions.append(("reward <= ?", [filter.high]))
    if filter.text is not None:
        contains = "instr(lower({}), lower(?))"  # LIKE stops at NUL and skips blobs
        both = f"({contains.format('text')} OR {contains.format('detail')})"
        conditions.append((both, [rows.pack_text(filter.text)] * 2))
    if filter.chosen:
        conditions.append(("weight IS NOT NULL", []))
    where = "".join(f" AND {condition}" for condition, _ in conditions)
    return where, [value for _, values in conditions for value in values]


_SELECT = f"""
SELECT cycle, rounds.split, prompts.name, context, reward, weight, number, text, tokens, finish, logprobs, loss_mask,
    {rows.VERDICT}
FROM completions CROSS JOIN rounds ON rounds.id = round CROSS JOIN prompts ON prompts.id = prompt
CROSS JOIN verdicts ON verdicts.id = verdict
LEFT JOIN rewards ON rewards.completion = completions.id
LEFT JOIN selections ON selections.completion = completions.id
WHERE round IN ({{marks}}){{where}} ORDER BY completions.id LIMIT ?
"""
_OUTCOMES = """
SELECT prompts.name, sum(status = 'pass'), count(*) FROM rounds
JOIN completions ON round = rounds.id JOIN prompts ON prompts.id = prompt JOIN verdicts ON verdicts.id = verdict
WHERE cycle = ? AND rounds.split = 'heldout' AND status IN ('pass', 'fail') GROUP BY prompts.id ORDER BY prompts.id
"""
