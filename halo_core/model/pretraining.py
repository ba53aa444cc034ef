"""Starting checkpoints trained on pairs of prompt and completion; the implementation of `halo sft`.

A model from scratch is a randomly initialised checkpoint that is then trained like any other, by the training loop of
trainer `sft`. Importing this module does not import torch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from halo_core import files
from halo_core.config.model import ModelConfig
from halo_core.config.training import TrainingOptions
from halo_core.data import check_roles, check_text, is_chat, parse_json, read_text
from halo_core.errors import ConfigError, DataError, ModelError, first_line
from halo_core.model import contexts
from halo_core.model.actor import Actor
from halo_core.model.contexts import TrainingContext, ignore_step
from halo_core.model.likelihood import weighted_nll, weighted_tokens
from halo_core.model.units import Example
from halo_core.seeds import derive_seed
from halo_core.types import Prompt, TrainStats

__all__ = ["Pair", "read_pairs"]

END_OF_TEXT = "<|endoftext|>"
"""The only special token of `new_tokenizer`: it ends completions and serves as padding."""
_EXPORT = "the pairs of a run: halo export RUN --to sft --output pairs.jsonl"
_NO_PAIRS = ({"chosen", "rejected"}, {"prompt_id", "status", "reward"})
"""Keys of the exports without pairs; one of them has completions that failed."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and the completion that the model should learn for it."""

    prompt: str
    """The task as plain text. Empty if `messages` is given."""
    completion: str
    messages: tuple[Mapping[str, str], ...] = ()
    """The task as chat messages, instead of `prompt`."""


