"""The default of every computing hook: call the driver that the user named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from halo_core.config.kinds import KINDS
from halo_core.config.options import build, options_in, options_of
from halo_core.drivers.base import Driver, Generator, LRPolicy, Reward, Selector, Trainer
from halo_core.hookspecs import hookimpl
from halo_core.model.contexts import SamplingContext, TrainingContext
from halo_core.plugin.blame import blamed
from halo_core.plugin.discovery import BUILTIN, Source
from halo_core.run.checkpoint import CycleCheckpoint
from halo_core.run.open_generator import OpenGenerator
from halo_core.run.turns import NAME, Turns
from halo_core.run.unselected import Unselected, lowered, selection_context, threshold_of
from halo_core.seeds import derive_seed
from halo_core.types import (
    Completion,
    CycleReport,
    Prompt,
    Sample,
    SamplingRequest,
    Split,
    TrainStats,
    Verdict,
)
from halo_core.verification.verifiers import VerifierSet, check_once, verification_threads

if TYPE_CHECKING:
    from halo_core.run.state import Run

T = TypeVar("T")


@dataclass(frozen=True)
class Drivers:
    """The drivers of one run: the verifiers, and one of each other kind."""

    verifiers: VerifierSet
    by_kind: Mapping[str, Driver]
    """The drivers of the kinds that a run has one of."""
    sources: Mapping[str, Source] = field(default_factory=dict)
    """The source of each driver in `by_kind`."""
    per_cycle: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    """By kind and option, the values for cycles 1, 2, ...; the last value holds for all later cycles."""
    in_turn: Turns = field(default_factory=dict)
    """The drivers that `per_cycle` names."""
    heldout: tuple[Generator, Source] | None = None
    """The generator of the held-out completions, if it is not that of the run."""

    def get(self, kind: str, cycle: int | None = None) -> Any:
        """Return the driver of `kind`, with the options of `cycle` (counted from 1) if one is given."""
        turn = self._turn(kind, cycle)
        driver: Any = turn[0] if turn else self.by_kind[kind]
        per_cycle = self.per_cycle.get(kind, {})
        changes = {option: _of_cycle(values, cycle) for option, values in per_cycle.items() if option != NAME}
        if kind in self.in_turn:  # an option may be that of another driver
            own = {option.name for option in options_of(type(driver))}
            changes = {option: value for option, value in changes.items() if option in own}
        if not cycle or not changes:
            return driver
        return build(type(driver), {**options_in(driver), **changes}, where=f"per_cycle.{kind}")

    def generator(self, split: Split, cycle: int | None = None) -> tuple[Generator, Generator, Source]:
        """Return the generator of `split`, the same with the options of `cycle`, and its source."""
        if split == "heldout" and self.heldout is not None:
            generator, source = self.heldout
            return generator, generator, source
        return self.get("generator"), self.get("generator", cycle), self.source("generator")

    def by_hook(self) -> dict[str, list[Source]]:
        """Return the sources of the drivers behind each hook."""
        found = {
            KINDS[kind].hook: list(
                dict.fromkeys([source, *(other for _, other in self.in_turn.get(kind, ()))])
            )
            for kind, source in self.sources.items()
            if KINDS[kind].hook
        }
        return {**found, "verify": list(self.verifiers.sources.values())}

    def source(self, kind: str, cycle: int | None = None) -> Source:
        """Return the source of the driver of `kind`, of `cycle` if one is given."""
        turn = self._turn(kind, cycle)
        return turn[1] if turn else self.sources.get(kind, BUILTIN)

    def _turn(self, kind: str, cycle: int | None) -> tuple[Driver, Source] | None:
        """Return the driver of `cycle` if several take turns."""
        return _of_cycle(self.in_turn[kind], cycle) if cycle and kind in self.in_turn else None


def _of_cycle(values: Sequence[T], cycle: int | None) -> T:
    return values[min(cycle or 1, len(values)) - 1]


class Dispatch:
    """The hook plugin of every run, registered first: all others wrap or override it."""

    def __init__(self, drivers: Drivers, workers: int | None = None) -> None:
        self._drivers = drivers
        self._threads = verification_threads(workers)
        self._opened: dict[Split, tuple[OpenGenerator, Source]] = {}

    @hookimpl
    def lr_for_cycle(self, run: Run, cycle: int, history: Sequence[CycleReport]) -> float:
        """Call the learning-rate policy; let the trainer warn of the result."""
        policy: LRPolicy = self._drivers.get("lr_policy")
        with blamed(self._drivers.source("lr_policy")):
            lr = policy.lr(cycle=cycle, cycles=run.config.cycles, history=history)
        with blamed(self._drivers.source("trainer", cycle)):
            if warning := self._drivers.get("trainer", cycle).check_lr(lr, run.actor):
                run.log_once("lr", warning)
        return lr

    @hookimpl
    def generate(self, run: Run, request: SamplingRequest) -> Iterator[Sequence[Completion]]:
        """Call the generator; held-out prompts are always sampled with its own options."""
        cycle = request.cycle if request.split == "train" else None
        generator, options, source = self._drivers.generator(request.split, cycle)
        with blamed(self._drivers.source("cluster")):
            batches = run.workers.generate(request, self._sampling_context(run))
            if batches is not None:
                yield from batches
                return
        split: Split = request.split if self._drivers.heldout else "train"
        if split not in self._opened:
            context = self._sampling_context(run)
            opened = OpenGenerator(generator, run.actor, run.directory, context.progress, context.note)
            self._opened[split] = opened, source
        with blamed(source):
            yield from self._opened[split][0].generate(request, options)

    @staticmethod
    def _sampling_context(run: Run) -> SamplingContext:
        return SamplingContext(
            actor=run.actor,
            directory=run.directory.resolve(),
            progress=lambda samples, tokens: run.sampling_progress(samples, tokens),
            note=partial(run.log_once, "sampler"),
        )

    @hookimpl
    def verify(self, run: Run, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Verdict]:
        """Call each prompt's verifier on the texts that have no stored verdict, several at a time."""
        texts = [completion.text for completion in completions]
        known = run.ledger.recall(prompts, texts)
        new = [index for index, verdict in enumerate(known) if verdict is None]
        tasks = [prompts[index] for index in new]

        def check(prompts: Sequence[Prompt], completions: Sequence[Completion]) -> Sequence[Verdict]:
            with blamed(self._drivers.source("cluster")):
                found = run.workers.verify(prompts, completions, run.check_interrupt)
            if found is not None:
                return found
            return self._drivers.verifiers.check_all(
                prompts, completions, self._threads, interrupt=run.check_interrupt
            )

        verdicts = check_once(tasks, [completions[index] for index in new], check)
        fresh = iter(run.ledger.remember(tasks, [texts[index] for index in new], verdicts))
        return [next(fresh) if verdict is None else verdict for verdict in known]

    @hookimpl
    def reward(self, cycle: int, samples: Sequence[Sample]) -> list[float | None]:
        """Call the reward on each sample."""
        reward: Reward = self._drivers.get("reward", cycle)
        with blamed(self._drivers.source("reward")):
            return [reward.reward(sample) for sample in samples]

    @hookimpl
    def select(self, run: Run, cycle: int, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Call the selector."""
        selector: Selector = self._drivers.get("selector", cycle)
        context = selection_context(run.seed, cycle)
        with blamed(self._drivers.source("selector", cycle)):
            chosen = selector.select(samples, context)
            if chosen:
                return chosen
            offer = lowered(selector, samples, context)
        run.unselected = Unselected(threshold_of(selector), offer)
        if offer is None or run.config.when_none != "lower":
            return chosen
        run.log(
            "selector", f"cycle {cycle}: nothing reaches the threshold; it is lowered to {offer.threshold:g}"
        )
        return offer.chosen

    @hookimpl
    def train(self, run: Run, cycle: int, samples: Sequence[Sample], lr: float) -> TrainStats:
        """Call the trainer; show its steps, store its checkpoints and let Ctrl-C stop it between steps."""
        trainer: Trainer = self._drivers.get("trainer", cycle)
        with run.progress.stage(f"cycle {cycle} train", 0, "steps") as advance:
            shown = 0

            def show(done: int, total: int, loss: float) -> None:
                nonlocal shown
                advance(done - shown, total=total, note=f"loss {loss:.3f}")
                shown = done

            context = TrainingContext(
                actor=run.actor,
                lr=lr,
                seed=derive_seed(run.seed, cycle, "train"),
                cycle=cycle,
                progress=show,
                interrupt=run.check_interrupt,
                checkpoint=CycleCheckpoint(run, cycle),
            )
            with blamed(self._drivers.source("cluster")):
                stats = run.workers.train(samples, context)
            if stats is None:
                with blamed(self._drivers.source("trainer", cycle)):
                    stats = trainer.train(samples, context)
            return stats

    @hookimpl
    def on_run_start(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Let each trainer of a remaining cycle check the model."""
        checked: list[Trainer] = []
        for cycle in range(max(1, len(history)), run.config.cycles + 1):
            trainer: Trainer = self._drivers.get("trainer", cycle)
            if trainer not in checked:
                checked.append(trainer)
                with blamed(self._drivers.source("trainer", cycle)):
                    trainer.check_model(run.actor)

    @hookimpl
    def on_run_end(self) -> None:
        """Shut the verification threads down, and close the generators."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with ExitStack() as stack:
            for opened, source in self._opened.values():
                stack.enter_context(blamed(source))
                stack.callback(opened.close)
