"""Compare the useful tokens per second of trainer `sft` with TRL's `SFTTrainer`, on the CPU.

    pip install trl
    python benchmarks/bench_sft.py

Both train the same LoRA (rank 16, all seven projections, dropout 0.05) on the same Llama with random weights, in
float32, for one epoch over the same token sequences, with the loss on the completions only, AdamW, a constant learning
rate, gradients clipped at 0.3 and 32 sequences per optimizer step. Useful tokens are those of prompts and completions,
without padding. Lengths are log-normal, like those of sampled programs.

TRL gets favorable settings: tokens prepared in advance; gradient checkpointing, bf16, logging and saving off; no
padding to multiples; micro-batches of 8 sequences (less padding than 32 at once); its default random order and, as a
third contestant, transformers' grouping by length. Packing and padding-free batches need attention kernels that do not
exist for a CPU. Only the training is timed: models, adapters, data sets and trainers are created before. The three take
turns; medians and their ratios are printed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import transformers

from halo_core.config.model import ModelConfig
from halo_core.drivers.sft import SFT
from halo_core.model.actor import Actor
from halo_core.model.contexts import TrainingContext
from halo_core.model.likelihood import weighted_nll, weighted_tokens
from halo_core.model.pretraining import new_checkpoint, new_tokenizer
from halo_core.training import Example, fit

VOCABULARY, LR, STEP, MICRO = 4096, 1e-4, 32, 8
ARCHITECTURE = {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
}


def draw_examples(count: int, seed: int) -> list[Example]:
    """Return sequences of random tokens: prompts of 16 to 95, completions with a median of 100 and at most 512."""
    rng = random.Random(seed)

    def tokens(length: int) -> tuple[int, ...]:
        return tuple(rng.randrange(1, VOCABULARY) for _ in range(length))

    lengths = [min(max(int(rng.lognormvariate(4.6, 0.6)), 8), 512) for _ in range(count)]
    return [Example(tokens(rng.randrange(16, 96)), (*tokens(length - 1), 0)) for length in lengths]


def halo_trainer(model: Path, examples: list[Example]) -> Callable[[], object]:
    actor = Actor(ModelConfig(name=str(model), device="cpu", dtype="float32"))
    options = SFT(batch_size=STEP)
    units = [(example,) for example in examples]
    context = TrainingContext(actor=actor, lr=LR, seed=0)
    return lambda: fit(units, weighted_nll, options, context, per=weighted_tokens)


def trl_trainer(model: Path, examples: list[Example], out: str, order: str) -> Callable[[], object]:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        output_dir=out,
        per_device_train_batch_size=MICRO,
        gradient_accumulation_steps=STEP // MICRO,
        learning_rate=LR,
        lr_scheduler_type="constant",
        max_grad_norm=0.3,
        num_train_epochs=1,
        completion_only_loss=True,
        max_length=None,
        pad_to_multiple_of=None,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        train_sampling_strategy=order,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    rows = [
        {
            "input_ids": [*it.prompt_ids, *it.completion_ids],
            "completion_mask": [0] * len(it.prompt_ids) + [1] * len(it.completion_ids),
        }
        for it in examples
    ]
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    trainer = SFTTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(model, dtype="float32"),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=transformers.AutoTokenizer.from_pretrained(model),
        peft_config=LoraConfig(
            r=16, lora_alpha=32, lora_dropout=0.05, target_modules=modules, task_type="CAUSAL_LM"
        ),
    )
    return trainer.train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--cpu-time", action="store_true", help="measure CPU seconds, for a machine with other load"
    )
    args = parser.parse_args()

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    clock = time.process_time if args.cpu_time else time.perf_counter
    examples = draw_examples(args.examples, seed=0)
    useful = sum(map(len, examples))
    speeds: dict[str, list[float]] = {"halo": [], "trl": [], "trl, grouped by length": []}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        new_checkpoint(model, ARCHITECTURE, new_tokenizer(["a", "b"], 512), seed=0)
        for turn in range(args.rounds + 1):  # the first is a warm-up and is not counted
            trainers = {
                "halo": halo_trainer(model, examples),
                "trl": trl_trainer(model, examples, folder, "random"),
                "trl, grouped by length": trl_trainer(model, examples, folder, "group_by_length"),
            }
            for name, train in trainers.items():
                started = clock()
                train()
                if turn:
                    speeds[name].append(useful / (clock() - started))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    for name, speed in medians.items():
        spread = f"{min(speeds[name]):.0f} to {max(speeds[name]):.0f}"
        print(f"{name:24} {speed:8.0f} useful tokens/s ({spread})   halo is {medians['halo'] / speed:.2f} x")


if __name__ == "__main__":
    main()
