"""Full fine-tuning with a model that is split over two trainers, beside one trainer in this process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from halo_core import (
    ClusterContext,
    Completion,
    ConfigError,
    DivergedError,
    Prompt,
    Sample,
    Stage,
    Status,
    TrainingContext,
    TrainStats,
    Verdict,
)
from halo_core.model.actor import concrete
from halo_core.testing.cluster_contract import contract_run
from halo_ray import Ray
from halo_ray.cluster import RayWorkers
from halo_ray.parts import Files, Parts, write_files
from halo_ray.peers import free_address
from halo_ray.training import Saved, Stepped, Task, Trained

pytestmark = pytest.mark.timeout(600)
SIZE = 2
LR = 1e-3
SETTINGS: dict[str, Any] = {
    "name": "sft",
    "full": True,
    "batch_size": 7,  # in five batches, so one trainer has nothing to do in the last turn
    "batch_tokens": 48,
    "epochs": 2,
    "optimizer": "carry",
}


def samples() -> tuple[Sample, ...]:
    verdict = Verdict(Status.PASS, Stage.CORRECT, 1.0)
    rows = [tuple(range(10 + number, 18 + 2 * number)) for number in range(14)]
    return tuple(
        Sample(Prompt("p", "task"), Completion("p", number, "text", (5, 6, 7), ids), verdict, 1.0)
        for number, ids in enumerate(rows)
    )


@dataclass
class Store:
    """A `Checkpoint` in memory."""

    stored: Path | None = None
    saved: list[tuple[str, Files]] = field(default_factory=list)
    due: bool = True
    folder: Path = Path()

    def load(self, inputs_hash: str) -> Path | None:
        self.asked = inputs_hash
        return self.stored

    def save(self, inputs_hash: str, write: Any) -> None:
        directory = self.folder / str(len(self.saved))
        directory.mkdir(parents=True)
        write(directory)
        self.saved.append((inputs_hash, {path.name: path.read_bytes() for path in directory.iterdir()}))


@dataclass
class Alone:
    """Two cycles of one trainer that has the whole model."""

    stats: list[TrainStats]
    weights: list[dict[str, torch.Tensor]]
    checkpoints: list[Store]


def alone(parts: Parts, folder: Path, stored: Path | None = None) -> Alone:
    actor, found = parts.actor(), Alone([], [], [])
    trainer = parts.plan.drivers.get("trainer")
    for cycle in (1, 2):
        store = Store(stored if cycle == 1 else None, folder=folder / str(cycle))
        context = TrainingContext(actor=actor, lr=LR, seed=cycle, cycle=cycle, checkpoint=store)
        found.stats.append(trainer.train(samples(), context))
        found.weights.append({name: value.detach().clone() for name, value in actor.trainable().items()})
        found.checkpoints.append(store)
        actor.save(folder / f"weights-{cycle}")
    return found


@dataclass
class Runs:
    parts: Parts
    one: Alone
    events: list[list[Any]]
    """Of cycle 1, of cycle 2, of cycle 1 resumed from a checkpoint of one trainer, and of a divergence."""
    folder: Path


def split(parts: Parts, tasks: list[tuple[Task, Files | None]], folder: Path) -> list[list[Any]]:
    """Train with two processes; return the events of each task."""
    folder.mkdir(parents=True, exist_ok=True)
    file, address = folder / "tasks", free_address("127.0.0.1")
    file.write_bytes(pickle.dumps((Parts(parts.raw, {}, parts.threads), tasks)))
    program = str(Path(__file__).with_name("sharded_trainer.py"))
    started = [
        subprocess.Popen([sys.executable, program, str(rank), str(SIZE), address, str(file)])
        for rank in range(SIZE)
    ]
    try:
        assert [process.wait(300) for process in started] == [0] * SIZE
    finally:
        for process in started:
            process.kill()
    found: list[list[Any]] = pickle.loads(Path(f"{file}.out").read_bytes())
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("sharding")
    raw = {**contract_run(folder), "plugins": [], "checkpoint_seconds": 0, "trainer": SETTINGS}
    raw["lr_policy"] = {"name": "constant", "base_lr": LR}
    parts = Parts(raw, {}, 1)
    torch.set_num_threads(1)
    one = alone(parts, folder / "one")
    files = {path.name: path.read_bytes() for path in (folder / "one/weights-1").iterdir() if path.is_file()}
    first = Task(1, samples(), LR, 1, None)
    tasks = [
        (first, None),
        (Task(2, samples(), LR, 2, files), None),
        (first, one.checkpoints[0].saved[1][1]),
        (Task(1, samples(), 1e30, 1, None), None),
    ]
    return Runs(parts, one, split(parts, tasks, folder / "two"), folder)


def weights_of(events: list[Any], folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights that the trainers have written, as transformers loads them."""
    trained = events[-1]
    assert isinstance(trained, Trained), trained
    assert trained.files is not None
    write_files(trained.files, folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    return dict(model.named_parameters())


def differs(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the norm of the difference, as a share of the norm."""
    assert one.keys() == other.keys()
    squares = sum(float((one[name] - other[name]).detach().double().square().sum()) for name in one)
    return float((squares / sum(float(each.double().square().sum()) for each in one.values())) ** 0.5)


@pytest.mark.parametrize("cycle", [1, 2])
def test_losses_gradients_and_weights_are_those_of_one_trainer(
    runs: Runs, cycle: int, tmp_path: Path
) -> None:
    events, wanted = runs.events[cycle - 1], runs.one.stats[cycle - 1]
    stats = events[-1].stats
    assert stats.losses == pytest.approx(wanted.losses, rel=1e-5)
    assert stats.grad_norms == pytest.approx(wanted.grad_norms, rel=1e-5)
    assert stats.update_norm == pytest.approx(wanted.update_norm, rel=1e-4)
    assert stats.weight_norm == pytest.approx(wanted.weight_norm, rel=1e-6)
    assert (stats.steps, stats.samples, stats.tokens) == (wanted.steps, wanted.samples, wanted.tokens)
    assert differs(runs.one.weights[cycle - 1], weights_of(events, tmp_path)) < 1e-5


def test_the_optimizer_is_carried_whole(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    actor = concrete(runs.parts.actor())
    weights_of(runs.events[0], tmp_path / "weights")
    actor.load(tmp_path / "weights")
    shapes = {name: weight.shape for name, weight in actor.trainable().items()}
    state = {name: value.shape for name, value in actor.optimizer_state.items() if value.dim()}
    assert state == {f"{name}/{key}": shapes[name] for name in shapes for key in ("exp_avg", "exp_avg_sq")}


def test_a_checkpoint_of_one_trainer_is_resumed_by_two(runs: Runs, tmp_path: Path) -> None:
    resumed, whole = runs.events[2], runs.events[0]
    steps = [event.done for event in resumed if isinstance(event, Stepped)]
    assert steps == [3, 4], "the first two steps are in the checkpoint"
    assert resumed[-1].stats.losses == pytest.approx(whole[-1].stats.losses, rel=1e-5)
    assert differs(runs.one.weights[0], weights_of(resumed, tmp_path)) < 1e-5


def test_a_checkpoint_of_two_trainers_is_resumed_by_one(runs: Runs, tmp_path: Path) -> None:
    saved = [event for event in runs.events[0] if isinstance(event, Saved)]
    assert saved, "the others would take more than a twentieth of the time"
    assert {event.inputs_hash for event in saved} == {runs.one.checkpoints[0].asked}, (
        "the inputs are the same"
    )
    write_files(saved[0].files, tmp_path / "stored")
    again = alone(runs.parts, tmp_path / "again", tmp_path / "stored")
    assert again.stats[0].losses[0] == runs.events[0][-1].stats.losses[0], (
        "the first step is in the checkpoint"
    )
    assert again.stats[0].losses == pytest.approx(runs.one.stats[0].losses, rel=1e-5)
    assert differs(runs.one.weights[0], again.weights[0]) < 1e-5


def test_a_training_that_diverges_is_reported(runs: Runs) -> None:
    error = runs.events[3][-1]
    assert isinstance(error, DivergedError), error
    assert error.hint.startswith("lower the learning rate")


def context(tmp_path: Path, **trainer: Any) -> ClusterContext:
    raw = {**contract_run(tmp_path), "plugins": []}
    raw["trainer"] = {"name": "sft", **trainer}
    return ClusterContext(raw=raw, origins={}, directory=tmp_path)


def test_an_adapter_is_not_split(two_nodes: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trains an adapter") as caught:
        Ray(trainers=2, shard=True).open(context(tmp_path))
    assert "trainer.full=true" in caught.value.hint
    workers = Ray(trainers=2, shard=True).open(context(tmp_path, full=True))
    assert isinstance(workers, RayWorkers)
    workers.close()


def test_shard_without_trainers_is_refused() -> None:
    with pytest.raises(ConfigError, match="shard but no trainers"):
        Ray(verifiers=2, shard=True).preflight()
