"""Samplers by themselves: a batch depends on the request and its number, whatever was sampled before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core import SamplingRequest
from halo_core.testing.cluster_contract import contract_run
from halo_ray.parts import Parts
from halo_ray.sampling import SamplerWorker, _Progress

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
