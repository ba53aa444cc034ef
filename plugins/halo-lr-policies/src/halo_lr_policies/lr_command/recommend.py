"""Recommended learning rates: a base value by method, adjusted to a setup, with sources and confidence.

They are starting points for a sweep of three or more learning rates, not answers. The evidence for each adjustment is
weak, and its confidence is stated. "The halo-forge notes" are the notes that halo grew out of, together with a
heuristic from the Unsloth community. Where they disagree with published practice, the recommendation names both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from halo_core.errors import ConfigError, did_you_mean
from halo_core.model.rates import SIZE, size_factor
from halo_core.model.schedule import effective_steps, warmup_advice, warnings_for
from halo_core.tables import spell
from halo_lr_policies.lr_command.defaults import ALPHA, BATCH, RANK

Method = Literal["sft", "raft", "dpo", "grpo", "ppo"]
METHODS: tuple[Method, ...] = get_args(Method)
Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Base:
    """A learning rate for the setup that needs no adjustment."""

    lr: float
    low: float
    high: float
    confidence: Confidence
    source: str
    notes_range: tuple[float, float]
    """Lowest and highest learning rate in the halo-forge notes."""


_TENFOLD = "ten times full fine-tuning (thinkingmachines.ai/blog/lora)"
_ZEPHYR, _TULU = "Zephyr (alignment-handbook)", "Tulu 3 (arXiv 2411.15124)"
BASES: Mapping[tuple[Method, bool], Base] = {
    ("sft", True): Base(
        2e-5, 5e-6, 5e-5, "high", f"{_ZEPHYR} 2e-5; {_TULU} 5e-6 (8B), 2e-6 (70B)", (1e-5, 5e-5)
    ),
    ("sft", False): Base(
        2e-4, 1e-4, 5e-4, "high",
        f"{_ZEPHYR} QLoRA 2e-4; Tinker's sweep (tinker-cookbook) 3e-4 to 1e-3 at batch 128; {_TENFOLD}",
        (5e-5, 3e-4),
    ),
    ("raft", True): Base(
        5e-6, 1e-6, 2e-5, "medium",
        "RAFT (arXiv 2304.06767, LMFlow) 2e-5; B-STaR (2412.17256) 4.12e-6 falling to 2e-7; STaR (2203.14465)"
        " and Minimal-RL (2504.11343) 1e-6",
        (1e-5, 5e-5),
    ),
    ("raft", False): Base(
        7.5e-5, 1e-5, 3e-4, "medium",
        "no published system; fifteen times full fine-tuning, as in runs of less than 100 steps"
        " (thinkingmachines.ai/blog/lora); halo's default, with the adjustment for the size",
        (1e-5, 5e-5),
    ),
    ("dpo", True): Base(
        5e-7, 2e-7, 1e-6, "high", f"{_ZEPHYR} 5e-7; {_TULU} 5e-7 (8B), 2e-7 (70B); TRL's default 1e-6", (5e-6, 5e-6)
    ),
    ("dpo", False): Base(5e-6, 2e-6, 1e-5, "high", f"{_ZEPHYR} QLoRA 5e-6; {_TENFOLD}", (5e-6, 5e-6)),
    ("grpo", True): Base(
        1e-6, 5e-7, 2e-6, "high", "TRL's default, verl's examples, DAPO (arXiv 2503.14476) and TinyZero, all 1e-6",
        (5e-6, 1e-5),
    ),
    ("grpo", False): Base(
        1e-5, 5e-6, 1e-4, "medium",
        "TRL's SmolLM3 recipe 1e-5; tinker-cookbook 1e-5 to 1e-4; Fireworks' default 1e-4, range 1e-5 to 5e-4",
        (5e-6, 1e-5),
    ),
    ("ppo", True): Base(
        1e-6, 1e-7, 3e-6, "medium", f"{_TULU} 3e-7 (8B), 1e-7 (70B); TRL's example 3e-6", (1e-6, 5e-6)
    ),
    ("ppo", False): Base(1e-5, 1e-6, 3e-5, "low", f"no published system; {_TENFOLD}", (1e-6, 5e-6)),
}  # fmt: skip
"""Keys: method, and True for training all weights or False for a LoRA adapter."""

_QUARTER = (
    "the 1/4 rule of the halo-forge notes (RAFT at a quarter of the SFT learning rate, 2e-4 to 5e-5) is not followed:"
    " it is untested, RAFT's own code uses the rate of SFT (2e-5), and on SmolLM2-135M with LoRA 5e-5 gained 4 points"
    " of held-out pass rate in three cycles, within the noise, where 2e-4 falling by 0.85 a cycle gained 31"
)
_FORTIETH = (
    "the 10-40x rule of the halo-forge notes (RL at a learning rate 10 to 40 times below SFT, 2e-4 to 5e-6) is 20x"
    " here for policy gradients; published LoRA learning rates for RL are 2 to 20x below those for LoRA SFT. The rule"
    " does not apply to RAFT, whose loss is that of SFT"
)
_UNSPECIFIED = (
    "the halo-forge notes do not specify whether their learning rates for RL are for LoRA; their magnitude fits"
    " LoRA"
)
_RULES: Mapping[Method, tuple[str, ...]] = {
    "sft": (),
    "raft": (
        _QUARTER,
        _FORTIETH,
        "for later cycles, the halo-forge notes give 3e-5 (cycle 3), 2e-5 (cycle 5) and 1e-5 (from cycle 7 on), with"
        " low confidence or as speculation; their own decay of 0.85 gives 1.9e-5 at cycle 7. Compare policies with"
        " halo lr compare",
    ),
    "dpo": (_FORTIETH, _UNSPECIFIED),
    "grpo": (
        _FORTIETH,
        _UNSPECIFIED,
        "the best learning rate depends on the scale of the rewards unless advantages are normalised",
    ),
    "ppo": (
        _FORTIETH,
        _UNSPECIFIED,
        "PPO in the halo-forge notes is 40 to 200x below their SFT, which contradicts their 10-40x rule",
    ),
}


_BY_TEMPERATURE: Mapping[float, float] = {0.5: 3e-5, 0.7: 5e-5, 0.9: 7e-5}
"""Sampling temperature -> learning rate in experiment 4 of the halo-forge notes."""
_DATA_SIZE = (
    "data size: no adjustment; more samples give more optimizer steps, so the same learning rate already has a larger"
    " sum. That larger data sets tolerate higher learning rates, as the halo-forge notes suppose, is not shown on the"
    " gcc demo (study data: +1.0 points, 95% interval -4.0 to +6.0). Compare at equal learning rate x steps"
)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A factor on the base learning rate."""

    name: str
    factor: float
    confidence: Confidence
    reason: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A learning rate to start from, the range to sweep, and the reasons."""

    method: Method
    full: bool
    lr: float
    low: float
    high: float
    base: Base
    adjustments: tuple[Adjustment, ...]
    steps: int | None
    """Optimizer steps per cycle; None if the number of samples is unknown."""
    warmup: int | None
    """Warmup steps among `steps`."""
    notes_comparison: str
    """The range in the halo-forge notes, and whether `lr` is inside it."""
    remarks: tuple[str, ...]
    """Rules of the halo-forge notes, and factors that are not adjusted for."""
    warnings: tuple[str, ...]

    @property
    def lr_sum(self) -> float | None:
        """Learning rate x optimizer steps of a cycle with a constant schedule; None if `steps` is."""
        return None if self.steps is None else self.lr * self.steps


def recommend(
    method: str,
    *,
    full: bool = False,
    size: float | None = None,
    batch: int = BATCH,
    rank: int = RANK,
    alpha: float = ALPHA,
    temperature: float | None = None,
    samples: int | None = None,
    epochs: int = 1,
) -> Recommendation:
    """Recommend a peak learning rate for AdamW.

    `full`: train all weights instead of a LoRA adapter. `size`: parameters of the model. `batch`: sequences per
    optimizer step, over all devices and accumulation steps. `temperature`: sampling temperature. `samples`: sequences
    trained on per cycle. Raises a `ConfigError` for an unknown method.
    """
    known = next((each for each in METHODS if each == method.lower()), None)
    if known is None:
        raise ConfigError(f"no recommendation for method {method!r}", hint=did_you_mean(method, METHODS))
    base = BASES[known, full]
    adjustments = tuple(each for each in (_for_batch(batch), _for_size(size, full)) if each)
    factor = math.prod(each.factor for each in adjustments)
    steps = None if samples is None else effective_steps(samples, batch, epochs=epochs)
    adapter_remarks = () if full else (_adapter_remark(rank, alpha),)
    return Recommendation(
        known,
        full,
        base.lr * factor,
        base.low * factor,
        base.high * factor,
        base,
        adjustments,
        steps,
        None if steps is None else warmup_advice(steps),
        _compare_with_notes(base, base.lr * factor),
        (*_RULES[known], *adapter_remarks, _temperature_remark(temperature), _DATA_SIZE),
        tuple(_warnings(full, size, batch, samples, steps)),
    )


def parse_size(text: str) -> float:
    """Return the number of parameters that "7B", "0.5b", "350M" or a plain number denotes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmbt]?)", text.strip().lower())
    if not match or not float(match[1]):
        raise ConfigError(f"{text!r} is not a number of parameters", hint="write 7B, 0.5B or 350M")
    return float(match[1]) * {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}[match[2]]


