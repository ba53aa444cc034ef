"""The default of every computing hook: call the driver that the user named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from halo_core.config.kinds import KINDS
from halo_core.config.options import build, options_in
from halo_core.drivers.base import Driver, Generator, LRPolicy, Reward, Selector, Trainer
from halo_core.hookspecs import hookimpl
from halo_core.model.contexts import TrainingContext
from halo_core.plugin.blame import blamed
from halo_core.plugin.discovery import BUILTIN, Source
from halo_core.run.checkpoint import CycleCheckpoint
from halo_core.run.open_generator import OpenGenerator
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
from halo_core.verification.verifiers import VerifierSet, verification_threads

if TYPE_CHECKING:
    from halo_core.run.state import Run


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
    heldout: tuple[Generator, Source] | None = None
    """The generator of the held-out completions, if it is not that of the run."""

    def get(self, kind: str, cycle: int | None = None) -> Any:
        """Return the driver of `kind`, with the options of `cycle` (counted from 1) if one is given."""
        driver: Any = self.by_kind[kind]
        per_cycle = self.per_cycle.get(kind)
        if not cycle or not per_cycle:
            return driver
        changes = {option: values[min(cycle, len(values)) - 1] for option, values in per_cycle.items()}
        return build(type(driver), {**options_in(driver), **changes}, where=f"per_cycle.{kind}")

    def generator(self, split: Split, cycle: int | None = None) -> tuple[Generator, Generator, Source]:
        """Return the generator of `split`, the same with the options of `cycle`, and its source."""
        if split == "heldout" and self.heldout is not None:
            generator, source = self.heldout
            return generator, generator, source
        return self.get("generator"), self.get("generator", cycle), self.source("generator")

    def by_hook(self) -> dict[str, list[Source]]:
        """Return the sources of the drivers behind each hook."""
        found = {KINDS[kind].hook: [source] for kind, source in self.sources.items() if KINDS[kind].hook}
        return {**found, "verify": list(self.verifiers.sources.values())}

    def source(self, kind: str) -> Source:
        """Return the source of the driver of `kind`."""
        return self.sources.get(kind, BUILTIN)


class Dispatch:
    """The hook plugin of every run, registered first: all others wrap or override it."""

    def __init__(self, drivers: Drivers, workers: int | None = None) -> None:
        self._drivers = drivers
        self._threads = verification_threads(workers)
        self._opened: dict[Split, tuple[OpenGenerator, Source]] = {}

    @hookimpl
    def lr_for_cycle(self, run: Run, cycle: int, history: Sequence[CycleReport]) -> float:
        """Call the learning-rate policy."""
        policy: LRPolicy = self._drivers.get("lr_policy")
        with blamed(self._drivers.source("lr_policy")):
            return policy.lr(cycle=cycle, cycles=run.config.cycles, history=history)

    @hookimpl
    def generate(self, run: Run, request: SamplingRequest) -> Iterator[Sequence[Completion]]:
        """Call the generator; held-out prompts are always sampled with its own options."""
        cycle = request.cycle if request.split == "train" else None
        generator, options, source = self._drivers.generator(request.split, cycle)
        split: Split = request.split if self._drivers.heldout else "train"
        if split not in self._opened:
            opened = OpenGenerator(
                generator,
                run.actor,
                run.directory,
                lambda samples, tokens: run.sampling_progress(samples, tokens),
                partial(run.log_once, "sampler"),
            )
            self._opened[split] = opened, source
        with blamed(source):
            yield from self._opened[split][0].generate(request, options)

    @hookimpl
    def verify(self, run: Run, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Verdict]:
        """Call each prompt's verifier on the texts that have no stored verdict, several at a time."""
        texts = [completion.text for completion in completions]
        known = run.ledger.recall(prompts, texts)
        new = [index for index, verdict in enumerate(known) if verdict is None]
        tasks = [prompts[index] for index in new]
        verdicts = self._drivers.verifiers.check_all(
            tasks, [completions[index] for index in new], self._threads, interrupt=run.check_interrupt
        )
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
        with blamed(self._drivers.source("selector")):
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
        with (
            run.progress.stage(f"cycle {cycle} train", 0, "steps") as advance,
            blamed(self._drivers.source("trainer")),
        ):
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
            return trainer.train(samples, context)

    @hookimpl
    def on_run_start(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Let the trainer check the model, unless no cycle is left."""
        cycle = max(1, len(history))
        if cycle <= run.config.cycles:
            with blamed(self._drivers.source("trainer")):
                self._drivers.get("trainer", cycle).check_model(run.actor)

    @hookimpl
    def on_run_end(self) -> None:
        """Shut the verification threads down, and close the generators."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with ExitStack() as stack:
            for opened, source in self._opened.values():
                stack.enter_context(blamed(source))
                stack.callback(opened.close)
