"""Storing and reading completions. Equal contexts are stored once, and read as one shared object."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from halo_core.ledger.rows import (
    VERDICT,
    pack_floats,
    pack_mask,
    pack_text,
    pack_tokens,
    read_sample,
    unpack_tokens,
)
from halo_core.types import Prompt, Sample


class Completions:
    """The completions of one ledger. Not thread-safe; the ledger holds a lock."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._prompts: dict[str, int] = {}
        self._contexts: dict[tuple[int, ...], int] = {}

    def append(self, request: int, number: int, batch: Sequence[Sample], verdicts: Sequence[int]) -> None:
        """Store batch `number` of a request. `request` and `verdicts` are row ids; there is one verdict per sample."""
        self._db.executemany(
            "INSERT INTO completions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    request,
                    number,
                    self._prompt(c.prompt_id),
                    c.index,
                    pack_text(c.text),
                    self._context(c.prompt_token_ids),
                    pack_tokens(c.token_ids),
                    c.finish_reason,
                    c.logprob,
                    verdict,
                    pack_floats(c.logprobs),
                    pack_mask(c.loss_mask),
                )
                for c, verdict in zip((sample.completion for sample in batch), verdicts, strict=True)
            ],
        )
        self._db.execute("UPDATE rounds SET batches = batches + 1 WHERE id = ?", (request,))

    def forget(self) -> None:
        """Drop the cached rows of contexts after a rollback, which may have removed them."""
        self._contexts.clear()

    def batches(self, request: int, count: int, prompts: Mapping[str, Prompt]) -> list[list[Sample]]:
        """Return the `count` batches of a request."""
        found: list[list[Sample]] = [[] for _ in range(count)]
        contexts: dict[int, tuple[int, ...]] = {}
        for batch, name, context, *rest in self._db.execute(_BATCHES, (request,)):
            found[batch].append(read_sample(rest, prompts[name], self._tokens(context, contexts)))
        return found

    def selected(self, before: int, prompts: Mapping[str, Prompt]) -> list[Sample]:
        """Return the samples selected in the cycles before `before`, oldest first, with weights and rewards."""
        contexts: dict[int, tuple[int, ...]] = {}
        return [
            read_sample(rest, prompts[name], self._tokens(context, contexts), reward=reward, weight=weight)
            for weight, reward, name, context, *rest in self._db.execute(_SELECTED, (before,))
        ]

    def _prompt(self, name: str) -> int:
        if not self._prompts:
            self._prompts.update(self._db.execute("SELECT name, id FROM prompts"))
        return self._prompts[name]

    def _context(self, ids: tuple[int, ...]) -> int:
        found = self._contexts.get(ids)
        if found is None:
            blob = pack_tokens(ids)
            self._db.execute("INSERT OR IGNORE INTO contexts (tokens) VALUES (?)", (blob,))
            row = self._db.execute("SELECT id FROM contexts WHERE tokens = ?", (blob,)).fetchone()
            found = self._contexts[ids] = int(row[0])
        return found

    def _tokens(self, context: int, known: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
        if context not in known:
            blob = self._db.execute("SELECT tokens FROM contexts WHERE id = ?", (context,)).fetchone()[0]
            known[context] = unpack_tokens(blob)
        return known[context]


_BATCHES = f"""
SELECT batch, prompts.name, context, number, text, tokens, finish, logprobs, loss_mask, {VERDICT}
FROM completions JOIN verdicts ON verdicts.id = verdict JOIN prompts ON prompts.id = prompt
WHERE round = ? ORDER BY completions.id
"""
_SELECTED = f"""
SELECT weight, reward, prompts.name, context, number, text, tokens, finish, logprobs, loss_mask, {VERDICT}
FROM selections JOIN completions ON completions.id = selections.completion JOIN rounds ON rounds.id = round
JOIN rewards ON rewards.completion = completions.id
JOIN verdicts ON verdicts.id = verdict JOIN prompts ON prompts.id = prompt
WHERE cycle < ? ORDER BY completions.id
"""