def _for_batch(batch: int) -> Adjustment | None:
    if batch == BATCH:
        return None
    factor = min(2.0, max(0.5, math.sqrt(batch / BATCH)))
    return Adjustment(
        "batch",
        factor,
        "medium",
        f"sqrt({batch} / {BATCH}), clamped to 1/2 and 2: Adam's scaling rule (arXiv 2205.10287); the linear rule of"
        " the halo-forge notes (Goyal et al.) is for SGD",
    )


def _for_size(size: float | None, full: bool) -> Adjustment | None:
    if size is None or size == SIZE:
        return None
    power = 0.5 if full else 0.25
    factor = size_factor(size, full=full)
    evidence = (
        "learning rates in Tulu 3 fall by a factor of 2.5 to 3 from 8B to 70B"
        if full
        else "learning rates in Tinker's sweep fall by a factor of 3 from 1B to 70B (Llama) and from 8B to 235B (Qwen)"
    )
    return Adjustment(
        "size",
        factor,
        "low",
        f"(7B / {size / 1e9:.3g}B)^{power}, clamped to 1/4 and 4: {evidence}; the formula is ours",
    )


def _adapter_remark(rank: int, alpha: float) -> str:
    """Return the known effects of rank and alpha, which are not adjusted for."""
    if alpha == ALPHA:
        return (
            f"rank {rank} at alpha {alpha:g}: no adjustment; at a fixed alpha, the best learning rate hardly depends"
            " on the rank (thinkingmachines.ai/blog/lora); the halo-forge notes would lower it from rank 32 on"
        )
    if alpha / rank == ALPHA / RANK:
        low, high = sorted((RANK / rank, 1.0))
        return (
            f"rank {rank} at alpha / rank {ALPHA / RANK:g}: x {low:.2g} to {high:.2g}, depending on the initialisation"
            " (arXiv 2602.06204); not applied, low confidence"
        )
    scale = alpha / rank
    return (
        f"alpha / rank is {scale:g}, not {ALPHA / RANK:g}: it scales the updates, which suggests"
        f" x {ALPHA / RANK / scale:.2g}; not applied, low confidence: Adam undoes part of the scaling, and alpha acts"
        " as more than a learning rate (arXiv 2606.12883). Sweep again"
    )


