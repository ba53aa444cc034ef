"""Fakes of the model and the drivers, so that the loop runs in milliseconds.

The fake model has one weight, its skill: the probability that a completion is right. Training raises it by the learning
rate. So tests can observe learning, resuming and stale weights without torch.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from halo_core.config.model import ModelConfig
from halo_core.config.options import driver
from halo_core.config.schema import RunConfig, read_config
from halo_core.drivers.base import Generator, LRPolicy, Reward, Selector, Trainer, Verifier
from halo_core.drivers.raft import RAFT
from halo_core.drivers.rewards import Graduated
from halo_core.ledger.ledger import Ledger
from halo_core.model.contexts import Actor, SamplingContext, TrainingContext
from halo_core.model.turns import Context
from halo_core.plugin.discovery import Source
from halo_core.plugin.manager import Hooks
from halo_core.progress import Progress
from halo_core.run.dispatch import Dispatch, Drivers
from halo_core.run.state import Run
from halo_core.seeds import derive_seed
from halo_core.types import (
    Completion,
    CycleReport,
    Prompt,
    Sample,
    SamplingRequest,
    Stage,
    Status,
    TrainStats,
    Verdict,
)
from halo_core.verification.verifiers import VerifierSet


class FakeActor:
    """A model with one weight."""

    def __init__(self, skill: float = 0.3) -> None:
        self.skill = skill
        self.model = self.tokenizer = self
        self.config = ModelConfig()
        self.dtype = "float32"
        self.end_ids = (1,)
        self.context_length: int | None = None
        self.directory_of: Callable[[int], Path] | None = None
        self.interrupt: Callable[[], None] = lambda: None
        self._base = skill

    def preflight(self) -> str:
        """Return that nothing has to be downloaded."""
        return ""

    def save(self, directory: Path) -> None:
        """Write the weight."""
        _write(self.skill, "skill.json", directory)

    def load(self, directory: Path) -> None:
        """Read the weight."""
        self.skill = json.loads((directory / "skill.json").read_text())

    def reset(self) -> None:
        """Restore the initial weight."""
        self.skill = self._base

    def interpolate(self, share: float) -> None:
        """Keep `share` of the change since the initial weight."""
        self.skill = self._base + share * (self.skill - self._base)

    @contextmanager
    def reference(self, source: Literal["base"] | int) -> Iterator[None]:
        """Use the initial weight, or that of a cycle."""
        own = self.skill
        self.reset()
        try:
            if source not in ("base", 0):
                assert self.directory_of is not None
                self.load(self.directory_of(int(source)))
            yield
        finally:
            self.skill = own

    def context(self, prompt: Prompt, *, system: str = "", prefill: str = "") -> Context:
        """Return the texts in order."""
        return Context(f"{system} {prompt.text} {prefill}", prefill)

    def encode_context(self, context: Context, prompt: Prompt) -> tuple[int, ...]:
        """Return an id for each word."""
        return self.encode(Prompt(prompt.id, context.text))

    def encode(self, prompt: Prompt, *, system: str = "") -> tuple[int, ...]:
        """Return an id for each word."""
        return tuple(2 + len(word) for word in f"{system} {prompt.text}".split()) or (2,)

    def encode_answer(self, text: str, *, ended: bool = True) -> tuple[int, ...]:
        """Return an id for each word, and 1 as the end token."""
        return (*(2 + len(word) for word in text.split()), *((1,) if ended else ()))

    def logprobs(self, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
        """Return no log-probabilities; the fake generator records none either."""
        return [() for _ in completions]

    def values(self, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
        """Return no values."""
        return [() for _ in completions]

    def trainable(self) -> Mapping[str, Any]:
        """Return nothing: the weight is not a parameter of torch."""
        return {}

    def weights_hash(self) -> str:
        """Return the weight as text."""
        return repr(self.skill)


@driver
class FakeGenerator(Generator):
    """Answers "right" with the actor's skill as the probability, otherwise "wrong"."""

    batch: int = 16
    """Completions per batch."""
    seconds: float = 0.0
    """Delay before each batch, like that of a GPU."""

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        """Yield the completions of `request` in batches; see `SamplingRequest`."""
        skill = _fake(context.actor).skill
        jobs = [(prompt, index) for prompt in request.prompts for index in range(request.samples_per_prompt)]
        batches = [jobs[start : start + self.batch] for start in range(0, len(jobs), self.batch)]
        for number, batch in enumerate(batches):
            if number < request.done:
                continue
            if self.seconds:
                time.sleep(self.seconds)
            rng = random.Random(derive_seed(request.seed, number))
            yield [_complete(prompt, index, rng.random() < skill, rng) for prompt, index in batch]


