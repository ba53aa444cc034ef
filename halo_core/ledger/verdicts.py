"""The cache of verdicts. Its key is everything that a verdict depends on: prompt, text, the verifier's fingerprint.

Only conclusive verdicts are cached: errors and inconclusive verdicts show nothing about the completion. A
verdict that a hook plugin changed is stored with the completion but not cached, so the plugin is called each time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import count

from halo_core.ledger.rows import (
    VERDICT,
    equal_except_times,
    prompt_hash,
    read_verdict,
    verdict_key,
    verdict_row,
)
from halo_core.types import Prompt, Sample, Verdict

_KEYS_PER_QUERY = 500
_INSERT = (
    f"INSERT INTO verdicts (id, key, verifier, {VERDICT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Verdicts:
    """The verdicts of one ledger under the current fingerprints. Not thread-safe; the ledger holds a lock."""

    def __init__(self, db: sqlite3.Connection, verifiers: Mapping[str, tuple[int, str]]) -> None:
        """Take the row and the fingerprint of each verifier by name, the default verifier first."""
        self._db = db
        self._fingerprints = {
            name: hashlib.blake2b(text.encode()).digest() for name, (_, text) in verifiers.items()
        }
        self._default = next(iter(verifiers), "")
        self._ids = {name: row for name, (row, _) in verifiers.items()}
        self._prompt_hashes: dict[str, bytes] = {}
        self._pending: dict[bytes, tuple[int, Verdict]] = {}
        """Verdicts not stored yet, each with the row of its verifier."""
        self._rows: dict[bytes, tuple[int, Verdict]] = {}
        """Stored verdicts, each with its row."""
        self._numbers = count(db.execute("SELECT ifnull(max(id), 0) + 1 FROM verdicts").fetchone()[0])

    def recall(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
        """Return the cached verdict on each text, or None."""
        keys = [self._key(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        known = {key: self._pending[key][1] for key in keys if key and key in self._pending}
        known |= {key: verdict for key, (_, verdict) in self._find(set(keys) - known.keys()).items()}
        return [known.get(key) if key else None for key in keys]

    def remember(
        self, prompts: Sequence[Prompt], texts: Sequence[str], verdicts: Sequence[Verdict]
    ) -> list[Verdict]:
        """Cache conclusive verdicts until `flush`; return for each text the verdict cached first."""
        cached = []
        for prompt, text, verdict in zip(prompts, texts, verdicts, strict=True):
            key = self._key(prompt, text)
            if key and isinstance(verdict, Verdict) and verdict.conclusive:
                _, verdict = self._pending.setdefault(key, (self._verifier(prompt), verdict))
            cached.append(verdict)
        return cached

    def flush(self) -> None:
        """Store the remembered verdicts. Call it inside a transaction, and `forget` after the commit."""
        numbered = {key: (next(self._numbers), verdict) for key, (_, verdict) in self._pending.items()}
        added = self._db.executemany(
            f"{_INSERT} ON CONFLICT (key) DO NOTHING",
            [
                (number, key, self._pending[key][0], *verdict_row(verdict))
                for key, (number, verdict) in numbered.items()
            ],
        )
        self._rows |= numbered
        if added.rowcount < len(numbered):  # another writer has stored some of them
            self._find(set(numbered))

    def forget(self) -> None:
        """Drop the verdicts that have been stored."""
        self._pending.clear()
        self._rows.clear()

    def ids(self, samples: Sequence[Sample]) -> list[int]:
        """Return the row of each sample's verdict; add a row for each verdict that is not cached."""
        keys = [self._key(sample.prompt, sample.completion.text) for sample in samples]
        self._find(set(keys) - self._rows.keys())
        ids, uncached = [], []
        for key, sample in zip(keys, samples, strict=True):
            row, verdict = self._rows.get(key, (0, None)) if key else (0, None)
            if verdict is None or not equal_except_times(verdict, sample.verdict):
                row = next(self._numbers)
                uncached.append((row, None, None, *verdict_row(sample.verdict)))
            ids.append(row)
        self._db.executemany(_INSERT, uncached)
        return ids

    def _find(self, keys: set[bytes | None]) -> dict[bytes, tuple[int, Verdict]]:
        """Return (row, verdict) by key for those stored, and cache them until `forget`."""
        wanted = [key for key in keys if key]
        found: dict[bytes, tuple[int, Verdict]] = {}
        for start in range(0, len(wanted), _KEYS_PER_QUERY):
            chunk = wanted[start : start + _KEYS_PER_QUERY]
            marks = ",".join("?" * len(chunk))
            rows = self._db.execute(f"SELECT key, id, {VERDICT} FROM verdicts WHERE key IN ({marks})", chunk)
            found |= {key: (number, read_verdict(row)) for key, number, *row in rows}
        self._rows |= found
        return found

    def _verifier(self, prompt: Prompt) -> int:
        return self._ids[prompt.verifier or self._default]

    def _key(self, prompt: Prompt, text: str) -> bytes | None:
        """Return the key of the verdict on `text`; None if the prompt's verifier is unknown."""
        fingerprint = self._fingerprints.get(prompt.verifier or self._default)
        if fingerprint is None:
            return None
        hashed = self._prompt_hashes.get(prompt.id)
        if hashed is None:
            hashed = self._prompt_hashes[prompt.id] = prompt_hash(prompt)
        return verdict_key(hashed, fingerprint, text)


def register(db: sqlite3.Connection, name: str, fingerprint: str) -> int:
    """Return the row of a verifier under a fingerprint; add it if it is new."""
    row = db.execute(
        "SELECT id FROM verifiers WHERE name = ? AND fingerprint = ?", (name, fingerprint)
    ).fetchone()
    if row is None:
        row = db.execute(
            "INSERT INTO verifiers (name, fingerprint) VALUES (?, ?) RETURNING id", (name, fingerprint)
        ).fetchone()
    return int(row[0])
