"""Looking into a ledger without running anything: samples by what they are, and how the prompts fare."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from halo_core import files
from halo_core.ledger import rows
from halo_core.ledger.ledger import Ledger
from halo_core.types import Prompt, Sample, Split


@dataclass(frozen=True, slots=True)
class Filter:
    """Which samples are meant; None: any."""

    cycle: int | None = None
    split: Split | None = None
    prompt: str | None = None
    """Prompt id."""
    status: str | None = None
    stage: str | None = None
    low: float | None = None
    """Reward of at least so much; samples without a reward are left out."""
    high: float | None = None
    """Reward of at most so much."""
    text: str | None = None
    """In the completion or in what its verifier said of it; case is nothing to ASCII letters."""
    chosen: bool = False
    """Only what was trained on."""


@dataclass(frozen=True, slots=True)
class Found:
    """A sample and where it is from. Its weight is 0 unless it was trained on."""

    cycle: int
    split: Split
    sample: Sample


def find(ledger: Ledger, filter: Filter, *, limit: int | None = None) -> Iterator[Found]:
    """Yield the samples that `filter` means in the order in which they were sampled."""
    prompts: dict[str, Prompt] = {}
    contexts: dict[int, tuple[int, ...]] = {}
    where, values = _conditions(filter)
    with ledger.reading() as db, files.reading(ledger.path):
        rounds = _rounds(db, filter)
        query = _SELECT.format(marks=",".join("?" * len(rounds)), where=where)
        for cycle, split, name, context, reward, weight, *row in db.execute(
            query, [*rounds, *values, -1 if limit is None else limit]
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
    """How a held-out prompt fared before training and after a cycle, in passes and verdicts of pass or fail."""

    prompt: str
    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def change(self) -> float:
        """Share of passes after, less that before."""
        return self.after[0] / self.after[1] - self.before[0] / self.before[1]


def prompt_outcomes(ledger: Ledger, cycle: int) -> list[PromptOutcome]:
    """Compare the held-out prompts of cycle 0 with those of `cycle`, in the order of the file."""
    with ledger.reading() as db:
        counts = {
            at: {name: (passed, judged) for name, passed, judged in db.execute(_FARED, (at,))}
            for at in (0, cycle)
        }
    return [
        PromptOutcome(name, counts[0][name], after)
        for name, after in counts[cycle].items()
        if name in counts[0]
    ]


def prompt_text(prompt: Prompt) -> str:
    """Write a prompt for a person to read."""
    if prompt.text:
        return prompt.text
    return "\n\n".join(f"[{message['role']}] {message['content']}" for message in prompt.messages)


def _rounds(db: sqlite3.Connection, filter: Filter) -> list[int]:
    found = db.execute("SELECT id, cycle, split FROM rounds")
    return [
        number
        for number, cycle, split in found
        if filter.cycle in (None, cycle) and filter.split in (None, split)
    ]


def _conditions(filter: Filter) -> tuple[str, list[Any]]:
    said: list[tuple[str, list[Any]]] = []
    if filter.prompt is not None:
        said.append(
            ("completions.prompt = (SELECT id FROM prompts WHERE name = ?)", [rows.pack_text(filter.prompt)])
        )
    if filter.status is not None:
        said.append(("status = ?", [filter.status]))
    if filter.stage is not None:
        said.append(("stage = ?", [filter.stage]))
    if filter.low is not None:
        said.append(("reward >= ?", [filter.low]))
    if filter.high is not None:
        said.append(("reward <= ?", [filter.high]))
    if filter.text is not None:
        found = "instr(lower({}), lower(?))"  # LIKE stops at NUL, skips blobs
        both = f"({found.format('text')} OR {found.format('detail')})"
        said.append((both, [rows.pack_text(filter.text)] * 2))
    if filter.chosen:
        said.append(("weight IS NOT NULL", []))
    return "".join(f" AND {text}" for text, _ in said), [value for _, values in said for value in values]


_SELECT = f"""
SELECT cycle, rounds.split, prompts.name, context, reward, weight, number, text, tokens, finish, logprobs, loss_mask,
    {rows.VERDICT}
FROM completions CROSS JOIN rounds ON rounds.id = round CROSS JOIN prompts ON prompts.id = prompt
CROSS JOIN verdicts ON verdicts.id = verdict
LEFT JOIN rewards ON rewards.completion = completions.id
LEFT JOIN selections ON selections.completion = completions.id
WHERE round IN ({{marks}}){{where}} ORDER BY completions.id LIMIT ?
"""
_FARED = """
SELECT prompts.name, sum(status = 'pass'), count(*) FROM rounds
JOIN completions ON round = rounds.id JOIN prompts ON prompts.id = prompt JOIN verdicts ON verdicts.id = verdict
WHERE cycle = ? AND rounds.split = 'heldout' AND status IN ('pass', 'fail') GROUP BY prompts.id ORDER BY prompts.id
"""
