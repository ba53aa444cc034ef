"""The actor: the model that is sampled from and trained, its tokenizer and its adapter.

Importing this module never imports torch, and creating an `Actor` loads nothing. The tokenizer and the model are loaded
lazily.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from halo_core.config.model import ModelConfig
from halo_core.errors import ModelError
from halo_core.model import contexts, positions
from halo_core.model.adapters import lora_config
from halo_core.model.devices import choose_device, choose_dtype
from halo_core.model.encoding import Encoder
from halo_core.model.loading import (
    check_files,
    load_adapter,
    load_model,
    to_download,
    with_base_model,
)
from halo_core.model.quantizing import check_full, check_quantization, dequantized, is_quantized
from halo_core.model.size import parameter_count
from halo_core.model.weights import (
    interpolate,
    merged,
    other_adapter,
    precision_of,
    scale_adapter,
    tensors_hash,
    without_adapter,
    write_weights,
)
from halo_core.types import Completion

if TYPE_CHECKING:
    import torch

# Spinning torch threads starve other processes, above all verifiers, and then each other: sampling was 16 times slower
# on two busy cores. OpenMP reads this variable when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_OPTIMIZER = "optimizer.safetensors"
_VALUE_HEAD_FILE = "value_head.safetensors"
VALUE_HEAD = "value_head."
"""Prefix of the names of the value head's weights in `Actor.trainable`."""


