"""The ledger of one run: what is in its directory, written so that a kill at any moment loses nothing."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halo_core import files
from halo_core.errors import RunError
from halo_core.ledger import rows, schema
from halo_core.ledger.completions import Completions
from halo_core.ledger.directory import DATABASE, RunDirectory
from halo_core.ledger.verdicts import Verdicts, register
from halo_core.types import CycleReport, Prompt, Sample, Split, TrainStats, Verdict


class Ledger(RunDirectory):
    """A run directory and its database. Every method raises a `RunError` when the disk does not play along."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._lock = threading.RLock()  # verdicts are asked for by the threads that judge
        self._open: sqlite3.Connection | None = None
        self._known: Verdicts | None = None
        self._rows: Completions | None = None

    def close(self) -> None:
        """Let go of the database; it is opened again when it is next needed."""
        with self._lock:
            if self._open is not None:
                self._open.close()
            self._open = self._known = self._rows = None

    # What the run is made of

    def create(
        self,
        config: Mapping[str, Any],
        plugins: Sequence[Any],
        prompts: Sequence[Prompt],
        heldout: Sequence[Prompt],
        machine: Mapping[str, Any] | None = None,
        fingerprints: Mapping[str, str] | None = None,
    ) -> None:
        """Write what the run is made of; `run.yaml` last, since its presence marks a run.

        `fingerprints` are those of its verifiers by name, the one that judges by default first.
        """
        self.close()
        self._clear()
        self._open = schema.connect(self.path, create=True)
        with self.writing() as db:
            for split, given in (("train", prompts), ("heldout", heldout)):
                db.executemany(
                    "INSERT INTO prompts (split, name, body) VALUES (?, ?, ?)",
                    ((split, prompt.id, rows.prompt_body(prompt)) for prompt in given),
                )
            self._use(db, fingerprints or {})
            self._note(db, "begun", "")
        self._settle()
        self._describe(config, plugins, machine or {})

    def prompts(self, split: Split) -> list[Prompt]:
        """Return the prompts of `split` as they were when the run began."""
        with self.reading() as db, files.reading(self.path):
            found = db.execute("SELECT name, body FROM prompts WHERE split = ? ORDER BY id", (split,))
            return [rows.read_prompt(*row) for row in found]

    def fingerprints(self) -> dict[str, str]:
        """Return what the verdicts of each verifier of the run depend on, the first verifier first."""
        return {name: text for name, (_, text) in self._judges().items()}

    def use_verifiers(self, fingerprints: Mapping[str, str]) -> None:
        """Go on with these verifiers. What they judged under other fingerprints is kept, not reused."""
        with self.writing() as db:
            self._use(db, fingerprints)

    def note(self, kind: str, detail: str = "") -> None:
        """Record that something happened to the run, for people."""
        with self.writing() as db:
            self._note(db, kind, detail)

    def events(self) -> list[tuple[float, str, str]]:
        """Return what was noted, oldest first: seconds since 1970, kind, detail."""
        with self.reading() as db:
            return list(db.execute("SELECT time, kind, detail FROM events ORDER BY id"))

    # Samples

    def open_request(self, cycle: int, split: Split, request_hash: str) -> None:
        """Say what the completions of a round follow from. Raises a `RunError` when it was something else."""
        with self.reading() as db:
            row = db.execute(
                "SELECT request_hash FROM rounds WHERE cycle = ? AND split = ?", (cycle, split)
            ).fetchone()
        if row is None or not row[0]:
            with self.writing() as db:
                number, _ = self._round(db, cycle, split)
                db.execute("UPDATE rounds SET request_hash = ? WHERE id = ?", (request_hash, number))
        elif row[0] != request_hash:
            raise RunError(
                f"{self.path}: the completions of cycle {cycle} ({split}) that are there were sampled from other"
                " weights or in another way",
                hint="an adapter or a plugin was changed; put it back, or begin anew with another --output",
            )

    def append(self, cycle: int, split: Split, batch: Sequence[Sample]) -> None:
        """Add one verified batch; when this returns it is on the disk."""
        with self._lock:  # what is remembered meanwhile must not be forgotten unwritten
            verdicts = self._verdicts()
            with self.writing() as db:
                verdicts.flush()
                self._completions().append(*self._round(db, cycle, split), batch, verdicts.ids(batch))
            verdicts.forget()

    def batches(self, cycle: int, split: Split, prompts: Iterable[Prompt]) -> list[list[Sample]]:
        """Return the batches on disk in order. `prompts` are those of the round."""
        by_id = {prompt.id: prompt for prompt in prompts}
        with self._lock, self.reading() as db, files.reading(self.path):
            row = db.execute(
                "SELECT id, batches FROM rounds WHERE cycle = ? AND split = ?", (cycle, split)
            ).fetchone()
            if row is None:
                return []
            number, batches = row
            return self._completions().batches(number, batches, by_id)

    def selected(self, before: int, prompts: Iterable[Prompt]) -> list[Sample]:
        """Return what the cycles before `before` chose, oldest first, with weights and without rewards."""
        by_id = {prompt.id: prompt for prompt in prompts}
        with self._lock, self.reading(), files.reading(self.path):
            return self._completions().selected(before, by_id)

    def passes(self, split: Split, first: int, last: int) -> dict[str, tuple[int, int]]:
        """Return (passes, verdicts of pass or fail) by prompt id, over the cycles `first` .. `last`."""
        with self.reading() as db:
            return {name: (hits, total) for name, hits, total in db.execute(_PASSES, (split, first, last))}

    def keep(self, cycle: int, split: Split, count: int) -> None:
        """Drop all but the first `count` batches."""
        with self.writing() as db:
            number, _ = self._round(db, cycle, split)
            db.execute("DELETE FROM completions WHERE round = ? AND batch >= ?", (number, count))
            db.execute("UPDATE rounds SET batches = ? WHERE id = ?", (count, number))

    def recall(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
        """Return the verdict on each text where its prompt's verifier has given one before, else None."""
        with self._lock, self.reading():
            return self._verdicts().recall(prompts, texts)

    def remember(
        self, prompts: Sequence[Prompt], texts: Sequence[str], verdicts: Sequence[Verdict]
    ) -> list[Verdict]:
        """Keep verdicts to be recalled; they reach the disk with the next batch. Returns those that hold."""
        with self._lock, self.reading():
            return self._verdicts().remember(prompts, texts, verdicts)

    def write_rewards(self, cycle: int, samples: Iterable[Sample], chosen: Iterable[Sample]) -> None:
        """Record each sample's reward and, of those chosen, the weight they are trained with."""
        weights = {(s.prompt.id, s.completion.index): s.weight for s in chosen}
        with self.writing() as db:
            number, _ = self._round(db, cycle, "train")
            ids = {(name, index): row for row, name, index in db.execute(_PLACES, (number,))}
            for table in ("rewards", "selections"):
                db.execute(
                    f"DELETE FROM {table} WHERE completion IN (SELECT id FROM completions WHERE round = ?)",
                    (number,),
                )
            db.executemany(
                "INSERT INTO rewards VALUES (?, ?)",
                ((ids[s.prompt.id, s.completion.index], s.reward) for s in samples if s.reward is not None),
            )
            db.executemany(
                "INSERT INTO selections VALUES (?, ?)",
                ((ids[place], weight) for place, weight in weights.items() if place in ids),
            )

    # Training and cycles

    def weights_hash(self, cycle: int) -> str:
        """Return the SHA-256 of the weights after `cycle`; empty for the model as it was given."""
        with self.reading() as db:
            row = db.execute("SELECT weights_hash FROM trainings WHERE cycle = ?", (cycle,)).fetchone()
        return str(row[0]) if row else ""

    def check_adapter(self, cycle: int) -> Path:
        """Return `adapter(cycle)`, or raise a `RunError` when it is not what was written."""
        place = self.adapter(cycle)
        with files.disk(place):
            whole = files.directory_hash(place) == self.weights_hash(cycle)
        if not whole:
            raise files.damaged(place, "its files are not those that were written")
        return place

    def trained(self, cycle: int) -> TrainStats | None:
        """Return what cycle `cycle`'s training did, if it finished; its weights are then in `adapter`."""
        with self.reading() as db, files.reading(self.path):
            row = db.execute("SELECT stats FROM trainings WHERE cycle = ?", (cycle,)).fetchone()
            return rows.read_stats(row[0]) if row else None

    def write_trained(self, cycle: int, stats: TrainStats, save: Callable[[Path], None]) -> None:
        """Keep the weights (which `save` writes into the directory it is given) together with `stats`."""
        digest = files.write_directory(self.adapter(cycle), save)
        with self.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO trainings VALUES (?, ?, ?)",
                (cycle, json.dumps(asdict(stats)), digest),
            )

    def checkpoint(self, cycle: int, inputs_hash: str) -> Path | None:
        """Return where the training of `cycle` got to, if it is the one that `inputs_hash` stands for.

        Raises a `RunError` when the files are not those that were written.
        """
        with self.reading() as db:
            row = db.execute(
                "SELECT number, files_hash FROM checkpoints WHERE cycle = ? AND inputs_hash = ?",
                (cycle, inputs_hash),
            ).fetchone()
        if row is None:
            return None
        place = self._checkpoint(cycle, row[0])
        with files.disk(place):
            if files.directory_hash(place) != row[1]:
                raise files.damaged(place, "its files are not those that were written")
        return place

    def write_checkpoint(self, cycle: int, inputs_hash: str, save: Callable[[Path], None]) -> None:
        """Keep what `save` writes into the directory it is given, instead of what was kept before."""
        with self.reading() as db:
            row = db.execute("SELECT number FROM checkpoints WHERE cycle = ?", (cycle,)).fetchone()
        number = row[0] + 1 if row else 1
        files_hash = files.write_directory(self._checkpoint(cycle, number), save)
        with self.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)",
                (cycle, number, inputs_hash, files_hash),
            )
        self._sweep(cycle, number)

    def spend(self, cycle: int, stage: str, seconds: float) -> None:
        """Add to the wall time of a stage."""
        with self.writing() as db:
            db.execute(_SPEND, (cycle, stage, seconds))

    def seconds(self, cycle: int) -> dict[str, float]:
        """Return the wall time of each stage of `cycle` so far, of all processes that worked at it."""
        with self.reading() as db:
            return dict(
                db.execute("SELECT stage, seconds FROM seconds WHERE cycle = ? ORDER BY rowid", (cycle,))
            )

    def write_report(self, report: CycleReport) -> None:
        """Close the cycle. What was kept within it goes."""
        self._sweep(report.cycle)
        with self.writing() as db:
            db.execute("DELETE FROM checkpoints WHERE cycle = ?", (report.cycle,))
            db.execute(
                "INSERT OR REPLACE INTO cycles VALUES (?, ?)", (report.cycle, rows.report_text(report))
            )
        self._settle()

    def reports(self) -> list[CycleReport]:
        """Return the reports of the cycles that were closed, oldest first."""
        with self.reading() as db, files.reading(self.path):
            found = [
                rows.read_report(text) for (text,) in db.execute("SELECT report FROM cycles ORDER BY cycle")
            ]
        return [report for place, report in enumerate(found) if report.cycle == place]

    # Within, and for the modules of this package

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Enclose reading from the database."""
        with schema.sqlite(self.path):
            yield self._connection()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Enclose one transaction: on the disk when this returns, or not there at all."""
        with self._lock, schema.transaction(self._connection(), self.path):
            try:
                yield self._connection()
            except BaseException:
                self._completions().forget()
                raise

    def _settle(self) -> None:
        """See that a log that is lost or damaged takes no more with it than the cycle that goes on."""
        with self._lock, self.reading() as db:
            schema.settle(db)

    def _connection(self) -> sqlite3.Connection:
        with self._lock:
            if self._open is None:
                if not self.path.exists() and (self.directory / "prompts.jsonl").exists():
                    raise RunError(
                        f"{self.directory} was written by an early halo, in JSON Lines; this one reads {DATABASE}",
                        hint="begin the run anew with another --output",
                    )
                self._open = schema.connect(self.path)
            return self._open

    def _verdicts(self) -> Verdicts:
        if self._known is None:
            self._known = Verdicts(self._connection(), self._judges())
        return self._known

    def _completions(self) -> Completions:
        if self._rows is None:
            self._rows = Completions(self._connection())
        return self._rows

    def _judges(self) -> dict[str, tuple[int, str]]:
        with self.reading() as db:
            found = db.execute(
                "SELECT name, id, fingerprint FROM verifiers WHERE place IS NOT NULL ORDER BY place"
            )
            return {name: (row, text) for name, row, text in found}

    def _use(self, db: sqlite3.Connection, fingerprints: Mapping[str, str]) -> None:
        db.execute("UPDATE verifiers SET place = NULL")
        for place, (name, text) in enumerate(fingerprints.items()):
            db.execute("UPDATE verifiers SET place = ? WHERE id = ?", (place, register(db, name, text)))
        self._known = None

    def _note(self, db: sqlite3.Connection, kind: str, detail: str) -> None:
        db.execute("INSERT INTO events VALUES (NULL, ?, ?, ?)", (time.time(), kind, rows.pack_text(detail)))

    def _round(self, db: sqlite3.Connection, cycle: int, split: Split) -> tuple[int, int]:
        """Return the row of a round and how many batches it has."""
        db.execute("INSERT OR IGNORE INTO rounds VALUES (NULL, ?, ?, '', 0)", (cycle, split))
        row = db.execute("SELECT id, batches FROM rounds WHERE cycle = ? AND split = ?", (cycle, split))
        number, batches = row.fetchone()
        return number, batches


_SPEND = """
INSERT INTO seconds VALUES (?, ?, ?) ON CONFLICT (cycle, stage) DO UPDATE SET seconds = seconds + excluded.seconds
"""
_PASSES = """
SELECT prompts.name, SUM(status = 'pass'), COUNT(*)
FROM completions JOIN rounds ON rounds.id = round
JOIN verdicts ON verdicts.id = verdict JOIN prompts ON prompts.id = prompt
WHERE rounds.split = ? AND cycle BETWEEN ? AND ? AND status IN ('pass', 'fail') GROUP BY prompts.name
"""
_PLACES = """
SELECT completions.id, prompts.name, number FROM completions JOIN prompts ON prompts.id = prompt WHERE round = ?
"""
