"""Measure halo on an accelerator, on random weights at the shapes of real models: one command, one JSON, one table.

    python benchmarks/accelerator.py --output accelerator.json

Needs no download. For the shapes of Qwen2.5 0.5B and 3B, in bfloat16:

sampling         64 rows of 8 prompts of 256 tokens, 256 new tokens each, top_p 0.95: tokens per second of halo, of
                 `generate` and of `generate_batch` (continuous batching) of transformers, beside the limit that the
                 memory's bandwidth sets: each step reads all weights once, and the keys and values of all rows
draw             milliseconds to draw the tokens of 64 rows from the vocabulary
merge            seconds to merge a LoRA adapter into the weights for sampling, and to restore them
cycle            seconds to sample, train with LoRA on the samples, merge, and sample again

A part that fails is reported with its error, and the others go on. No part starts after `--seconds`. The tests run
`--shape tiny` on a CPU, which takes seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a run: waiting threads use no CPU time

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from halo_core.config.model import ModelConfig
from halo_core.drivers.sft import SFT
from halo_core.errors import first_line
from halo_core.model.actor import Actor
from halo_core.model.contexts import TrainingContext
from halo_core.model.decoding import decode
from halo_core.model.drawing import Sampling
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

Figures = dict[str, float]
DRAW = Sampling(0.8, 0.95)
GIB = 1 << 30


@dataclass(frozen=True)
class Shape:
    """The dimensions of a model, and of the batch that is sampled from it."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    prompts: int = 8
    samples: int = 8
    prompt_tokens: int = 256
    new_tokens: int = 256


SHAPES: Mapping[str, Shape] = {
    "qwen2.5-0.5b": Shape(896, 4864, 24, 14, 2, 151_936),
    "qwen2.5-3b": Shape(2048, 11008, 36, 16, 2, 151_936),
    "tiny": Shape(32, 64, 2, 4, 2, 512, prompts=2, samples=2, prompt_tokens=6, new_tokens=5),
}


class Bench:
    """A model with random weights on a device, and the rows that are sampled from it."""

    def __init__(self, shape: Shape, device: torch.device, dtype: torch.dtype) -> None:
        self.shape, self.device = shape, device
        config = AutoConfig.for_model(
            "qwen2", hidden_size=shape.hidden, intermediate_size=shape.intermediate, num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, vocab_size=shape.vocabulary,
            max_position_embeddings=4096, tie_word_embeddings=True, eos_token_id=None, bos_token_id=None,
        )  # fmt: skip
        torch.manual_seed(0)
        with device:
            model = AutoModelForCausalLM.from_config(config, dtype=dtype).requires_grad_(False).eval()
        model.generation_config = GenerationConfig()
        self.actor = Actor(ModelConfig(name="random"))
        self.actor.__dict__.update(model=model, device=device, dtype=dtype, cache_flaw="")
        rng = random.Random(0)
        prompts = [
            tuple(rng.choices(range(shape.vocabulary), k=shape.prompt_tokens - number % 3))
            for number in range(shape.prompts)
        ]
        self.rows = [prompt for prompt in prompts for _ in range(shape.samples)]

    @property
    def model(self) -> Any:
        """The model, without an adapter."""
        return self.actor.unwrapped_model

    def decode(self) -> list[Any]:
        """Sample the rows as a run does."""
        return decode(
            self.model,
            self.rows,
            sampling=DRAW,
            max_new_tokens=[self.shape.new_tokens] * len(self.rows),
            end_ids=(),
            generator=torch.Generator(self.device).manual_seed(0),
        )

    def seconds(self, work: Callable[[], object], repeat: int = 1) -> float:
        """Return the least time of `repeat` calls after one that warms up, if there are several."""
        found = []
        for _ in range(repeat + (repeat > 1)):
            synchronise(self.device)
            started = time.perf_counter()
            work()
            synchronise(self.device)
            found.append(time.perf_counter() - started)
        return min(found[repeat > 1 :])


