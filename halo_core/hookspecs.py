"""The nine hooks: the whole contract between the loop and everything else.

The six that compute take the first answer that is not None, the last registered plugin being asked first;
a plugin that wraps (`@hookimpl(wrapper=True)`) runs around all of them. The three that observe are called
on every plugin and their results are ignored. An implementation names only the arguments it wants; all
are passed by keyword, none has a default.

`run` is the `Run` in progress. This is all of it that plugins may rely on. To be read:

    config, directory, seed, prompts, heldout   what was asked for, and where it is
    actor                                       the model, and the tokenizer; only `train` changes it
    stop_reason                                 why the run is to end, "" while it is not
    history()                                   the reports of the closed cycles, oldest first
    compare(before, after)                      `Change` of the held-out pass rate between two closed cycles
    ledger.adapter(cycle)                       the directory of what a closed cycle trained
    ledger.batches(cycle, split, prompts)       its samples, as they were verified, in batches

To be called, but not in `verify`, which runs in other threads:

    say(who, text)                              tell the user a line, and keep it for the report
    stop(reason)                                end the run after the current cycle
    roll_back(cycle)                            in `on_cycle_end` and `on_run_start`: have the next cycle go on from
                                                the weights of that one, whatever `start_from` says; 0: untrained

A run that is killed forgets what `roll_back` was asked for: `on_run_start` works it out again, from `history`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pluggy

from halo_core.types import Completion, CycleReport, Prompt, Round, Sample, TrainStats, Verdict

if TYPE_CHECKING:
    from halo_core.run.state import Run

hookspec = pluggy.HookspecMarker("halo")
hookimpl = pluggy.HookimplMarker("halo")


@hookspec(firstresult=True)
def lr_for_cycle(run: Run, cycle: int, history: Sequence[CycleReport]) -> float | None:
    """Return the peak learning rate of `cycle`, positive and finite.

    `cycle` counts from 1. `history` holds the reports of cycles 0 to `cycle` - 1, oldest first.
    """


@hookspec(firstresult=True)
def generate(run: Run, round: Round) -> Iterator[Sequence[Completion]] | None:
    """Yield the completions of `round` in batches, each `Round.samples_per_prompt` times for each prompt.

    The batches, their order and their contents depend on the round alone; the first `round.done` of them
    are left out. Called for training and, with `round.split` "heldout", for measuring.
    """


@hookspec(firstresult=True)
def verify(
    run: Run, prompts: Sequence[Prompt], completions: Sequence[Completion]
) -> Sequence[Verdict] | None:
    """Return one verdict for each completion, in order; `prompts[i]` is the task of `completions[i]`.

    Called from a worker thread, one batch at a time or several at once, while later batches are sampled.
    """


@hookspec(firstresult=True)
def reward(run: Run, cycle: int, samples: Sequence[Sample]) -> Sequence[float] | None:
    """Return one finite reward for each sample, in order.

    Every sample here has a verdict of pass or fail; the others never get a reward.
    """


@hookspec(firstresult=True)
def select(run: Run, cycle: int, samples: Sequence[Sample]) -> Sequence[Sample] | None:
    """Return the samples to train on, each with its `weight` set.

    Every sample here has a reward. Ties are broken by the run's seed, never by order.
    """


@hookspec(firstresult=True)
def train(run: Run, cycle: int, samples: Sequence[Sample], lr: float) -> TrainStats | None:
    """Train `run.actor` on `samples` with peak learning rate `lr`; return what was done."""


@hookspec
def on_run_start(run: Run, history: Sequence[CycleReport]) -> None:
    """Before the first remaining cycle. `history` is empty unless the run is being continued."""


@hookspec
def on_cycle_end(run: Run, report: CycleReport, history: Sequence[CycleReport]) -> None:
    """After `report` is on disk; it is also the last of `history`. Cycle 0 is the untrained model."""


@hookspec
def on_run_end(run: Run, history: Sequence[CycleReport], error: BaseException | None) -> None:
    """Once, whatever happens. `error` is what ended the run early, or None."""
