"""The seven kinds of driver as interfaces. A plugin package subclasses one of them.

A driver is decorated with `@driver`, which makes it a frozen, keyword-only pydantic dataclass: its fields are its
options, their annotations parse the text of the command line, and their docstrings are the help.

    @driver
    class Constant(LRPolicy):
        \"\"\"Use the same learning rate in every cycle.\"\"\"

        base_lr: float = 5e-5
        \"\"\"Peak learning rate of each cycle.\"\"\"

        def lr(self, *, cycle, cycles, history):
            return self.base_lr

Drivers hold options, never state: state lives in the run directory and in the actor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from halo_core.model.contexts import (
    Actor,
    ClusterContext,
    SamplingContext,
    SelectionContext,
    TrainingContext,
    Weights,
)
from halo_core.sandbox.types import Tier
from halo_core.training import TrainingOptions, check_model
from halo_core.types import (
    Completion,
    CycleReport,
    Prompt,
    Sample,
    SamplingRequest,
    Stage,
    TrainStats,
    Verdict,
)


class Driver(ABC):  # noqa: B024 (every method is optional)
    """The base of all seven kinds."""

    removed_options: ClassVar[Mapping[str, object]] = {}
    """Options that earlier versions had, each with the value that changes nothing. Stored configurations that still
    contain them with that value can be resumed."""

    def preflight(self) -> None:
        """Check that the machine has what the driver needs.

        Called once before a run starts, and by `halo config validate` and `halo plugins check`. Raises a `HaloError`
        whose hint names what to install. Must be quick, and must not import torch.
        """
        return


class Generator(Driver):
    """Samples completions.

    A generator that samples outside this process (an inference server) also defines the other methods: `open` starts or
    connects to the server, `weights_changed` makes it load weights, `close` releases it. They are called on the
    generator that the configuration names; `generate` may be called on a copy that has the options of one cycle
    (`per_cycle`). All of them get the object that `open` returned as `context.session`.
    """

    def open(self, context: SamplingContext) -> Any:
        """Return what all requests of a run share, such as a client or a server process; None by default.

        Called once, before the first request that is sampled.
        """
        return None

    def weights_changed(self, weights: Weights, context: SamplingContext) -> None:
        """Prepare to sample with `weights`.

        Called before the first request that is sampled, also with untrained weights, and then before each request
        whose weights are not those of the request before it. So nothing can be assumed about the weights that a server
        has when a run starts or is resumed. The default does nothing: `context.actor` has the weights loaded.
        """
        return

    @abstractmethod
    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        """Yield the completions of `request` in batches; see `SamplingRequest` for the rules.

        Every prompt gets exactly `samples_per_prompt` completions, with indices from 0; the completions of one prompt
        may be spread over batches. The order is the generator's own. A completion without `token_ids` is
        tokenized by the actor's tokenizer.
        """

    def close(self, context: SamplingContext) -> None:
        """Release what `open` returned. Called once if `open` returned, however the run ends.

        The iterator of an unfinished request is closed before.
        """
        return

    def follows_weights(self) -> bool:
        """Return whether the completions come from the actor's weights; False for a teacher, another model.

        The held-out prompts of a run with a teacher are sampled from the actor, by the generator `heldout.generator`,
        so that they measure the model that is trained.
        """
        return True

    def precision(self) -> str:
        """Return the precision of the engine's forward pass, such as "bfloat16"; empty: that of the actor.

        It determines how closely the sampler's log-probabilities must match those of the actor; see
        `run.sampler_check`. Called before `open`.
        """
        return ""


@dataclass(frozen=True, slots=True)
class Demo:
    """Data and a model with which a run needs no argument but the verifier's name."""

    prompts: tuple[Prompt, ...]
    heldout: tuple[Prompt, ...]
    """Disjoint from `prompts`."""
    model: Path
    """Directory of a small Hugging Face model that belongs to the demo."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Configuration that suits the demo model; the user's file and flags take precedence. Options that the chosen
    driver does not have are left out."""
    system: str = ""
    """System prompt for another model, which has not learned what the prompts leave unsaid: the language of an answer.
    The user's own takes precedence."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A wrong answer crafted to be accepted."""

    name: str
    """Names the trick; unique among the attacks on one verifier."""
    prompt: Prompt
    text: str
    stage: Stage = Stage.WRONG
    """The furthest stage that an honest wrong answer of its kind reaches. The attack succeeds if it gets further."""


class Verifier(Driver):
    """Verifies a completion by running a program."""

    valid_label: ClassVar[str] = "valid"
    """Column header for the share past the first stage: "compiles", "parses"."""

    @abstractmethod
    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Return the verdict on `completion`. Called from several threads at once.

        Must depend on the prompt and `completion.text` alone. `Status.ERROR` is only for failures of the verifier
        itself, never for anything that the completion does. An exception counts as `Status.ERROR`.
        """

    def extracted(self, prompt: Prompt, completion: Completion) -> str | None:
        """Return the part of `completion` that `check` verifies, to show it to a person; None if it finds none.

        The program in a fence, the final answer. If `check` tries several, the likeliest. Must not run anything.
        """
        return None

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` if `prompt` lacks the data that this verifier needs, or if that data is malformed.

        Called once for each prompt when the data is loaded.
        """
        return

    def has_tests(self, prompt: Prompt) -> bool:
        """Return whether a completion of `prompt`, which passed `check_prompt`, can pass.

        False if the prompt's data has nothing that a completion could be tested on. halo warns about such prompts.
        """
        return True

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return completions of `prompt` that are known to be right; empty if its data has none."""
        return ()

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return completions of `prompt` that are nearly right and should not pass; the same on each call.

        Made from the prompt's reference: a changed operator, an answer for other rows, a number off by one.
        `halo audit` reports those that pass: either the prompt has too few checks, or the verifier leaks.
        """
        return ()

    def told_apart(self, prompt: Prompt) -> tuple[int, int] | None:
        """Return how many mutants of the reference the checks of `prompt` tell apart from it, and of how many.

        For verifiers that choose their checks by mutants; all mutants count, the equivalent ones too. `halo audit`
        prints the numbers. None if they are not known.
        """
        return None

    def copied_answers(self, prompt: Prompt) -> Sequence[str]:
        """Return completions that repeat a part of the prompt as their answer and should not pass.

        Made from the prompt's text: an expression that the task asks to evaluate. `halo audit` reports those that pass.
        """
        return ()

    def attacks(self) -> Sequence[Attack]:
        """Return the verifier's own collection of wrong answers crafted to be accepted."""
        return ()

    def fingerprint(self) -> str:
        """Return everything that a verdict depends on besides prompt and text: options, versions of tools.

        `VerifierSet` adds the version of the verifier's package or file. Verdicts are reused only under an equal
        fingerprint.
        """
        return repr(self)

    def demo(self) -> Demo | None:
        """Return the domain's demo, or None if it has none."""
        return None