class Actor(Encoder):
    """A causal language model with its tokenizer, sampled from and trained in place."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(with_base_model(config))
        self.optimizer_state: dict[str, torch.Tensor] = {}
        """The state that a trainer's next optimizer starts from; saved and loaded with the weights."""
        self.batching: Any = None
        """How the last training kept within the memory, a `memory.Batching`; the next one starts from it."""
        self.value_head: torch.nn.Linear | None = None
        """A linear layer beside the output head that estimates the reward to come; saved and loaded with the weights.
        None before a training that needs it."""
        self.directory_of: Callable[[int], Path] | None = None
        """Returns the directory of a cycle's weights; set by the run that the actor belongs to."""
        self.interrupt: Callable[[], None] = lambda: None
        """Called before each layer of the model computes. A run lets it raise `Interrupted` after Ctrl-C, so that the
        longest wait is that for one layer."""

    def preflight(self) -> str:
        """Check the device, the model's files and the tokenizer, without loading the weights.

        Return the name of a model or adapter that must be downloaded first, and so was not checked; else "". Raises a
        `HaloError` that names what cannot be used.
        """
        _ = self.device
        if missing := to_download(self.config):
            return missing
        check_files(self.config)
        check_quantization(self.config)
        _ = self.tokenizer
        return ""

    # Loaded lazily

    @cached_property
    def device(self) -> torch.device:
        """The device that holds the model."""
        return choose_device(self.config.device)

    @cached_property
    def dtype(self) -> torch.dtype:
        """Precision of the forward pass."""
        return self._dtype_of(self.config)

    @cached_property
    def model(self) -> Any:
        """The `PreTrainedModel`, wrapped in a `PeftModel` once there is an adapter; frozen until trained.

        Raises a `ModelError` with a hint if it cannot be loaded.
        """
        return self._stored_model(None)

    @property
    def unwrapped_model(self) -> Any:
        """The `PreTrainedModel` without the `PeftModel` around it; it still contains the adapter's layers."""
        return self.model.get_base_model() if self.has_adapter else self.model

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end a completion, ascending: those of the model, of the tokenizer and of the chat template."""
        ids = self.model.generation_config.eos_token_id
        found = {self.tokenizer.eos_token_id, *(ids if isinstance(ids, list) else [ids]), self.turn_end}
        return tuple(sorted(found - {None}))

    @cached_property
    def context_length(self) -> int | None:
        """Maximum number of tokens in the model's context; None if its configuration sets no limit."""
        return positions.context_length(self.model.config)

    @cached_property
    def cache_flaw(self) -> str:
        """Why sampling cannot use the model's cache; empty if it can. See `caching.cache_flaw`."""
        from halo_core.model.caching import cache_flaw

        with self.autocast():
            return cache_flaw(self.unwrapped_model)

    def check_vocabulary(self) -> None:
        """Raise a `ModelError` if the tokenizer has more tokens than the model has embeddings."""
        rows = self.model.get_input_embeddings().weight.shape[0]
        if len(self.tokenizer) > rows:
            raise ModelError(
                f"the tokenizer of {self.config.name!r} has {len(self.tokenizer)} tokens, but the model has embeddings "
                f"for {rows}",
                hint="add rows with `model.resize_token_embeddings(len(tokenizer))`, or remove the added tokens",
            )

    # Text to tokens

    def encode_answer(self, text: str, *, ended: bool = True) -> tuple[int, ...]:
        """Return the token ids of a completion's text, and if it `ended` the end token, if the model has one.

        The end token is the one with which the chat template ends a turn, else the tokenizer's.
        """
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return (*ids, *(self.end_ids_of_answers if ended else ()))

    @property
    def end_ids_of_answers(self) -> tuple[int, ...]:
        """The token that ends an answer in training; empty if there is none."""
        for end in (self.turn_end, self.tokenizer.eos_token_id):
            if end is not None:
                return (end,)
        return self.end_ids[:1]

    # Weights

    @property
    def has_adapter(self) -> bool:
        """True if the model has a PEFT adapter."""
        return hasattr(self.model, "peft_config")

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """Return the trainable weights by name; empty before `add_lora`, `train_all` or a loaded adapter."""
        found = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
        if self.value_head is not None:
            found |= {f"{VALUE_HEAD}{name}": weight for name, weight in self.value_head.named_parameters()}
        return found

    def add_value_head(self) -> None:
        """Add a value head that estimates 0 everywhere; do nothing if there is one.

        Raises a `ModelError` if the model has no output head, whose input the value head reads.
        """
        import torch

        if self.value_head is not None:
            return
        output = self.model.get_output_embeddings()
        if output is None:
            raise ModelError(
                "the model has no output head, so a value head cannot be added",
                hint="choose a trainer without a value head, such as grpo",
            )
        # the usual initial weights would need random numbers
        empty = torch.nn.Linear(output.weight.shape[1], 1, device="meta")
        self.value_head = empty.to_empty(device=self.device)
        torch.nn.init.zeros_(self.value_head.weight)
        torch.nn.init.zeros_(self.value_head.bias)

    def add_lora(
        self,
        *,
        rank: int,
        alpha: float,
        dropout: float,
        target_modules: tuple[str, ...] = (),
        seed: int,
        **options: Any,
    ) -> tuple[str, ...]:
        """Add a new LoRA adapter whose initial weights depend on `seed`; do nothing if the model has an adapter.

        Return notes on what the adapter leaves out. `options` are further arguments of `adapters.lora_config`. Raises a
        `ModelError` if LoRA does not fit the model, or if the whole model is trained.
        """
        import peft
        import torch

        if self.has_adapter:
            return ()
        if self.trainable():
            raise ModelError(
                "all weights of the model are being trained; an adapter cannot be added",
                hint="set the trainer's `full` option for the whole run or not at all",
            )
        config, notes = lora_config(
            self.model, rank=rank, alpha=alpha, dropout=dropout, target_modules=target_modules, **options
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = peft.get_peft_model(self.model, config)
        return notes

    def train_all(self) -> None:
        """Make every weight trainable, in float32 so that small updates are not rounded away."""
        if self.has_adapter:
            raise ModelError(
                "a model with an adapter cannot be fully fine-tuned",
                hint="merge the adapter into its model first, or leave `full` off",
            )
        check_full(self.config)
        self.model.float().requires_grad_(True)

    @contextmanager
    def merged(self) -> Iterator[Any]:
        """Yield the model with its adapter merged into the weights, for fast sampling.

        On exit, the base weights are restored bit for bit from a copy in main memory; subtracting the adapter would not
        restore them exactly.
        """
        with merged(self.model) as model:
            yield model

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context for a forward pass in `dtype` with weights stored in a higher precision."""
        import torch

        enabled = self.dtype is not torch.float32 and self.model.dtype != self.dtype
        return torch.autocast(self.device.type, self.dtype, enabled=enabled)

    def save(self, directory: Path) -> None:
        """Write the trained weights and the tokenizer to `directory`; `files.write_directory` makes that atomic.

        An adapter is written in the format of PEFT, a fully trained model in the format of transformers. Raises a
        `ModelError` if there are no trained weights.
        """
        from safetensors.torch import save_file

        if not self.trainable():
            raise ModelError("there are no trained weights to save")
        write_weights(self.model, directory)
        self.tokenizer.save_pretrained(directory)
        if self.value_head is not None:
            save_file(
                {name: weight.detach() for name, weight in self.value_head.named_parameters()},
                directory / _VALUE_HEAD_FILE,
            )
        if self.optimizer_state:
            save_file(self.optimizer_state, directory / _OPTIMIZER)

    def save_merged(self, directory: Path, dtype: str = "auto", *, shard_size: str = "5GB") -> None:
        """Merge the adapter into the model permanently; write the model to `directory` in the format of transformers.

        `dtype` is the name of a torch precision; "auto": that of the model's files. A file of weights has at most
        `shard_size`. An adapter of a quantized model is merged into what its 4 bits stand for, so that the merged model
        computes what was trained. Raises a `ModelError` if there is no adapter, or for another `dtype`.
        """
        if not self.has_adapter:
            raise ModelError("there is no adapter to merge")
        precision = precision_of(self.config, dtype, self.model.dtype)
        if is_quantized(self.unwrapped_model):
            self._dequantize()
        self.model = self.model.merge_and_unload()
        self.model.to(precision).save_pretrained(directory, max_shard_size=shard_size)
        self.tokenizer.save_pretrained(directory)

    def _dequantize(self) -> None:
        """Replace the model by one whose weights are what the 4 bits stand for, with the same adapter."""
        with TemporaryDirectory() as folder:
            self.model.save_pretrained(folder)
            self.model = load_adapter(dequantized(self.model.unload()), folder)

    def load(self, directory: Path) -> None:
        """Load the trained weights that `save` wrote to `directory`; they remain trainable.

        Raises a `ModelError` if the directory has none or if they do not fit.
        """
        from safetensors.torch import load_file

        if (directory / "adapter_config.json").is_file():
            if self.has_adapter:
                self.model = self.model.unload()
            self.model = load_adapter(self.model, str(directory))
        else:
            self.__dict__.pop("model", None)  # never hold two models in memory
            self.model = self._stored_model(directory)
            self.train_all()
        self.value_head = None
        if (directory / _VALUE_HEAD_FILE).is_file():
            self.add_value_head()
            assert self.value_head is not None
            self.value_head.load_state_dict(load_file(directory / _VALUE_HEAD_FILE))
        state = directory / _OPTIMIZER
        self.optimizer_state = load_file(state) if state.is_file() else {}

    def reset(self) -> None:
        """Restore the weights from before any training."""
        self.optimizer_state, self.value_head = {}, None
        if self.trainable() and self.has_adapter and not self.config.adapter:
            self.model = self.model.unload()
        elif self.trainable():
            self.__dict__.pop("model", None)

    def interpolate(self, share: float) -> None:
        """Move the trained weights W to W0 + `share` (W - W0), W0 being the untrained ones.

        For an adapter this scales one of its two matrices, which is exact. The optimizer's state is dropped because it
        belongs to other weights. (Wortsman et al. 2022, arXiv 2109.01903.)
        """
        self.optimizer_state = {}
        if self.has_adapter and self.config.adapter:
            raise ModelError(
                "an adapter that existed before training cannot be interpolated",
                hint="merge it into its model first, or use another start_from",
            )
        if self.has_adapter:
            scale_adapter(self.model, share)
        else:
            interpolate(self.trainable(), dict(self._stored_model(None).named_parameters()), share)

    @contextmanager
    def reference(self, source: Literal["base"] | int) -> Iterator[None]:
        """Use the weights from before any training ("base" or 0), or those of a cycle, in the enclosed block.

        Only for reading: nothing may be trained or saved in the block. Afterwards the weights are the same objects as
        before. A reference for an adapter needs only the memory of another adapter; a reference for a fully trained
        model is a second model. Raises a `ModelError` if the actor belongs to no run that stores the cycle's weights.
        """
        directory = self._directory_of(source)
        if directory is None and not self.trainable():
            yield
        elif self.has_adapter and (directory is not None or not self.config.adapter):
            with without_adapter(self.model) if directory is None else other_adapter(self.model, directory):
                yield
        else:
            own, self.model = self.model, self._stored_model(directory)
            try:
                yield
            finally:
                self.model = own

    def _directory_of(self, source: Literal["base"] | int) -> Path | None:
        if source in ("base", 0):
            return None
        if self.directory_of is None or isinstance(source, str):
            raise ModelError(
                f"there are no stored weights of {source!r}",
                hint='use "base", or a cycle of the run that the actor belongs to',
            )
        return self.directory_of(source)

    def _stored_model(self, directory: Path | None) -> Any:
        """Load a model: that of the configuration, or with the weights in `directory`."""
        config = self.config
        if directory is not None and (directory / "adapter_config.json").is_file():
            config = replace(config, adapter=str(directory))
        elif directory is not None:  # a model that was trained in full, in float32
            config = replace(config, name=str(directory), adapter=None, dtype="float32")
        model = load_model(config, device=self.device, dtype=self._dtype_of(config))
        for layer in layers_of(model):
            layer.register_forward_pre_hook(lambda *_: self.interrupt())
        return model

    def _dtype_of(self, config: ModelConfig) -> torch.dtype:
        return choose_dtype(config.dtype, self.device, partial(parameter_count, config))

    def logprobs(self, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
        """Return the log p of each token of each completion, in nats at temperature 1.

        Uses the current weights and is computed as in training. Completions without token ids get ().
        """
        from halo_core.model.logprobs import token_logprobs

        return token_logprobs(self.unwrapped_model, completions, device=self.device, autocast=self.autocast)

    def values(self, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
        """Return the value head's estimate of the reward to come before each token of each completion.

        Without a value head, all are 0. Completions without token ids get ().
        """
        if self.value_head is None:
            return [(0.0,) * len(c.token_ids) if c.prompt_token_ids else () for c in completions]
        from halo_core.model.logprobs import token_values

        options: Any = {"device": self.device, "autocast": self.autocast}
        return token_values(self.unwrapped_model, self.value_head, completions, **options)

    def weights_hash(self) -> str:
        """Return the SHA-256 of the trainable weights, in hexadecimal; see `tensors_hash`.

        If nothing is trainable yet, it is the hash of nothing.
        """
        return tensors_hash(self.trainable())


_Transformers = Actor  # callers may replace the class that runs create


def concrete(actor: contexts.Actor) -> Actor:
    """Return `actor`, which must be a model of transformers: sampling and training need more than the protocol has.

    Raises a `ModelError` if it is anything else.
    """
    if isinstance(actor, _Transformers):
        return actor
    raise ModelError(
        f"a {type(actor).__name__} is not a model of transformers",
        hint="choose the generator and the trainer that belong to it",
    )


def layers_of(model: Any) -> Iterator[Any]:
    """Yield the layers of a model: the members of its outermost lists of modules."""
    from torch.nn import ModuleList

    for child in model.children():
        yield from child if isinstance(child, ModuleList) else layers_of(child)
