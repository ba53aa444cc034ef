"""Contexts: a driver's arguments besides its data. They can gain fields without breaking any driver.

They refer to the actor by a protocol, so that fakes can take its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from halo_core.config.model import ModelConfig
from halo_core.model.turns import Context
from halo_core.types import Completion, Prompt

if TYPE_CHECKING:
    import torch


class Actor(Protocol):
    """The model that is sampled from and trained in place, with its tokenizer, as drivers and plugins see it.

    In a run it is a `halo_core.model.actor.Actor`, which loads the model when it is first used.
    """

    directory_of: Callable[[int], Path] | None
    """Returns the directory of a cycle's weights; set by the run that the actor belongs to."""
    interrupt: Callable[[], None]
    """Called before each layer computes; set by the run, it raises `Interrupted` after Ctrl-C."""

    @property
    def config(self) -> ModelConfig:
        """The name of the model, its device and its precision."""

    @property
    def model(self) -> Any:
        """The `PreTrainedModel` of transformers, wrapped in a `PeftModel` once there is an adapter."""

    @property
    def tokenizer(self) -> Any:
        """The `PreTrainedTokenizer` of transformers."""

    @property
    def dtype(self) -> Any:
        """Precision of the forward pass, a `torch.dtype`."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids of the tokens that end a completion."""

    @property
    def context_length(self) -> int | None:
        """Maximum number of tokens in the model's context; None if its configuration sets no limit."""

    def context(self, prompt: Prompt, *, system: str = "", prefill: str = "") -> Context:
        """Return the text that the model completes to answer `prompt`, with `prefill` as the answer's beginning."""

    def encode_context(self, context: Context, prompt: Prompt) -> tuple[int, ...]:
        """Return the token ids of a context of `prompt`. Raises a `DataError` if there are none."""

    def encode(self, prompt: Prompt, *, system: str = "") -> tuple[int, ...]:
        """Return the token ids of the context that the model completes to answer `prompt`."""

    def encode_answer(self, text: str, *, ended: bool = True) -> tuple[int, ...]:
        """Return the token ids of an answer, with the end token if it is `ended`."""

    def logprobs(self, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
        """Return the log p of each token of each completion under the current weights, in nats at temperature 1."""

    def values(self, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
        """Return the value head's estimate before each token of each completion; 0 without a value head.

        A training with `values` adds the value head, which is saved and loaded with the weights.
        """

    def reference(self, source: Literal["base"] | int) -> AbstractContextManager[None]:
        """Use the weights from before any training ("base"), or those of a cycle, in the enclosed block.

        Only for reading: nothing may be trained or saved in the block. Afterwards the weights are what they were
        before. Raises an error if the weights of the cycle are not stored.
        """

    def trainable(self) -> Mapping[str, torch.nn.Parameter]:
        """Return the trainable weights by name; empty before the first training."""

    def weights_hash(self) -> str:
        """Return a hash of the trainable weights."""

    def save(self, directory: Path) -> None:
        """Write the trained weights to `directory`."""

    def load(self, directory: Path) -> None:
        """Load the trained weights that `save` wrote to `directory`."""

    def reset(self) -> None:
        """Restore the weights from before any training."""

    def interpolate(self, share: float) -> None:
        """Keep `share` of the change of the weights since before any training."""


class Checkpoint(Protocol):
    """Storage for the progress of one cycle's training, so that a kill loses only a minute of it.

    A slow trainer uses it before its first step and after each step.

        if context.checkpoint and (directory := context.checkpoint.load(inputs_hash)):
            restore_from(directory)
        for step in ...:
            ...
            if context.checkpoint and context.checkpoint.due:
                context.checkpoint.save(inputs_hash, write)  # write(directory)

    `inputs_hash` covers everything that the result depends on: examples, options, learning rate, seed, weights.
    """

    def load(self, inputs_hash: str) -> Path | None:
        """Return the directory last saved under `inputs_hash`; None: start from the beginning."""

    @property
    def due(self) -> bool:
        """True if a checkpoint should be saved now."""

    def save(self, inputs_hash: str, write: Callable[[Path], None]) -> None:
        """Call `write` with an empty directory and store the files that it writes, replacing the last checkpoint.

        The files are on disk when this returns; a kill before that leaves the last checkpoint in place.
        """


class Peers(Protocol):
    """The processes that train the same model on the same samples: each computes a part of every optimizer step."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""

    @property
    def size(self) -> int:
        """The number of processes."""

    @property
    def mesh(self) -> Any:
        """The `DeviceMesh` of torch over which weights are split while all of them are trained; None: they are not."""

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank. Waits until each of them has called it."""

    def share(self, tensors: Sequence[torch.Tensor], source: int) -> None:
        """Overwrite `tensors` with those of process `source`. Waits until each process has called it."""


def ignore_step(done: int, total: int, loss: float) -> None:
    """Ignore the progress of a training; the default."""


def ignore_note(text: str) -> None:
    """Ignore a line for the user; the default."""


def ignore_tokens(samples: float, tokens: int) -> None:
    """Ignore the progress of a batch; the default."""


def _continue() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights to sample with. Two are equal exactly if they are the same weights."""

    directory: Path | None = None
    """Absolute path of the weights, as `Actor.save` wrote them; None: the run's model before training, which
    `Actor.config` names, with its adapter if it has one."""
    hash: str = ""
    """SHA-256 of the files in `directory`; empty without one."""

    @property
    def is_adapter(self) -> bool:
        """True if `directory` has a PEFT adapter; False if it has a whole model, or if there is no directory."""
        return self.directory is not None and (self.directory / "adapter_config.json").is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingContext:
    """Context of one sampling request, and of the other methods of a generator."""

    actor: Actor
    """The model and its tokenizer, with the weights that the request names."""
    directory: Path | None = None
    """The run directory, for logs and sockets; None outside a run."""
    session: Any = None
    """The object that `Generator.open` returned."""
    progress: Callable[[float, int], None] = ignore_tokens
    """A slow generator calls it now and then while it samples a batch, with the part of the batch that is done, in
    completions (2.5: two and a half), and the number of tokens sampled for it."""
    note: Callable[[str], None] = ignore_note
    """Call with a line for the user; the run prints it and stores it, equal lines once."""
    numbers: Callable[[int, int], Iterable[int]] = range
    """Returns the numbers of the batches to sample, of those from the first argument to before the second: all of them,
    unless a cluster distributes them. The next number is taken after the batch of the one before has been yielded. A
    generator that does not ask is called again for each batch of a cluster."""
    numbers_ahead: Callable[[int, int], Iterable[int | None]] = range
    """As `numbers`, for a generator that begins a batch before it has yielded the ones before, such as one that sends
    requests to a server. Batches are yielded in the order of their numbers here. None: no further number is known yet;
    yield a batch, then take the next number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterContext:
    """Context of a run whose work a cluster shall do."""

    raw: Mapping[str, Any]
    """The run's configuration as JSON values, with the options of every driver, but without cluster and hook plugins.
    In another process, `Plan.from_raw(raw, origins)` builds the same drivers, and its `actor` the same model."""
    origins: Mapping[tuple[str, str], str]
    """The distribution that each driver was loaded from, by kind and name."""
    directory: Path
    """The run directory, for logs."""
    note: Callable[[str], None] = ignore_note
    """Call with a line for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionContext:
    """Context of one cycle's selection."""

    seed: int
    """Breaks ties; no other source of randomness may influence the selection."""
    cycle: int = 1
    """Counted from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingContext:
    """Context of one cycle's training."""

    actor: Actor
    """The model to train, in place."""
    lr: float
    """Peak learning rate of the cycle. The learning rate may vary within the cycle but never exceeds it."""
    seed: int
    """Seed of every random choice of the training."""
    cycle: int = 1
    """Counted from 1."""
    progress: Callable[[int, int, float], None] = ignore_step
    """Call after each optimizer step with (steps done, steps in total, loss)."""
    interrupt: Callable[[], None] = _continue
    """Call after each optimizer step; raises `Interrupted` if the user asked to stop."""
    checkpoint: Checkpoint | None = None
    """Storage for the training's progress; None: nothing is stored."""
    peers: Peers | None = None
    """The processes that share the work of each step; None: this one does all of it. `halo_core.training.fit` uses
    them."""
