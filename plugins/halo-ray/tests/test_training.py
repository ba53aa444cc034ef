"""One trainer by itself: what it tells and asks the driver, and what its weights are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from halo_core import Completion, Prompt, Sample, Stage, Status, TrainingContext, Verdict
from halo_core.testing.cluster_contract import contract_run
from halo_ray.parts import Files, Parts, read_files, write_files
from halo_ray.peers import interface_of
from halo_ray.training import Asked, Event, Saved, Stepped, Task, Trained, TrainerWorker, Wanted

TRAINER = """
from halo_core import driver
from halo_core.drivers.sft import SFT


@driver
class Referring(SFT):
    "Asks for the weights of cycle 1 before it trains."

    def train(self, samples, context):
        if context.cycle > 1:
            with context.actor.reference(1):
                context.actor.logprobs([sample.completion for sample in samples])
        return super().train(samples, context)
"""


def samples() -> list[Sample]:
    verdict = Verdict(Status.PASS, Stage.CORRECT, 1.0)
    found = []
    for number in range(12):
        ids = tuple(range(10 + number, 18 + 2 * number))
        completion = Completion("p", number, "text", (5, 6, 7), ids)
        found.append(Sample(Prompt("p", "task"), completion, verdict, 1.0))
    return found


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerWorker]:
    folder = tmp_path_factory.mktemp("training")
    (folder / "referring.py").write_text(TRAINER)
    raw: dict[str, Any] = {**contract_run(folder), "plugins": [], "checkpoint_seconds": 0}
    raw["trainer"] = {**raw["trainer"], "name": f"{folder}/referring.py:Referring"}
    found = TrainerWorker(Parts(raw, {}, torch.get_num_threads()))
    found.join(0, 1, found.address(), False)
    yield found
    distributed.destroy_process_group()


def train(worker: TrainerWorker, task: Task, *answers: Files | None) -> list[Event]:
    """Train; answer the questions with `answers`, in order."""
    events, left = [], list(answers)
    for event in worker.lead(task):
        events.append(event)
        if isinstance(event, Asked | Wanted):
            worker.answer(left.pop(0))
    assert not left
    return events


def directly(worker: TrainerWorker, tasks: Sequence[Task], folder: Path) -> str:
    """Return the hash of the weights after training without a cluster."""
    actor = worker._parts.actor()
    trainer = worker._parts.plan.drivers.get("trainer")
    for task in tasks:
        actor.directory_of = lambda cycle: folder / str(cycle)
        trainer.train(
            task.samples, TrainingContext(actor=actor, lr=task.lr, seed=task.seed, cycle=task.cycle)
        )
        (folder / str(task.cycle)).mkdir(parents=True)
        actor.save(folder / str(task.cycle))
    return actor.weights_hash()


def test_a_trainer_trains_asks_and_resumes(worker: TrainerWorker, tmp_path: Path) -> None:
    first = Task(1, samples(), 1e-2, 7, None)
    events = train(worker, first, None)
    assert [type(event) for event in events[:2]] == [Asked, Saved]
    steps = [event for event in events if isinstance(event, Stepped)]
    assert [(step.done, step.total) for step in steps] == [(1, 2), (2, 2)]
    trained = events[-1]
    assert isinstance(trained, Trained)
    assert trained.stats is not None
    assert trained.stats.steps == 2
    assert trained.files is not None
    write_files(trained.files, tmp_path / "weights")
    assert read_files(tmp_path / "weights") == trained.files

    second = Task(2, samples(), 1e-2, 8, trained.files)
    events = train(worker, second, trained.files, None)
    assert events[0] == Wanted(1)
    end = events[-1]
    assert isinstance(end, Trained)
    assert end.weights_hash == directly(worker, [first, second], tmp_path / "alone")

    saved = next(event for event in events if isinstance(event, Saved))
    again = train(worker, second, trained.files, saved.files)
    assert sum(isinstance(event, Stepped) for event in again) == 1, "the other step was taken before"
    assert isinstance(again[-1], Trained)
    assert again[-1].weights_hash == end.weights_hash


def test_an_error_reaches_the_driver(worker: TrainerWorker) -> None:
    from halo_core import TrainingError

    with pytest.raises(TrainingError, match="the learning rate is 0"):
        train(worker, Task(1, samples(), 0.0, 7, None))


def test_the_interface_of_an_address() -> None:
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.9") == "lo"
