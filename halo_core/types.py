"""The values that travel through the loop. All are frozen; a step makes new ones.

    Prompt -> Completion -> Verdict -> Sample (with a reward, then a weight) -> TrainStats -> CycleReport

Cycles are counted from 1. Cycle 0 is the model before any training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Split = Literal["train", "heldout"]
FinishReason = Literal["stop", "length"]


class Status(StrEnum):
    """What a verifier concluded. Only `PASS` and `FAIL` ever reach a reward."""

    PASS = "pass"
    """Everything the prompt asked to be checked was checked and holds."""
    FAIL = "fail"
    """The completion is at fault."""
    ERROR = "error"
    """The verifier or the machine is at fault; says nothing about the completion."""
    INCONCLUSIVE = "inconclusive"
    """The wall clock ran out though the CPU budget was not used; says nothing about the completion."""


class Stage(StrEnum):
    """The furthest rung that a completion reached, lowest first."""

    INVALID = "invalid"
    """Not well-formed: does not parse, compile or hold an answer."""
    FLAWED = "flawed"
    """Well-formed, but with warnings or a forbidden construct, and for that not taken further."""
    UNTESTED = "untested"
    """Well-formed and clean; the prompt gives nothing by which to tell whether it is right."""
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
    """A task for the model, with what its verifier needs to judge an answer."""

    id: str
    """Unique within its file; stable across runs."""
    text: str = ""
    """The task as plain text. Empty when `messages` is given."""
    messages: tuple[Mapping[str, str], ...] = ()
    """The task as chat messages (`role`, `content`), instead of `text`."""
    verifier: str = ""
    """Name of the verifier that judges this prompt; empty: the run's first."""
    reference: Mapping[str, Any] = field(default_factory=dict)
    """What the verifier judges by, in the verifier's own form (tests, a query, an answer, a schema)."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Anything else the data file held; never shown to the model."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer sampled from the model. The token ids are what was sampled and what is trained on."""

    prompt_id: str
    index: int
    """0 .. samples_per_prompt - 1."""
    text: str
    """`token_ids` decoded without special tokens."""
    prompt_token_ids: tuple[int, ...] = ()
    """The context that the model saw, unpadded."""
    token_ids: tuple[int, ...] = ()
    """The sampled ids, the end token included when there was one, unpadded."""
    finish_reason: FinishReason = "stop"
    """`length` when the token limit cut the completion short."""
    logprob: float | None = None
    """Sum over `token_ids` of log p in nats at temperature 1 under the sampled model; None if not recorded."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier found, and under which sandbox."""

    status: Status
    stage: Stage
    score: float = 0.0
    """Share of the prompt's checks that passed, 0 to 1."""
    warnings: int = 0
    """Diagnostics that do not keep the completion from running (compiler warnings, say)."""
    detail: str = ""
    """One to a few lines for a person: the first diagnostic, the failing test."""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    sandbox: str = "none"
    """The tier that held while untrusted code ran; `none` where nothing was run."""
    integrity: str = "split"
    """`split` when what judged the completion was out of its reach; `shared-process` when it was not, so that
    a completion could have forged the verdict."""

    @property
    def judged(self) -> bool:
        """Whether it says something of the completion: a pass or a fail, no error and nothing inconclusive."""
        return self.status in (Status.PASS, Status.FAIL)

    @property
    def valid(self) -> bool:
        """Whether the completion got past the first rung (compiles, parses)."""
        return self.stage is not Stage.INVALID


@dataclass(frozen=True, slots=True)
class Sample:
    """A completion with its prompt, its verdict and what became of it."""

    prompt: Prompt
    completion: Completion
    verdict: Verdict
    reward: float | None = None
    """None until rewarded, and for ever when the verdict is neither pass nor fail."""
    weight: float = 1.0
    """How much it counts in training: k for k identical completions trained once; may be negative."""


@dataclass(frozen=True, slots=True)
class Round:
    """One request to a generator.

    The generator splits it into batches in a way that depends on the round alone, numbers them from 0,
    seeds batch b with `derive_seed(seed, b)`, and begins after the first `done` batches. So a round that
    was interrupted and is asked for again yields the same completions as one that was not.
    """

    cycle: int
    split: Split
    prompts: tuple[Prompt, ...]
    samples_per_prompt: int
    seed: int
    done: int = 0
    """Batches that are on disk already."""


