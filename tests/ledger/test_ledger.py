from __future__ import annotations

import datetime
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo_core.errors import RunError
from halo_core.files import refused
from halo_core.ledger import Ledger, schema
from halo_core.ledger.compare import compare
from halo_core.ledger.rows import pack_tokens, unpack_tokens
from halo_core.types import (
    Completion,
    CycleReport,
    EvalMetrics,
    Prompt,
    Sample,
    Stage,
    Status,
    TrainStats,
    Verdict,
)

PROMPTS = [
    Prompt(
        "a", "Add.", verifier="gcc", reference={"tests": [{"stdin": "1", "stdout": "é"}]}, meta={"level": 3}
    ),
    Prompt("0", messages=({"role": "system", "content": "x"}, {"role": "user", "content": "\u2028 y"})),
    Prompt("c d/e", "Sub.\n\n  ```"),
]
STATS = TrainStats(
    lr=5e-05,
    steps=3,
    samples=10,
    tokens=500,
    loss_first=1.25,
    loss_last=0.5,
    lr_peak=5e-5,
    lr_sum=1.5e-4,
    grad_norm_median=0.125,
    clipped_fraction=0.25,
    update_norm=1e-3,
)
RATES = EvalMetrics(
    samples=8,
    valid=0.5,
    passed=0.25,
    valid_interval=(0.1, 0.9),
    passed_interval=(0.0, 0.5),
    stages={"invalid": 4, "correct": 2},
    errors=1,
    inconclusive=0,
    truncated=0.125,
    distinct=0.75,
)


def sample(prompt: Prompt, index: int, text: str = "x", **verdict: Any) -> Sample:
    completion = Completion(prompt.id, index, text, (1, 2), (3, 4, 5), "length", (-0.5, -0.25, -0.75))
    return Sample(prompt, completion, Verdict(Status.FAIL, Stage.WRONG, **verdict))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return begun(Ledger(tmp_path / "run"))


def begun(ledger: Ledger, **fingerprints: str) -> Ledger:
    config = {"verifier": [{"name": "gcc"}], "cycles": 2}
    ledger.create(config, [PLUGIN], PROMPTS[:2], PROMPTS[2:], {}, fingerprints or {"gcc": "gcc 12"})
    return ledger


PLUGIN = {"kind": "verifier", "name": "gcc", "distribution": "halo-verifier-gcc", "version": "1"}


def test_a_run_reads_back_as_it_was_begun(ledger: Ledger) -> None:
    ledger.close()
    assert ledger.exists
    assert ledger.config() == {"verifier": [{"name": "gcc"}], "cycles": 2}
    assert ledger.prompts("train") == PROMPTS[:2]
    assert ledger.prompts("heldout") == PROMPTS[2:]
    assert ledger.plugins() == [PLUGIN]
    assert ledger.fingerprints() == {"gcc": "gcc 12"}
    assert [kind for _, kind, _ in ledger.events()] == ["begun"]
    assert not list(ledger.directory.rglob("*.partial"))


def test_a_run_may_have_no_heldout_prompts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.create({}, [], PROMPTS, [])
    assert ledger.prompts("heldout") == []


def test_what_json_cannot_hold_is_kept_as_text(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.create({}, [], [Prompt("a", "x", meta={"day": datetime.date(2026, 1, 2)})], [])
    assert ledger.prompts("train")[0].meta == {"day": "2026-01-02"}


def test_a_run_exists_once_everything_of_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, rename = Ledger(tmp_path / "run"), Path.rename
    for cut in range(3):
        calls = iter(range(10))

        def stop(path: Path, target: Path, cut: int = cut, calls: Any = calls) -> None:
            if next(calls) == cut:
                raise KeyboardInterrupt
            rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", stop)
            with pytest.raises(KeyboardInterrupt):
                begun(ledger)
        assert not ledger.exists
        ledger.check_unused()
    assert begun(ledger).prompts("train") == PROMPTS[:2], "and what was left is begun over"


def test_a_directory_that_holds_something_else_is_not_used(tmp_path: Path) -> None:
    Ledger(tmp_path / "new").check_unused()
    Ledger(tmp_path).check_unused()
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="is not empty and holds no run") as caught:
        Ledger(tmp_path).check_unused()
    assert "--output" in caught.value.hint


