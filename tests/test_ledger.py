from __future__ import annotations

import datetime
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo_core.errors import RunError
from halo_core.ledger import Ledger
from halo_core.types import Completion, CycleReport, Prompt, Rates, Sample, Stage, Status, TrainStats, Verdict

PROMPTS = [
    Prompt(
        "a", "Add.", verifier="gcc", reference={"tests": [{"stdin": "1", "stdout": "é"}]}, meta={"level": 3}
    ),
    Prompt("0", messages=({"role": "system", "content": "x"}, {"role": "user", "content": "\u2028 y"})),
    Prompt("c d/e", "Sub.\n\n  ```"),
]
STATS = TrainStats(3, 10, 500, 1.25, 0.5, 5e-5, 1.5e-4, 0.125, 0.25, 1e-3)
RATES = Rates(8, 0.5, 0.25, (0.1, 0.9), (0.0, 0.5), {"invalid": 4, "correct": 2}, 1, 0, 0.125, 0.75)


def sample(prompt: Prompt, index: int, text: str = "x", **verdict: Any) -> Sample:
    completion = Completion(prompt.id, index, text, (1, 2), (3, 4, 5), "length", -1.5)
    return Sample(prompt, completion, Verdict(Status.FAIL, Stage.WRONG, **verdict))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return begun(Ledger(tmp_path / "run"))


def begun(ledger: Ledger) -> Ledger:
    ledger.begin(
        {"verifier": [{"name": "gcc"}], "cycles": 2}, [{"kind": "verifier"}], PROMPTS[:2], PROMPTS[2:]
    )
    return ledger


def test_a_run_reads_back_as_it_was_begun(ledger: Ledger) -> None:
    assert ledger.exists
    assert ledger.config() == {"verifier": [{"name": "gcc"}], "cycles": 2}
    assert ledger.prompts("train") == PROMPTS[:2]
    assert ledger.prompts("heldout") == PROMPTS[2:]
    assert json.loads((ledger.directory / "plugins.json").read_text()) == [{"kind": "verifier"}]
    assert not list(ledger.directory.rglob("*.partial"))


def test_a_run_may_have_no_heldout_prompts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin({}, [], PROMPTS, [])
    assert ledger.prompts("heldout") == []


