"""Values stored in a ledger read back: prompts, samples, verdicts, rewards, weights, reports."""

from __future__ import annotations

import datetime
import os
import shutil
import sqlite3
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_values import (
    ERROR,
    METRICS,
    PLUGIN,
    PROMPTS,
    RIGHT,
    STATS,
    WRONG,
    append_three,
    indices,
    sample,
    started,
    writing,
)

from halo_core.errors import RunError
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.rows import pack_tokens, unpack_tokens
from halo_core.types import Completion, CycleReport, Prompt, Sample, Stage, Status, Verdict


def test_a_new_run_reads_back(ledger: Ledger) -> None:
    ledger.close()
    assert ledger.exists
    assert ledger.config() == {"verifier": [{"name": "gcc"}], "cycles": 2}
    assert ledger.prompts("train") == PROMPTS[:2]
    assert ledger.prompts("heldout") == PROMPTS[2:]
    assert ledger.plugins() == [PLUGIN]
    assert ledger.fingerprints() == {"gcc": "gcc 12"}
    assert [kind for _, kind, _ in ledger.events()] == ["started"]
    assert not list(ledger.directory.rglob("*.partial"))


def test_a_run_without_heldout_prompts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.create({}, [], PROMPTS, [])
    assert ledger.prompts("heldout") == []


def test_values_that_json_lacks_are_stored_as_text(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.create({}, [], [Prompt("a", "x", meta={"day": datetime.date(2026, 1, 2)})], [])
    assert ledger.prompts("train")[0].meta == {"day": "2026-01-02"}


def test_a_run_exists_only_after_its_last_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
                started(ledger)
        assert not ledger.exists
        ledger.check_unused()
    assert started(ledger).prompts("train") == PROMPTS[:2], "a second start replaces the leftovers"


def test_a_directory_with_other_files_is_not_used(tmp_path: Path) -> None:
    Ledger(tmp_path / "new").check_unused()
    Ledger(tmp_path).check_unused()
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="is not empty and contains no run") as caught:
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
        ledger = started(Ledger(Path(place)))
        logprobs = None if logprob is None else (logprob,) * len(ids)
        mask = tuple(number % 2 == 0 for number in range(len(ids))) if masked else None
        completion = Completion("a", 0, text, tuple(ids), tuple(ids), "stop", logprobs, mask)
        stored = Sample(PROMPTS[0], completion, Verdict(Status.FAIL, Stage.WRONG))
        ledger.append(1, "train", [stored])
        assert ledger.batches(1, "train", PROMPTS) == [[stored]]
        ledger.close()


@pytest.mark.parametrize("largest", [0, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1])
def test_tokens_are_packed_in_the_smallest_width(largest: int) -> None:
    blob = pack_tokens([1, largest, 0])
    assert unpack_tokens(blob) == (1, largest, 0)
    assert len(blob) == 1 + 3 * next(width for width in (1, 2, 4, 8) if largest < 256**width)
    assert unpack_tokens(pack_tokens([])) == ()


def test_contexts_are_stored_once(ledger: Ledger) -> None:
    for batch in range(3):
        ledger.append(1, "train", [sample(PROMPTS[0], 2 * batch + n) for n in range(2)])
    with ledger.reading() as db:
        assert db.execute("SELECT count(*) FROM contexts").fetchone() == (1,)


def test_keep_deletes_batches_from_the_end(ledger: Ledger) -> None:
    append_three(ledger)
    ledger.truncate(1, "train", 1)
    ledger.append(1, "train", [sample(PROMPTS[0], 7)])
    assert indices(ledger) == [0, 7]


def test_a_request_with_another_hash_is_not_resumed(ledger: Ledger) -> None:
    ledger.open_request(1, "train", "abc")
    append_three(ledger)
    ledger.open_request(1, "train", "abc")
    with pytest.raises(RunError, match=r"cycle 1 \(train\).*other weights") as caught:
        ledger.open_request(1, "train", "def")
    assert "--output" in caught.value.hint


# Verdicts


def verified(ledger: Ledger, index: int, text: str, verdict: Verdict, prompt: Prompt = PROMPTS[0]) -> None:
    """Store a sample and its verdict as the loop does."""
    (verdict,) = ledger.remember([prompt], [text], [verdict])
    completion = Completion(prompt.id, index, text)
    ledger.append(1, "train", [Sample(prompt, completion, verdict)])


