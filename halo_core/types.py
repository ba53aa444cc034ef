"""The values that travel through the loop. All are frozen; each step returns new ones.

    Prompt -> Completion -> Verdict -> Sample (with a reward, then a weight) -> TrainStats -> CycleReport

Cycles are counted from 1. Cycle 0 is the model before any training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

Split = Literal["train", "heldout"]
FinishReason = Literal["stop", "length"]


class Status(StrEnum):
    """The conclusion of a verifier. Only `PASS` and `FAIL` ever reach a reward."""

    PASS = "pass"
    """Every check that the prompt asks for was run and holds."""
    FAIL = "fail"
    """The completion is at fault."""
    ERROR = "error"
    """The verifier or the machine is at fault; the completion is neither right nor wrong."""
    INCONCLUSIVE = "inconclusive"
    """The wall clock ran out although the CPU budget was not used; the completion is neither right nor wrong."""


class Stage(StrEnum):
    """The furthest stage that a completion reached, lowest first."""

    INVALID = "invalid"
    """Not well-formed: does not parse, does not compile, or contains no answer."""
    FLAWED = "flawed"
    """Well-formed, but stopped here for warnings or a forbidden construct."""
    UNTESTED = "untested"
    """Well-formed and clean; the prompt has no tests that could tell whether it is right."""
    CRASHED = "crashed"
    """Ran, and ended by a signal, an exception, a non-zero exit or a limit."""
    WRONG = "wrong"
    """Ran cleanly to a wrong answer."""
    CORRECT = "correct"
    """Every check passed."""

    @property
    def rank(self) -> int:
        """Position on the ladder, 0 for `INVALID`."""
        return _LADDER.index(self)


_LADDER = tuple(Stage)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task for the model, with the data that its verifier needs to check an answer."""

    id: str
    """Unique within its file; stable across runs."""
    text: str = ""
    """The task as plain text. Empty when `messages` is given."""
    messages: tuple[Mapping[str, str], ...] = ()
    """The task as chat messages (`role`, `content`), instead of `text`."""
    verifier: str = ""
    """Name of the verifier of this prompt; empty: the run's first."""
    reference: Mapping[str, Any] = field(default_factory=dict)
    """Data for the verifier, in the verifier's own form (tests, a query, an answer, a schema)."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """The other columns of the data file; never shown to the model."""
    place: str = field(default="", compare=False, repr=False)
    """File and line that the prompt was read from, for messages; empty if unknown. Not stored."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer sampled from the model. Training uses the sampled token ids; nothing is tokenized again."""

    prompt_id: str
    index: int
    """0 .. samples_per_prompt - 1; later rounds of a cycle continue the numbers of a prompt."""
    text: str
    """The answer as it is verified: `token_ids` decoded without special tokens, up to a stop text, after
    the beginning of the answer that `prompt_token_ids` end with, if they do (an open thought, a prefill)."""
    prompt_token_ids: tuple[int, ...] = ()
    """The context that the model saw, unpadded."""
    token_ids: tuple[int, ...] = ()
    """Every id after the context, the end token included if there is one, unpadded."""
    finish_reason: FinishReason = "stop"
    """`length` if the token limit cut the completion short."""
    logprobs: tuple[float, ...] | None = None
    """The sampler's log p of each of `token_ids`, in nats at temperature 1, without top_p and top_k; stored as
    float32. The value of a token that the model did not write is ignored. None if not recorded."""
    loss_mask: tuple[bool, ...] | None = None
    """True for each of `token_ids` that the model wrote: text inserted by a tool or an environment carries no loss.
    None: the model wrote all of them."""

    @property
    def written(self) -> int:
        """Number of tokens that the model wrote."""
        return len(self.token_ids) if self.loss_mask is None else sum(self.loss_mask)

    @property
    def logprob(self) -> float | None:
        """Sum of `logprobs` over the tokens that the model wrote; None if not recorded."""
        if self.logprobs is None:
            return None
        if self.loss_mask is None:
            return sum(self.logprobs)
        return sum(value for value, own in zip(self.logprobs, self.loss_mask, strict=True) if own)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of verifying a completion, and the sandbox tier that was in force."""

    status: Status
    stage: Stage
    score: float = 0.0
    """Share of the prompt's checks that passed, 0 to 1."""
    warnings: int = 0
    """Diagnostics that do not stop the completion from running, such as compiler warnings."""
    detail: str = ""
    """One to a few lines for a person: the first diagnostic, the failing test."""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    sandbox: str = "none"
    """The sandbox tier in which untrusted code ran; `none` if none ran."""
    integrity: str = "split"
    """`split` if the checks ran where the completion could not reach them; `shared-process` if they shared its process,
    so that a completion could have forged the verdict."""
    signals: Mapping[str, float] = field(default_factory=dict)
    """Named finite numbers beside the score that a reward may weigh: format, length, another verifier's score."""

    @property
    def conclusive(self) -> bool:
        """True for a pass or a fail, the two statuses that get a reward."""
        return self.status in (Status.PASS, Status.FAIL)

    @property
    def valid(self) -> bool:
        """True if the completion got past the first stage (compiles, parses)."""
        return self.stage is not Stage.INVALID


