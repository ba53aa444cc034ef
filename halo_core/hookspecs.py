"""The nine hooks and the run as plugins see it: the whole contract between the loop and everything else.

Six hooks compute. pluggy asks their implementations from the last registered to the first and takes the first answer
that is not None; a wrapper (`@hookimpl(wrapper=True)`) runs around all of them. Three hooks observe: every
implementation is called and the results are ignored. An implementation names only the arguments it needs. All
arguments are passed by keyword and none has a default. `history` is a tuple: plugins cannot change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pluggy

from halo_core.types import (
    Completion,
    CycleReport,
    PairedDifference,
    Prompt,
    Sample,
    SamplingRequest,
    Split,
    TrainStats,
    Verdict,
)

if TYPE_CHECKING:
    from halo_core.config.schema import RunConfig
    from halo_core.model.contexts import Actor

__all__ = [
    "LedgerView",
    "RunView",
    "generate",
    "hookimpl",
    "lr_for_cycle",
    "on_cycle_end",
    "on_run_end",
    "on_run_start",
    "reward",
    "select",
    "train",
    "verify",
]

hookspec = pluggy.HookspecMarker("halo")
hookimpl = pluggy.HookimplMarker("halo")


class LedgerView(Protocol):
    """The part of a run's ledger that plugins may read."""

    def adapter(self, cycle: int) -> Path:
        """Return the directory of the weights that a closed cycle trained."""

    def batches(self, cycle: int, split: Split, prompts: Iterable[Prompt]) -> list[list[Sample]]:
        """Return the verified samples of a cycle in batches; `prompts` are those of its request."""


class RunView(Protocol):
    """A run in progress, as plugins see it.

    In `verify`, which runs in worker threads, plugins may only read. Elsewhere they may also call `log`, `stop` and
    `roll_back`. A request to roll back does not survive a kill: derive it from `history` again in `on_run_start`.
    """

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""

    @property
    def directory(self) -> Path:
        """The run directory."""

    @property
    def seed(self) -> int:
        """The seed that every random choice of the run derives from."""

    @property
    def prompts(self) -> Sequence[Prompt]:
        """The training prompts."""

    @property
    def heldout(self) -> Sequence[Prompt]:
        """The held-out prompts."""

    @property
    def actor(self) -> Actor:
        """The model and its tokenizer. Only `train` may change it."""

    @property
    def ledger(self) -> LedgerView:
        """The stored samples and weights."""

    @property
    def stop_reason(self) -> str:
        """Why the run will end after this cycle; empty while it continues."""

    def history(self) -> Sequence[CycleReport]:
        """Return the reports of the closed cycles, oldest first."""

    def compare(self, before: int, after: int) -> PairedDifference:
        """Compare the held-out pass rates of two closed cycles, prompt by prompt."""

    def log(self, who: str, text: str) -> None:
        """Print a line for the user and store it for the report."""

    def stop(self, reason: str) -> None:
        """End the run after the current cycle."""

    def roll_back(self, cycle: int) -> None:
        """Start the next cycle from the weights of `cycle`, whatever `start_from` configures; 0: untrained.

        Only in `on_cycle_end` and `on_run_start`.
        """


@hookspec(firstresult=True)
def lr_for_cycle(run: RunView, cycle: int, history: Sequence[CycleReport]) -> float | None:
    """Return the peak learning rate of `cycle`, positive and finite.

    `cycle` counts from 1. `history` has the reports of cycles 0 to `cycle` - 1, oldest first.
    """


@hookspec(firstresult=True)
def generate(run: RunView, request: SamplingRequest) -> Iterator[Sequence[Completion]] | None:
    """Yield the completions of `request` in batches, `samples_per_prompt` for each prompt.

    The batches, their order and their contents depend on the request alone; the first `request.done` of them are
    skipped. Called for training and, with `request.split` "heldout", for measuring.
    """


@hookspec(firstresult=True)
def verify(
    run: RunView, prompts: Sequence[Prompt], completions: Sequence[Completion]
) -> Sequence[Verdict] | None:
    """Return one verdict for each completion, in order; `prompts[i]` is the task of `completions[i]`.

    Called from worker threads, several batches at once, while later batches are sampled.
    """


@hookspec(firstresult=True)
def reward(run: RunView, cycle: int, samples: Sequence[Sample]) -> Sequence[float | None] | None:
    """Return one reward for each sample, in order: a finite number, or None to make the sample ineligible.

    Every sample has a verdict of pass or fail; samples with other verdicts are never eligible.
    """


@hookspec(firstresult=True)
def select(run: RunView, cycle: int, samples: Sequence[Sample]) -> Sequence[Sample] | None:
    """Return the samples to train on, each with its `weight` set.

    Every sample given has a reward. Ties are broken by the run's seed, never by order.
    """


@hookspec(firstresult=True)
def train(run: RunView, cycle: int, samples: Sequence[Sample], lr: float) -> TrainStats | None:
    """Train `run.actor` on `samples` with peak learning rate `lr`; return the statistics of the training."""


@hookspec
def on_run_start(run: RunView, history: Sequence[CycleReport]) -> None:
    """Observe the start of a run, before its first remaining cycle. `history` is empty unless the run is resumed."""


@hookspec
def on_cycle_end(run: RunView, report: CycleReport, history: Sequence[CycleReport]) -> None:
    """Observe the end of a cycle. `report` is stored, and is the last of `history`. Cycle 0 is the untrained model."""


@hookspec
def on_run_end(run: RunView, history: Sequence[CycleReport], error: BaseException | None) -> None:
    """Observe the end of a run. Called once, even after an error: `error` is the exception that ended it, or None."""
