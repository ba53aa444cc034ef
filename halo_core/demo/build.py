"""Building a domain's demo: prompts, held-out prompts, and a tiny model that answers some of them.

A domain provides a `Corpus`: tasks as prompts, and answers like a beginner's, a fixed share of them wrong. The model is
a Llama with less than a million parameters, trained on the corpus from random weights by the code of `halo sft`. So it
is right only sometimes and can learn from the verifier; that takes a minute on a CPU. It never sees a held-out task.

    if __name__ == "__main__":
        build.main(__doc__, make_corpus)

Importing this module does not import torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from halo_core.data import load_prompts
from halo_core.drivers.base import Demo
from halo_core.model.pretraining import Pair
from halo_core.seeds import derive_seed

__all__ = ["Corpus", "Task", "is_heldout", "load", "main", "make_pairs", "make_prompts", "split", "write"]

ARCHITECTURE: Mapping[str, Any] = {
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
WORDS = r"\n| ?[A-Za-z]+| ?[^\sA-Za-z]+|\s+"
"""The default of `Corpus.pieces`: words, and runs of other characters."""


@dataclass(frozen=True)
class Corpus:
    """The content of a demo, before the model is trained."""

    prompts: Sequence[Mapping[str, Any]]
    """Rows of the prompts file: `id`, `prompt`, `reference`, and any further columns."""
    heldout: Sequence[Mapping[str, Any]]
    """Rows of the held-out prompts file; their tasks are in neither `prompts` nor `pairs`."""
    pairs: Sequence[Pair]
    """The model's training data before any run: prompts with a beginner's answers."""
    pieces: str = WORDS
    """Regular expression; no token crosses the boundary of its matches. Longer pieces make shorter completions."""
    vocabulary: int = 768
    """Entries of the tokenizer, including the 256 bytes and the end token."""


class Task(Protocol):
    """A task of a domain, one of many that are composed from the same parts."""

    @property
    def key(self) -> str:
        """Unique name."""

    @property
    def family(self) -> str:
        """Name shared with similar tasks."""


T = TypeVar("T", bound=Task)


def is_heldout(task: Task) -> bool:
    """Return True for tasks that are excluded from the corpus: about one in four, by `key` alone."""
    return hashlib.sha256(task.key.encode()).digest()[0] < 64


def make_pairs(
    tasks: Sequence[T], count: int, seed: int, write: Callable[[T, random.Random], Pair]
) -> list[Pair]:
    """Return `count` pairs; `write` makes each for a task drawn at random, every family being equally likely."""
    rng = random.Random(derive_seed(seed, "pairs"))
    by_family = _families(tasks)
    chosen = [rng.choice(rng.choice(by_family)) for _ in range(count)]
    return [write(task, rng) for task in chosen]


def make_prompts(
    tasks: Sequence[T],
    count: int,
    name: str,
    seed: int,
    write: Callable[[T, random.Random], Mapping[str, Any] | None],
) -> list[dict[str, Any]]:
    """Return rows for `count` different tasks, cycling through the families.

    `write` returns the `prompt` and the `reference` of a task, or None if the task is unusable.
    """
    rng = random.Random(derive_seed(seed, name))
    shuffled = [rng.sample(family, len(family)) for family in _families(tasks)]
    in_turn = (family.pop() for _ in range(max(map(len, shuffled))) for family in shuffled if family)
    rows: list[dict[str, Any]] = []
    for task in in_turn:
        if len(rows) == count:
            break
        if (row := write(task, rng)) is not None:
            rows.append({"id": f"{name}-{len(rows) + 1:03}", **row, "family": task.family})
    return rows


def _families(tasks: Iterable[T]) -> list[list[T]]:
    families: dict[str, list[T]] = {}
    for task in tasks:
        families.setdefault(task.family, []).append(task)
    return list(families.values())


def split(
    args: argparse.Namespace,
    tasks: Sequence[T],
    prompts: Callable[[Sequence[T], int, str, int], Sequence[Mapping[str, Any]]],
    pairs: Callable[[Sequence[T], int, int], Sequence[Pair]],
    *,
    pieces: str = WORDS,
) -> Corpus:
    """Return the corpus of `tasks`: held-out prompts for the held-out tasks, prompts and pairs for the others."""
    seen = [task for task in tasks if not is_heldout(task)]
    unseen = [task for task in tasks if is_heldout(task)]
    return Corpus(
        prompts(seen, args.prompts, "train", args.seed),
        prompts(unseen, args.heldout, "heldout", args.seed),
        pairs(seen, args.pairs, args.seed),
        pieces=pieces,
    )


def load(directory: Path, settings: Mapping[str, Any], *, system: str = "") -> Demo:
    """Return the demo stored in `directory`: `prompts.jsonl`, `heldout.jsonl`, `model/`."""
    return Demo(
        prompts=tuple(load_prompts(directory / "prompts.jsonl")),
        heldout=tuple(load_prompts(directory / "heldout.jsonl")),
        model=directory / "model",
        settings=settings,
        system=system,
    )


def main(
    doc: str | None,
    make: Callable[[argparse.Namespace], Corpus],
    *,
    pairs: int = 24000,
    epochs: int = 3,
    lr: float = 3e-3,
    prompts: int = 64,
    heldout: int = 96,
) -> None:
    """Parse the command line, pass the arguments to `make`, and write the demo.

    The same arguments give the same bytes on one machine with a fixed number of threads.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="directory to write to")
    parser.add_argument("--pairs", type=int, default=pairs, help="answers in the corpus")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--prompts", type=int, default=prompts)
    parser.add_argument("--heldout", type=int, default=heldout)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write(args.out, make(args), epochs=args.epochs, lr=args.lr, seed=args.seed)


def write(out: Path, corpus: Corpus, *, epochs: int, lr: float, seed: int) -> None:
    """Write the prompts to `out`, train the model and write it there too."""
    from halo_core.config.model import ModelConfig
    from halo_core.config.training import TrainingOptions
    from halo_core.model.pretraining import new_checkpoint, new_tokenizer, texts_of, train_checkpoint

    out.mkdir(parents=True, exist_ok=True)
    _write_lines(out / "prompts.jsonl", corpus.prompts)
    _write_lines(out / "heldout.jsonl", corpus.heldout)
    options = TrainingOptions(full=True, epochs=epochs, batch_size=64, schedule="cosine", warmup_ratio=0.03,
                  batch_tokens=8192, max_grad_norm=1.0, weight_decay=0.05)  # fmt: skip
    tokenizer = new_tokenizer(texts_of(corpus.pairs), corpus.vocabulary, pieces=corpus.pieces)
    with tempfile.TemporaryDirectory() as scratch:
        new_checkpoint(Path(scratch), ARCHITECTURE, tokenizer, seed=seed)
        trained = train_checkpoint(
            corpus.pairs,
            out / "model",
            model=ModelConfig(name=scratch),
            chat_template=TEMPLATE,
            options=options,
            lr=lr,
            seed=seed,
            save_dtype="bfloat16",
            progress=_progress,
        )
    print(
        f"{trained.parameters} parameters, {trained.stats.tokens} tokens, loss {trained.stats.loss_last:.3f}"
    )


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _progress(step: int, steps: int, loss: float) -> None:
    if step % 50 == 0 or step == steps:
        print(f"step {step}/{steps}: loss {loss:.3f}", flush=True)