class Reward(Driver):
    """Turns a verdict into a number."""

    @abstractmethod
    def reward(self, sample: Sample) -> float | None:
        """Return the reward of a sample whose verdict is pass or fail: a finite number, or None if not eligible."""

    def explain(self, sample: Sample) -> str:
        """Return why `sample` has its reward, in a few words; empty if the verdict's stage explains it."""
        return ""


class Selector(Driver):
    """Chooses the samples to train on."""

    @abstractmethod
    def select(self, samples: Sequence[Sample], context: SelectionContext) -> Sequence[Sample]:
        """Return the samples to train on, each with its `weight` set.

        `samples` all have a reward. `context.seed` breaks ties; the order of `samples` must not.
        """

    def explain(self, sample: Sample, peers: Sequence[Sample]) -> str:
        """Return why `sample` was not selected, in a few words; may be empty.

        `peers` are the samples of its prompt in the same cycle, itself included, with the weights they were selected
        with; 0: not selected.
        """
        return ""


class Trainer(Driver):
    """Changes the actor's weights."""

    def check_model(self, actor: Actor) -> None:
        """Raise a `ModelError` if the model of `actor` cannot be trained so. Called once, before anything is sampled.

        The default checks that the adapter of a trainer with `TrainingOptions` fits the model.
        """
        if isinstance(self, TrainingOptions):
            check_model(actor, self)

    def check_lr(self, lr: float, actor: Actor) -> str:
        """Return a warning if `lr`, the learning rate of the next cycle, does not suit the method; "" by default.

        Called before the cycle samples. `actor` has the model, whose size matters.
        """
        return ""

    @abstractmethod
    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        """Train `context.actor` in place on `samples`; return the statistics, with `lr` set to `context.lr`.

        Raises a `TrainingError` if the weights could not have changed, and a `DivergedError` if they are no longer
        finite.
        """


class LRPolicy(Driver):
    """Sets the learning rate of each cycle."""

    @abstractmethod
    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the peak learning rate for `cycle` (1 .. `cycles`), positive and finite.

        `history` has the reports of cycles 0 .. cycle - 1 and is the only state, so that a resumed run gets the same
        learning rates. Must be callable with an empty history (dry runs).
        """


class Workers:
    """Processes that do the work of a run; what `Cluster.open` returns.

    A method that returns None leaves its work to halo's own process, as the defaults do. The results must be those of
    halo's own process: a batch depends on its request alone, and a training on its samples, options and seed.
    """

    tier: Tier | None = None
    """The weakest tier of the sandboxes in which completions are verified; None: none is verified elsewhere."""
    in_flight: int = 4
    """Batches that may wait for their verdicts before sampling pauses; half of them are verified at once."""

    def generate(
        self, request: SamplingRequest, context: SamplingContext
    ) -> Iterator[Sequence[Completion]] | None:
        """Return the batches of `request` in order, without the first `request.done`.

        They are those of the configured generator. `context.actor` has the weights that the request names; each worker
        must prove that it samples with them.
        """
        return None

    def verify(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Completion],
        interrupt: Callable[[], None],
    ) -> Sequence[Verdict] | None:
        """Return the verdict of the configured verifiers on each completion; `prompts[i]` belongs to `completions[i]`.

        Called in threads. `interrupt` is called now and then; it raises `Interrupted` after Ctrl-C.
        """
        return None

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats | None:
        """Train as the configured trainer does, and leave the trained weights in `context.actor`."""
        return None

    def status(self) -> str:
        """Return what the workers do now, in a few words for a progress bar: "samplers 2/2, verifiers 5/8"."""
        return ""

    def waits(self) -> Mapping[str, float]:
        """Return the mean seconds that a worker of each role has waited since the last call, by role."""
        return {}

    def close(self) -> None:
        """End the workers. Called once, however the run ends."""
        return


class Cluster(Driver):
    """Does the work of a run in other processes, here or on other machines.

    What it does never changes a run's result, so a run can be resumed with another cluster or other options.
    """

    @abstractmethod
    def open(self, context: ClusterContext) -> Workers:
        """Start or connect to the workers.

        Called once, after the configuration and the machine have been checked. Raises a `HaloError` if that is
        impossible.
        """

    def describe(self) -> Sequence[str]:
        """Return lines for `halo doctor` on what is there to work with; called with the default options.

        `halo doctor` calls it in a process of its own, for at most 20 seconds. Must neither start nor change anything.
        """
        return ()