def sampling_halo(bench: Bench) -> Figures:
    """Tokens per second of halo."""
    seconds = bench.seconds(bench.decode, 2)
    return {"tokens_per_second": len(bench.rows) * bench.shape.new_tokens / seconds}


def sampling_generate(bench: Bench) -> Figures:
    """Tokens per second of `generate`, with the rows padded on the left."""
    longest, new = max(map(len, bench.rows)), bench.shape.new_tokens
    pads = [longest - len(row) for row in bench.rows]
    ids = torch.tensor([[0] * pad + list(row) for pad, row in zip(pads, bench.rows, strict=True)])
    mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads])
    inputs = {"input_ids": ids.to(bench.device), "attention_mask": mask.to(bench.device)}
    options = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "top_k": 0, "pad_token_id": 0}
    with torch.inference_mode():
        seconds = bench.seconds(
            lambda: bench.model.generate(**inputs, **options, max_new_tokens=new, min_new_tokens=new), 2
        )
    return {"tokens_per_second": len(bench.rows) * new / seconds}


def sampling_generate_batch(bench: Bench) -> Figures:
    """Tokens per second of `generate_batch`: the continuous batching of transformers."""
    config = GenerationConfig(
        do_sample=True, temperature=0.8, top_p=0.95, top_k=0, max_new_tokens=bench.shape.new_tokens,
        eos_token_id=-1, pad_token_id=0,
    )  # fmt: skip
    inputs = [list(row) for row in bench.rows]
    found: dict[str, Any] = {}
    seconds = bench.seconds(
        lambda: found.update(bench.model.generate_batch(inputs, generation_config=config, progress_bar=False))
    )
    tokens = sum(len(output.generated_tokens) for output in found.values())
    if not tokens:
        raise RuntimeError("generate_batch returned no tokens")
    return {"tokens_per_second": tokens / seconds}


