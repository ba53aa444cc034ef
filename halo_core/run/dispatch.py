"""The default of every computing hook: ask the driver that the user named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from halo_core.config.options import build
from halo_core.drivers import Generator, LRPolicy, Reward, Selector, Trainer
from halo_core.hookspecs import hookimpl
from halo_core.plugin.blame import blamed
from halo_core.plugin.discovery import BUILTIN, Source
from halo_core.run.checkpoint import Checkpoint
from halo_core.run.state import Run
from halo_core.seeds import derive_seed
from halo_core.types import Completion, CycleReport, Prompt, Round, Sample, TrainStats, Verdict
from halo_core.verification import verifiers as judges
from halo_core.verification.verifiers import Judges

_KINDS = {
    "lr_for_cycle": "lr_policy",
    "generate": "generator",
    "reward": "reward",
    "select": "selector",
    "train": "trainer",
}


@dataclass(frozen=True)
class Drivers:
    """The drivers of one run: one of each kind, and the verifiers."""

    generator: Generator
    judges: Judges
    reward: Reward
    selector: Selector
    trainer: Trainer
    lr_policy: LRPolicy
    sources: Mapping[str, Source] = field(default_factory=dict)
    """Where each but the verifiers comes from, by kind."""
    per_cycle: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    """By kind and option, the values for cycles 1, 2, ...; the last is held."""

    def at(self, kind: str, cycle: int) -> Any:
        """Return the driver of `kind` with its options as they are in `cycle`, counted from 1."""
        driver = getattr(self, kind)
        changes = {
            option: values[min(cycle, len(values)) - 1]
            for option, values in self.per_cycle.get(kind, {}).items()
        }
        if not changes:
            return driver
        return build(type(driver), {**asdict(driver), **changes}, where=f"per_cycle.{kind}")

    def by_hook(self) -> dict[str, list[Source]]:
        """Return where the answers to each hook come from."""
        found = {hook: [self.sources[kind]] for hook, kind in _KINDS.items() if kind in self.sources}
        return {**found, "verify": list(self.judges.sources.values())}

    def source(self, kind: str) -> Source:
        """Return where the driver of `kind` comes from."""
        return self.sources.get(kind, BUILTIN)


class Dispatch:
    """Hook plugin that every run has, registered first: whatever wraps or overrides comes after it."""

    def __init__(self, drivers: Drivers, workers: int | None = None) -> None:
        self._drivers = drivers
        self._pool = judges.pool(workers)

    @hookimpl
    def lr_for_cycle(self, run: Run, cycle: int, history: Sequence[CycleReport]) -> float:
        """Ask the LR policy."""
        with blamed(self._drivers.source("lr_policy")):
            return self._drivers.lr_policy.lr(cycle=cycle, cycles=run.config.cycles, history=history)

    @hookimpl
    def generate(self, run: Run, round: Round) -> Iterator[Sequence[Completion]]:
        """Ask the generator."""
        with blamed(self._drivers.source("generator")):
            trains = round.split == "train"
            generator = self._drivers.at("generator", round.cycle) if trains else self._drivers.generator
            yield from generator.generate(run.actor, round)

    @hookimpl
    def verify(self, run: Run, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Verdict]:
        """Ask each prompt's verifier, several completions at a time; a text is judged once in a run."""
        texts = [completion.text for completion in completions]
        known = run.ledger.recall(prompts, texts)
        new = [place for place, verdict in enumerate(known) if verdict is None]
        tasks = [prompts[place] for place in new]
        judged = self._drivers.judges.check_all(tasks, [completions[place] for place in new], self._pool)
        fresh = iter(run.ledger.remember(tasks, [texts[place] for place in new], judged))
        return [next(fresh) if verdict is None else verdict for verdict in known]

    @hookimpl
    def reward(self, cycle: int, samples: Sequence[Sample]) -> list[float]:
        """Ask the reward for each sample."""
        with blamed(self._drivers.source("reward")):
            reward = self._drivers.at("reward", cycle)
            return [reward.reward(sample) for sample in samples]

    @hookimpl
    def select(self, run: Run, cycle: int, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Ask the selector."""
        with blamed(self._drivers.source("selector")):
            selector: Selector = self._drivers.at("selector", cycle)
            return selector.select(samples, seed=derive_seed(run.seed, cycle, "select"))

    @hookimpl
    def train(self, run: Run, cycle: int, samples: Sequence[Sample], lr: float) -> TrainStats:
        """Ask the trainer, showing its steps, keeping how far it is and letting an interrupt in between them."""
        seed = derive_seed(run.seed, cycle, "train")
        with (
            run.progress.stage(f"cycle {cycle} train", 0, "steps") as advance,
            blamed(self._drivers.source("trainer")),
        ):
            shown = 0

            def step(done: int, total: int, loss: float) -> None:
                nonlocal shown
                run.check_interrupt()
                advance(done - shown, total=total, note=f"loss {loss:.3f}")
                shown = done

            run.actor.progress, run.actor.checkpoint = step, Checkpoint(run, cycle)
            try:
                trainer: Trainer = self._drivers.at("trainer", cycle)
                return trainer.train(run.actor, samples, lr=lr, seed=seed)
            finally:
                run.actor.progress = run.actor.checkpoint = None

    @hookimpl
    def on_run_end(self) -> None:
        """Let the verification threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