def verdict_count(ledger: Ledger) -> int:
    with ledger.reading() as db:
        return int(db.execute("SELECT count(*) FROM verdicts").fetchone()[0])


def test_a_verdict_is_recalled_by_prompt_and_text(ledger: Ledger) -> None:
    verified(ledger, 0, "x", WRONG)
    ledger.close()
    assert ledger.recall([PROMPTS[0], PROMPTS[0], PROMPTS[1]], ["x", "y", "x"]) == [WRONG, None, None]
    verified(ledger, 1, "x", WRONG)
    assert verdict_count(ledger) == 1, "stored once"


def test_a_verdict_is_recalled_before_it_is_stored(ledger: Ledger) -> None:
    ledger.remember([PROMPTS[0]], ["x"], [WRONG])
    assert ledger.recall([PROMPTS[0]], ["x"]) == [WRONG]
    slower = Verdict(Status.FAIL, Stage.WRONG, cpu_seconds=0.75)
    assert ledger.remember([PROMPTS[0]], ["x"], [slower]) == [WRONG], "the first verdict is reused"


@pytest.mark.parametrize("status", [Status.ERROR, Status.INCONCLUSIVE])
def test_verdicts_that_are_not_conclusive_are_not_recalled(ledger: Ledger, status: Status) -> None:
    verdict = Verdict(status, Stage.INVALID)
    verified(ledger, 0, "x", verdict)
    assert ledger.recall([PROMPTS[0]], ["x"]) == [None]
    assert ledger.batches(1, "train", PROMPTS)[0][0].verdict == verdict


def test_verdicts_are_not_recalled_under_another_fingerprint(ledger: Ledger) -> None:
    verified(ledger, 0, "x", WRONG)
    ledger.use_verifiers({"gcc": "gcc 13"})
    assert ledger.recall([PROMPTS[0]], ["x"]) == [None]
    verified(ledger, 1, "x", RIGHT)
    assert [batch[0].verdict for batch in ledger.batches(1, "train", PROMPTS)] == [WRONG, RIGHT]
    ledger.use_verifiers({"gcc": "gcc 12"})
    assert ledger.recall([PROMPTS[0]], ["x"]) == [WRONG]


def test_each_prompt_has_the_verdicts_of_its_own_verifier(tmp_path: Path) -> None:
    ledger = started(Ledger(tmp_path / "run"), sql="sqlite 3", gcc="gcc 12")  # the first prompt names gcc
    for prompt in PROMPTS[:2]:
        verified(ledger, 0, "x", WRONG, prompt)
    ledger.use_verifiers({"sql": "sqlite 4", "gcc": "gcc 12"})
    assert ledger.recall(PROMPTS[:2], ["x", "x"]) == [WRONG, None]


def test_a_verdict_changed_by_a_plugin_is_stored_but_not_recalled(ledger: Ledger) -> None:
    ledger.remember([PROMPTS[0]], ["x"], [WRONG])
    shaped = Verdict(Status.FAIL, Stage.WRONG, score=0.25)
    ledger.append(1, "train", [Sample(PROMPTS[0], Completion("a", 0, "x"), shaped)])
    assert ledger.recall([PROMPTS[0]], ["x"]) == [WRONG]
    assert ledger.batches(1, "train", PROMPTS)[0][0].verdict == shaped


