"""The ledger of one run: every value it stores survives a kill at any moment."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halo_core import files
from halo_core.errors import RunError
from halo_core.ledger import rows
from halo_core.ledger.completions import Completions
from halo_core.ledger.database import RunDatabase
from halo_core.ledger.verdicts import Verdicts, register
from halo_core.types import CycleReport, Prompt, Sample, Split, TrainStats, Verdict

__all__ = ["open_run"]


class Ledger(RunDatabase):
    """A run directory and its database. Every method raises a `RunError` after a failed disk operation."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._verdict_cache: Verdicts | None = None
        self._completion_cache: Completions | None = None

    def close(self) -> None:
        """Close the database; it is reopened when needed."""
        with self._lock:
            super().close()
            self._verdict_cache = self._completion_cache = None

    # Description of the run

    def create(
        self,
        config: Mapping[str, Any],
        plugins: Sequence[Any],
        prompts: Sequence[Prompt],
        heldout: Sequence[Prompt],
        machine: Mapping[str, Any] | None = None,
        fingerprints: Mapping[str, str] | None = None,
    ) -> None:
        """Write the description of a new run; `run.yaml` last, since its presence marks a run.

        `fingerprints` are those of its verifiers by name, the default verifier first.
        """
        self._create()
        with self.writing() as db:
            for split, given in (("train", prompts), ("heldout", heldout)):
                db.executemany(
                    "INSERT INTO prompts (split, name, body) VALUES (?, ?, ?)",
                    ((split, prompt.id, rows.prompt_body(prompt)) for prompt in given),
                )
            self._use_verifiers(db, fingerprints or {})
            self._note(db, "started", "")
        self._merge_log()
        self.describe(config, plugins, machine or {})

    def prompts(self, split: Split) -> list[Prompt]:
        """Return the prompts of `split`, as read when the run started."""
        with self.reading() as db, files.reading(self.path):
            found = db.execute("SELECT name, body FROM prompts WHERE split = ? ORDER BY id", (split,))
            return [rows.read_prompt(*row) for row in found]

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of each verifier of the run by name, the default verifier first."""
        return {name: text for name, (_, text) in self._verifiers().items()}

    def use_verifiers(self, fingerprints: Mapping[str, str]) -> None:
        """Switch to these verifiers. Verdicts under other fingerprints stay stored but are not reused."""
        with self.writing() as db:
            self._use_verifiers(db, fingerprints)

    def note(self, kind: str, detail: str = "") -> None:
        """Record an event of the run, for people to read."""
        with self.writing() as db:
            self._note(db, kind, detail)

    def events(self) -> list[tuple[float, str, str]]:
        """Return the recorded events, oldest first: seconds since 1970, kind, detail."""
        with self.reading() as db:
            stored = db.execute("SELECT time, kind, detail FROM events ORDER BY id")
            return [(when, kind, rows.unpack_text(detail)) for when, kind, detail in stored]

    # Samples

    def open_request(self, cycle: int, split: Split, request_hash: str) -> None:
        """Record the hash of a request's inputs. Raises a `RunError` if its stored completions have another hash."""
        with self.reading() as db:
            row = db.execute(
                "SELECT request_hash FROM rounds WHERE cycle = ? AND split = ?", (cycle, split)
            ).fetchone()
        if row is None or not row[0]:
            with self.writing() as db:
                request, _ = self._request(db, cycle, split)
                db.execute("UPDATE rounds SET request_hash = ? WHERE id = ?", (request_hash, request))
        elif row[0] != request_hash:
            raise RunError(
                f"{self.path}: the stored completions of cycle {cycle} ({split}) were sampled from other weights or "
                "in another way",
                hint="an adapter or a plugin has changed; restore it, or start a new run with another --output",
            )

    def append(self, cycle: int, split: Split, batch: Sequence[Sample]) -> None:
        """Store one verified batch; it is on the disk when this returns."""
        with self._lock:  # a verdict remembered between flush and forget would be lost
            verdicts = self._verdicts()
            with self.writing() as db:
                verdicts.flush()
                self._completions().append(*self._request(db, cycle, split), batch, verdicts.ids(batch))
            verdicts.forget()

    def batches(self, cycle: int, split: Split, prompts: Iterable[Prompt]) -> list[list[Sample]]:
        """Return the stored batches in order. `prompts` are those of the request."""
        by_id = {prompt.id: prompt for prompt in prompts}
        with self._lock, self.reading() as db, files.reading(self.path):
            row = db.execute(
                "SELECT id, batches FROM rounds WHERE cycle = ? AND split = ?", (cycle, split)
            ).fetchone()
            if row is None:
                return []
            request, count = row
            return self._completions().batches(request, count, by_id)

    def selected(self, before: int, prompts: Iterable[Prompt]) -> list[Sample]:
        """Return the samples selected in the cycles before `before`, oldest first, with weights and rewards."""
        by_id = {prompt.id: prompt for prompt in prompts}
        with self._lock, self.reading(), files.reading(self.path):
            return self._completions().selected(before, by_id)

    def passes(
        self, split: Split, first: int, last: int, *, below: int | None = None
    ) -> dict[str, tuple[int, int]]:
        """Return (passes, verdicts of pass or fail) by prompt id, over the cycles `first` to `last`.

        With `below`, of the first `below` completions of each prompt in a cycle.
        """
        with self.reading() as db:
            found = db.execute(_PASSES, (split, first, last, below, below))
            return {name: (hits, total) for name, hits, total in found}

    def truncate(self, cycle: int, split: Split, count: int) -> None:
        """Delete all but the first `count` batches."""
        with self.writing() as db:
            request, _ = self._request(db, cycle, split)
            db.execute("DELETE FROM completions WHERE round = ? AND batch >= ?", (request, count))
            db.execute("UPDATE rounds SET batches = ? WHERE id = ?", (count, request))

    def recall(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
        """Return the cached verdict on each text by its prompt's current verifier, or None."""
        with self._lock, self.reading():
            return self._verdicts().recall(prompts, texts)

    def remember(
        self, prompts: Sequence[Prompt], texts: Sequence[str], verdicts: Sequence[Verdict]
    ) -> list[Verdict]:
        """Cache verdicts; the next batch stores them. Returns for each text the verdict cached first."""
        with self._lock, self.reading():
            return self._verdicts().remember(prompts, texts, verdicts)

    def write_rewards(self, cycle: int, samples: Iterable[Sample], chosen: Iterable[Sample]) -> None:
        """Record the reward of each sample, and the weight in training of each chosen one."""
        weights = {(s.prompt.id, s.completion.index): s.weight for s in chosen}
        with self.writing() as db:
            request, _ = self._request(db, cycle, "train")
            ids = {(name, index): row for row, name, index in db.execute(_COMPLETION_IDS, (request,))}
            for table in ("rewards", "selections"):
                db.execute(
                    f"DELETE FROM {table} WHERE completion IN (SELECT id FROM completions WHERE round = ?)",
                    (request,),
                )
            db.executemany(
                "INSERT INTO rewards VALUES (?, ?)",
                ((ids[s.prompt.id, s.completion.index], s.reward) for s in samples if s.reward is not None),
            )
            db.executemany(
                "INSERT INTO selections VALUES (?, ?)",
                ((ids[key], weight) for key, weight in weights.items() if key in ids),
            )

    # Training and cycles

    def weights_hash(self, cycle: int) -> str:
        """Return the SHA-256 of the weights that `cycle` trained; empty if it has not trained any."""
        with self.reading() as db:
            row = db.execute("SELECT weights_hash FROM trainings WHERE cycle = ?", (cycle,)).fetchone()
        return str(row[0]) if row else ""

    def check_adapter(self, cycle: int) -> Path:
        """Return `adapter(cycle)`. Raises a `RunError` if its files have changed since they were written.

        Raises another `RunError` if the run did not keep them.
        """
        directory = self.adapter(cycle)
        if not directory.exists() and self.config().get("keep_adapters", "all") != "all":
            raise RunError(
                f"the weights of cycle {cycle} were not kept",
                hint="use --cycle best or last; keep_adapters=all keeps the weights of every cycle",
            )
        with files.disk(directory):
            intact = files.directory_hash(directory) == self.weights_hash(cycle)
        if not intact:
            raise files.damaged(directory, _CHANGED)
        return directory

    def trained(self, cycle: int) -> TrainStats | None:
        """Return the statistics of the training of `cycle`, or None if it has not finished."""
        with self.reading() as db, files.reading(self.path):
            row = db.execute("SELECT stats FROM trainings WHERE cycle = ?", (cycle,)).fetchone()
            return rows.read_stats(row[0]) if row else None

    def write_trained(self, cycle: int, stats: TrainStats, save: Callable[[Path], None]) -> None:
        """Store the weights, which `save` writes into the directory it is given, together with `stats`."""
        weights_hash = files.write_directory(self.adapter(cycle), save)
        with self.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO trainings VALUES (?, ?, ?)",
                (cycle, json.dumps(asdict(stats)), weights_hash),
            )

    def checkpoint(self, cycle: int, inputs_hash: str) -> Path | None:
        """Return the checkpoint of the training of `cycle` with these inputs, or None.

        Raises a `RunError` if its files have changed since they were written.
        """
        with self.reading() as db:
            row = db.execute(
                "SELECT number, files_hash FROM checkpoints WHERE cycle = ? AND inputs_hash = ?",
                (cycle, inputs_hash),
            ).fetchone()
        if row is None:
            return None
        directory = self._checkpoint(cycle, row[0])
        with files.disk(directory):
            if files.directory_hash(directory) != row[1]:
                raise files.damaged(directory, _CHANGED)
        return directory

    def write_checkpoint(self, cycle: int, inputs_hash: str, save: Callable[[Path], None]) -> Path:
        """Replace the checkpoint of `cycle` by the files that `save` writes into a directory; return the directory."""
        with self.reading() as db:
            row = db.execute("SELECT number FROM checkpoints WHERE cycle = ?", (cycle,)).fetchone()
        number = row[0] + 1 if row else 1
        directory = self._checkpoint(cycle, number)
        files_hash = files.write_directory(directory, save)
        with self.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)",
                (cycle, number, inputs_hash, files_hash),
            )
        self._remove_checkpoints(cycle, keep=number)
        return directory

    def add_seconds(self, cycle: int, stage: str, seconds: float) -> None:
        """Add to the wall time of a stage."""
        with self.writing() as db:
            db.execute(_ADD_SECONDS, (cycle, stage, seconds))

    def seconds(self, cycle: int) -> dict[str, float]:
        """Return the wall time of each stage of `cycle` so far, summed over all processes of the run."""
        with self.reading() as db:
            return dict(
                db.execute("SELECT stage, seconds FROM seconds WHERE cycle = ? ORDER BY rowid", (cycle,))
            )

    def write_report(self, report: CycleReport) -> None:
        """Close the cycle: store its report, delete its checkpoints."""
        self._remove_checkpoints(report.cycle)
        with self.writing() as db:
            db.execute("DELETE FROM checkpoints WHERE cycle = ?", (report.cycle,))
            db.execute(
                "INSERT OR REPLACE INTO cycles VALUES (?, ?)", (report.cycle, rows.report_text(report))
            )
        self._merge_log()

    def reports(self) -> list[CycleReport]:
        """Return the reports of the closed cycles, oldest first, up to the first missing one."""
        with self.reading() as db, files.reading(self.path):
            found = [
                rows.read_report(text) for (text,) in db.execute("SELECT report FROM cycles ORDER BY cycle")
            ]
        return [report for number, report in enumerate(found) if report.cycle == number]

    # Internal

    def _rolled_back(self) -> None:
        if self._completion_cache is not None:
            self._completion_cache.forget()

    def _verdicts(self) -> Verdicts:
        if self._verdict_cache is None:
            self._verdict_cache = Verdicts(self._connection(), self._verifiers())
        return self._verdict_cache

    def _completions(self) -> Completions:
        if self._completion_cache is None:
            self._completion_cache = Completions(self._connection())
        return self._completion_cache

    def _verifiers(self) -> dict[str, tuple[int, str]]:
        """Return the row and the fingerprint of each verifier of the run, the default verifier first."""
        with self.reading() as db:
            found = db.execute(
                "SELECT name, id, fingerprint FROM verifiers WHERE place IS NOT NULL ORDER BY place"
            )
            return {name: (row, text) for name, row, text in found}

    def _use_verifiers(self, db: sqlite3.Connection, fingerprints: Mapping[str, str]) -> None:
        db.execute("UPDATE verifiers SET place = NULL")
        for place, (name, text) in enumerate(fingerprints.items()):
            db.execute("UPDATE verifiers SET place = ? WHERE id = ?", (place, register(db, name, text)))
        self._verdict_cache = None

    def _note(self, db: sqlite3.Connection, kind: str, detail: str) -> None:
        db.execute("INSERT INTO events VALUES (NULL, ?, ?, ?)", (time.time(), kind, rows.pack_text(detail)))

    def _request(self, db: sqlite3.Connection, cycle: int, split: Split) -> tuple[int, int]:
        """Return the row of a request and its number of batches; add the row if it is new."""
        db.execute("INSERT OR IGNORE INTO rounds VALUES (NULL, ?, ?, '', 0)", (cycle, split))
        row = db.execute("SELECT id, batches FROM rounds WHERE cycle = ? AND split = ?", (cycle, split))
        request, batches = row.fetchone()
        return request, batches


def open_run(directory: Path) -> Ledger:
    """Return the ledger of the run in `directory`. Raises a `RunError` if there is no run."""
    ledger = Ledger(directory)
    if not ledger.exists:
        raise RunError(
            f"{directory} contains no run",
            hint="name the directory that halo run printed; halo runs lists them",
        )
    return ledger


_CHANGED = "its files have changed since they were written"
_ADD_SECONDS = """
INSERT INTO seconds VALUES (?, ?, ?) ON CONFLICT (cycle, stage) DO UPDATE SET seconds = seconds + excluded.seconds
"""
_PASSES = """
SELECT prompts.name, SUM(status = 'pass'), COUNT(*)
FROM completions JOIN rounds ON rounds.id = round
JOIN verdicts ON verdicts.id = verdict JOIN prompts ON prompts.id = prompt
WHERE rounds.split = ? AND cycle BETWEEN ? AND ? AND (? IS NULL OR number < ?) AND status IN ('pass', 'fail')
GROUP BY prompts.name
"""
_COMPLETION_IDS = """
SELECT completions.id, prompts.name, number FROM completions JOIN prompts ON prompts.id = prompt WHERE round = ?
"""
