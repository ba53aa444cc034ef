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
from collections.abc import Iterable, Sequence
from pathlib import Path

from halo_core.actor import ModelConfig
from halo_core.drivers.sft import SFT
from halo_core.pretrain import Pair, train_checkpoint
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
TESTS = 4
"""Tests for each prompt."""


def is_heldout(task: Task) -> bool:
    """Whether a task is kept from the corpus: about one in four, by its name alone."""
    return hashlib.sha256(task.key.encode()).digest()[0] < 64


def make_pairs(tasks: Sequence[Task], count: int, rng: random.Random) -> list[Pair]:
    """Return the corpus: `count` prompts, each with one beginner's program; all families alike."""
    by_family = list(_families(tasks).values())
    chosen = [rng.choice(rng.choice(by_family)) for _ in range(count)]
    return [Pair(phrase(task, rng), careless(task.write(Pen(rng)), rng)) for task in chosen]


def make_prompts(tasks: Sequence[Task], count: int, name: str, rng: random.Random) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, taking the families in turn."""
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


def _families(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    families: dict[str, list[Task]] = {}
    for task in tasks:
        families.setdefault(task.family, []).append(task)
    return families


def _write_lines(path: Path, rows: Iterable[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Read the command line and write the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="directory to write to")
    parser.add_argument("--pairs", type=int, default=16000, help="programs in the corpus")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--heldout", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    tasks = all_tasks()
    seen = [task for task in tasks if not is_heldout(task)]
    unseen = [task for task in tasks if is_heldout(task)]
    args.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(args.seed)
    _write_lines(args.out / "prompts.jsonl", make_prompts(seen, args.prompts, "train", rng))
    _write_lines(args.out / "heldout.jsonl", make_prompts(unseen, args.heldout, "heldout", rng))
    made = train_checkpoint(
        make_pairs(seen, args.pairs, rng),
        args.out / "model",
        model=ModelConfig(),
        architecture=ARCHITECTURE,
        vocab_size=1024,
        chat_template=TEMPLATE,
        trainer=SFT(full=True, epochs=args.epochs, batch_size=64, schedule="cosine", warmup_ratio=0.03,
                    max_grad_norm=1.0, weight_decay=0.05),
        lr=args.lr,
        seed=args.seed,
        save_dtype="bfloat16",
        progress=lambda step, steps, loss: print(f"step {step}/{steps} loss {loss:.3f}", flush=True)
        if step % 50 == 0 or step == steps else None,
    )  # fmt: skip
    print(f"{made.parameters} parameters, {made.stats.tokens} tokens, loss {made.stats.loss_last:.3f}")


if __name__ == "__main__":
    main()
