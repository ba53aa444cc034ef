"""Compare LoRA training of a real model with TRL's `SFTTrainer`, on the CPU: speed and peak memory.

    pip install trl
    python benchmarks/bench_sft_real.py MODEL

MODEL is the directory of SmolLM2-135M-Instruct, or of another model. Each measurement is a process of its own, with one
thread; the contestants take turns. Both train the same LoRA (rank 16, all seven projections, dropout 0.05) with the
weights of the model in `--dtype`, for one epoch over the same token sequences, with the loss on the completions only,
AdamW, a constant learning rate, gradients clipped at 0.3 and 32 sequences per optimizer step. Useful tokens are those
of prompts and completions, each duplicate counted, without padding. A second is one of CPU time of the training alone.
The peak memory is that of the whole process, with the model.

`plain`: sequences of random tokens with prompts of 16 to 95 tokens and completions whose lengths are log-normal, with a
median of 100. `selected`: what RAFT selects: prompts of 60 to 119 tokens, `--samples` completions each, with a median
of 60 tokens, of which a third are duplicates of another. `long`: prompts of 60 to 119 tokens, a completion of 512 each;
for peak memory.

TRL gets prepared tokens, no checkpointing and no padding to multiples, in micro-batches of `--micro` sequences, and in
turn: a random order; grouping by length; packing (`bfd`) to the longest sequence, in which sequences of a block attend
to each other, since a CPU has no kernels that keep them apart. TRL 1.16 always computes the loss in chunks: its
`chunked_nll` is an alias of the default.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

LR, STEP = 1e-4, 32
VOCABULARY = 4096
"""Random tokens are drawn from the first ids, which every vocabulary has."""
CONTESTANTS = ("halo", "halo, plain rows", "trl", "trl grouped", "trl packed")


def draw(kind: str, count: int, samples: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return prompts and completions as token ids."""
    rng = random.Random(0)

    def tokens(length: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, VOCABULARY) for _ in range(length))

    def completion(median: float) -> tuple[int, ...]:
        return (*tokens(min(max(int(median * rng.lognormvariate(0, 0.6)), 8), 512) - 1), 2)

    if kind == "plain":
        return [(tokens(rng.randrange(16, 96)), completion(100)) for _ in range(count)]
    if kind == "long":
        return [(tokens(rng.randrange(60, 120)), (*tokens(511), 2)) for _ in range(count)]
    rows = []
    for _ in range(-(-count // samples)):
        prompt = tokens(rng.randrange(60, 120))
        distinct = [completion(60) for _ in range(-(-samples * 2 // 3))]
        rows += [
            (prompt, text)
            for text in distinct + [rng.choice(distinct) for _ in range(samples - len(distinct))]
        ]
    return rows[:count]


def halo_trainer(model: str, dtype: str, rows: list[Any], options: dict[str, Any]) -> Any:
    from halo_core.drivers.sft import SFT
    from halo_core.model.actor import Actor, ModelConfig
    from halo_core.model.contexts import TrainingContext
    from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

    actor = Actor(ModelConfig(name=model, device="cpu", dtype=dtype))
    _ = actor.model
    verdict = Verdict(Status.PASS, Stage.CORRECT)
    samples = [
        Sample(Prompt("p"), Completion("p", n, "text", prompt, ids), verdict, 1.0)
        for n, (prompt, ids) in enumerate(rows)
    ]
    trainer = SFT(batch_size=STEP, **options)
    return lambda: trainer.train(samples, TrainingContext(actor=actor, lr=LR, seed=0))


def trl_trainer(
    model: str, dtype: str, rows: list[Any], folder: str, micro: int, options: dict[str, Any]
) -> Any:
    import transformers
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    longest = max(len(prompt) + len(ids) for prompt, ids in rows)
    if options.get("packing"):
        options = options | {"max_length": longest}
    config = SFTConfig(
        output_dir=folder,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=STEP // micro,
        learning_rate=LR,
        lr_scheduler_type="constant",
        max_grad_norm=0.3,
        num_train_epochs=1,
        completion_only_loss=True,
        pad_to_multiple_of=None,
        gradient_checkpointing=False,
        bf16=dtype == "bfloat16",
        use_cpu=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **{"max_length": None} | options,
    )
    data = [
        {"input_ids": [*prompt, *ids], "completion_mask": [0] * len(prompt) + [1] * len(ids)}
        for prompt, ids in rows
    ]
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    trainer = SFTTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(model, dtype=dtype),
        args=config,
        train_dataset=Dataset.from_list(data),
        processing_class=transformers.AutoTokenizer.from_pretrained(model),
        peft_config=LoraConfig(
            r=16, lora_alpha=32, lora_dropout=0.05, target_modules=modules, task_type="CAUSAL_LM"
        ),
    )
    return trainer.train


def measure(contestant: str, args: argparse.Namespace) -> dict[str, float]:
    """Train once in this process; return CPU seconds, tokens per CPU second and the peak memory in MiB."""
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    rows = draw(args.kind, args.examples, args.samples)
    grouped = {"train_sampling_strategy": "group_by_length"}
    with tempfile.TemporaryDirectory() as folder:
        train = {
            "halo": lambda: halo_trainer(args.model, args.dtype, rows, {}),
            "halo, plain rows": lambda: halo_trainer(args.model, args.dtype, rows, {"share_prefixes": False}),
            "trl": lambda: trl_trainer(args.model, args.dtype, rows, folder, args.micro, {}),
            "trl grouped": lambda: trl_trainer(args.model, args.dtype, rows, folder, args.micro, grouped),
            "trl packed": lambda: trl_trainer(
                args.model, args.dtype, rows, folder, args.micro, {"packing": True}
            ),
        }[contestant]()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        train()
        seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    useful = sum(len(prompt) + len(ids) for prompt, ids in rows)
    return {"seconds": seconds, "speed": useful / seconds, "peak": peak / 1024, "loaded": before / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--kind", choices=["plain", "selected", "long"], default="plain")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8, help="completions of a prompt in `selected`")
    parser.add_argument("--micro", type=int, default=8, help="sequences of a forward pass of TRL")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contestants", nargs="+", default=CONTESTANTS)
    parser.add_argument("--one", choices=CONTESTANTS, help="measure one contestant in this process")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in args.contestants}
    same = [f"--{name}={getattr(args, name)}" for name in ("kind", "dtype", "examples", "samples", "micro")]
    for _ in range(args.rounds):
        for name in args.contestants:
            command = [sys.executable, __file__, args.model, f"--one={name}", *same]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: {done.stderr.strip().splitlines()[-1]}")
                continue
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, found[name][-1], file=sys.stderr, flush=True)
    halo = statistics.median(it["speed"] for it in found["halo"]) if found.get("halo") else float("nan")
    for name, results in found.items():
        if results:
            speed = statistics.median(it["speed"] for it in results)
            peak = statistics.median(it["peak"] for it in results)
            print(
                f"{name:22} {speed:7.1f} useful tokens per CPU second, halo {halo / speed:.2f} x; {peak:6.0f} MiB"
            )


if __name__ == "__main__":
    main()