@driver
class FakeVerifier(Verifier):
    """Derives the verdict from the completion's first word: right, wrong, crash, invalid, error, raise."""

    seconds: float = 0.0
    """Delay before each verdict, like that of a compiler."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Return the verdict that the first word names; "raise" raises a `RuntimeError`."""
        if self.seconds:
            time.sleep(self.seconds)
        word = completion.text.partition(" ")[0]
        if word == "raise":
            raise RuntimeError("the verifier crashed")
        if word == "error":
            return Verdict(Status.ERROR, Stage.INVALID, detail="no compiler")
        if word == "right":
            return Verdict(Status.PASS, Stage.CORRECT, score=1.0)
        stage = {"wrong": Stage.WRONG, "crash": Stage.CRASHED}.get(word, Stage.INVALID)
        return Verdict(Status.FAIL, stage)

    def extracted(self, prompt: Prompt, completion: Completion) -> str:
        """Return the completion's first word."""
        return completion.text.partition(" ")[0]


@driver
class FakeTrainer(Trainer):
    """Adds the learning rate to the skill, in equal parts per step."""

    steps: int = 1
    """Steps per cycle."""
    seconds: float = 0.0
    """Delay before each step, like that of a GPU."""

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        """Raise the skill by the learning rate."""
        fake, checkpoint, lr = _fake(context.actor), context.checkpoint, context.lr
        before = fake.skill
        inputs_hash = repr((self, before, lr, context.seed))
        directory = checkpoint.load(inputs_hash) if checkpoint else None
        state = json.loads((directory / "state.json").read_text()) if directory else (0, before)
        done, fake.skill = state
        while done < self.steps:
            time.sleep(self.seconds)
            done, fake.skill = done + 1, min(1.0, before + lr * (done + 1) / self.steps)
            if checkpoint and checkpoint.due:
                checkpoint.save(inputs_hash, partial(_write, (done, fake.skill), "state.json"))
            context.interrupt()
            context.progress(done, self.steps, 1.0 - before)
        tokens = sum(sample.completion.written for sample in samples)
        return TrainStats(
            lr=lr,
            steps=self.steps,
            samples=len(samples),
            tokens=tokens,
            loss_first=1 - before,
            loss_last=1 - fake.skill,
            lr_peak=lr,
            lr_sum=lr * self.steps,
            grad_norm_median=0.1,
            clipped_fraction=0.0,
            update_norm=fake.skill - before,
        )


@driver
class FakePolicy(LRPolicy):
    """A constant learning rate."""

    base_lr: float = 0.1
    """Learning rate of every cycle."""

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return `base_lr`."""
        return self.base_lr


def fake_run(
    directory: Path,
    *,
    prompts: int = 8,
    heldout: int = 4,
    plugins: Sequence[object] = (),
    progress: Progress | None = None,
    generator: Generator | None = None,
    verifier: Verifier | None = None,
    reward: Reward | None = None,
    selector: Selector | None = None,
    trainer: Trainer | None = None,
    lr_policy: LRPolicy | None = None,
    **settings: Any,
) -> tuple[Run, Hooks]:
    """Start or resume a run of fakes in `directory`. `settings`: keys of the configuration."""
    config: RunConfig = read_config({"verifier": ["fake"], "cycles": 2, "samples_per_prompt": 4, **settings})
    drivers = Drivers(
        VerifierSet({"fake": verifier or FakeVerifier()}),
        {
            "generator": generator or FakeGenerator(),
            "reward": reward or Graduated(),
            "selector": selector or RAFT(),
            "trainer": trainer or FakeTrainer(),
            "lr_policy": lr_policy or FakePolicy(),
        },
    )
    hooks = Hooks()
    hooks.register(Dispatch(drivers, config.workers), name="dispatch")
    for number, plugin in enumerate(plugins):
        hooks.register(plugin, Source("plugin", f"fake{number}", "fakes", "0", repr(plugin)))
    ledger = Ledger(directory)
    train = [Prompt(f"t{number}", f"task {number}") for number in range(prompts)]
    held = [Prompt(f"h{number}", f"held-out task {number}") for number in range(heldout)]
    if not ledger.exists:
        verifiers = drivers.verifiers.fingerprints()
        ledger.create(config.model_dump(mode="json"), [], train, held, fingerprints=verifiers)
    return Run(config, ledger, FakeActor(), train, held, progress), hooks


def _fake(actor: Actor) -> FakeActor:
    assert isinstance(actor, FakeActor), "fakes of drivers work with a `FakeActor`"
    return actor


def _write(value: object, name: str, directory: Path) -> None:
    (directory / name).write_text(json.dumps(value))


def _complete(prompt: Prompt, index: int, right: bool, rng: random.Random) -> Completion:
    variant = rng.randrange(1000)
    ids = tuple(rng.randrange(2, 500) for _ in range(12))
    return Completion(prompt.id, index, f"{'right' if right else 'wrong'} {variant}", (1, 2, 3), ids, "stop")
