"""Damaged files, failed disk operations and competing writers raise a `RunError`."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from ledger_values import PROMPTS, append_three, indices, read_only_disk, sample

from halo_core.errors import RunError
from halo_core.files import disk_error
from halo_core.ledger.ledger import Ledger
from halo_core.types import CycleReport


def test_commits_before_the_tear_of_a_torn_log_are_kept(ledger: Ledger, tmp_path: Path) -> None:
    """Cut or garble the end of the write-ahead log, as a power cut may. The database is still open."""
    append_three(ledger)
    log = (ledger.directory / "ledger.db-wal").read_bytes()
    seen = set()
    for number, cut in enumerate(range(0, len(log), 1999)):
        place = tmp_path / str(number)
        shutil.copytree(ledger.directory, place)
        for content in (log[:cut], log[:cut] + b"\xa5" * (len(log) - cut)):
            shutil.copy(ledger.directory / "ledger.db", place)
            (place / "ledger.db-wal").write_bytes(content)
            (place / "ledger.db-shm").unlink(missing_ok=True)
            torn = Ledger(place)
            with suppress(RunError):  # cut before the first commit: there is no run yet
                got = indices(torn)
                assert got == [0, 1, 2][: len(got)]
                seen.add(len(got))
            torn.close()
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000, "garbled"], ids=["empty", "other", "garbled"])
def test_a_damaged_ledger_raises_a_run_error(ledger: Ledger, content: bytes | str) -> None:
    append_three(ledger)
    ledger.close()
    if isinstance(content, str):
        whole = ledger.path.read_bytes()
        content = whole[:4096] + b"\xa5" * (len(whole) - 4096)
    ledger.path.write_bytes(content)
    with pytest.raises(RunError, match=r"ledger\.db is damaged") as caught:
        ledger.batches(1, "train", PROMPTS)
    assert "restore it from a copy" in caught.value.hint


def test_an_invalid_value_is_not_reported_as_damage(ledger: Ledger) -> None:
    with (
        pytest.raises(RunError, match=r"SQLite rejected a query on .*: NOT NULL constraint failed") as caught,
        ledger.writing() as db,
    ):
        db.execute("INSERT INTO trainings VALUES (1, NULL, '')")
    assert "a bug in halo" in caught.value.hint
    assert ledger.prompts("train")


def test_a_database_of_another_application_is_rejected(ledger: Ledger) -> None:
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        db.execute("PRAGMA application_id = 7")
    db.close()
    with pytest.raises(RunError, match="of another application"):
        ledger.prompts("train")


def test_a_missing_ledger_raises_a_run_error(ledger: Ledger) -> None:
    ledger.close()
    ledger.path.unlink()
    with pytest.raises(RunError, match=r"ledger\.db: No such file"):
        ledger.prompts("train")


def test_a_run_from_before_the_ledger_raises_a_run_error(ledger: Ledger) -> None:
    ledger.close()
    ledger.path.unlink()
    (ledger.directory / "prompts.jsonl").write_text("{}")
    with pytest.raises(RunError, match="in JSON Lines") as caught:
        ledger.reports()
    assert "--output" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_damaged_reports_and_statistics_raise_a_run_error(ledger: Ledger, text: str) -> None:
    with ledger.writing() as db:
        db.execute("INSERT INTO cycles VALUES (0, ?)", (text,))
        db.execute("INSERT INTO trainings VALUES (1, ?, '')", (text,))
    for read in (ledger.reports, lambda: ledger.trained(1)):
        with pytest.raises(RunError, match=r"ledger\.db is damaged"):
            read()


def test_a_sample_of_an_unknown_prompt_raises_a_run_error(ledger: Ledger) -> None:
    append_three(ledger)
    with pytest.raises(RunError, match=r"ledger\.db is damaged"):
        ledger.batches(1, "train", PROMPTS[1:])


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n"])
def test_a_damaged_configuration_raises_a_run_error(ledger: Ledger, text: str) -> None:
    (ledger.directory / "run.yaml").write_text(text)
    with pytest.raises(RunError, match=r"run\.yaml is damaged"):
        ledger.config()


def test_a_full_disk_raises_a_run_error_and_rolls_the_batch_back(ledger: Ledger) -> None:
    append_three(ledger)
    with ledger.reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    big = [sample(PROMPTS[0], 3 + n, "x" * 5000) for n in range(10)]
    with pytest.raises(RunError, match="No space left on device") as caught:
        ledger.append(1, "train", big)
    assert "the data already written is kept" in caught.value.hint
    assert indices(ledger) == [0, 1, 2]
    with ledger.reading() as db:
        db.execute(f"PRAGMA max_page_count = {pages + 100}")
    ledger.append(1, "train", big)
    assert indices(ledger) == [0, 1, 2, 3], "the next batch is stored"


def test_a_ledger_on_a_read_only_disk_can_be_read(ledger: Ledger) -> None:
    append_three(ledger)
    ledger.close()
    with read_only_disk():
        assert indices(ledger) == [0, 1, 2]
        with pytest.raises(RunError, match="Read-only file system") as caught:
            ledger.append(1, "train", [])
    assert "--output" in caught.value.hint


def test_another_writer_raises_a_run_error(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ledger.reading() as db:
        db.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(RunError, match="in use by another process"):
        ledger.note("x")
    other.close()
    ledger.note("x")


def test_an_unusable_directory_raises_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match=str(place)) as caught, Ledger(place).locked():
            pass
        assert "--output" in caught.value.hint
    with pytest.raises(RunError):
        Ledger(tmp_path / "file" / "run").create({}, [], PROMPTS, [])


@pytest.mark.parametrize("closed", [False, True])
def test_a_lost_log_loses_only_the_current_cycle(ledger: Ledger, closed: bool) -> None:
    append_three(ledger)
    if closed:
        ledger.write_report(CycleReport(cycle=0))
    copy = ledger.directory.with_name("copy")
    shutil.copytree(ledger.directory, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    found = Ledger(copy)
    assert found.prompts("train") == ledger.prompts("train")
    assert indices(found) == ([0, 1, 2] if closed else [])


@pytest.mark.parametrize(
    ("name", "text"), [("machine.json", "[1]"), ("plugins.json", '{"a": 1}'), ("plugins.json", "{")]
)
def test_a_json_file_of_another_type_is_damaged(ledger: Ledger, name: str, text: str) -> None:
    (ledger.directory / name).write_text(text)
    with pytest.raises(RunError, match=f"{name} is damaged"):
        (ledger.machine if name == "machine.json" else ledger.plugins)()


def test_a_garbled_prompt_is_damage(ledger: Ledger) -> None:
    with ledger.writing() as db:
        db.execute("UPDATE prompts SET body = '{'")
    with pytest.raises(RunError, match=r"ledger\.db is damaged"):
        ledger.prompts("train")


def test_each_kind_of_disk_error_has_its_own_hint(tmp_path: Path) -> None:
    hints = [
        disk_error(tmp_path, os.strerror(code)).hint for code in (errno.ENOSPC, errno.EACCES, errno.ENOENT)
    ]
    assert [hint.split()[0] for hint in hints] == ["free", "check", "restore"]
