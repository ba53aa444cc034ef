"""Every threshold of the rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from halo_core.config.options import driver

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


@driver
class Thresholds:
    """The limits from which measurements support a cause. docs/doctor.md lists the rule that reads each."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.99
    """Confidence at which a difference counts, for all cycles together, each compared with the first and the
    best: with more cycles, each comparison must be clearer."""
    patience: Count = 3
    """Cycles without a gain after which the lack of one is a finding."""

    regression_points: Share = 0.02
    """Smallest fall of the pass rate from its best that counts, as a share: 0.02 is 2 points."""
    plateau_points: Share = 0.02
    """A cycle gained nothing if the whole interval of its change of the held-out pass rate is within this."""
    slow_points: Share = 0.01
    """Gain of the pass rate per cycle below which a run whose model hardly moves is slow."""
    ceiling: Share = 0.95
    """Held-out pass rate from which little is left to gain."""

    kl_high: Positive = 0.04
    """KL(before || after) of a cycle, nats per token, from which its steps count as too large. In the studies, cycles
    after the first that were above it lost pass rate on average."""
    kl_jump: Annotated[float, Field(gt=1)] = 5.0
    """The same, as a multiple of the KL of the first cycle."""
    kl_low: Positive = 1e-3
    """KL of a cycle below which the model hardly moved."""
    update_high: Positive = 1.0
    """Change of the trained weights in a cycle, relative to their norm, from which it counts as too large."""
    update_low: Positive = 5e-3
    """The same, below which the weights hardly moved; used if the KL is unknown."""
    collapse: Share = 0.5
    """Valid rate, relative to that of the best cycle, below which the model has collapsed."""
    loss_rise: Positive = 0.25
    """Rise of the training loss over a cycle, relative to its start, that counts as divergence if it is a
    significant trend."""
    alternation: Annotated[float, Field(gt=-1, lt=0)] = -0.4
    """Lag-1 autocorrelation of the detrended step losses at or below which they oscillate, if significant."""
    variation: Positive = 0.2
    """Smallest spread of the step losses, relative to their median, for an oscillation to matter."""
    spike_deviations: Positive = 6.0
    """Scaled median absolute deviations above the preceding steps from which a step's loss is a spike."""
    spike_ratio: Annotated[float, Field(gt=1)] = 2.0
    """Ratio to the preceding steps' loss that a spike must also have."""
    clipped: Share = 0.5
    """Share of the steps with clipped gradients that supports a learning rate that is too high."""
    repetition: Share = 0.5
    """Distinct share of the completions, relative to the first cycle's, below which the model repeats itself."""

    min_steps: Count = 10
    """Optimizer steps of a cycle below which their number may be what keeps the model from moving."""
    warmup_reached: Share = 0.9
    """Share of the configured learning rate that the steps of a cycle must reach."""
    sampler_off: Positive = 0.1
    """Nats per token by which the sampler's log-probabilities may differ from those of the trained weights."""

    errors: Share = 0.02
    """Share of completions that may end without a verdict of pass or fail."""
    paid_gap: Share = 0.05
    """Fall of the share of valid completions that pass, from which the model counts as learning wrong answers."""
    failures_selected: Share = 0.1
    """Share of the selected completions that provably did not pass, from which it counts. On the gcc demo, a
    model that was trained on them ended 19 to 22 points lower."""
    enough_passes: Share = 0.2
    """Share of the training samples that pass from which a model does not need the others to learn from."""
    leak_gap: Share = 0.05
    """Growth of the difference between the pass rates of training and held-out prompts that counts."""

    leak_unsolved: Share = 0.2
    """Largest share of the never solved training prompts that a leak leaves unsolved: a trick that fools a verifier
    works on every prompt."""

    truncated: Share = 0.1
    """Share of completions cut short by the token limit above which it is too large."""
    truncated_rise: Share = 0.05
    """Smallest rise of that share since the first cycle that counts."""
    entropy_drop: Share = 0.5
    """Token entropy, relative to the first cycle's, below which it is a sign of narrowing."""
    distinct_drop: Share = 0.6
    """Distinct share of the correct completions, relative to the first cycle's, below which it is a sign of
    narrowing."""
    exposure: Share = 0.6
    """Gini coefficient of the completions selected for each prompt, from which it is a sign of narrowing."""
    narrowing_signs: Annotated[int, Field(ge=1, le=4)] = 2
    """Number of the four signs of narrowing that must agree."""
    all_pass: Share = 0.5
    """Share of the training prompts that are always solved, from which they are exhausted."""
    all_fail: Share = 0.8
    """Share of the training prompts that are never solved, from which they are too hard."""

    drift: Positive = 0.1
    """Mean divergence of the policy from the one that sampled, over a cycle's steps, from which it went too far."""
    clip_share: Share = 0.3
    """Share of the tokens whose ratio is at its clip, from which a cycle trains too long on its samples."""
    contrast: Share = 0.2
    """Share of the prompts with different rewards below which too few teach a policy gradient."""
    entropy_collapse: Share = 0.3
    """Entropy of the policy in training, relative to the first cycle's, below which it has collapsed."""
    length_growth: Annotated[float, Field(gt=1)] = 1.5
    """Ratio of the mean length of completions to the first from which, without a gain, it counts."""
    hacked_reward: Positive = 0.05
    """Rise of the mean reward that counts if the pass rate of the same completions does not rise."""

    legacy_grad_band: bool = False
    """Also apply the gradient-norm bands of the halo-forge notes: at the clipping norm the learning rate is too high,
    below 0.05 too low. Trainers log the norm before clipping, so the bands do not mean what they seem to; notices
    only."""
    legacy_max_grad_norm: Positive = 0.3
    """The clipping norm that the bands refer to."""