# Samples


def test_batches_read_back_in_order(ledger: Ledger) -> None:
    batches = [
        [sample(PROMPTS[0], 0, "é\u2028\n\0"), sample(PROMPTS[1], 0, score=0.5, warnings=2, detail="d\nd")],
        [],
        [
            sample(
                PROMPTS[0], 1, "\ud800", cpu_seconds=0.25, wall_seconds=0.5, sandbox="strong", detail="\udfff"
            )
        ],
        [sample(PROMPTS[1], 1, integrity="shared-process")],
    ]
    for batch in batches:
        ledger.append(1, "train", batch)
    ledger.append(1, "heldout", [sample(PROMPTS[2], 0)])
    ledger.close()
    assert ledger.batches(1, "train", PROMPTS) == batches
    assert ledger.batches(1, "heldout", PROMPTS) == [[sample(PROMPTS[2], 0)]]
    assert ledger.batches(2, "train", PROMPTS) == []


@settings(max_examples=40)
@given(
    st.text(),
    st.lists(st.integers(0, 2**40)),
    st.none() | st.floats(allow_nan=False, width=32),
    st.booleans(),
)
def test_any_completion_reads_back(text: str, ids: list[int], logprob: float | None, masked: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        ledger = begun(Ledger(Path(place)))
        logprobs = None if logprob is None else (logprob,) * len(ids)
        mask = tuple(number % 2 == 0 for number in range(len(ids))) if masked else None
        completion = Completion("a", 0, text, tuple(ids), tuple(ids), "stop", logprobs, mask)
        kept = Sample(PROMPTS[0], completion, Verdict(Status.FAIL, Stage.WRONG))
        ledger.append(1, "train", [kept])
        assert ledger.batches(1, "train", PROMPTS) == [[kept]]
        ledger.close()


@pytest.mark.parametrize("largest", [0, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1])
def test_tokens_take_as_little_room_as_they_can(largest: int) -> None:
    blob = pack_tokens([1, largest, 0])
    assert unpack_tokens(blob) == (1, largest, 0)
    assert len(blob) == 1 + 3 * next(width for width in (1, 2, 4, 8) if largest < 256**width)
    assert unpack_tokens(pack_tokens([])) == ()


def test_contexts_are_kept_once(ledger: Ledger) -> None:
    for batch in range(3):
        ledger.append(1, "train", [sample(PROMPTS[0], 2 * batch + n) for n in range(2)])
    with ledger.reading() as db:
        assert db.execute("SELECT count(*) FROM contexts").fetchone() == (1,)


def three(ledger: Ledger) -> None:
    for index in range(3):
        ledger.append(1, "train", [sample(PROMPTS[0], index, f"text {index}")])


def indices(ledger: Ledger) -> list[int]:
    return [batch[0].completion.index for batch in ledger.batches(1, "train", PROMPTS)]


def test_batches_can_be_dropped_from_the_end(ledger: Ledger) -> None:
    three(ledger)
    ledger.keep(1, "train", 1)
    ledger.append(1, "train", [sample(PROMPTS[0], 7)])
    assert indices(ledger) == [0, 7]


def test_a_round_that_was_sampled_otherwise_is_not_gone_on_with(ledger: Ledger) -> None:
    ledger.open_request(1, "train", "abc")
    three(ledger)
    ledger.open_request(1, "train", "abc")
    with pytest.raises(RunError, match=r"cycle 1 \(train\).*other weights") as caught:
        ledger.open_request(1, "train", "def")
    assert "--output" in caught.value.hint


# Verdicts

RIGHT, WRONG = Verdict(Status.PASS, Stage.CORRECT, 1.0), Verdict(Status.FAIL, Stage.WRONG, cpu_seconds=0.5)
ERROR = Verdict(Status.ERROR, Stage.INVALID, detail="no compiler")


def judged(ledger: Ledger, index: int, text: str, verdict: Verdict, prompt: Prompt = PROMPTS[0]) -> None:
    """Put a sample into the ledger as the loop does."""
    (verdict,) = ledger.remember([prompt], [text], [verdict])
    completion = Completion(prompt.id, index, text)
    ledger.append(1, "train", [Sample(prompt, completion, verdict)])


def verdicts(ledger: Ledger) -> int:
    with ledger.reading() as db:
        return int(db.execute("SELECT count(*) FROM verdicts").fetchone()[0])


def test_a_verdict_is_recalled_by_prompt_and_text(ledger: Ledger) -> None:
    judged(ledger, 0, "x", WRONG)
    ledger.close()
    assert ledger.recall([PROMPTS[0], PROMPTS[0], PROMPTS[1]], ["x", "y", "x"]) == [WRONG, None, None]
    judged(ledger, 1, "x", WRONG)
    assert verdicts(ledger) == 1, "kept once"


def test_what_is_not_on_disk_yet_is_recalled_too(ledger: Ledger) -> None:
    ledger.remember([PROMPTS[0]], ["x"], [WRONG])
    assert ledger.recall([PROMPTS[0]], ["x"]) == [WRONG]
    slower = Verdict(Status.FAIL, Stage.WRONG, cpu_seconds=0.75)
    assert ledger.remember([PROMPTS[0]], ["x"], [slower]) == [WRONG], "the first holds"


@pytest.mark.parametrize("status", [Status.ERROR, Status.INCONCLUSIVE])
def test_what_says_nothing_about_the_completion_is_not_recalled(ledger: Ledger, status: Status) -> None:
    verdict = Verdict(status, Stage.INVALID)
    judged(ledger, 0, "x", verdict)
    assert ledger.recall([PROMPTS[0]], ["x"]) == [None]
    assert ledger.batches(1, "train", PROMPTS)[0][0].verdict == verdict


def test_another_fingerprint_knows_nothing(ledger: Ledger) -> None:
    judged(ledger, 0, "x", WRONG)
    ledger.use_verifiers({"gcc": "gcc 13"})
    assert ledger.recall([PROMPTS[0]], ["x"]) == [None]
    judged(ledger, 1, "x", RIGHT)
    assert [batch[0].verdict for batch in ledger.batches(1, "train", PROMPTS)] == [WRONG, RIGHT]
    ledger.use_verifiers({"gcc": "gcc 12"})
    assert ledger.recall([PROMPTS[0]], ["x"]) == [WRONG]


def test_each_prompt_is_judged_by_its_own_verifier(tmp_path: Path) -> None:
    ledger = begun(Ledger(tmp_path / "run"), sql="sqlite 3", gcc="gcc 12")  # the first prompt names gcc
    for prompt in PROMPTS[:2]:
        judged(ledger, 0, "x", WRONG, prompt)
    ledger.use_verifiers({"sql": "sqlite 4", "gcc": "gcc 12"})
    assert ledger.recall(PROMPTS[:2], ["x", "x"]) == [WRONG, None]


def test_what_a_plugin_made_of_a_verdict_is_recorded_and_not_recalled(ledger: Ledger) -> None:
    ledger.remember([PROMPTS[0]], ["x"], [WRONG])
    shaped = Verdict(Status.FAIL, Stage.WRONG, score=0.25)
    ledger.append(1, "train", [Sample(PROMPTS[0], Completion("a", 0, "x"), shaped)])
    assert ledger.recall([PROMPTS[0]], ["x"]) == [WRONG]
    assert ledger.batches(1, "train", PROMPTS)[0][0].verdict == shaped


def test_a_batch_that_failed_leaves_its_verdicts_to_the_next(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("halo_core.ledger.completions.pack_tokens", lambda ids: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            judged(ledger, 0, "x", WRONG)
    assert ledger.batches(1, "train", PROMPTS) == []
    judged(ledger, 0, "y", RIGHT)
    ledger.close()
    assert ledger.recall([PROMPTS[0]], ["x"]) == [WRONG]


# Rewards, training, cycles


def test_rewards_and_what_was_chosen(ledger: Ledger) -> None:
    kept = Sample(PROMPTS[0], Completion("a", 0, "x"), RIGHT, 1.0, 2.0)
    left = Sample(PROMPTS[0], Completion("a", 1, "x"), WRONG, 0.7)
    error = Sample(PROMPTS[1], Completion("0", 0, "x"), ERROR, None)
    ledger.append(1, "train", [kept, left, error])
    for _ in range(2):  # a run that is gone on with writes them again
        ledger.write_rewards(1, [kept, left, error], [kept])
    with ledger.reading() as db:
        assert db.execute("SELECT * FROM rewards").fetchall() == [(1, 1.0), (2, 0.7)]
        assert db.execute("SELECT * FROM selections").fetchall() == [(1, 2.0)]


def test_reports_read_back(ledger: Ledger) -> None:
    reports = [
        CycleReport(cycle=0, heldout=RATES, seconds={"heldout": 1.5}),
        CycleReport(
            cycle=1,
            heldout=RATES,
            lr=5e-5,
            sampled=RATES,
            reward_mean=0.625,
            selected=7,
            train=STATS,
            seconds={"sample": 1.0, "train": 2.0},
        ),
        CycleReport(cycle=2),
    ]
    for report in reports:
        ledger.write_report(report)
    ledger.close()
    assert ledger.reports() == reports


def test_reports_of_an_earlier_halo_lack_what_it_did_not_measure(ledger: Ledger) -> None:
    with ledger.writing() as db:
        db.execute("INSERT INTO cycles VALUES (0, ?)", ('{"cycle": 0, "lr": 0.5, "gone": 1}',))
    assert ledger.reports() == [CycleReport(cycle=0, lr=0.5)]


def test_a_gap_ends_the_history(ledger: Ledger) -> None:
    for cycle in (0, 1, 3):
        ledger.write_report(CycleReport(cycle=cycle))
    assert [report.cycle for report in ledger.reports()] == [0, 1]


def test_weights_and_stats_appear_together(ledger: Ledger) -> None:
    assert ledger.trained(1) is None
    ledger.write_trained(1, STATS, lambda place: (place / "weights").write_text("w"))
    assert ledger.trained(1) == STATS
    assert (ledger.check_adapter(1) / "weights").read_text() == "w"
    assert sorted(path.name for path in ledger.cycle_directory(1).iterdir()) == ["adapter"]


def test_weights_that_were_half_written_do_not_count(ledger: Ledger) -> None:
    def save(place: Path) -> None:
        (place / "weights").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.write_trained(1, STATS, save)
    assert ledger.trained(1) is None
    ledger.write_trained(1, STATS, lambda place: (place / "other").write_text("w"))
    assert sorted(path.name for path in ledger.adapter(1).iterdir()) == ["other"]


def test_weights_that_changed_on_the_disk_are_noticed(ledger: Ledger) -> None:
    ledger.write_trained(1, STATS, lambda place: (place / "weights").write_text("w"))
    for change in (
        lambda place: (place / "weights").write_text("v"),
        lambda place: (place / "weights").rename(place / "renamed"),
        shutil.rmtree,
    ):
        change(ledger.adapter(1))
        with pytest.raises(RunError, match="adapter") as caught:
            ledger.check_adapter(1)
        assert caught.value.hint


def test_the_order_in_which_files_are_saved_is_nothing_to_the_digest(ledger: Ledger) -> None:
    def save(place: Path, names: str) -> None:
        for name in names:
            (place / name).write_text(name)

    for cycle, names in ((1, "ab"), (2, "ba"), (3, "ac")):
        ledger.write_trained(cycle, STATS, lambda place, names=names: save(place, names))
    assert ledger.weights_hash(1) == ledger.weights_hash(2) != ledger.weights_hash(3)


def test_what_is_written_is_on_the_disk_when_the_call_returns(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL: each commit is synced"
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    place = ledger.cycle_directory(1)
    ledger.write_trained(1, STATS, lambda where: (where / "weights").write_text("w"))
    assert synced == [str(place / "adapter.partial" / "weights"), str(place / "adapter.partial"), str(place)]


# Damage


def test_of_a_torn_log_what_was_committed_before_the_tear_is_there(ledger: Ledger, tmp_path: Path) -> None:
    """Cut, or garble, the end of the write-ahead log, as a power cut may; the database is still open."""
    three(ledger)
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
            with suppress(RunError):  # cut before the first commit there was no run yet
                got = indices(torn)
                assert got == [0, 1, 2][: len(got)]
                seen.add(len(got))
            torn.close()
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000, "garbled"], ids=["empty", "other", "garbled"])
def test_a_damaged_ledger_is_one_line(ledger: Ledger, content: bytes | str) -> None:
    three(ledger)
    ledger.close()
    if isinstance(content, str):
        whole = ledger.path.read_bytes()
        content = whole[:4096] + b"\xa5" * (len(whole) - 4096)
    ledger.path.write_bytes(content)
    with pytest.raises(RunError, match=r"ledger\.db is damaged") as caught:
        ledger.batches(1, "train", PROMPTS)
    assert "restore it from a copy" in caught.value.hint


def test_a_value_that_no_ledger_holds_is_no_damage(ledger: Ledger) -> None:
    with (
        pytest.raises(RunError, match="SQLite refuses: NOT NULL constraint failed") as caught,
        ledger.writing() as db,
    ):
        db.execute("INSERT INTO trainings VALUES (1, NULL, '')")
    assert "halo's own" in caught.value.hint
    assert ledger.prompts("train")


def test_a_database_of_somebody_else_is_left_alone(ledger: Ledger) -> None:
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        db.execute("PRAGMA application_id = 7")
    db.close()
    with pytest.raises(RunError, match="not of halo"):
        ledger.prompts("train")


def test_a_ledger_that_is_gone_is_one_line(ledger: Ledger) -> None:
    ledger.close()
    ledger.path.unlink()
    with pytest.raises(RunError, match=r"ledger\.db: No such file"):
        ledger.prompts("train")


def test_a_run_of_before_the_ledger_says_so(ledger: Ledger) -> None:
    ledger.close()
    ledger.path.unlink()
    (ledger.directory / "prompts.jsonl").write_text("{}")
    with pytest.raises(RunError, match="in JSON Lines") as caught:
        ledger.reports()
    assert "--output" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_damaged_figures_are_one_line(ledger: Ledger, text: str) -> None:
    with ledger.writing() as db:
        db.execute("INSERT INTO cycles VALUES (0, ?)", (text,))
        db.execute("INSERT INTO trainings VALUES (1, ?, '')", (text,))
    for read in (ledger.reports, lambda: ledger.trained(1)):
        with pytest.raises(RunError, match=r"ledger\.db is damaged"):
            read()


def test_samples_of_prompts_that_the_run_does_not_have_are_one_line(ledger: Ledger) -> None:
    three(ledger)
    with pytest.raises(RunError, match=r"ledger\.db is damaged"):
        ledger.batches(1, "train", PROMPTS[1:])


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n"])
def test_a_damaged_configuration_is_one_line(ledger: Ledger, text: str) -> None:
    (ledger.directory / "run.yaml").write_text(text)
    with pytest.raises(RunError, match=r"run\.yaml is damaged"):
        ledger.config()


def test_a_full_disk_is_one_line_and_the_batch_is_not_half_there(ledger: Ledger) -> None:
    three(ledger)
    with ledger.reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    big = [sample(PROMPTS[0], 3 + n, "x" * 5000) for n in range(10)]
    with pytest.raises(RunError, match="No space left on device") as caught:
        ledger.append(1, "train", big)
    assert "what was written is kept" in caught.value.hint
    assert indices(ledger) == [0, 1, 2]
    with ledger.reading() as db:
        db.execute(f"PRAGMA max_page_count = {pages + 100}")
    ledger.append(1, "train", big)
    assert indices(ledger) == [0, 1, 2, 3], "and then it goes on"


def test_a_disk_that_cannot_be_written_can_be_read(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    three(ledger)
    ledger.close()
    opened = sqlite3.connect

    def connect(name: str, **options: Any) -> sqlite3.Connection:
        if "immutable" not in name:
            raise sqlite3.OperationalError("unable to open database file")
        return opened(name, **options)

    monkeypatch.setattr(sqlite3, "connect", connect)
    assert indices(ledger) == [0, 1, 2]
    with pytest.raises(RunError, match="Read-only file system") as caught:
        ledger.append(1, "train", [])
    assert "--output" in caught.value.hint


def test_another_writer_is_one_line(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ledger.reading() as db:
        db.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(RunError, match="in use by another process"):
        ledger.note("x")
    other.close()
    ledger.note("x")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match=str(place)) as caught, Ledger(place).locked():
            pass
        assert "--output" in caught.value.hint
    with pytest.raises(RunError):
        Ledger(tmp_path / "file" / "run").create({}, [], PROMPTS, [])


@pytest.mark.parametrize("closed", [False, True])
def test_a_lost_log_takes_no_more_with_it_than_the_cycle_that_goes_on(ledger: Ledger, closed: bool) -> None:
    three(ledger)
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
def test_a_file_of_another_shape_is_damaged(ledger: Ledger, name: str, text: str) -> None:
    (ledger.directory / name).write_text(text)
    with pytest.raises(RunError, match=f"{name} is damaged"):
        (ledger.machine if name == "machine.json" else ledger.plugins)()


def test_a_prompt_that_is_garbled_is_damage(ledger: Ledger) -> None:
    with ledger.writing() as db:
        db.execute("UPDATE prompts SET body = '{'")
    with pytest.raises(RunError, match=r"ledger\.db is damaged"):
        ledger.prompts("train")


def test_what_the_disk_refuses_has_a_hint_of_its_own(tmp_path: Path) -> None:
    hints = [refused(tmp_path, os.strerror(code)).hint for code in (errno.ENOSPC, errno.EACCES, errno.ENOENT)]
    assert [hint.split()[0] for hint in hints] == ["make", "see", "restore"]


# Versions of the schema

NEXT = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);\nALTER TABLE cycles ADD COLUMN mood TEXT;\n"


def test_a_ledger_of_an_earlier_version_is_brought_up_to_date(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(ledger)
    ledger.write_report(CycleReport(cycle=0))
    ledger.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (NEXT,)))
    assert indices(ledger) == [0, 1, 2]
    with ledger.reading() as db:
        assert db.execute("SELECT mood FROM cycles").fetchall() == [(None,)]
        assert db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)


