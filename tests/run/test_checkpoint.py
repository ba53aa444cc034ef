"""Checkpoints within the training of a cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import Interrupted
from halo_core.loop import run_cycles
from halo_core.progress import Progress
from halo_core.run.checkpoint import CycleCheckpoint
from halo_core.run.state import Run
from halo_core.testing import FakeTrainer, fake_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return fake_run(tmp_path, checkpoint_seconds=0)[0]


def write(text: str) -> Callable[[Path], None]:
    def into(place: Path) -> None:
        (place / "state").write_text(text)

    return into


def checkpoints(run: Run) -> list[str]:
    return sorted(path.name for path in run.directory.glob("cycles/*/checkpoint-*"))


def test_the_last_checkpoint_is_found_by_another_process(run: Run) -> None:
    checkpoint = CycleCheckpoint(run, 1)
    assert checkpoint.load("inputs") is None
    for step in ("one", "two", "three"):
        checkpoint.save("inputs", write(step))
    assert checkpoints(run) == ["checkpoint-3"], "only the last is kept"
    again = CycleCheckpoint(fake_run(run.directory)[0], 1)
    place = again.load("inputs")
    assert place is not None
    assert (place / "state").read_text() == "three"


def test_a_checkpoint_of_another_training_is_not_loaded(run: Run) -> None:
    CycleCheckpoint(run, 1).save("inputs", write("x"))
    assert CycleCheckpoint(run, 1).load("other inputs") is None
    assert CycleCheckpoint(run, 2).load("inputs") is None


def test_a_damaged_checkpoint_is_logged_and_not_loaded(run: Run) -> None:
    CycleCheckpoint(run, 1).save("inputs", write("x"))
    place = CycleCheckpoint(run, 1).load("inputs")
    assert place is not None
    (place / "state").write_text("y")
    assert CycleCheckpoint(run, 1).load("inputs") is None
    (_, who, text) = run.ledger.events()[-1]
    assert who == "loop"
    assert "checkpoint-1 is damaged" in text
    assert "training of cycle 1 starts from the beginning" in text


def test_a_failed_save_leaves_the_previous_checkpoint(run: Run) -> None:
    checkpoint = CycleCheckpoint(run, 1)
    checkpoint.save("inputs", write("whole"))

    def half(place: Path) -> None:
        (place / "state").write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        checkpoint.save("inputs", half)
    place = CycleCheckpoint(run, 1).load("inputs")
    assert place is not None
    assert (place / "state").read_text() == "whole"


def test_a_checkpoint_is_due_by_time_within_its_share_of_the_cost(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("halo_core.run.checkpoint.time.monotonic", lambda: now[0])
    run.config = run.config.model_copy(update={"checkpoint_seconds": 60.0})
    checkpoint = CycleCheckpoint(run, 1)

    def due_after(seconds: float) -> bool:
        now[0] += seconds
        return checkpoint.due

    assert not due_after(59)
    assert due_after(1)

    def slow(place: Path) -> None:
        now[0] += 10

    checkpoint.save("inputs", slow)
    assert not due_after(199), "at most 10 s of every 200"
    assert due_after(1)


def test_a_checkpoint_is_due_on_interrupt_and_never_if_turned_off(run: Run) -> None:
    run.config = run.config.model_copy(update={"checkpoint_seconds": 3600.0})
    assert not CycleCheckpoint(run, 1).due
    run.interrupt()
    assert CycleCheckpoint(run, 1).due
    run.config = run.config.model_copy(update={"checkpoint_seconds": None})
    assert not CycleCheckpoint(run, 1).due


class InterruptingProgress(Progress):
    """Interrupts the run after the second training step."""

    run: Run | None = None

    def __init__(self) -> None:
        self.shown: list[int] = []

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
        """Count the steps of training."""

        def advance(count: int = 1, **_: object) -> None:
            if unit == "steps":
                self.shown.append(count)
            if self.run and len(self.shown) == 2:
                self.run.interrupt()

        yield advance


def test_an_interrupted_training_resumes_at_the_next_step(tmp_path: Path) -> None:
    options: dict[str, Any] = {"trainer": FakeTrainer(steps=5), "checkpoint_seconds": 3600}
    whole = run_cycles(*fake_run(tmp_path / "whole", **options))
    progress = InterruptingProgress()
    run, hooks = fake_run(tmp_path / "run", progress=progress, **options)
    progress.run = run
    with pytest.raises(
        Interrupted, match=r"^stopped with \d+ bytes of training state stored; resume with: halo "
    ):
        run_cycles(run, hooks)
    run.ledger.close()
    assert progress.shown == [1, 1]
    assert checkpoints(run)
    again, hooks = fake_run(tmp_path / "run", progress=progress, **options)
    progress.run = None
    history = run_cycles(again, hooks)
    assert progress.shown[2:5] == [4, 1, 1], "the third step was taken, and checkpoints, before the interrupt"
    assert [report.train for report in history] == [report.train for report in whole]
    assert checkpoints(run) == []