def _temperature_remark(temperature: float | None) -> str:
    """Return the advice of the halo-forge notes for a sampling temperature, which is not adjusted for."""
    text = (
        "temperature: no adjustment; on the gcc demo 4e-3 is too high at every temperature and, relative to 1e-3, loses"
        " less at 1.3 than at 0.7 (docs/studies/temperature). The halo-forge notes guess that a higher"
        " temperature allows a higher learning rate"
    )
    if temperature is None:
        return text
    pairs = ", ".join(f"{spell(lr)} at {t:g}" for t, lr in _BY_TEMPERATURE.items())
    nearest = _BY_TEMPERATURE[min(_BY_TEMPERATURE, key=lambda known: abs(known - temperature))]
    return f"{text}: their experiment 4 has {pairs}, which suggests {spell(nearest)} at {temperature:g}"


def _compare_with_notes(base: Base, lr: float) -> str:
    low, high = base.notes_range
    notes_range = spell(low) if low == high else f"{spell(low)} to {spell(high)}"
    if lr < low * (1 - 1e-9):
        return f"{notes_range}; this is {low / lr:.2g}x lower"
    if lr > high * (1 + 1e-9):
        return f"{notes_range}; this is {lr / high:.2g}x higher"
    return f"{notes_range}; agrees"


def _warnings(
    full: bool, size: float | None, batch: int, samples: int | None, steps: int | None
) -> list[str]:
    warnings = [] if steps is None else list(warnings_for(steps, warmup_advice(steps)))
    if samples is not None and samples < 50:
        warnings.append(
            f"{samples} samples: a model memorises fewer than 50 distinct correct ones (our estimate)"
        )
    if not full and batch > BATCH:
        warnings.append(f"LoRA loses more than full fine-tuning at large batches: {batch} is above {BATCH}")
    if size is not None and size < 0.4e9:
        warnings.append(
            "below 0.4B parameters, published learning rates reach 1e-3 (SmolLM, SFT): extend the sweep upwards"
        )
    return warnings
