"""Generator `vllm` with vLLM itself and a real chat model.

`make vllm` creates the environment; `HALO_REAL_MODEL` names the directory of the model.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from halo_core import Completion, ModelError, Plan, Prompt, SamplingRequest, run_cycles
from halo_core.config.layers import load_yaml
from halo_core.config.model import ModelConfig
from halo_core.drivers.transformers import Transformers
from halo_core.model.actor import Actor
from halo_core.run.open_generator import OpenGenerator
from halo_core.types import CycleReport
from halo_generator_vllm import VLLM

PYTHON = Path(__file__).parents[3] / ".venv-vllm/bin/python"
MODEL = os.environ.get("HALO_REAL_MODEL", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]
CONFIG = Path(__file__).parents[3] / "configs/engines/vllm.yaml"
IGNORES = """
import runpy
from vllm.entrypoints.serve.engine import serving

if __name__ == "__main__":
    for kind in vars(serving).values():
        if isinstance(kind, type) and "_maybe_get_adapters" in vars(kind):
            kind._maybe_get_adapters = lambda *_, **__: None
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")
"""
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


def run(folder: Path, **generator: object) -> list[CycleReport]:
    """Run two cycles of `configs/engines/vllm.yaml` with the real model, on prompts of the gcc demo, on a CPU."""
    raw = load_yaml(CONFIG)
    raw |= {"model": {"name": MODEL, "device": "cpu", "dtype": "float32"}, "data": {"limit": 12}, "cycles": 2}
    raw["generator"] |= {
        "python": str(PYTHON),
        "dtype": "float32",
        "max_new_tokens": 64,
        "environment": {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"},
        "arguments": ["--enforce-eager", "--max-model-len", "1024"],
        **generator,
    }
    raw["selector"] |= {"threshold": 0.0, "truncated": True}  # the model passes none of them
    raw |= {"samples_per_prompt": 4, "heldout": {"samples_per_prompt": 1, "limit": 24}}
    with Plan.from_raw(raw).open(folder / "run") as opened:
        return run_cycles(*opened)


def test_two_cycles_on_prompts_of_the_demo(tmp_path: Path) -> None:
    reports = run(tmp_path)
    assert [report.cycle for report in reports] == [0, 1, 2]
    assert all(report.sampler_error is not None and report.sampler_error < 1e-3 for report in reports), (
        reports
    )
    assert all(report.heldout_changed for report in reports[1:]), (
        "the server samples with the trained weights"
    )
    logs = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "run").rglob("*.log"))
    assert len(re.findall(r"POST /v1/load_lora_adapter HTTP/1.1. 200", logs)) == 2


def test_a_server_that_ignores_the_adapter_ends_the_run(tmp_path: Path) -> None:
    ignores = tmp_path / "ignores.py"
    ignores.write_text(IGNORES, encoding="utf-8")
    with pytest.raises(ModelError, match="trained weights"):
        run(tmp_path, command=[str(PYTHON), str(ignores)])
