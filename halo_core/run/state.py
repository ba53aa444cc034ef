"""A run: one directory, one configuration, one actor, and the seeds of its requests."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from halo_core.config.rounds import Rounds
from halo_core.drivers.base import Workers
from halo_core.errors import Interrupted, command
from halo_core.ledger.card import CARD, card_of
from halo_core.ledger.ledger import Ledger
from halo_core.metrics import best_cycle, eval_metrics, gini, paired_difference, weights_cycle
from halo_core.model.contexts import ignore_tokens
from halo_core.progress import Progress
from halo_core.run.curriculum import prompts_for
from halo_core.run.mixing import mixed, pairs_as_samples
from halo_core.run.rounds import first_round, round_request, sizes
from halo_core.run.sampler_check import check_sampler, sampler_warnings
from halo_core.run.unselected import Unselected
from halo_core.seeds import derive_seed
from halo_core.tables import size
from halo_core.types import CycleReport, PairedDifference, Prompt, Sample, SamplingRequest, Split, TrainStats

if TYPE_CHECKING:
    from pathlib import Path

    from halo_core.config.schema import RunConfig
    from halo_core.model.contexts import Actor
    from halo_core.plugin.manager import Hooks


class Run:
    """A run in progress. Plugins see it as a `hookspecs.RunView`; everything else belongs to the loop."""

    def __init__(
        self,
        config: RunConfig,
        ledger: Ledger,
        actor: Actor,
        prompts: Sequence[Prompt],
        heldout: Sequence[Prompt],
        progress: Progress | None = None,
        *,
        precision: str = "",
        workers: Workers | None = None,
    ) -> None:
        self.config = config
        self.ledger = ledger
        self.actor = actor
        actor.interrupt = self.check_interrupt
        actor.directory_of = ledger.check_adapter
        self.prompts = tuple(prompts)
        self.heldout = tuple(heldout)
        self.progress = progress or Progress()
        self.precision = precision
        """The precision in which the generator computes; see `Generator.precision`."""
        self.workers = workers or Workers()
        """The processes that do the work; by default this one."""
        self.stop_reason = ""
        self.interrupted = False
        self.training_stored = 0
        """Bytes of the checkpoint within a training that was stored because the run is interrupted."""
        self.sampling_progress: Callable[[float, int], None] = ignore_tokens
        """Told by the generator how far a batch is; see `SamplingContext.progress`."""
        self.loaded_cycle: int | None = 0
        """The cycle whose weights the actor has; 0: untrained; None: weights in training, of no cycle."""
        self.sampling_cycle = 0
        """The cycle whose weights the current cycle samples with."""
        self.unselected = Unselected()
        """The selector's threshold and what it would choose below it, if it has chosen nothing; set by `Dispatch`."""
        self._rolled_back: int | None = None
        self._timing: tuple[int, str] | None = None
        self._since = 0.0

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self.ledger.directory

    @property
    def seed(self) -> int:
        """The seed that every random choice of the run derives from."""
        return self.config.seed

    def stop(self, reason: str) -> None:
        """End the run after the current cycle."""
        self.stop_reason = reason

    def roll_back(self, cycle: int) -> None:
        """Start the next cycle from the weights of `cycle`, whatever `start_from` configures; 0: untrained.

        Raises a `ValueError` if `cycle` is not closed.
        """
        if not 0 <= cycle < len(self.ledger.reports()):
            raise ValueError(f"cannot roll back to cycle {cycle}: it is not closed")
        self._rolled_back = cycle

    def log(self, who: str, text: str) -> None:
        """Print a line for the user and store it for the report."""
        self.progress.note(f"{who:<9}{text}")
        self.ledger.note(who, text)

    def log_once(self, who: str, text: str) -> None:
        """Print and store a line as `log` does, unless the run already has it."""
        if all((who, text) != stored[1:] for stored in self.ledger.events()):
            self.log(who, text)

    def interrupt(self) -> None:
        """Ask the run to end at the next safe point; `check_interrupt` raises there."""
        self.interrupted = True

    def check_interrupt(self) -> None:
        """Raise `Interrupted` after a call of `interrupt`."""
        if self.interrupted:
            stored = (
                f" with {size(self.training_stored)} of training state stored" if self.training_stored else ""
            )
            raise Interrupted(f"stopped{stored}; resume with: {command('halo', 'resume', self.directory)}")

    def history(self) -> list[CycleReport]:
        """Return the reports of the closed cycles, oldest first."""
        return self.ledger.reports()

    def remaining_cycles(self) -> range:
        """Return the numbers of the cycles that are not closed."""
        return range(max(1, len(self.ledger.reports())), self.config.cycles + 1)

    # Sampling requests

    def request(self, cycle: int, split: Split) -> SamplingRequest:
        """Return the sampling request of `cycle` for `split`, with the weights that the actor has now.

        Held-out requests share one seed over all cycles: the same noise before and after a cycle makes the
        difference between the two clearer.
        """
        trains, loaded = split == "train", self.loaded_cycle or 0
        return SamplingRequest(
            cycle=cycle,
            split=split,
            prompts=self._prompts(cycle) if trains else self.heldout,
            samples_per_prompt=(
                self.config.samples_per_prompt if trains else self.config.heldout.samples_per_prompt
            ),
            seed=derive_seed(self.seed, cycle, "sample") if trains else derive_seed(self.seed, "heldout"),
            adapter=self.ledger.adapter(loaded).resolve() if loaded else None,
            weights_hash=self.ledger.weights_hash(loaded),
        )

    def request_hash(self, request: SamplingRequest) -> str:
        """Return the SHA-256 of everything that the completions of `request` depend on, except the prompts."""
        config = self.config.model_dump(mode="json")
        model, generator = config["model"], config["generator"]
        if request.split == "heldout":
            generator = config["heldout"]["generator"] or generator
        parts = [request.seed, request.samples_per_prompt, model, generator, request.weights_hash]
        if request.split == "train" and self.config.rounds.size is not None:
            parts.append(asdict(self.config.rounds))
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def round_request(
        self, request: SamplingRequest, number: int, samples: Sequence[Sample]
    ) -> SamplingRequest | None:
        """Return the request of a round of `request`, counted from 0, after `samples`; None if there is none."""
        rounds = self.config.rounds if request.split == "train" else Rounds()
        return round_request(rounds, request, number, samples)

    def _prompts(self, cycle: int) -> tuple[Prompt, ...]:
        curriculum, cycles = self.config.curriculum, self.config.cycles
        if curriculum.order == "none":
            return self.prompts
        passes = self.ledger.passes("train", 1, cycle - 1, below=self.config.rounds.size)
        return prompts_for(curriculum, self.prompts, passes, cycle=cycle, cycles=cycles, seed=self.seed)

    # Weights

    def load_sampling_weights(self, history: Sequence[CycleReport]) -> None:
        """Load the weights that the cycle after `history` samples with."""
        best = best_cycle(history) if self.config.start_from == "best" else None
        cycle = history[-1].cycle if best is None else best
        cycle = cycle if self._rolled_back is None else self._rolled_back
        self.sampling_cycle = weights_cycle(history, cycle)
        self.restore(self.sampling_cycle)

    def restore(self, cycle: int) -> None:
        """Load the weights of `cycle` into the actor; 0: untrained."""
        if self.loaded_cycle == cycle:
            return
        if cycle:
            self.actor.load(self.ledger.check_adapter(cycle))
        else:
            self.actor.reset()
        self.loaded_cycle = cycle

    def start_training(self) -> None:
        """Load the weights that training starts from, as `start_from` configures."""
        self.restore(self.sampling_cycle)
        self.loaded_cycle = None  # from here on they change
        if self.config.start_from == "base":
            self.actor.reset()
        elif self.config.start_from == "interpolate" and self.sampling_cycle:
            self.actor.interpolate(self.config.interpolation)

    def finish_training(self, cycle: int, stats: TrainStats) -> None:
        """Store the actor's weights as those of `cycle`, and print the warnings of the training."""
        for note in stats.notes:
            self.progress.note(f"cycle {cycle}  {note}")
        self.ledger.write_trained(cycle, stats, partial(self._save, cycle))
        self.loaded_cycle = cycle

    def _save(self, cycle: int, directory: Path) -> None:
        """Write the actor's weights with a model card to `directory`."""
        self.actor.save(directory)
        merged = not (directory / "adapter_config.json").is_file()
        (directory / CARD).write_text(card_of(self.ledger, cycle, merged=merged), encoding="utf-8")

    def mixed(self, cycle: int, chosen: Sequence[Sample]) -> list[Sample]:
        """Return the samples that `cycle` trains on: `chosen`, and those that `mix` configures."""
        mix = self.config.mix
        if mix.mode == "replace":
            return list(chosen)
        pairs = pairs_as_samples(self.actor, mix.pairs) if mix.pairs else None
        earlier = self.ledger.selected(cycle, self.prompts) if pairs is None else pairs
        return mixed(chosen, earlier, mix, seed=derive_seed(self.seed, cycle, "mix"))

    # Time

    @contextmanager
    def timed(self, cycle: int, stage: str) -> Iterator[None]:
        """Add the enclosed wall time to the seconds of `stage`; after an exception, the time up to the last flush."""
        self._timing, self._since = (cycle, stage), time.monotonic()
        try:
            yield
            self.flush_timer(at_least=0.0)
        finally:
            self._timing = None

    def flush_timer(self, *, at_least: float = 1.0) -> None:
        """Store the stage's wall time so far, so that a kill does not lose it; skip less than `at_least` seconds."""
        now = time.monotonic()
        if self._timing is not None and now - self._since >= at_least:
            self.ledger.add_seconds(*self._timing, now - self._since)
            self._since = now

    # Reports

    @contextmanager
    def observed(self, hooks: Hooks, history: list[CycleReport]) -> Iterator[None]:
        """Call on_run_start before the enclosed cycles and on_run_end after them, even after an exception."""
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
        """Call on_run_end; an exception from it must not hide the one that ended the run."""
        try:
            hooks.on_run_end(run=self, history=history, error=error)
        except Exception as late:
            if error is None:
                raise
            error.add_note(f"on_run_end then raised {type(late).__name__}: {late}")

    def check_sampler(
        self,
        heldout: Sequence[Sample],
        trained: TrainStats | None = None,
        history: Sequence[CycleReport] = (),
    ) -> float | None:
        """Return the sampler's distance from the actor, as `run.sampler_check.check_sampler` measures it."""
        return check_sampler(
            self.actor,
            heldout,
            trained,
            history,
            precision=self.precision,
            tolerance=self.config.sampler_tolerance,
        )

    def report(
        self,
        cycle: int,
        samples: Sequence[Sample] = (),
        chosen: Sequence[Sample] = (),
        train: TrainStats | None = None,
        *,
        heldout: Sequence[Sample],
        sampler_error: float | None = None,
    ) -> CycleReport:
        """Summarize a cycle."""
        earlier = self.ledger.reports()[:cycle]
        best = best_cycle(earlier) if heldout else None
        kept = Counter(sample.prompt.id for sample in chosen)
        first = first_round(self.config.rounds, samples)
        rewards = [sample.reward for sample in first if sample.reward is not None]
        return CycleReport(
            cycle=cycle,
            heldout=eval_metrics(heldout, seed=self.seed) if heldout else None,
            lr=train.lr if train else 0.0,
            sampled=eval_metrics(first, seed=self.seed) if first else None,
            sampled_from=self.sampling_cycle if first else None,
            reward_mean=sum(rewards) / len(rewards) if rewards else 0.0,
            selected=len(chosen),
            selected_prompts=len(kept),
            rounds=sizes(self.config.rounds, samples),
            train=train,
            seconds=self.ledger.seconds(cycle),
            waits=dict(self.workers.waits()),
            started_from=0 if self.config.start_from == "base" and train else self.sampling_cycle,
            kept_gini=gini([kept[prompt_id] for prompt_id in {sample.prompt.id for sample in samples}]),
            improvement=None if best is None else self.compare(cycle - 1, cycle),
            best=best,
            versus_best=None if best is None else self.compare(best, cycle),
            sampler_error=sampler_error,
            sampler_unchecked=bool(heldout and train and train.kl is not None and sampler_error is None),
            heldout_changed=self._heldout_changed(cycle, heldout) if earlier else None,
        )

    def _heldout_changed(self, cycle: int, heldout: Sequence[Sample]) -> float | None:
        """Return the share of the held-out completions with another text than in the cycle before."""
        texts = {
            (sample.prompt.id, sample.completion.index): sample.completion.text
            for batch in self.ledger.batches(cycle - 1, "heldout", self.heldout)
            for sample in batch
        }
        if not texts or len(texts) != len(heldout):
            return None
        same = sum(texts.get((s.prompt.id, s.completion.index)) == s.completion.text for s in heldout)
        return 1 - same / len(texts)

    def compare(self, before: int, after: int) -> PairedDifference:
        """Compare the held-out pass rates of two closed cycles, prompt by prompt."""
        counts = [self.ledger.passes("heldout", cycle, cycle) for cycle in (before, after)]
        return paired_difference(*counts, seed=self.seed)

    def close_cycle(self, hooks: Hooks, history: list[CycleReport], report: CycleReport) -> None:
        """Store `report`, append it to `history` and notify the plugins."""
        self.ledger.write_report(report)
        for warning in sampler_warnings(report):
            self.log("sampler", warning)
        self._rolled_back = None
        history.append(report)
        hooks.on_cycle_end(run=self, report=report, history=history)
        self._remove_adapters(history)

    def _remove_adapters(self, history: Sequence[CycleReport]) -> None:
        """Remove the weights that `keep_adapters` does not keep, and that the next cycle does not start from."""
        keep = self.config.keep_adapters
        if keep == "all":
            return
        trained = [report.cycle for report in history if report.train]
        last = trained[-1 if keep == "best" else -keep :]
        needed = (history[-1].cycle, best_cycle(history) or 0, self._rolled_back or 0)
        self.ledger.remove_adapters({*last, *(weights_cycle(history, cycle) for cycle in needed)})
