"""Generator `vllm` with vLLM itself and a real chat model.

`make vllm` creates the environment; `HALO_REAL_MODEL` names the directory of the model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from halo_core import Completion, Prompt, SamplingRequest
from halo_core.config.model import ModelConfig
from halo_core.drivers.transformers import Transformers
from halo_core.model.actor import Actor
from halo_core.run.open_generator import OpenGenerator
from halo_generator_vllm import VLLM

PYTHON = Path(__file__).parents[3] / ".venv-vllm/bin/python"
MODEL = os.environ.get("HALO_REAL_MODEL", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]
REQUEST = SamplingRequest(
    cycle=0,
    split="train",
    prompts=tuple(
        Prompt(f"p{n}", f"Write a C function that returns {n} times its argument.") for n in range(64)
    ),
    samples_per_prompt=1,
    seed=1,
)


@pytest.fixture(scope="module")
def actor() -> Actor:
    return Actor(ModelConfig(name=MODEL, device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def opened(actor: Actor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenGenerator]:
    generator = VLLM(
        python=str(PYTHON),
        dtype="float32",
        temperature=0.0,
        max_new_tokens=24,
        environment={"VLLM_CPU_KVCACHE_SPACE": "2"},
        arguments=("--enforce-eager", "--max-model-len", "1024"),
    )
    with closing(OpenGenerator(generator, actor, tmp_path_factory.mktemp("vllm"))) as found:
        yield found


def sampled(opened: OpenGenerator) -> list[Completion]:
    found = [completion for batch in opened.generate(REQUEST) for completion in batch]
    return sorted(found, key=lambda completion: completion.prompt_id)


def test_greedy_decoding_is_that_of_transformers(actor: Actor, opened: OpenGenerator) -> None:
    with closing(OpenGenerator(Transformers(temperature=0.0, max_new_tokens=24), actor)) as own:
        expected = sampled(own)
    found = sampled(opened)
    for one, two in zip(expected, found, strict=True):
        assert one.logprobs is not None
        assert two.logprobs is not None
        place = next(
            (n for n, (a, b) in enumerate(zip(one.token_ids, two.token_ids, strict=False)) if a != b), None
        )
        end = len(one.token_ids) if place is None else place + 1
        assert two.logprobs[:end] == pytest.approx(one.logprobs[:end], abs=1e-3)
        assert two.prompt_token_ids == one.prompt_token_ids


def test_log_probabilities_are_those_of_the_actor(actor: Actor, opened: OpenGenerator) -> None:
    found = sampled(opened)[:16]
    for completion, row in zip(found, actor.logprobs(found), strict=True):
        assert completion.logprobs == pytest.approx(row, abs=1e-3)
