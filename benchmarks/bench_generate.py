"""Tokens a second of generator `transformers` against `generate` of transformers, on the CPU.

    python benchmarks/bench_generate.py

512 samples, 8 for each of 64 prompts of unlike lengths, from a Llama of a million random weights. Samples
are to end at unlike lengths, as programs do: a share of the vocabulary ends them, so that lengths are about
exponential with a mean of 100, cut at 256. Both sample at temperature 1 in batches of the same 128 rows of
like length, padded on the left; tokens after a row's end are not counted. They take turns; medians and
their ratio are printed.

`--busy N` has N processes compute beside it, as verifiers do while a batch is sampled.
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
from halo_core.model.decoding import Sampling, decode
from halo_core.model.pretraining import Pair, new_checkpoint, new_tokenizer

VOCABULARY, MEAN, LIMIT, ROWS, PROMPTS, SAMPLES = 1024, 100, 256, 128, 64, 8
ENDS = range(VOCABULARY // MEAN)
"""Ids that end a sample. Random weights make every id about equally likely."""
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
    """Prompts of 24 to 64 tokens, each 8 times, longest first, cut into batches."""
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
            tokens += next((place for place, token in enumerate(row, 1) if token in ENDS), len(row))
    return tokens


def spin() -> None:
    while True:
        sum(range(100_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it")
    args = parser.parse_args()

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    others = [multiprocessing.Process(target=spin, daemon=True) for _ in range(args.busy)]
    rates: dict[str, list[float]] = {"halo": [], "transformers": []}
    with tempfile.TemporaryDirectory() as folder:
        new_checkpoint(Path(folder), ARCHITECTURE, new_tokenizer([Pair("a", "b")], 512), seed=0)
        actor = Actor(ModelConfig(name=folder, device="cpu"))
        batches = draw_batches()
        by_halo(actor, batches[:1])
        by_transformers(actor, batches[:1])
        for other in others:
            other.start()
        for _ in range(args.rounds):
            for name, sample in (("halo", by_halo), ("transformers", by_transformers)):
                begin = time.perf_counter()
                tokens = sample(actor, batches)
                rates[name].append(tokens / (time.perf_counter() - begin))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in medians.items():
        spread = f"{min(rates[name]):.0f} to {max(rates[name]):.0f}"
        print(f"{name:14} {rate:8.0f} tokens/s ({spread})   halo is {medians['halo'] / rate:.2f} x")


if __name__ == "__main__":
    main()
