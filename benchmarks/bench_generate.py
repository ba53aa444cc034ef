"""Compare the tokens per second of generator `transformers` with `generate` of transformers, on the CPU.

    python benchmarks/bench_generate.py

512 samples, 8 for each of 64 prompts of different lengths, from a Llama with a million random weights. So that samples
end at different lengths, as programs do, a share of the vocabulary are end tokens: lengths are about exponential with a
mean of 100, cut at 256. Both sample at temperature 1 in batches of the same 128 rows of similar length, padded
on the left; tokens after a row's end are not counted. They take turns; medians and their ratio are printed.

`--busy N` runs N busy processes at the same time, like verifiers while a batch is sampled.

    python benchmarks/bench_generate.py --model DIRECTORY [--url http://localhost:8000/v1]

samples from a real chat model instead: 64 rows of 8 questions, 128 new tokens each without an end, temperature 0.8,
top_p 0.95. halo takes its own precision, `generate` both float32 and bfloat16. With `--url`, a server with OpenAI's
interface that runs the same model takes part, such as vLLM's CPU build. Wall time and CPU time are printed; the CPU
time of a server is not known.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a run: waiting threads use no CPU time

import transformers

from halo_core.config.model import ModelConfig
from halo_core.model.actor import Actor
from halo_core.model.decoding import decode
from halo_core.model.drawing import Sampling
from halo_core.model.pretraining import new_checkpoint, new_tokenizer
from halo_core.types import Prompt

VOCABULARY, MEAN, LIMIT, ROWS, PROMPTS, SAMPLES = 1024, 100, 256, 128, 64, 8
ENDS = range(VOCABULARY // MEAN)
"""End tokens. With random weights every token is about equally likely."""
ARCHITECTURE = {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 344,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
Prompts = list[tuple[int, ...]]


def draw_batches() -> list[Prompts]:
    """Return batches of prompts of 24 to 64 tokens, each repeated 8 times, longest first."""
    rng = random.Random(0)
    prompts = [tuple(rng.choices(range(100, VOCABULARY), k=rng.randrange(24, 65))) for _ in range(PROMPTS)]
    rows = [prompt for prompt in sorted(prompts, key=len, reverse=True) for _ in range(SAMPLES)]
    return [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]


QUESTIONS = (
    "Write a Python function that adds two numbers.",
    "Tell a story about a cat and a dog in a small village by the sea.",
    "How does rain form?",
    "List ten countries of Europe with their capitals.",
    "What is a prime number? Give five examples and explain each of them.",
    "Describe a good breakfast.",
    "How do I bake bread at home? Answer step by step.",
    "Write a poem about the wind in autumn.",
)
NEW, TEMPERATURE, TOP_P = 128, 0.8, 0.95


def by_halo(actor: Actor, batches: list[Prompts]) -> int:
    import torch

    tokens = 0
    for number, batch in enumerate(batches):
        decoded = decode(
            actor.model,
            batch,
            sampling=Sampling(),
            max_new_tokens=[LIMIT] * len(batch),
            end_ids=ENDS,
            generator=torch.Generator().manual_seed(number),
        )
        tokens += sum(len(row.token_ids) for row in decoded)
    return tokens


def by_transformers(actor: Actor, batches: list[Prompts]) -> int:
    import torch

    tokens = 0
    for number, batch in enumerate(batches):
        longest = max(map(len, batch))
        ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in batch])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in batch])
        torch.manual_seed(number)
        with torch.inference_mode():
            out = actor.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                max_new_tokens=LIMIT,
                eos_token_id=list(ENDS),
                pad_token_id=0,
            )
        for row in out[:, longest:].tolist():
            tokens += next((count for count, token in enumerate(row, 1) if token in ENDS), len(row))
    return tokens


def questions(actor: Actor) -> list[tuple[int, ...]]:
    """Return the contexts of `QUESTIONS`, each 8 times."""
    return [
        actor.encode(Prompt(str(number), text))
        for number, text in enumerate(QUESTIONS)
        for _ in range(SAMPLES)
    ]


def real_by_halo(actor: Actor, new: int) -> int:
    import torch

    rows = questions(actor)
    decoded = decode(
        actor.model,
        rows,
        sampling=Sampling(TEMPERATURE, TOP_P),
        max_new_tokens=[new] * len(rows),
        end_ids=[],
        generator=torch.Generator().manual_seed(0),
    )
    return sum(len(row.token_ids) for row in decoded)


def real_by_transformers(actor: Actor, new: int) -> int:
    import torch

    rows = questions(actor)
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    torch.manual_seed(0)
    with torch.inference_mode():
        out = actor.model.generate(
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0,
            max_new_tokens=new, min_new_tokens=new, pad_token_id=0,
        )  # fmt: skip
    return int(out[:, longest:].numel())


def real_by_server(url: str, new: int) -> int:
    """Ask a server with OpenAI's interface for 8 completions of each question, all at once."""
    with urllib.request.urlopen(f"{url}/models") as answer:
        name = json.load(answer)["data"][0]["id"]

    def ask(question: str) -> int:
        body = {
            "model": name, "messages": [{"role": "user", "content": question}], "n": SAMPLES, "max_tokens": new,
            "temperature": TEMPERATURE, "top_p": TOP_P, "ignore_eos": True,
        }  # fmt: skip
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return int(json.load(answer)["usage"]["completion_tokens"])

    with ThreadPoolExecutor(len(QUESTIONS)) as threads:
        return sum(threads.map(ask, QUESTIONS))


