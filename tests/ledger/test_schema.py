"""Migration of ledgers of earlier versions."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from ledger_values import METRICS, PROMPTS, STATS, append_three, indices, read_only_disk, started

from halo_core.errors import RunError
from halo_core.ledger import schema
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.rows import pack_tokens
from halo_core.types import Completion, CycleReport, Sample, Stage, Status, Verdict

NEXT = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);\nALTER TABLE cycles ADD COLUMN mood TEXT;\n"


def test_a_ledger_of_an_earlier_version_is_migrated(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    append_three(ledger)
    ledger.write_report(CycleReport(cycle=0))
    ledger.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (NEXT,)))
    assert indices(ledger) == [0, 1, 2]
    with ledger.reading() as db:
        assert db.execute("SELECT mood FROM cycles").fetchall() == [(None,)]
        assert db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)


def test_a_ledger_of_the_first_version_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        first = Ledger(directory)
        first.create({"seed": 1}, [], PROMPTS, [])
        first.close()
    ledger = Ledger(directory)
    append_three(ledger)
    assert indices(ledger) == [0, 1, 2]
    assert ledger.seconds(1) == {}
    ledger.add_seconds(1, "sample", 2.0)
    ledger.add_seconds(1, "sample", 1.5)
    assert ledger.seconds(1) == {"sample": 3.5}
    ledger.write_checkpoint(1, "inputs", lambda place: None)
    assert ledger.checkpoint(1, "inputs") == ledger.cycle_directory(1) / "checkpoint-1"


def test_a_failed_migration_is_rolled_back(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    append_three(ledger)
    ledger.close()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (NEXT, "INSERT INTO nowhere VALUES (1);\n")))
        with pytest.raises(RunError):
            indices(ledger)
    assert indices(ledger) == [0, 1, 2]
    with ledger.reading() as db:
        assert not db.execute("SELECT * FROM sqlite_schema WHERE name = 'notes'").fetchall()


def test_a_ledger_of_a_newer_halo_is_rejected(ledger: Ledger) -> None:
    with ledger.reading() as db:
        db.execute("PRAGMA user_version = 99")
    ledger.close()
    with pytest.raises(RunError, match=r"newer version of halo \(schema 99") as caught:
        ledger.reports()
    assert "--upgrade" in caught.value.hint


# Version 2 to 3: log-probabilities and masks of tokens, signals, renamed fields

CLOSED = replace(STATS, logprob_shift=0.25, kl=0.5)
STATS_2 = {
    **{key: value for key, value in asdict(CLOSED).items() if key not in ("lr", "logprob_shift")},
    "shift": 0.25,
}
"""Statistics as version 2 stored them: with `shift`, without `lr`."""


def version_2(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Write a run of version 2: cycles 0 and 1 are closed, cycle 2 has trained."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:2])
        ledger = started(Ledger(directory))
        with ledger.writing() as db:
            db.execute("UPDATE events SET kind = ?", ("begun",))
            db.execute("INSERT INTO rounds VALUES (1, 1, 'train', 'abc', 1)")
            db.execute("INSERT INTO contexts VALUES (1, ?)", (pack_tokens([1, 2]),))
            db.execute(
                "INSERT INTO verdicts VALUES"
                " (1, NULL, NULL, 'pass', 'correct', 1, 0, 'ok', 0.5, 0.75, 'strong', 'split')"
            )
            db.execute(
                "INSERT INTO completions VALUES (1, 1, 0, 1, 0, 'text', 1, ?, 'stop', -1.5, 1)",
                (pack_tokens([3, 4]),),
            )
            for cycle in (1, 2):
                db.execute("INSERT INTO trainings VALUES (?, ?, 'hash')", (cycle, json.dumps(STATS_2)))
            db.execute("INSERT INTO checkpoints VALUES (3, 1, 'inputs', 'files')")
            for cycle, train in ((0, None), (1, STATS_2)):
                report = {
                    "cycle": cycle,
                    "lr": 2e-5,
                    "rates": asdict(METRICS),
                    "canary": 0.125,
                    "train": train,
                }
                db.execute("INSERT INTO cycles VALUES (?, ?)", (cycle, json.dumps(report)))
        ledger.close()
    return Ledger(directory)


def check_migrated(ledger: Ledger) -> None:
    verdict = Verdict(Status.PASS, Stage.CORRECT, 1, 0, "ok", 0.5, 0.75, "strong", "split")
    completion = Completion(PROMPTS[0].id, 0, "text", (1, 2), (3, 4), "stop")
    assert ledger.batches(1, "train", PROMPTS) == [[Sample(PROMPTS[0], completion, verdict)]]
    first, second = ledger.reports()
    assert first == CycleReport(cycle=0, lr=2e-5, sampled=METRICS, sampler_error=0.125)
    assert second == replace(first, cycle=1, train=replace(CLOSED, lr=2e-5))
    assert ledger.trained(1) == replace(CLOSED, lr=2e-5), "the learning rate of the report"
    assert ledger.trained(2) == replace(CLOSED, lr=CLOSED.lr_peak), "no report yet: the peak learning rate"
    assert ledger.weights_hash(2) == "hash"
    assert [kind for _, kind, _ in ledger.events()] == ["started"]
    with ledger.reading() as db:
        assert db.execute("SELECT logprob FROM completions").fetchall() == [(-1.5,)]
        assert db.execute("SELECT request_hash FROM rounds").fetchall() == [("abc",)]
        assert db.execute("SELECT inputs_hash, files_hash FROM checkpoints").fetchall() == [
            ("inputs", "files")
        ]


def test_a_ledger_of_version_2_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = version_2(tmp_path / "run", monkeypatch)
    check_migrated(ledger)
    ledger.close()
    with closing(sqlite3.connect(ledger.path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    check_migrated(ledger)


def test_a_migrated_ledger_stores_log_probabilities_masks_and_signals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = version_2(tmp_path / "run", monkeypatch)
    completion = Completion(PROMPTS[0].id, 1, "x", (1, 2), (3, 4), "stop", (-0.5, -0.25), (True, False))
    verdict = Verdict(Status.FAIL, Stage.WRONG, signals={"format": 0.5, "length": 12.0})
    new = Sample(PROMPTS[0], completion, verdict)
    assert ledger.remember([PROMPTS[0]], ["x"], [verdict]) == [verdict]
    ledger.append(1, "train", [new])
    ledger.close()
    assert ledger.batches(1, "train", PROMPTS)[1] == [new]
    assert ledger.recall([PROMPTS[0]], ["x"]) == [verdict]
    with ledger.reading() as db:
        assert db.execute("SELECT logprob FROM completions WHERE number = 1").fetchone() == (-0.5,)


def test_a_ledger_of_version_2_on_a_read_only_disk_is_migrated_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = version_2(tmp_path / "run", monkeypatch)
    before = ledger.path.read_bytes()
    with read_only_disk():
        check_migrated(ledger)
        with pytest.raises(RunError, match="Read-only file system"):
            ledger.note("x")
        assert len(ledger.events()) == 1
        ledger.close()
    assert ledger.path.read_bytes() == before
    check_migrated(ledger)


def test_a_ledger_in_a_file_without_write_permission_is_migrated_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = version_2(tmp_path / "run", monkeypatch)
    opened = sqlite3.connect

    def connect(name: str, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = opened(name.replace("mode=rw", "mode=ro"), **options)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    check_migrated(ledger)


@pytest.mark.parametrize("text", ["", "{", "3", "{}"])
def test_a_damaged_text_in_a_migration_raises_a_run_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    ledger = version_2(tmp_path / "run", monkeypatch)
    with closing(sqlite3.connect(ledger.path)) as db:
        db.execute("UPDATE trainings SET stats = ?", (text,))
        db.commit()
    with pytest.raises(RunError, match=r"ledger\.db is damaged"):
        ledger.reports()
    with closing(sqlite3.connect(ledger.path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,), "rolled back"
