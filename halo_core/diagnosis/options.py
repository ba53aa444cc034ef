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
    """When a measurement speaks for a cause. docs/doctor.md says which rule reads which."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.99
    """Confidence at which a difference counts as one, for all cycles together, each compared with the first
    and the best: with more cycles each comparison must be clearer."""
    patience: Count = 3
    """Cycles without a gain after which their lack is a finding."""

    regression_points: Share = 0.02
    """Smallest fall of the pass rate from its best that counts, as a share: 0.02 is 2 points."""
    plateau_points: Share = 0.02
    """A cycle whose change of the held-out pass rate is within this, interval and all, gained nothing."""
    slow_points: Share = 0.01
    """Gain of the pass rate per cycle below which a run whose model hardly moves is slow."""
    ceiling: Share = 0.95
    """Held-out pass rate from which little is left to gain."""

    kl_high: Positive = 0.1
    """KL(before || after) of a cycle, nats per token, from which its steps count as too large."""
    kl_jump: Annotated[float, Field(gt=1)] = 5.0
    """The same, as a multiple of the KL of the first cycle."""
    kl_low: Positive = 1e-3
    """KL of a cycle below which the model hardly moved."""
    update_high: Positive = 1.0
    """Change of the trained weights in a cycle, relative to their norm, from which it counts as too large."""
    update_low: Positive = 5e-3
    """The same, below which the weights hardly moved; used where the KL is not known."""
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
    """A step's loss so many deviations (scaled median absolute ones) above the steps before it is a spike."""
    spike_ratio: Annotated[float, Field(gt=1)] = 2.0
    """And so many times as high."""
    clipped: Share = 0.5
    """Share of the steps with clipped gradients that supports a rate that is too high."""
    repetition: Share = 0.5
    """Distinct share of the completions, relative to the first cycle's, below which the model repeats itself."""

    min_steps: Count = 10
    """Optimizer steps of a cycle below which their number may be what keeps the model from moving."""
    warmup_reached: Share = 0.9
    """Share of the set rate that the steps of a cycle must reach."""
    sampler_off: Positive = 0.1
    """Nats per token by which the sampler's log-probabilities may be off those of the trained weights."""

    errors: Share = 0.02
    """Share of completions that the verifier may fail to judge."""
    paid_gap: Share = 0.05
    """Fall of the share of valid completions that pass, from which wrong ones count as being taught."""
    leak_gap: Share = 0.05
    """Growth of the difference between the pass rates of training and held-out prompts that counts."""

    leak_unsolved: Share = 0.2
    """Share of the never solved training prompts that a leak leaves unsolved, at most: what fools a verifier does
    so on all prompts."""

    truncated: Share = 0.1
    """Share of completions cut short by the token limit that is too many."""
    truncated_rise: Share = 0.05
    """Rise of that share since the first cycle that counts."""
    entropy_drop: Share = 0.5
    """Token entropy relative to the first, below which it speaks for narrowing."""
    distinct_drop: Share = 0.6
    """Distinct share of the correct completions relative to the first, below which it does."""
    exposure: Share = 0.6
    """Gini coefficient of the completions kept for each prompt, from which it does."""
    narrowing_signs: Annotated[int, Field(ge=1, le=4)] = 2
    """How many of the four signs of narrowing must agree."""
    all_pass: Share = 0.5
    """Share of the training prompts that are always solved, from which they are used up."""
    all_fail: Share = 0.8
    """Share of the training prompts that are never solved, from which they are too hard."""

    legacy_grad_band: bool = False
    """Also judge by the bands of gradient norms in the notes: at the clip too high, below 0.05 too low. Trainers
    log the norm before clipping, so the bands do not mean what they seem to; notices only."""
    legacy_max_grad_norm: Positive = 0.3
    """The clip that the bands are about."""
