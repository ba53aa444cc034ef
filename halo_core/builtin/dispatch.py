"""The default of every computing hook: ask the driver that the user named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from traceback import extract_tb

from halo_core.discovery import Source
from halo_core.drivers import Generator, LRPolicy, Reward, Selector, Trainer, Verifier
from halo_core.hooks import BUILTIN, blamed
from halo_core.hookspecs import hookimpl
from halo_core.run import Run
from halo_core.seeds import derive_seed
from halo_core.types import Completion, CycleReport, Prompt, Round, Sample, Stage, Status, TrainStats, Verdict

_KINDS = {
    "lr_for_cycle": "lr_policy",
    "generate": "generator",
    "verify": "verifier",
    "reward": "reward",
    "select": "selector",
    "train": "trainer",
}


@dataclass(frozen=True)
class Drivers:
    """The drivers of one run, one of each kind but for the verifiers."""

    generator: Generator
    verifiers: Mapping[str, Verifier]
    """By name, the run's first one first."""
    reward: Reward
    selector: Selector
    trainer: Trainer
    lr_policy: LRPolicy
    sources: Mapping[str, Source] = field(default_factory=dict)
    """Where each comes from, by kind; a verifier's key is `verifier:` and its name."""

    def verifier_for(self, prompt: Prompt) -> str:
        """Return the name of the verifier that judges `prompt`; may be one that the run does not have."""
        return prompt.verifier or next(iter(self.verifiers))

    def by_hook(self) -> dict[str, list[Source]]:
        """Return where the answers to each hook come from."""
        return {
            hook: [source for key, source in self.sources.items() if key.partition(":")[0] == kind]
            for hook, kind in _KINDS.items()
        }

    def source(self, key: str) -> Source:
        """Return where the driver under `key` comes from."""
        return self.sources.get(key, BUILTIN)


class Dispatch:
    """Hook plugin that every run has, registered first: whatever wraps or overrides comes after it."""

    def __init__(self, drivers: Drivers, workers: int | None = None) -> None:
        self._drivers = drivers
        self._pool = ThreadPoolExecutor(workers or max(2, os.cpu_count() or 1), thread_name_prefix="verify")

    @hookimpl
    def lr_for_cycle(self, run: Run, cycle: int, history: Sequence[CycleReport]) -> float:
        """Ask the LR policy."""
        with blamed(self._drivers.source("lr_policy")):
            return self._drivers.lr_policy.lr(cycle=cycle, cycles=run.config.cycles, history=history)

    @hookimpl
    def generate(self, run: Run, round: Round) -> Iterator[Sequence[Completion]]:
        """Ask the generator."""
        with blamed(self._drivers.source("generator")):
            yield from self._drivers.generator.generate(run.actor, round)

    @hookimpl
    def verify(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Verdict]:
        """Ask each prompt's verifier, several completions at a time; equal texts are judged once."""
        once: dict[tuple[str, str], Callable[[], Verdict]] = {}
        for prompt, completion in zip(prompts, completions, strict=True):
            key = (prompt.id, completion.text)
            if key not in once:
                once[key] = self._pool.submit(self._judge, prompt, completion).result
        return [
            once[prompt.id, completion.text]()
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    @hookimpl
    def reward(self, samples: Sequence[Sample]) -> list[float]:
        """Ask the reward for each sample."""
        with blamed(self._drivers.source("reward")):
            return [self._drivers.reward.reward(sample) for sample in samples]

    @hookimpl
    def select(self, run: Run, cycle: int, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Ask the selector."""
        with blamed(self._drivers.source("selector")):
            return self._drivers.selector.select(samples, seed=derive_seed(run.seed, cycle, "select"))

    @hookimpl
    def train(self, run: Run, cycle: int, samples: Sequence[Sample], lr: float) -> TrainStats:
        """Ask the trainer, showing its steps and letting an interrupt in between them."""
        seed = derive_seed(run.seed, cycle, "train")
        with (
            run.progress.stage(f"cycle {cycle} train", 0, "steps") as advance,
            blamed(self._drivers.source("trainer")),
        ):

            def step(done: int, total: int, loss: float) -> None:
                run.check_interrupt()
                advance(1, total=total, note=f"loss {loss:.3f}")

            run.actor.progress = step
            try:
                return self._drivers.trainer.train(run.actor, samples, lr=lr, seed=seed)
            finally:
                run.actor.progress = None

    @hookimpl
    def on_run_end(self) -> None:
        """Let the verification threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _judge(self, prompt: Prompt, completion: Completion) -> Verdict:
        name = self._drivers.verifier_for(prompt)
        try:
            return self._drivers.verifiers[name].check(prompt, completion)
        except Exception as error:  # a verdict, so that max_error_rate decides and the others still count
            source = self._drivers.sources.get(f"verifier:{name}", f"verifier {name!r}")
            place = extract_tb(error.__traceback__)[-1]
            line = f"{Path(place.filename).name}:{place.lineno}"
            detail = f"{source} raised {type(error).__name__}: {error} (at {line})"
            return Verdict(Status.ERROR, Stage.INVALID, detail=detail)