@dataclass(frozen=True, slots=True)
class TrainStats:
    """What one cycle's training did. Norms are L2, losses nats per completion token."""

    steps: int
    """Optimizer steps."""
    samples: int
    """Distinct sequences trained on in one epoch."""
    tokens: int
    """Completion tokens that carried loss, over all epochs."""
    loss_first: float
    """Mean over the first optimizer step's tokens, before it."""
    loss_last: float
    """Mean over the last optimizer step's tokens, before it."""
    lr_peak: float
    lr_sum: float
    """Learning rate summed over the optimizer steps: the cycle's update budget."""
    grad_norm_median: float
    """Before clipping."""
    clipped_fraction: float
    """Share of the steps whose gradient norm exceeded `max_grad_norm`."""
    update_norm: float
    """Norm of the change of all trained weights over the cycle."""
    weight_norm: float = 0.0
    """Norm of all trained weights after it."""
    kl: float | None = None
    """KL(before || after) over the tokens of the cycle's samples, nats per token; see `canary`. None when the
    actor cannot tell log-probabilities."""
    shift: float | None = None
    """How far training moved the log-probabilities of whole completions, absolute, in nats per token; see `canary`."""
    losses: tuple[float, ...] = ()
    """Of each optimizer step, before it."""
    grad_norms: tuple[float, ...] = ()
    """Of each optimizer step, before clipping."""
    notes: tuple[str, ...] = ()
    """What was questionable about it, in a sentence each: a warmup that takes half the steps, say."""
    retries: int = 0
    """How often it diverged first and was begun again at a tenth of the rate; the loop fills this in."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of the completions of one split in one cycle, errors and inconclusive verdicts left out."""

    samples: int
    """Completions with a verdict of pass or fail."""
    valid: float
    """Share past the first rung (for a compiler: compiles)."""
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
    truncated: float
    """Share of completions cut short by the token limit."""
    distinct: float
    """Distinct (prompt, text) pairs over completions."""
    distinct_correct: float = 0.0
    """The same among the completions that passed, up to white space: how many ways of being right are left."""
    entropy: float | None = None
    """Mean of -log p over the sampled tokens, nats at temperature 1: an estimate of the token entropy where
    sampling was at temperature 1 too. None when the generator records no log-probabilities."""
    all_pass: float = 0.0
    """Share of the prompts of which every completion passed: nothing is left to learn from them."""
    all_fail: float = 0.0
    """Share of the prompts of which none did: nothing can be learnt from them yet."""
    pass_at: Mapping[str, float] = field(default_factory=dict)
    """pass@k for k = 1, 2, 4, ... up to the completions of a prompt, unbiased: mean over prompts of
    1 - C(n - c, k) / C(n, k), with c of n completions passing (Chen et al. 2021, arXiv 2107.03374)."""
    prompts: int = 0
    """Prompts with a completion that was judged; 0 where an earlier halo did not count them."""


@dataclass(frozen=True, slots=True)
class Change:
    """How much a rate changed between two sets of samples of the same prompts, in shares (0.12 = 12 points)."""

    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    """95% paired bootstrap interval of the difference, prompts resampled."""

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


@dataclass(frozen=True, slots=True)
class CycleReport:
    """Everything a cycle measured. Cycle 0 has held-out rates only."""

    cycle: int
    heldout: Rates | None = None
    """Of the model after the cycle, on prompts it never trained on: the run's result."""
    lr: float = 0.0
    """The rate that it was trained at: what the policy set, over ten for each retry after a divergence."""
    rates: Rates | None = None
    """Of the completions sampled for training, by the model before the cycle's training."""
    reward_mean: float = 0.0
    selected: int = 0
    """Sequences handed to the trainer; duplicates merged into weights count once."""
    train: TrainStats | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds by stage: sample (generate and verify side by side), train, heldout."""
    started_from: int = 0
    """The cycle whose weights this one's training began with; 0: the model before any."""
    kept_gini: float = 0.0
    """Gini coefficient of the completions selected for each prompt: 0 when every prompt gives as many, near
    1 when a few give all."""
    improvement: Change | None = None
    """Of the held-out pass rate, on the cycle before."""
    best: int | None = None
    """The earlier cycle with the highest held-out pass rate."""
    versus_best: Change | None = None
    """Of the held-out pass rate, on that cycle."""
    canary: float | None = None
    """How far the sampler's log-probabilities are from those that the trained weights give, mean over tokens of
    the absolute difference, in nats; see `canary`."""