def sampling_limit(bench: Bench) -> Figures:
    """Tokens per second if a step took only the time of reading the weights, keys and values once."""
    amount = GIB if bench.device.type != "cpu" else GIB // 64
    source = torch.empty(amount, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    bandwidth = 2 * amount / bench.seconds(lambda: target.copy_(source), 5)
    shape, element = bench.shape, bench.model.dtype.itemsize
    weights = sum(weight.numel() for weight in bench.model.parameters()) * element
    cached = 2 * shape.layers * shape.kv_heads * (shape.hidden // shape.heads) * element
    length = shape.prompt_tokens + shape.new_tokens / 2
    step = (weights + len(bench.rows) * cached * length) / bandwidth
    return {"tokens_per_second": len(bench.rows) / step, "gib_per_second": bandwidth / GIB}


def draw(bench: Bench) -> Figures:
    """Milliseconds to draw one token for each row."""
    logits = (
        torch.randn(len(bench.rows), bench.shape.vocabulary, device=bench.device).to(bench.model.dtype) * 3
    )
    generator = torch.Generator(bench.device).manual_seed(0)
    return {"milliseconds": 1000 * bench.seconds(lambda: DRAW.draw(logits, generator), 5)}


def merge(bench: Bench) -> Figures:
    """Seconds to merge an adapter and to restore the weights, which are the same afterwards."""
    bench.actor.add_lora(rank=16, alpha=32.0, dropout=0.0, seed=0)
    before = [weight.detach().clone() for weight in bench.model.parameters()]
    times = [time.perf_counter()]
    with bench.actor.merged():
        synchronise(bench.device)
        times.append(time.perf_counter())
    synchronise(bench.device)
    times.append(time.perf_counter())
    same = all(torch.equal(*pair) for pair in zip(before, bench.model.parameters(), strict=True))
    if not same:
        raise RuntimeError("merging and restoring changed the weights")
    return {"merge_seconds": times[1] - times[0], "restore_seconds": times[2] - times[1]}


def cycle(bench: Bench) -> Figures:
    """Seconds of a cycle's parts: sample, train with LoRA on all samples, sample with the merged adapter."""
    bench.actor.add_lora(rank=16, alpha=32.0, dropout=0.0, seed=0)
    decoded: list[Any] = []
    sampled = bench.seconds(lambda: decoded.extend(bench.decode()))
    passed = Verdict(Status.PASS, Stage.CORRECT)
    samples = [
        Sample(
            Prompt(f"p{number}", "random"),
            Completion(f"p{number}", 0, "", prompt_token_ids=row, token_ids=out.token_ids),
            passed,
            reward=1.0,
            weight=1.0,
        )
        for number, (row, out) in enumerate(zip(bench.rows, decoded, strict=True))
    ]
    context = TrainingContext(actor=bench.actor, lr=1e-5, seed=0)
    trained = bench.seconds(lambda: SFT(lora_dropout=0.0, batch_size=16).train(samples, context))

    def sample_merged() -> None:
        with bench.actor.merged():
            bench.decode()

    return {
        "sample_seconds": sampled,
        "train_seconds": trained,
        "heldout_seconds": bench.seconds(sample_merged),
    }


PARTS: tuple[tuple[str, Callable[[Bench], Figures]], ...] = (
    ("sampling: halo", sampling_halo),
    ("sampling: generate", sampling_generate),
    ("sampling: generate_batch", sampling_generate_batch),
    ("sampling: bandwidth limit", sampling_limit),
    ("draw", draw),
    ("merge and restore", merge),
    ("cycle", cycle),
)
"""In the order in which they run; those that add an adapter come last."""


def synchronise(device: torch.device) -> None:
    """Wait for the work of an accelerator."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@contextmanager
def peak_memory(device: torch.device, figures: Figures) -> Iterator[None]:
    """Add the peak memory of the enclosed part to `figures`, on an accelerator."""
    if device.type == "cpu":
        yield
        return
    torch.accelerator.reset_peak_memory_stats(device)
    yield
    figures["peak_gib"] = torch.accelerator.max_memory_allocated(device) / GIB


def measure(name: str, device: torch.device, dtype: torch.dtype, until: float) -> dict[str, Any]:
    """Run all parts on the shape of that name; no part starts after `until`."""
    found: dict[str, Any] = {"shape": asdict(SHAPES[name]), "parts": {}}
    bench = Bench(SHAPES[name], device, dtype)
    for title, part in PARTS:
        if time.monotonic() > until:
            found["parts"][title] = {"error": "out of time"}
            continue
        figures: Figures = {}
        try:
            with peak_memory(device, figures):
                measured = part(bench)
            found["parts"][title] = measured | figures
        except Exception as error:  # the other parts go on
            found["parts"][title] = {"error": f"{type(error).__name__}: {first_line(error)}"}
    return found


def table(result: Mapping[str, Any]) -> str:
    """Return the figures as a table in Markdown."""
    names = list(result["models"])
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for title, _ in PARTS:
        cells = (_cell(result["models"][name]["parts"].get(title, {})) for name in names)
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(figures: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{value if isinstance(value, str) else format(value, ',.4g')} {key.replace('_', ' ')}"
        for key, value in figures.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--shape", action="append", choices=list(SHAPES), help="repeatable; default: both real ones"
    )
    parser.add_argument("--device", default="", help="default: the accelerator if there is one")
    parser.add_argument("--seconds", type=float, default=420, help="no part starts later than this")
    parser.add_argument("--output", type=Path, default=Path("accelerator.json"))
    args = parser.parse_args()
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    device = torch.device(args.device) if args.device else found or torch.device("cpu")
    until = time.monotonic() + args.seconds
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    result = {
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or str(device),
        "torch": torch.__version__,
        "dtype": str(dtype).removeprefix("torch."),
        "models": {
            name: measure(name, device, dtype, until) for name in args.shape or ("qwen2.5-0.5b", "qwen2.5-3b")
        },
    }
    args.output.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))
    print(f"\n{args.output}: {result['device']}, torch {torch.__version__}, {result['dtype']}")


if __name__ == "__main__":
    main()
