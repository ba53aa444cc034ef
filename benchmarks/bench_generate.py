"""Compare the tokens per second of generator `transformers` with `generate` of transformers, on the CPU.

    python benchmarks/bench_generate.py

512 samples, 8 for each of 64 prompts of different lengths, from a Llama with a million random weights. So that samples
end at different lengths, as programs do, a share of the vocabulary are end tokens: lengths are about exponential with a
mean of 100, cut at 256. Both sample at temperature 1 in batches of the same 128 rows of similar length, padded
on the left; tokens after a row's end are not counted. They take turns; medians and their ratio are printed.

`--busy N` runs N busy processes at the same time, like verifiers while a batch is sampled.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import tempfile
import time
from pathlib import Path

import transformers

from halo_core.config.model import ModelConfig
from halo_core.model.actor import Actor
from halo_core.model.decoding import decode
from halo_core.model.drawing import Sampling
from halo_core.model.pretraining import new_checkpoint, new_tokenizer

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


def keep_busy() -> None:
    while True:
        sum(range(100_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0, help="number of busy processes")
    args = parser.parse_args()

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
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
