"""Sample the same prompts with the generators `transformers` and `vllm`, and compare speed and log-probabilities.

    make vllm
    python benchmarks/bench_engines.py --model DIRECTORY --python .venv-vllm/bin/python

The model is a chat model. The generators take turns; medians of tokens per second and their ratio are printed. With
`--greedy`, both take the likeliest token in float32, and the completions that differ are printed with the
log-probabilities of the first two tokens that differ: equal ones are a tie.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from halo_core import Completion, Generator, Prompt, SamplingRequest
from halo_core.config.model import ModelConfig
from halo_core.drivers.transformers import Transformers
from halo_core.model.actor import Actor
from halo_core.run.open_generator import OpenGenerator
from halo_generator_vllm import VLLM

TASKS = (
    "Write a Python function that returns {} times its argument.",
    "What is {} squared? Answer in a sentence.",
)


def request(prompts: int, samples: int, seed: int) -> SamplingRequest:
    """Return a request for `samples` completions of each of `prompts` short tasks."""
    tasks = tuple(Prompt(f"p{n}", TASKS[n % len(TASKS)].format(n)) for n in range(prompts))
    return SamplingRequest(cycle=0, split="train", prompts=tasks, samples_per_prompt=samples, seed=seed)


def sample(opened: OpenGenerator, asked: SamplingRequest) -> tuple[dict[tuple[str, int], Completion], float]:
    """Return the completions by prompt and index, and the tokens per second."""
    start = time.perf_counter()
    found = [completion for batch in opened.generate(asked) for completion in batch]
    seconds = time.perf_counter() - start
    by_key = {(completion.prompt_id, completion.index): completion for completion in found}
    return by_key, sum(len(completion.token_ids) for completion in found) / seconds


def differences(
    one: Mapping[tuple[str, int], Completion], two: Mapping[tuple[str, int], Completion]
) -> list[str]:
    """Return a line for each completion that differs."""
    lines = []
    for key, first in one.items():
        second = two[key]
        if first.token_ids == second.token_ids:
            continue
        pairs = zip(first.token_ids, second.token_ids, strict=False)
        place = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
        if place is None or first.logprobs is None or second.logprobs is None:
            lines.append(f"{key}: {len(first.token_ids)} and {len(second.token_ids)} tokens")
        else:
            lines.append(
                f"{key}: token {place}, log p {first.logprobs[place]:.6f} and {second.logprobs[place]:.6f}"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--python", default="", help="interpreter of vLLM's environment")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--greedy", action="store_true")
    given = parser.parse_args()
    dtype, samples = ("float32", 1) if given.greedy else (given.dtype, given.samples)
    temperature, top_p = (0.0, 1.0) if given.greedy else (0.8, given.top_p)
    actor = Actor(ModelConfig(name=given.model, dtype=dtype))
    generators: dict[str, Generator] = {
        "transformers": Transformers(temperature=temperature, top_p=top_p, max_new_tokens=given.new),
        "vllm": VLLM(
            python=given.python,
            dtype=dtype,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=given.new,
            environment={"VLLM_CPU_KVCACHE_SPACE": "2"} if actor.device.type == "cpu" else {},
            arguments=("--enforce-eager", "--max-model-len", "2048") if actor.device.type == "cpu" else (),
        ),
    }
    speeds: dict[str, list[float]] = {name: [] for name in generators}
    latest: dict[str, dict[tuple[str, int], Completion]] = {}
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        opened = {
            name: stack.enter_context(closing(OpenGenerator(generator, actor, Path(directory))))
            for name, generator in generators.items()
        }
        for name in opened:
            sample(opened[name], request(2, 1, seed=0))
        for number in range(1 if given.greedy else given.rounds):
            for name in opened:
                latest[name], speed = sample(opened[name], request(given.prompts, samples, seed=number + 1))
                speeds[name].append(speed)
                print(f"round {number + 1}  {name:12}  {speed:8.1f} tokens/s", flush=True)
    medians = {name: statistics.median(each) for name, each in speeds.items()}
    print(f"vllm / transformers, medians: {medians['vllm'] / medians['transformers']:.2f}")
    if given.greedy:
        lines = differences(latest["transformers"], latest["vllm"])
        print(f"{len(lines)} of {len(latest['vllm'])} greedy completions differ", *lines, sep="\n")


if __name__ == "__main__":
    main()
