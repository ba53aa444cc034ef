"""Make the demo anew: `python -m halo_verifier_gcc.demo.make OUT` writes prompts, held-out prompts and model.

The model is a Llama of under a million parameters, trained by the same code as `halo sft` on programs as
beginners write them: `mistakes` spoils some of them, at fixed rates, so that the model compiles and is right
only some of the time and has something to learn from its verifier. It never sees a held-out task.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from halo_core.actor import ModelConfig
from halo_core.drivers.sft import SFT
from halo_core.pretrain import END_OF_TEXT, Pair, new_checkpoint, train_checkpoint
from halo_core.seeds import derive_seed
from halo_verifier_gcc.demo.families import all_tasks
from halo_verifier_gcc.demo.mistakes import careless
from halo_verifier_gcc.demo.style import Pen
from halo_verifier_gcc.demo.tasks import Task, draw_tests, phrase

ARCHITECTURE = {
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 344,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
PIECES = r"#include <\w+\.h>|\n[^\n]*| ?[A-Za-z]+| ?[^\sA-Za-z]+|\s+"
"""Between these no token runs on: words in English, but whole lines in code, so that programs are short."""
VOCABULARY = 768
TESTS = 4
"""Tests for each prompt."""


def is_heldout(task: Task) -> bool:
    """Whether a task is kept from the corpus: about one in four, by its name alone."""
    return hashlib.sha256(task.key.encode()).digest()[0] < 64


def make_pairs(tasks: Sequence[Task], count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` prompts, each with one beginner's program; all families alike."""
    rng = random.Random(derive_seed(seed, "pairs"))
    by_family = list(_families(tasks).values())
    chosen = [rng.choice(rng.choice(by_family)) for _ in range(count)]
    return [Pair(phrase(task, rng), careless(task.write(Pen(rng)), rng)) for task in chosen]


def make_prompts(tasks: Sequence[Task], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, taking the families in turn."""
    rng = random.Random(derive_seed(seed, name))
    waiting = [rng.sample(family, len(family)) for family in _families(tasks).values()]
    turns = (family.pop() for _ in range(max(map(len, waiting))) for family in waiting if family)
    chosen = [task for task, _ in zip(turns, range(count), strict=False)]
    return [
        {
            "id": f"{name}-{number:03}",
            "prompt": phrase(task, rng),
            "reference": {"tests": draw_tests(task, rng, TESTS)},
            "family": task.family,
        }
        for number, task in enumerate(chosen, 1)
    ]


def make_tokenizer(pairs: Sequence[Pair]) -> Any:
    """Return a byte-level BPE tokenizer for the corpus. Digits are kept apart, so that numbers generalise."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        (text for pair in pairs for text in (pair.prompt, pair.completion)), trainer
    )
    end = END_OF_TEXT
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, pad_token=end)


def _families(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    families: dict[str, list[Task]] = {}
    for task in tasks:
        families.setdefault(task.family, []).append(task)
    return families


def _write_lines(path: Path, rows: Iterable[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _progress(step: int, steps: int, loss: float) -> None:
    if step % 50 == 0 or step == steps:
        print(f"step {step}/{steps}: loss {loss:.3f}", flush=True)


def main() -> None:
    """Read the command line and write the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="directory to write to")
    parser.add_argument("--pairs", type=int, default=24000, help="programs in the corpus")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--heldout", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    tasks = all_tasks()
    seen = [task for task in tasks if not is_heldout(task)]
    unseen = [task for task in tasks if is_heldout(task)]
    args.out.mkdir(parents=True, exist_ok=True)
    _write_lines(args.out / "prompts.jsonl", make_prompts(seen, args.prompts, "train", args.seed))
    _write_lines(args.out / "heldout.jsonl", make_prompts(unseen, args.heldout, "heldout", args.seed))
    pairs = make_pairs(seen, args.pairs, args.seed)
    trainer = SFT(full=True, epochs=args.epochs, batch_size=64, schedule="cosine", warmup_ratio=0.03,
                  batch_tokens=8192, max_grad_norm=1.0, weight_decay=0.05)  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        new_checkpoint(Path(scratch), ARCHITECTURE, make_tokenizer(pairs), seed=args.seed)
        made = train_checkpoint(
            pairs,
            args.out / "model",
            model=ModelConfig(name=scratch),
            chat_template=TEMPLATE,
            trainer=trainer,
            lr=args.lr,
            seed=args.seed,
            save_dtype="bfloat16",
            progress=_progress,
        )
    print(f"{made.parameters} parameters, {made.stats.tokens} tokens, loss {made.stats.loss_last:.3f}")


if __name__ == "__main__":
    main()