@dataclass(frozen=True, slots=True)
class Sample:
    """A completion with its prompt, its verdict, its reward and its weight in training."""

    prompt: Prompt
    completion: Completion
    verdict: Verdict
    reward: float | None = None
    """None before the reward step. Afterwards None means not eligible for selection: the verdict is neither pass
    nor fail, or the reward driver excluded it."""
    weight: float = 1.0
    """Weight in the loss: k for k identical completions trained once; may be negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRequest:
    """One request to a generator.

    The generator splits it into batches in a way that depends on the request alone, numbers them from 0, seeds batch b
    with `derive_seed(seed, b)`, and starts after the first `done` batches. A request that was interrupted and is
    repeated therefore yields the same completions as one that was not.
    """

    cycle: int
    split: Split
    prompts: tuple[Prompt, ...]
    samples_per_prompt: int
    seed: int
    done: int = 0
    """Batches that are already stored."""
    adapter: Path | None = None
    """Absolute path of the weights to sample with, as `halo_core.model.actor.Actor.save` wrote them. None: the run's
    model before training."""
    weights_hash: str = ""
    """SHA-256 of the files in `adapter`; empty without one. It changes exactly when the weights do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainStats:
    """The record of one cycle's training. Norms are L2. Losses are those of the trainer, for `sft` nats per token."""

    lr: float
    """The cycle's peak learning rate, as the trainer was given it. Warmup may keep every step below it."""
    steps: int
    """Optimizer steps."""
    samples: int
    """Distinct sequences trained on in one epoch."""
    tokens: int
    """Completion tokens that carried loss, over all epochs."""
    loss_first: float
    """Loss of the first optimizer step, before that step; for `sft` the mean over its tokens."""
    loss_last: float
    """Loss of the last optimizer step, before that step."""
    lr_peak: float
    """Highest learning rate of any optimizer step."""
    lr_sum: float
    """Learning rate summed over the optimizer steps: the cycle's update budget."""
    grad_norm_median: float
    """Median gradient norm of the steps, before clipping."""
    clipped_fraction: float
    """Share of the steps whose gradient norm exceeded `max_grad_norm`."""
    update_norm: float
    """Norm of the change of all trained weights over the cycle."""
    weight_norm: float = 0.0
    """Norm of all trained weights after the cycle."""
    kl: float | None = None
    """KL(before || after) over the tokens of the cycle's samples, nats per token; see `run.sampler_check`. None if the
    actor cannot compute log-probabilities."""
    logprob_shift: float | None = None
    """Mean absolute change of the log-probability of whole completions, in nats per token; see `run.sampler_check`."""
    losses: tuple[float, ...] = ()
    """Loss of each optimizer step, before that step."""
    grad_norms: tuple[float, ...] = ()
    """Gradient norm of each optimizer step, before clipping."""
    notes: tuple[str, ...] = ()
    """Warnings about the training, one sentence each: a warmup that takes half the steps, for example."""
    objective: Literal["imitation", "preference", "policy"] = "imitation"
    """How the trainer uses completions. `imitation`: it makes all of them likelier. `preference`: it makes some
    likelier than others. `policy`: it follows a policy gradient, whose loss does not measure progress."""
    retries: int = 0
    """Restarts after a divergence, each at a tenth of the learning rate before it; set by the loop."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The trainer's own statistics by name, each the mean over what it was computed for in all steps: entropy, ratio,
    the share of clipped tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalMetrics:
    """Metrics of the completions of one split in one cycle.

    `truncated`, `distinct` and `entropy` cover all completions, the other metrics those with a conclusive verdict.
    """

    samples: int
    """Completions with a verdict of pass or fail."""
    valid: float
    """Share past the first stage (for a compiler: compiles)."""
    passed: float
    """Share with a verdict of pass."""
    valid_interval: tuple[float, float]
    """95% bootstrap interval, prompts resampled."""
    passed_interval: tuple[float, float]
    """95% bootstrap interval, prompts resampled."""
    stages: Mapping[str, int]
    """Count for each stage."""
    errors: int
    """Verdicts of error."""
    inconclusive: int
    """Inconclusive verdicts."""
    truncated: float
    """Share of completions cut short by the token limit."""
    distinct: float
    """Distinct (prompt, text) pairs over completions."""
    distinct_correct: float = 0.0
    """The same among the completions that passed, ignoring white space: a measure of the diversity that is left."""
    entropy: float | None = None
    """Mean of -log p over the sampled tokens, nats at temperature 1: an estimate of the token entropy if
    sampling was at temperature 1 too. None if the generator records no log-probabilities."""
    all_pass: float = 0.0
    """Share of the prompts with only passing completions: they have nothing left to teach."""
    all_fail: float = 0.0
    """Share of the prompts with no passing completion: they cannot teach anything yet."""
    pass_at: Mapping[str, float] = field(default_factory=dict)
    """pass@k for k = 1, 2, 4, ... up to the completions of a prompt, unbiased: mean over prompts of
    1 - C(n - c, k) / C(n, k), with c of n completions passing (Chen et al. 2021, arXiv 2107.03374)."""
    warned: float = 0.0
    """Share with warnings; 0 in reports that an early version of halo wrote without counting them."""
    unfinished: float = 0.0
    """Share of completions that the token limit cut short within their reasoning; part of `truncated`. 0 in reports
    that an early version of halo wrote without counting them."""
    length: float = 0.0
    """Mean number of tokens that the model wrote; 0 in reports that an early version of halo wrote without it."""
    prompts: int = 0
    """Prompts with a conclusive verdict; 0 in reports that an early version of halo wrote without counting them."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The difference of a share between two sets of samples of the same prompts: 0.12 is 12 percentage points."""

    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    """95% paired bootstrap interval of the difference, prompts resampled."""

    @property
    def significant(self) -> bool:
        """True if the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReport:
    """Everything measured in a cycle. Cycle 0 has held-out metrics only."""

    cycle: int
    heldout: EvalMetrics | None = None
    """Metrics of the model after the cycle, on prompts it never trained on: the run's result."""
    lr: float = 0.0
    """Learning rate of the training: `TrainStats.lr`."""
    sampled: EvalMetrics | None = None
    """Metrics of the completions sampled for training, from the model before the cycle's training."""
    sampled_from: int | None = None
    """The cycle whose weights sampled them; None in reports of early versions of halo."""
    reward_mean: float = 0.0
    selected: int = 0
    """Sequences handed to the trainer; duplicates merged into weights count once."""
    selected_prompts: int = 0
    """Prompts of which a completion was handed to the trainer; 0 in reports of early versions of halo."""
    rounds: tuple[int, ...] = ()
    """With sampling in rounds of n completions, how many completions are the first, second, ... n of their prompt.
    `sampled` and `reward_mean` are those of the first round, which samples every prompt equally. Empty: the cycle
    sampled once."""
    train: TrainStats | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds by stage: sample (generation and verification, which overlap), train, heldout."""
    waits: Mapping[str, float] = field(default_factory=dict)
    """Mean seconds that a worker of a cluster waited for the others, by role: samplers, verifiers, trainers. Empty
    without a cluster."""
    started_from: int = 0
    """The cycle whose weights this cycle's training started from; 0: the model before any training."""
    kept_gini: float = 0.0
    """Gini coefficient of the completions selected for each prompt: 0 if every prompt contributes equally, near
    1 if a few contribute all."""
    improvement: PairedDifference | None = None
    """Difference of the held-out pass rate from the cycle before."""
    best: int | None = None
    """The earlier cycle with the highest held-out pass rate."""
    versus_best: PairedDifference | None = None
    """Difference of the held-out pass rate from cycle `best`."""
    sampler_error: float | None = None
    """Distance of the sampler's log-probabilities from those of the trained weights: mean absolute difference of
    whole completions, in nats per token; see `run.sampler_check`."""
    sampler_unchecked: bool = False
    """True if the generator recorded no log-probabilities of the held-out completions, so that it could not be checked
    whether it samples with the trained weights."""
    heldout_changed: float | None = None
    """Share of the held-out completions with another text than in the cycle before: 0 if the generator ignores the
    training. All held-out requests have the same seed. None in cycle 0."""