def test_what_json_cannot_hold_is_kept_as_text(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin({}, [], [Prompt("a", "x", meta={"day": datetime.date(2026, 1, 2)})], [])
    assert ledger.prompts("train")[0].meta == {"day": "2026-01-02"}


def test_a_run_exists_once_everything_of_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, write = Ledger(tmp_path / "run"), Ledger._write
    for cut in range(4):
        calls = iter(range(10))

        def stop(self: Ledger, name: str, text: str, cut: int = cut, calls: Any = calls) -> None:
            if next(calls) == cut:
                raise KeyboardInterrupt
            write(self, name, text)

        monkeypatch.setattr(Ledger, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            begun(ledger)
        assert not ledger.exists
        ledger.check_unused()
    monkeypatch.setattr(Ledger, "_write", write)
    assert begun(ledger).exists


def test_a_directory_that_holds_something_else_is_not_used(tmp_path: Path) -> None:
    Ledger(tmp_path / "new").check_unused()
    Ledger(tmp_path).check_unused()
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="is not empty and holds no run") as caught:
        Ledger(tmp_path).check_unused()
    assert "--output" in caught.value.hint


def test_batches_read_back_in_order(ledger: Ledger) -> None:
    batches = [
        [sample(PROMPTS[0], 0, "é\u2028\n\0"), sample(PROMPTS[1], 0, score=0.5, warnings=2, detail="d\nd")],
        [sample(PROMPTS[0], 1, "\ud800", cpu_seconds=0.25, wall_seconds=0.5, sandbox="strong")],
    ]
    for batch in batches:
        ledger.append(1, "train", batch)
    ledger.append(1, "heldout", [sample(PROMPTS[2], 0)])
    assert ledger.batches(1, "train", PROMPTS) == batches
    assert ledger.batches(1, "heldout", PROMPTS) == [[sample(PROMPTS[2], 0)]]
    assert ledger.batches(2, "train", PROMPTS) == []


@settings(max_examples=40)
@given(st.text(), st.lists(st.integers(0, 2**31)), st.none() | st.floats(allow_nan=False))
def test_any_completion_reads_back(text: str, ids: list[int], logprob: float | None) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        kept = Sample(
            PROMPTS[0], Completion("a", 0, text, (), tuple(ids), "stop", logprob), Verdict("fail", "wrong")
        )
        Ledger(Path(place)).append(1, "train", [kept])
        assert Ledger(Path(place)).batches(1, "train", PROMPTS) == [[kept]]


def whole_and_torn(ledger: Ledger) -> tuple[Path, bytes, bytes]:
    """Write three batches; return the file, the first two lines and the third."""
    for index in range(3):
        ledger.append(1, "train", [sample(PROMPTS[0], index)])
    path = ledger.cycle_directory(1) / "samples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    return path, b"".join(lines[:2]), lines[2]


def test_a_torn_last_line_is_dropped_and_appended_after(ledger: Ledger) -> None:
    path, whole, last = whole_and_torn(ledger)
    for keep in range(len(last)):
        path.write_bytes(whole + last[:keep])
        assert [b[0].completion.index for b in ledger.batches(1, "train", PROMPTS)] == [0, 1], keep
        assert path.read_bytes() == whole
    ledger.append(1, "train", [sample(PROMPTS[0], 2)])
    assert path.read_bytes() == whole + last


@pytest.mark.parametrize("rest", [b"\0\0\0\0", b"\0\0\0\n", b"[[\xff\n", b"[]]\n", b"\n"])
def test_what_a_power_cut_leaves_is_dropped(ledger: Ledger, rest: bytes) -> None:
    path, whole, _ = whole_and_torn(ledger)
    path.write_bytes(whole + rest)
    assert len(ledger.batches(1, "train", PROMPTS)) == 2
    assert path.read_bytes() == whole


def test_reading_whole_batches_changes_nothing(ledger: Ledger) -> None:
    path, whole, last = whole_and_torn(ledger)
    before = path.stat().st_mtime_ns
    assert len(ledger.batches(1, "train", PROMPTS)) == 3
    assert path.read_bytes() == whole + last
    assert path.stat().st_mtime_ns == before


def test_rewards_record_what_was_left_out_too(ledger: Ledger) -> None:
    kept = Sample(PROMPTS[0], Completion("a", 0, "x"), Verdict(Status.PASS, Stage.CORRECT), 1.0, 2.0)
    left = Sample(PROMPTS[0], Completion("a", 1, "x"), Verdict(Status.FAIL, Stage.WRONG), 0.7)
    error = Sample(PROMPTS[1], Completion("0", 0, "x"), Verdict(Status.ERROR, Stage.INVALID), None)
    ledger.write_rewards(1, [kept, left, error], [kept])
    lines = (ledger.cycle_directory(1) / "rewards.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [["a", 0, 1.0, 2.0], ["a", 1, 0.7, 0]]


def test_reports_read_back(ledger: Ledger) -> None:
    reports = [
        CycleReport(0, heldout=RATES, seconds={"heldout": 1.5}),
        CycleReport(1, RATES, 5e-5, RATES, 0.625, 7, STATS, {"sample": 1.0, "train": 2.0}),
        CycleReport(2),
    ]
    for report in reports:
        ledger.write_report(report)
    assert ledger.reports() == reports


def test_a_gap_ends_the_history(ledger: Ledger) -> None:
    for cycle in (0, 1, 3):
        ledger.write_report(CycleReport(cycle))
    assert [report.cycle for report in ledger.reports()] == [0, 1]


def test_weights_and_stats_appear_together(ledger: Ledger) -> None:
    assert ledger.trained(1) is None
    ledger.write_trained(1, STATS, lambda place: (place / "weights").write_text("w"))
    assert ledger.trained(1) == STATS
    assert (ledger.adapter(1) / "weights").read_text() == "w"
    assert sorted(path.name for path in ledger.cycle_directory(1).iterdir()) == ["adapter"]


def test_weights_that_were_half_written_do_not_count(ledger: Ledger) -> None:
    def save(place: Path) -> None:
        (place / "weights").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.write_trained(1, STATS, save)
    assert ledger.trained(1) is None
    ledger.write_trained(1, STATS, lambda place: (place / "other").write_text("w"))
    assert sorted(path.name for path in ledger.adapter(1).iterdir()) == ["other", "train.json"]


def test_what_is_written_is_on_the_disk_when_the_call_returns(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    place = ledger.cycle_directory(1)
    ledger.append(1, "train", [sample(PROMPTS[0], 0)])
    assert synced == [str(place / "samples.jsonl")]
    synced.clear()
    ledger.write_report(CycleReport(1))
    assert synced == [str(place / "report.json.partial"), str(place)], "the file, then the rename"
    synced.clear()
    ledger.write_trained(1, STATS, lambda where: (where / "weights").write_text("w"))
    files = {str(place / "adapter.partial" / name) for name in ("weights", "train.json")}
    assert files <= set(synced[:-1])
    assert synced[-1] == str(place)


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


Step = Callable[[Ledger], Any]
STEPS: dict[str, Step] = {
    "begin": lambda ledger: ledger.begin({"cycles": 9}, [], PROMPTS, []),
    "append": lambda ledger: ledger.append(1, "train", [sample(PROMPTS[0], 3)]),
    "rewards": lambda ledger: ledger.write_rewards(1, [], []),
    "report": lambda ledger: ledger.write_report(CycleReport(0, lr=1.0)),
    "trained": lambda ledger: ledger.write_trained(
        1, STATS, lambda place: (place / "weights").write_text("new")
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_is_one_line_and_loses_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    whole_and_torn(ledger)
    ledger.write_report(CycleReport(0, lr=0.5))
    ledger.write_trained(1, STATS, lambda place: (place / "weights").write_text("old"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="No space left on device") as caught:
            STEPS[step](ledger)
    assert str(ledger.directory) in str(caught.value)
    assert "what was written is kept" in caught.value.hint
    assert ledger.config()["cycles"] == 2
    assert ledger.prompts("train")
    assert [b[0].completion.index for b in ledger.batches(1, "train", PROMPTS)][:3] == [0, 1, 2]
    assert ledger.reports() == [CycleReport(0, lr=0.5)]
    assert (ledger.adapter(1) / "weights").read_text() == "old"
    STEPS[step](ledger)


def test_weights_that_cannot_be_saved_are_one_line(ledger: Ledger) -> None:
    with pytest.raises(RunError, match="No space left on device"):
        ledger.write_trained(1, STATS, full)


def test_a_batch_that_did_not_fit_is_not_half_there(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole, last = whole_and_torn(ledger)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError):
            ledger.append(1, "train", [sample(PROMPTS[0], 3)])
    got = [b[0].completion.index for b in ledger.batches(1, "train", PROMPTS)]
    assert got in ([0, 1, 2], [0, 1, 2, 3]), "one way or the other, but whole"
    assert path.read_bytes().startswith(whole + last)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match=str(place)) as caught, Ledger(place).locked():
            pass
        assert "--output" in caught.value.hint
    with pytest.raises(RunError):
        Ledger(tmp_path / "file" / "run").begin({}, [], PROMPTS, [])


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n"])
def test_a_damaged_configuration_is_one_line(ledger: Ledger, text: str) -> None:
    (ledger.directory / "run.yaml").write_text(text)
    with pytest.raises(RunError, match=r"run\.yaml is damaged"):
        ledger.config()


@pytest.mark.parametrize("text", ["", "{", '{"steps": 3}', "[]", "3"])
def test_damaged_figures_are_one_line(ledger: Ledger, text: str) -> None:
    ledger.write_report(CycleReport(0))
    ledger.write_trained(1, STATS, lambda place: None)
    report, stats = ledger.cycle_directory(0) / "report.json", ledger.adapter(1) / "train.json"
    report.write_text(text)
    stats.write_text(text)
    with pytest.raises(RunError, match=str(report)):
        ledger.reports()
    with pytest.raises(RunError, match=str(stats)):
        ledger.trained(1)


def test_samples_of_prompts_that_the_run_does_not_have_are_one_line(ledger: Ledger) -> None:
    path, _, _ = whole_and_torn(ledger)
    with pytest.raises(RunError, match=str(path)):
        ledger.batches(1, "train", PROMPTS[1:])


def test_prompts_that_are_gone_are_one_line(ledger: Ledger) -> None:
    (ledger.directory / "heldout.jsonl").unlink()
    with pytest.raises(RunError, match=r"heldout\.jsonl"):
        ledger.prompts("heldout")


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