def read_pairs(path: Path) -> list[Pair]:
    """Read JSONL lines `{"prompt": ..., "completion": ...}`; other keys and blank lines are ignored.

    Both are texts, or both are lists of chat messages (`role`, `content`), the completion being one message of the
    assistant: the forms that `halo export --to sft` writes.

    Raises a `DataError` with the line number for a malformed line, and a `DataError` for a file without pairs.
    """
    if path.suffix == ".parquet":
        raise DataError(f"{path}: pairs are read from JSON Lines", hint=_EXPORT)
    lines = read_text(path).split("\n")  # a text may contain other line separators
    pairs = [_pair(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not pairs:
        raise DataError(
            f"{path} contains no pairs", hint='one per line: {"prompt": "...", "completion": "..."}'
        )
    return pairs


def _pair(line: str, where: str) -> Pair:
    record = parse_json(line, where)
    check_text(record, where)
    if isinstance(record, dict) and any(keys <= record.keys() for keys in _NO_PAIRS):
        raise DataError(f"{where}: this is not a pair, but another export of a run", hint=_EXPORT)
    match record:
        case {"prompt": str(prompt), "completion": str(completion)} if prompt and completion:
            return Pair(prompt, completion)
        case {"prompt": [*messages], "completion": [{"role": "assistant", "content": str(completion)}]} if (
            messages and completion and is_chat(messages)
        ):
            check_roles(messages, where)
            return Pair("", completion, tuple(messages))
    raise DataError(
        f"{where}: prompt and completion must be non-empty texts",
        hint='or chats: {"prompt": [{"role": "user", "content": "..."}], '
        '"completion": [{"role": "assistant", "content": "..."}]}',
    )


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The result of `train_checkpoint`."""

    path: Path
    parameters: int
    skipped: int
    """Pairs that were skipped because they do not fit into the model's context."""
    stats: TrainStats


def train_checkpoint(
    pairs: Sequence[Pair],
    out: Path,
    *,
    model: ModelConfig,
    architecture: Mapping[str, Any] | None = None,
    vocab_size: int = 2048,
    chat_template: str | None = None,
    options: TrainingOptions,
    lr: float,
    seed: int = 0,
    save_dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    progress: Callable[[int, int, float], None] = ignore_step,
) -> Pretrained:
    """Train a model on `pairs` and write it to the directory `out`, in the format of transformers.

    With `architecture`, fields of a transformers configuration (`model_type` and sizes), the model starts from random
    weights; its tokenizer is that of `model.name` if a name is given, else a byte-level BPE of at most `vocab_size`
    entries trained on the pairs. Without `architecture`, `model` is trained further. Without `options.full`, a PEFT
    adapter is written instead of a model. `progress` is called like `TrainingContext.progress`.

    Raises a `HaloError` for unusable pairs or an unusable architecture, and every error that training raises.
    """
    import torch

    from halo_core.model.training import fit

    if architecture is not None and not options.full:
        raise ConfigError(
            "an adapter is useless without the random weights it was trained on, which are not stored",
            hint="to train a model from scratch, set the trainer's `full` option",
        )
    with tempfile.TemporaryDirectory(prefix="halo-") as scratch:
        if architecture is not None:
            tokenizer = Actor(model).tokenizer if model.name else new_tokenizer(texts_of(pairs), vocab_size)
            new_checkpoint(Path(scratch), architecture, tokenizer, seed=derive_seed(seed, "init"))
            model = replace(model, name=scratch)
        actor = Actor(model)
        if chat_template is not None:
            actor.tokenizer.chat_template = chat_template
        encoded = [Example(*encode_pair(actor, pair)) for pair in pairs]
        limit = actor.context_length or float("inf")
        examples = [example for example in encoded if len(example) <= limit]
        if not examples:
            raise DataError(f"no pair fits into the model's context of {limit} tokens")
        context = TrainingContext(actor=actor, lr=lr, seed=seed, progress=progress)
        units = [(example,) for example in examples]
        actor.check_vocabulary()
        stats = fit(units, weighted_nll, options, context, per=weighted_tokens)
        if options.full:
            actor.model.to(getattr(torch, save_dtype))
        files.write_directory(out, actor.save)
    parameters = sum(weight.numel() for weight in actor.model.parameters())
    return Pretrained(out, parameters, len(encoded) - len(examples), stats)


def texts_of(pairs: Iterable[Pair]) -> Iterator[str]:
    """Yield each prompt and each completion."""
    for pair in pairs:
        yield from (message["content"] for message in pair.messages)
        yield from (text for text in (pair.prompt, pair.completion) if text)


def encode_pair(actor: contexts.Actor, pair: Pair) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the token ids of the context, encoded as by a generator, and of the completion with its end token.

    A completion that repeats the beginning of the answer that the context ends with (an open thought, the last message)
    is trained on from there on.
    """
    prompt = Prompt(id="pair", text=pair.prompt, messages=pair.messages)
    own = actor if isinstance(actor, Actor) else None
    if actor.tokenizer.eos_token_id is None and (own is None or own.turn_end is None):
        raise ModelError(f"the tokenizer {actor.tokenizer.name_or_path!r} has no end token")
    opening = own.context(prompt).opening if own else ""
    return actor.encode(prompt), actor.encode_answer(pair.completion.removeprefix(opening))


def new_tokenizer(texts: Iterable[str], vocab_size: int, *, pieces: str = "") -> Any:
    """Train a byte-level BPE tokenizer of at most `vocab_size` entries on `texts`.

    No token crosses a boundary between matches of the regular expression `pieces`; empty: GPT-2's pattern. Digits are
    single tokens, so that a number has only one spelling. Raises a `ConfigError` if `vocab_size` is less than 257, the
    256 bytes and the end token.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size <= len(alphabet):
        raise ConfigError(f"a vocabulary of {vocab_size} is too small", hint="the minimum is 257; try 1024")
    tokenizer = Tokenizer(models.BPE())
    steps: list[Any] = [pre_tokenizers.Split(Regex(pieces), behavior="isolated")] if pieces else []
    steps += [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pieces),
    ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    end = END_OF_TEXT
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, pad_token=end)


def new_checkpoint(directory: Path, architecture: Mapping[str, Any], tokenizer: Any, *, seed: int) -> None:
    """Write a model of `architecture` with random weights, and `tokenizer`, to `directory`.

    Raises a `ConfigError` for an architecture that transformers does not accept.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    end = tokenizer.eos_token_id
    own = {"vocab_size": len(tokenizer), "bos_token_id": end, "eos_token_id": end, "pad_token_id": None}
    try:
        config = AutoConfig.for_model(**own | dict(architecture))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # transformers, torch and field validation raise errors without a common base
        raise ConfigError(
            f"transformers cannot build this architecture: {first_line(error)}",
            hint="give `model_type` (llama, qwen2, gpt2, ...) and the fields of its configuration",
        ) from error
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
