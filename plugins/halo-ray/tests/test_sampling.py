"""Samplers by themselves: a batch depends on the request and its number, whatever was sampled before."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch

from halo_core import Completion, SamplingContext, SamplingRequest
from halo_core.testing import tiny_actor
from halo_core.testing.cluster_contract import contract_run
from halo_ray.crew import Member
from halo_ray.parts import Hello, Parts
from halo_ray.sampling import Sampled, Samplers, SamplerWorker, _Progress

SIMPLE = """
from halo_core import Completion, Generator, derive_seed, driver


@driver
class Simple(Generator):
    "Yields a batch for each prompt, and does not ask for numbers."

    def generate(self, request, context):
        for number, prompt in list(enumerate(request.prompts))[request.done:]:
            seed = derive_seed(request.seed, number)
            yield [Completion(prompt.id, n, f"{seed}", (1,), (2,)) for n in range(request.samples_per_prompt)]
"""


@pytest.mark.parametrize("simple", [False, True])
def test_a_batch_is_the_same_in_any_order(simple: bool, tmp_path: Path) -> None:
    raw: dict[str, Any] = {**contract_run(tmp_path), "plugins": []}
    if simple:
        (tmp_path / "simple.py").write_text(SIMPLE)
        raw["generator"] = f"{tmp_path}/simple.py:Simple"
    worker = SamplerWorker(Parts(raw, {}, torch.get_num_threads()))
    plan = worker._parts.plan
    prompts = tuple(plan.data()[0])
    request = SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=8, seed=7)
    worker.load(None, "")
    worker.begin(request)
    whole: list[Any] = []
    while (batch := worker.sample(len(whole)).batch) is not None:
        whole.append(batch)
    assert len(whole) >= 3
    assert sum(map(len, whole)) == 8 * len(prompts)
    last = len(whole) - 1
    for number in (last, 0, 2, 99, 1, 1, last):
        assert worker.sample(number).batch == (whole[number] if number < len(whole) else None), number
    worker.begin(request)
    assert worker.sample(1).batch == whole[1]
    worker.close()


def test_batches_are_asked_for_in_order_and_again_first() -> None:
    state = _Progress(first=3, next=3)
    assert [state.take(2) for _ in range(3)] == [3, 4, None], "the window is full"
    state.first, state.again = 4, [3]
    assert [state.take(2) for _ in range(3)] == [3, 5, None]
    state.first, state.end = 6, 6
    assert state.take(9) is None


@dataclass(frozen=True, eq=False)
class Call:
    """The reference that a call of a worker returns."""

    worker: int
    number: int


class Calls:
    """Samplers without Ray: calls are answered in any order across workers, and in order by each of them."""

    def __init__(self, seed: int, size: int, batches: int, *, ahead: bool, lost: int = 0) -> None:
        self.random = random.Random(seed)
        self.asked: dict[int, list[tuple[int, tuple[int, ...]]]] = {n: [] for n in range(size)}
        self.open: dict[int, list[Call]] = {n: [] for n in range(size)}
        self._batches, self._ahead, self._lost = batches, ahead, lost
        self.members = [Member(n, self._actor(n), Hello("here", 1, {})) for n in range(size)]

    def _actor(self, number: int) -> Any:
        ignored = SimpleNamespace(remote=lambda *_: None)
        sample = SimpleNamespace(remote=lambda *given: self._call(number, *given))
        return SimpleNamespace(begin=ignored, load=ignored, sample=sample)

    def _call(self, worker: int, number: int, following: tuple[int, ...]) -> Any:
        self.asked[worker].append((number, following))
        self.open[worker].append(call := Call(worker, number))
        return call

    def wait(self, refs: list[Any], **_: object) -> tuple[list[Any], None]:
        first = [queue[0] for queue in self.open.values() if queue]
        chosen = self.random.choice([ref for ref in first if ref in refs])
        self.open[chosen.worker].remove(chosen)
        return [chosen], None

    def get(self, ref: Any) -> Sampled:
        if self._lost and self.random.random() < 0.3:
            self._lost -= 1
            raise ray.exceptions.ObjectLostError("1" * 56, None, "")
        batch = [Completion("p", ref.number, "text", (1,), (2,))] if ref.number < self._batches else None
        return Sampled(batch, 0.1, self._ahead, (f"note {ref.number % 2}",))

    def put(self, value: Any) -> Any:
        return value

    def crew(self) -> Any:
        return SimpleNamespace(
            members=self.members, succeeded=lambda _: None, tell=lambda _: None, replace=lambda *_: False
        )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lost", [0, 3])
@pytest.mark.parametrize(("size", "ahead"), [(1, False), (1, True), (3, False), (3, True)])
def test_workers_are_told_of_the_batches_that_they_will_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, size: int, ahead: bool, lost: int, seed: int
) -> None:
    calls = Calls(seed, size, 25, ahead=ahead, lost=lost)
    for name in ("wait", "get", "put"):
        monkeypatch.setattr(ray, name, getattr(calls, name))
    samplers = Samplers(calls.crew(), {"train": "float32"}, tolerance=None, follows=False)
    monkeypatch.setattr(samplers, "_load", lambda *_: None)
    request = SamplingRequest(cycle=1, split="train", prompts=(), samples_per_prompt=1, seed=7, done=2)
    batches = list(samplers.generate(request, SamplingContext(actor=tiny_actor())))
    assert [batch[0].index for batch in batches] == list(range(2, 25))
    deepest = 0
    for asked in calls.asked.values():
        numbers = [number for number, _ in asked]
        for place, (_, following) in enumerate(asked):
            told = numbers[place + 1 : place + 1 + len(following)]
            assert told == list(following[: len(told)]), "the calls are those that were told of before"
            deepest = max(deepest, len(following))
    assert deepest >= (2 if ahead else 1)
    assert deepest <= (3 if ahead else 1)