def compare_on(model: str, url: str, new: int, rounds: int) -> None:
    """Let halo, `generate` and the server take turns with a real model; print medians."""
    own, float32, bfloat16 = (
        Actor(ModelConfig(name=model, device="cpu", dtype=dtype)) for dtype in ("auto", "float32", "bfloat16")
    )
    ways: dict[str, Callable[[], int]] = {
        f"halo, {str(own.dtype).removeprefix('torch.')}": partial(real_by_halo, own, new),
        "generate, float32": partial(real_by_transformers, float32, new),
        "generate, bfloat16": partial(real_by_transformers, bfloat16, new),
    }
    if url:
        ways["server"] = partial(real_by_server, url.rstrip("/"), new)
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, sample in ways.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            tokens = sample()
            if number:  # the first round warms up
                wall[name].append(tokens / (time.perf_counter() - started))
                cpu[name].append(tokens / max(time.process_time() - cpu_started, 1e-9))
    first = next(iter(ways))
    for name in ways:
        speed, of_cpu = statistics.median(wall[name]), statistics.median(cpu[name])
        ratio = statistics.median(wall[first]) / speed
        cpu_part = (
            f"{of_cpu:8.0f} tokens/CPU s   halo is {statistics.median(cpu[first]) / of_cpu:.2f} x"
            if name != "server"
            else ""
        )
        print(f"{name:20} {speed:8.0f} tokens/s   halo is {ratio:.2f} x   {cpu_part}")


def keep_busy() -> None:
    while True:
        sum(range(100_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0, help="number of busy processes")
    parser.add_argument("--model", default="", help="directory of a real chat model")
    parser.add_argument("--url", default="", help="server that takes part, with --model")
    parser.add_argument("--new", type=int, default=NEW, help="new tokens a row, with --model")
    args = parser.parse_args()

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    if args.model:
        compare_on(args.model, args.url, args.new, args.rounds)
        return
    busy = [multiprocessing.Process(target=keep_busy, daemon=True) for _ in range(args.busy)]
    speeds: dict[str, list[float]] = {"halo": [], "transformers": []}
    with tempfile.TemporaryDirectory() as folder:
        new_checkpoint(Path(folder), ARCHITECTURE, new_tokenizer(["a", "b"], 512), seed=0)
        actor = Actor(ModelConfig(name=folder, device="cpu"))
        batches = draw_batches()
        by_halo(actor, batches[:1])
        by_transformers(actor, batches[:1])
        for process in busy:
            process.start()
        for _ in range(args.rounds):
            for name, sample in (("halo", by_halo), ("transformers", by_transformers)):
                started = time.perf_counter()
                tokens = sample(actor, batches)
                speeds[name].append(tokens / (time.perf_counter() - started))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    for name, speed in medians.items():
        spread = f"{min(speeds[name]):.0f} to {max(speeds[name]):.0f}"
        print(f"{name:14} {speed:8.0f} tokens/s ({spread})   halo is {medians['halo'] / speed:.2f} x")


if __name__ == "__main__":
    main()
