"""Verdicts by what they depend on: prompt, text and the verifier's fingerprint. What is known is not judged again.

Only verdicts of pass and fail are kept to be found again: errors and inconclusive ones say nothing about
the completion. What a hook plugin made of a verdict is recorded with the completion but never found again,
so that the plugin is asked each time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import count

from halo_core.ledger.rows import (
    VERDICT,
    equal_apart_from_time,
    prompt_hash,
    read_verdict,
    verdict_key,
    verdict_row,
)
from halo_core.types import Prompt, Sample, Verdict

_AT_ONCE = 500
"""Keys looked up by one statement."""
_INSERT = (
    f"INSERT INTO verdicts (id, key, verifier, {VERDICT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Verdicts:
    """The verdicts of one ledger, under the fingerprints that are in use. Not thread-safe: the ledger locks."""

    def __init__(self, db: sqlite3.Connection, judges: Mapping[str, tuple[int, str]]) -> None:
        """Take the row and the fingerprint of each verifier by name, the first one judging by default."""
        self._db = db
        self._fingerprints = {
            name: hashlib.blake2b(text.encode()).digest() for name, (_, text) in judges.items()
        }
        self._first = next(iter(judges), "")
        self._ids = {name: row for name, (row, _) in judges.items()}
        self._digests: dict[str, bytes] = {}
        self._fresh: dict[bytes, tuple[int, Verdict]] = {}
        self._rows: dict[bytes, tuple[int, Verdict]] = {}
        self._numbers = count(db.execute("SELECT ifnull(max(id), 0) + 1 FROM verdicts").fetchone()[0])

    def recall(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
        """Return what is known of each text: the verdict on it, or None."""
        keys = [self._key(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        known = {key: self._fresh[key][1] for key in keys if key and key in self._fresh}
        known |= {key: verdict for key, (_, verdict) in self._find(set(keys) - known.keys()).items()}
        return [known.get(key) if key else None for key in keys]

    def remember(
        self, prompts: Sequence[Prompt], texts: Sequence[str], verdicts: Sequence[Verdict]
    ) -> list[Verdict]:
        """Keep what a verifier said until `flush`; return it, or what it had said of the same text before."""
        kept = []
        for prompt, text, verdict in zip(prompts, texts, verdicts, strict=True):
            key = self._key(prompt, text)
            if key and isinstance(verdict, Verdict) and verdict.conclusive:
                _, verdict = self._fresh.setdefault(key, (self._verifier(prompt), verdict))
            kept.append(verdict)
        return kept

    def flush(self) -> None:
        """Write what was remembered. Belongs into a transaction; `forget` what it wrote when that is over."""
        numbered = {key: (next(self._numbers), verdict) for key, (_, verdict) in self._fresh.items()}
        added = self._db.executemany(
            f"{_INSERT} ON CONFLICT (key) DO NOTHING",
            [
                (number, key, self._fresh[key][0], *verdict_row(verdict))
                for key, (number, verdict) in numbered.items()
            ],
        )
        self._rows |= numbered
        if added.rowcount < len(numbered):  # a batch beside this one was faster with some of them
            self._find(set(numbered))

    def forget(self) -> None:
        """Let go of what has been written."""
        self._fresh.clear()
        self._rows.clear()

    def ids(self, samples: Sequence[Sample]) -> list[int]:
        """Return the row of each sample's verdict, adding those that are nobody else's."""
        keys = [self._key(sample.prompt, sample.completion.text) for sample in samples]
        self._find(set(keys) - self._rows.keys())
        found, own = [], []
        for key, sample in zip(keys, samples, strict=True):
            row, verdict = self._rows.get(key, (0, None)) if key else (0, None)
            if verdict is None or not equal_apart_from_time(verdict, sample.verdict):
                row = next(self._numbers)
                own.append((row, None, None, *verdict_row(sample.verdict)))
            found.append(row)
        self._db.executemany(_INSERT, own)
        return found

    def _find(self, keys: set[bytes | None]) -> dict[bytes, tuple[int, Verdict]]:
        """Return (row, verdict) by key of those that are on disk, and keep them at hand until `forget`."""
        wanted = [key for key in keys if key]
        found: dict[bytes, tuple[int, Verdict]] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(f"SELECT key, id, {VERDICT} FROM verdicts WHERE key IN ({marks})", some)
            found |= {key: (number, read_verdict(row)) for key, number, *row in rows}
        self._rows |= found
        return found

    def _verifier(self, prompt: Prompt) -> int:
        return self._ids[prompt.verifier or self._first]

    def _key(self, prompt: Prompt, text: str) -> bytes | None:
        """Return the key of the verdict on `text`; None where it is not known who judges."""
        fingerprint = self._fingerprints.get(prompt.verifier or self._first)
        if fingerprint is None:
            return None
        digest = self._digests.get(prompt.id)
        if digest is None:
            digest = self._digests[prompt.id] = prompt_hash(prompt)
        return verdict_key(digest, fingerprint, text)


def register(db: sqlite3.Connection, name: str, fingerprint: str) -> int:
    """Return the row of a verifier under a fingerprint, adding it where it is new."""
    row = db.execute(
        "SELECT id FROM verifiers WHERE name = ? AND fingerprint = ?", (name, fingerprint)
    ).fetchone()
    if row is None:
        row = db.execute(
            "INSERT INTO verifiers (name, fingerprint) VALUES (?, ?) RETURNING id", (name, fingerprint)
        ).fetchone()
    return int(row[0])