def test_a_run_of_the_first_version_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        first = Ledger(directory)
        first.create({"seed": 1}, [], PROMPTS, [])
        first.close()
    ledger = Ledger(directory)
    three(ledger)
    assert indices(ledger) == [0, 1, 2]
    assert ledger.seconds(1) == {}
    ledger.spend(1, "sample", 2.0)
    ledger.spend(1, "sample", 1.5)
    assert ledger.seconds(1) == {"sample": 3.5}
    ledger.write_checkpoint(1, "recipe", lambda place: None)
    assert ledger.checkpoint(1, "recipe") == ledger.cycle_directory(1) / "checkpoint-1"


def test_a_migration_that_fails_leaves_everything_as_it_was(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(ledger)
    ledger.close()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (NEXT, "INSERT INTO nowhere VALUES (1);\n")))
        with pytest.raises(RunError):
            indices(ledger)
    assert indices(ledger) == [0, 1, 2]
    with ledger.reading() as db:
        assert not db.execute("SELECT * FROM sqlite_schema WHERE name = 'notes'").fetchall()


def test_a_ledger_of_a_newer_halo_is_refused(ledger: Ledger) -> None:
    with ledger.reading() as db:
        db.execute("PRAGMA user_version = 99")
    ledger.close()
    with pytest.raises(RunError, match=r"newer halo \(schema 99") as caught:
        ledger.reports()
    assert "--upgrade" in caught.value.hint


