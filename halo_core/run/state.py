"""A run: one directory, one configuration, one actor, and the order of its randomness."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from halo_core.errors import Interrupted, command
from halo_core.ledger import Ledger
from halo_core.metrics import best_cycle, compare, gini, rates
from halo_core.progress import Progress
from halo_core.run.curriculum import prompts_for
from halo_core.run.mixing import mixed, pairs_as_samples
from halo_core.seeds import derive_seed
from halo_core.types import Change, CycleReport, Prompt, Round, Sample, Split, TrainStats

if TYPE_CHECKING:
    from pathlib import Path

    from halo_core.config.schema import RunConfig
    from halo_core.model.actor import Actor
    from halo_core.plugin.manager import Hooks


class Run:
    """A run in progress. What plugins may read of it, and call, is listed in `hookspecs`; the rest is the loop's."""

    def __init__(
        self,
        config: RunConfig,
        ledger: Ledger,
        actor: Actor,
        prompts: Sequence[Prompt],
        heldout: Sequence[Prompt],
        progress: Progress | None = None,
    ) -> None:
        self.config = config
        self.ledger = ledger
        self.actor = actor
        self.prompts = tuple(prompts)
        self.heldout = tuple(heldout)
        self.progress = progress or Progress()
        self.stop_reason = ""
        self.interrupted = False
        self.at: int | None = 0
        """The cycle whose weights the actor has; 0: none yet; None: weights of no cycle."""
        self.origin = 0
        """The cycle whose weights the current one samples with."""
        self._rolled_back: int | None = None
        self._timing: tuple[int, str] | None = None
        self._since = 0.0

    @property
    def directory(self) -> Path:
        """Where everything the run writes is."""
        return self.ledger.directory

    @property
    def seed(self) -> int:
        """The seed that every other is derived from."""
        return self.config.seed

    def stop(self, reason: str) -> None:
        """End the run after the current cycle."""
        self.stop_reason = reason

    def roll_back(self, cycle: int) -> None:
        """Have the next cycle go on from the weights of `cycle`, whatever the configuration says; 0: none."""
        self._rolled_back = cycle

    def say(self, who: str, text: str) -> None:
        """Tell the user a line, and keep it for the report."""
        self.progress.note(f"{who:<9}{text}")
        self.ledger.note(who, text)

    def interrupt(self) -> None:
        """Ask the run to end at the next safe point; `check_interrupt` raises there."""
        self.interrupted = True

    def check_interrupt(self) -> None:
        """Raise `Interrupted` if that was asked for."""
        if self.interrupted:
            raise Interrupted(f"stopped; go on with: {command('halo', 'resume', self.directory)}")

    def history(self) -> list[CycleReport]:
        """Return the reports of the cycles that are closed."""
        return self.ledger.reports()

    def remaining_cycles(self) -> range:
        """Return the numbers of the cycles that are not closed."""
        return range(max(1, len(self.ledger.reports())), self.config.cycles + 1)

    def round(self, cycle: int, split: Split) -> Round:
        """Return what is to be sampled in `cycle` for `split`.

        Held-out rounds share one seed over all cycles: the same noise before and after a cycle makes the
        difference between the two clearer.
        """
        if split == "train":
            seed = derive_seed(self.seed, cycle, "sample")
            return Round(cycle, split, self._prompts(cycle), self.config.samples_per_prompt, seed)
        seed = derive_seed(self.seed, "heldout")
        return Round(cycle, split, self.heldout, self.config.heldout.samples_per_prompt, seed)

    def recipe(self, round: Round) -> str:
        """Return the SHA-256 of all that the completions of `round` follow from, the prompts apart."""
        weights = self.ledger.digest(self.at or 0)
        model, generator = (self.config.model_dump(mode="json")[key] for key in ("model", "generator"))
        parts = [round.seed, round.samples_per_prompt, model, generator, weights]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _prompts(self, cycle: int) -> tuple[Prompt, ...]:
        curriculum, cycles = self.config.curriculum, self.config.cycles
        if curriculum.order == "none":
            return self.prompts
        passes = self.ledger.passes("train", 1, cycle - 1)
        return prompts_for(curriculum, self.prompts, passes, cycle=cycle, cycles=cycles, seed=self.seed)

    # Weights

    def take_up(self, history: Sequence[CycleReport]) -> None:
        """Give the actor the weights that the cycle after `history` samples with."""
        best = best_cycle(history) if self.config.start_from == "best" else None
        origin = history[-1].cycle if best is None else best
        self.origin = origin if self._rolled_back is None else self._rolled_back
        self.restore(self.origin)

    def restore(self, cycle: int) -> None:
        """Give the actor the weights after `cycle`; 0: those from before any training."""
        if self.at == cycle:
            return
        if cycle:
            self.actor.load(self.ledger.check_adapter(cycle))
        else:
            self.actor.reset()
        self.at = cycle

    def begin_training(self) -> None:
        """Give the actor the weights that training begins with, as `start_from` says."""
        self.restore(self.origin)
        self.at = None  # from here on they change
        if self.config.start_from == "base":
            self.actor.reset()
        elif self.config.start_from == "interpolate" and self.origin:
            self.actor.interpolate(self.config.interpolation)

    def end_training(self, cycle: int, stats: TrainStats) -> None:
        """Keep the weights as they are now as those of `cycle`, and say what was questionable about them."""
        for note in stats.notes:
            self.progress.note(f"cycle {cycle}  {note}")
        self.ledger.write_trained(cycle, stats, self.actor.save)
        self.at = cycle

    def mixed(self, cycle: int, chosen: Sequence[Sample]) -> list[Sample]:
        """Return what `cycle` trains on when it chose `chosen`."""
        mix = self.config.mix
        if mix.mode == "replace":
            return list(chosen)
        pairs = pairs_as_samples(self.actor, mix.pairs) if mix.pairs else None
        earlier = self.ledger.selected(cycle, self.prompts) if pairs is None else pairs
        return mixed(chosen, earlier, mix, seed=derive_seed(self.seed, cycle, "mix"))

    @contextmanager
    def timed(self, cycle: int, stage: str) -> Iterator[None]:
        """Add the enclosed wall time to the seconds of `stage`, up to the last `lap` where it does not end well."""
        self._timing, self._since = (cycle, stage), time.monotonic()
        try:
            yield
            self.lap(at_least=0.0)
        finally:
            self._timing = None

    def lap(self, *, at_least: float = 1.0) -> None:
        """Put what the stage took so far on disk, so that a kill does not forget it, if it is as many seconds."""
        now = time.monotonic()
        if self._timing is not None and now - self._since >= at_least:
            self.ledger.spend(*self._timing, now - self._since)
            self._since = now

    @contextmanager
    def observed(self, hooks: Hooks, history: list[CycleReport]) -> Iterator[None]:
        """Enclose the cycles: on_run_start before, on_run_end after whatever happens."""
        error: BaseException | None = None
        try:
            hooks.on_run_start(run=self, history=history)
            yield
        except BaseException as caught:
            error = caught
            raise
        finally:
            self._end(hooks, history, error)

    def _end(self, hooks: Hooks, history: list[CycleReport], error: BaseException | None) -> None:
        """Tell the plugins; what they raise then must not hide what ended the run."""
        try:
            hooks.on_run_end(run=self, history=history, error=error)
        except Exception as late:
            if error is None:
                raise
            error.add_note(f"on_run_end then raised {type(late).__name__}: {late}")

    def report(
        self,
        cycle: int,
        *,
        heldout: Sequence[Sample],
        samples: Sequence[Sample] = (),
        chosen: Sequence[Sample] = (),
        train: TrainStats | None = None,
        lr: float = 0.0,
        canary: float | None = None,
    ) -> CycleReport:
        """Sum up a cycle."""
        earlier = self.ledger.reports()[:cycle]
        best = best_cycle(earlier) if heldout else None
        kept = Counter(sample.prompt.id for sample in chosen)
        rewards = [sample.reward for sample in samples if sample.reward is not None]
        return CycleReport(
            cycle,
            heldout=rates(heldout, seed=self.seed) if heldout else None,
            lr=lr,
            rates=rates(samples, seed=self.seed) if samples else None,
            reward_mean=sum(rewards) / len(rewards) if rewards else 0.0,
            selected=len(chosen),
            train=train,
            seconds=self.ledger.seconds(cycle),
            started_from=0 if self.config.start_from == "base" else self.origin,
            kept_gini=gini([kept[prompt_id] for prompt_id in {sample.prompt.id for sample in samples}]),
            improvement=None if best is None else self.compare(cycle - 1, cycle),
            best=best,
            versus_best=None if best is None else self.compare(best, cycle),
            canary=canary,
        )

    def compare(self, before: int, after: int) -> Change:
        """Compare the held-out pass rates after two cycles, prompt by prompt."""
        counts = [self.ledger.passes("heldout", cycle, cycle) for cycle in (before, after)]
        return compare(*counts, seed=self.seed)

    def close_cycle(self, hooks: Hooks, history: list[CycleReport], report: CycleReport) -> None:
        """Put `report` on disk, add it to `history` and tell the plugins."""
        self.ledger.write_report(report)
        self._rolled_back = None
        history.append(report)
        hooks.on_cycle_end(run=self, report=report, history=history)