def test_the_verdicts_of_a_failed_batch_are_stored_with_the_next(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("halo_core.ledger.completions.pack_tokens", lambda ids: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            verified(ledger, 0, "x", WRONG)
    assert ledger.batches(1, "train", PROMPTS) == []
    verified(ledger, 0, "y", RIGHT)
    ledger.close()
    assert ledger.recall([PROMPTS[0]], ["x"]) == [WRONG]


# Rewards, training, cycles


def test_rewards_and_selections(ledger: Ledger) -> None:
    chosen = Sample(PROMPTS[0], Completion("a", 0, "x"), RIGHT, 1.0, 2.0)
    other = Sample(PROMPTS[0], Completion("a", 1, "x"), WRONG, 0.7)
    error = Sample(PROMPTS[1], Completion("0", 0, "x"), ERROR, None)
    ledger.append(1, "train", [chosen, other, error])
    for _ in range(2):  # a resumed run writes them again
        ledger.write_rewards(1, [chosen, other, error], [chosen])
    with ledger.reading() as db:
        assert db.execute("SELECT * FROM rewards").fetchall() == [(1, 1.0), (2, 0.7)]
        assert db.execute("SELECT * FROM selections").fetchall() == [(1, 2.0)]


def test_reports_read_back(ledger: Ledger) -> None:
    reports = [
        CycleReport(cycle=0, heldout=METRICS, seconds={"heldout": 1.5}),
        CycleReport(
            cycle=1,
            heldout=METRICS,
            lr=5e-5,
            sampled=METRICS,
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


def test_fields_that_an_earlier_halo_did_not_write_get_defaults(ledger: Ledger) -> None:
    with ledger.writing() as db:
        db.execute("INSERT INTO cycles VALUES (0, ?)", ('{"cycle": 0, "lr": 0.5, "gone": 1}',))
    assert ledger.reports() == [CycleReport(cycle=0, lr=0.5)]


def test_a_gap_ends_the_history(ledger: Ledger) -> None:
    for cycle in (0, 1, 3):
        ledger.write_report(CycleReport(cycle=cycle))
    assert [report.cycle for report in ledger.reports()] == [0, 1]


def test_weights_and_stats_appear_together(ledger: Ledger) -> None:
    assert ledger.trained(1) is None
    ledger.write_trained(1, STATS, writing("weights", "w"))
    assert ledger.trained(1) == STATS
    assert (ledger.check_adapter(1) / "weights").read_text() == "w"
    assert sorted(path.name for path in ledger.cycle_directory(1).iterdir()) == ["adapter"]


def test_weights_written_in_part_do_not_count(ledger: Ledger) -> None:
    def save(place: Path) -> None:
        (place / "weights").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.write_trained(1, STATS, save)
    assert ledger.trained(1) is None
    ledger.write_trained(1, STATS, writing("other", "w"))
    assert sorted(path.name for path in ledger.adapter(1).iterdir()) == ["other"]


def test_weights_that_changed_on_the_disk_are_detected(ledger: Ledger) -> None:
    ledger.write_trained(1, STATS, writing("weights", "w"))
    for change in (
        lambda place: (place / "weights").write_text("v"),
        lambda place: (place / "weights").rename(place / "renamed"),
        shutil.rmtree,
    ):
        change(ledger.adapter(1))
        with pytest.raises(RunError, match="adapter") as caught:
            ledger.check_adapter(1)
        assert caught.value.hint


def test_the_weights_hash_does_not_depend_on_the_order_of_writing(ledger: Ledger) -> None:
    def save(names: str, place: Path) -> None:
        for name in names:
            (place / name).write_text(name)

    for cycle, names in ((1, "ab"), (2, "ba"), (3, "ac")):
        ledger.write_trained(cycle, STATS, partial(save, names))
    assert ledger.weights_hash(1) == ledger.weights_hash(2) != ledger.weights_hash(3)


def test_writes_are_synced_before_the_call_returns(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL: each commit is synced"
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    place = ledger.cycle_directory(1)
    ledger.write_trained(1, STATS, writing("weights", "w"))
    assert synced == [str(place / "adapter.partial" / "weights"), str(place / "adapter.partial"), str(place)]


def test_a_commit_that_fails_leaves_no_rows_in_memory(ledger: Ledger) -> None:
    """Rows that the transaction wrote are not taken for stored ones later."""
    with ledger.writing() as db:

        def deny(action: int, operation: str | None, *_: object) -> int:
            refused = action == sqlite3.SQLITE_TRANSACTION and operation == "COMMIT"
            return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    db.set_authorizer(deny)
    with pytest.raises(RunError):
        append_three(ledger)
    db.set_authorizer(None)
    append_three(ledger)
    assert indices(ledger) == [0, 1, 2]


def test_events_that_are_not_unicode_read_back(ledger: Ledger) -> None:
    ledger.note("plugin", "bad \udce9 name")
    assert ledger.events()[-1][1:] == ("plugin", "bad \udce9 name")