# Comparing


def filled(ledger: Ledger, **change: Any) -> Ledger:
    begun(ledger, gcc=change.get("fingerprint", "gcc 12"))
    ledger.append(
        1, "train", [sample(PROMPTS[0], 0, change.get("text", "x"), score=change.get("score", 0.5))]
    )
    paid = Sample(PROMPTS[0], Completion("a", 0, "x"), WRONG, change.get("reward", 0.7))
    ledger.write_rewards(1, [paid], [paid])
    ledger.write_trained(1, STATS, lambda place: (place / "w").write_text(change.get("weights", "w")))
    ledger.write_report(CycleReport(cycle=0, seconds={"heldout": change.get("seconds", 1.0)}))
    ledger.close()
    return ledger


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, set()),
        ({"seconds": 2.0}, set()),
        ({"text": "y"}, {"completions"}),
        ({"score": 0.25}, {"verdicts"}),
        ({"reward": 0.5}, {"selections"}),
        ({"weights": "v"}, {"adapters"}),
        ({"fingerprint": "gcc 13"}, {"plugins"}),
    ],
    ids=str,
)
def test_where_two_runs_part(tmp_path: Path, change: dict[str, Any], parts: set[str]) -> None:
    one, other = filled(Ledger(tmp_path / "a")), filled(Ledger(tmp_path / "b"), **change)
    found = compare(one, other)
    assert {part.name for part in found if not part.same} == parts
    assert all(part.first for part in found if not part.same)


def test_where_two_runs_part_is_said_with_what_differs(tmp_path: Path) -> None:
    one, other = filled(Ledger(tmp_path / "a")), filled(Ledger(tmp_path / "b"), text="y")
    other.append(1, "train", [sample(PROMPTS[0], 1)])
    (part,) = [part for part in compare(one, other) if part.name == "completions"]
    assert (part.rows, part.differing) == (2, 2)
    assert part.first == "cycle 1 train, prompt 'a', completion 0: A x, B y"


# One at a time


def test_a_place_where_nothing_was_begun_is_left_as_it_was(tmp_path: Path) -> None:
    new, old = Ledger(tmp_path / "new"), Ledger(tmp_path / "old")
    old.directory.mkdir()
    for ledger in (new, old):
        with pytest.raises(KeyError), ledger.locked():
            raise KeyError
    assert not new.directory.exists()
    assert old.directory.exists()
    with new.locked():
        begun(new)
    assert new.exists


def test_one_process_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from halo_core.ledger import Ledger\n"
        f"with Ledger(Path({str(tmp_path)!r})).locked():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(RunError, match="is in use by another process") as caught,
            Ledger(tmp_path).locked(),
        ):
            pass
        assert caught.value.hint
    finally:
        other.kill()
        other.wait()
        other.stdin.close()
        other.stdout.close()
    with Ledger(tmp_path).locked():
        pass  # the lock died with its owner
    with Ledger(tmp_path).locked():
        pass  # and is given back
