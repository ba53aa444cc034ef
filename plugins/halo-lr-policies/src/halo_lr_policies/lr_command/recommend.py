"""Where to start: base learning rates by method, adjusted to a setup, each with its source and its doubts.

These are starting points for a sweep of three or more rates, not answers. The evidence for single factors is
thin; each says how thin. "The notes" are those that halo grew out of (halo-forge, and a heuristic from the
Unsloth community beside them); where they disagree with published practice, that is said, not averaged away.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from halo_core.errors import ConfigError, did_you_mean
from halo_core.model.schedule import effective_steps, warmup_advice, warnings_for
from halo_core.tables import spell

Method = Literal["sft", "raft", "dpo", "grpo", "ppo"]
METHODS: tuple[Method, ...] = get_args(Method)
BATCH, RANK, ALPHA, SIZE = 32, 16, 32.0, 7e9
"""The setup that needs no adjustment: sequences an optimizer step, LoRA rank and alpha, parameters."""


@dataclass(frozen=True, slots=True)
class Base:
    """A rate for the setup that needs no adjustment."""

    lr: float
    low: float
    high: float
    confidence: str
    source: str
    notes: tuple[float, float]
    """The range that the notes give."""


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
        5e-5, 1e-5, 2e-4, "medium", f"no published system; {_TENFOLD}", (1e-5, 5e-5)
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
"""By method and whether all weights are trained (True) or a LoRA adapter (False)."""

_QUARTER = (
    "the notes' 1/4 rule (RAFT at a quarter of the SFT rate, 2e-4 to 5e-5) is 1/4 here too, as a convention:"
    " untested, and RAFT's own code does not follow it (2e-5, as SFT has it)"
)
_FORTIETH = (
    "the notes' 10-40x rule (RL that far below SFT, 2e-4 to 5e-6) is 20x here for policy gradients; published"
    " LoRA rates for RL lie 2 to 20x below LoRA SFT. It does not concern RAFT, whose loss is that of SFT"
)
_UNSAID = "the notes do not say whether their rates for RL are for LoRA; the sizes fit LoRA"
_RULES: Mapping[Method, tuple[str, ...]] = {
    "sft": (),
    "raft": (
        _QUARTER,
        _FORTIETH,
        "for later cycles the notes have 3e-5 (cycle 3), 2e-5 (cycle 5) and 1e-5 (from 7 on), with low confidence or"
        " as speculation; their own decay of 0.85 comes to 1.9e-5 at cycle 7. halo lr compare shows policies",
    ),
    "dpo": (_FORTIETH, _UNSAID),
    "grpo": (
        _FORTIETH,
        _UNSAID,
        "the rate depends on the scale of the rewards unless advantages are normalised",
    ),
    "ppo": (_FORTIETH, _UNSAID, "the notes' own PPO row is 40 to 200x below their SFT, outside their rule"),
}


_BY_TEMPERATURE = {0.5: "3e-5", 0.7: "5e-5", 0.9: "7e-5"}
"""EvalMetrics that the notes' experiment 4 pairs with temperatures of sampling."""
_DATA = (
    "data size: no adjustment; more samples are more steps, so the same rate already spends more, and the notes'"
    " question whether larger sets tolerate higher rates is open. Hold rate x steps equal instead"
)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A factor on the base rate."""

    name: str
    factor: float
    confidence: str
    reason: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A rate to start from, the range to sweep, and why."""

    method: Method
    full: bool
    lr: float
    low: float
    high: float
    base: Base
    adjustments: tuple[Adjustment, ...]
    steps: int | None
    """Optimizer steps of a cycle, where the number of samples was given."""
    warmup: int | None
    """Optimizer steps of warmup, of those."""
    notes_say: str
    """Where the notes have it, and whether they agree."""
    remarks: tuple[str, ...]
    """Rules of the notes, and what there is no adjustment for."""
    warnings: tuple[str, ...]

    @property
    def lr_sum(self) -> float | None:
        """Learning rate x optimizer steps of a cycle: what it spends without a schedule of its own."""
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

    `full`: train every weight instead of a LoRA adapter. `size`: parameters of the model. `batch`: sequences
    an optimizer step over all devices and accumulation. `temperature`: that of sampling. `samples`: sequences
    to train on in a cycle. Raises a `ConfigError` for a method that is not known.
    """
    known = next((each for each in METHODS if each == method.lower()), None)
    if known is None:
        raise ConfigError(f"no recommendation for method {method!r}", hint=did_you_mean(method, METHODS))
    base = BASES[known, full]
    adjustments = tuple(each for each in (_for_batch(batch), _for_size(size, full)) if each)
    factor = math.prod(each.factor for each in adjustments)
    steps = None if samples is None else effective_steps(samples, batch, epochs=epochs)
    adapter = () if full else _about_adapter(rank, alpha)
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
        _notes_say(base, base.lr * factor),
        (*_RULES[known], *adapter, _about_temperature(temperature), _DATA),
        tuple(_warnings(full, size, batch, samples, steps)),
    )


def read_size(text: str) -> float:
    """Read "7B", "0.5b", "350M" or a number into parameters."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmbt]?)", text.strip().lower())
    if not match or not float(match[1]):
        raise ConfigError(f"{text!r} is no number of parameters", hint="write 7B, 0.5B or 350M")
    return float(match[1]) * {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}[match[2]]


def _for_batch(batch: int) -> Adjustment | None:
    if batch == BATCH:
        return None
    factor = min(2.0, max(0.5, math.sqrt(batch / BATCH)))
    return Adjustment(
        "batch",
        factor,
        "medium",
        f"sqrt({batch} / {BATCH}), held within 1/2 and 2: Adam's scaling rule (arXiv 2205.10287); the notes'"
        " linear rule (Goyal et al.) is for SGD",
    )


def _for_size(size: float | None, full: bool) -> Adjustment | None:
    if size is None or size == SIZE:
        return None
    power = 0.5 if full else 0.25
    factor = min(4.0, max(0.25, (SIZE / size) ** power))
    evidence = (
        "Tulu 3 goes down by 2.5 to 3 from 8B to 70B"
        if full
        else "Tinker's sweep goes down by 3 from 1B to 70B (Llama) and from 8B to 235B (Qwen)"
    )
    return Adjustment(
        "size",
        factor,
        "low",
        f"(7B / {size / 1e9:.3g}B)^{power}, held within 1/4 and 4: {evidence}; the law is ours",
    )


def _about_adapter(rank: int, alpha: float) -> tuple[str, ...]:
    """Say what rank and alpha do, which no adjustment is applied for."""
    if alpha == ALPHA:
        same = "the best rate hardly depends on the rank then (thinkingmachines.ai/blog/lora)"
        return (
            f"rank {rank} at alpha {alpha:g}: no adjustment; {same}; the notes would lower it from rank 32 on",
        )
    if alpha / rank == ALPHA / RANK:
        low, high = sorted((RANK / rank, 1.0))
        return (
            f"rank {rank} with alpha / rank kept at {ALPHA / RANK:g}: x {low:.2g} to {high:.2g}, depending on"
            " initialisation (arXiv 2602.06204); not applied, low confidence",
        )
    scale = alpha / rank
    return (
        f"alpha / rank is {scale:g}, not {ALPHA / RANK:g}: updates are scaled by it, so x {ALPHA / RANK / scale:.2g}"
        " as a heuristic; not applied, low confidence: Adam undoes part of it, and alpha is not merely a rate"
        " (arXiv 2606.12883). Sweep again",
    )


def _about_temperature(temperature: float | None) -> str:
    """Say what the notes would do for a temperature, which no adjustment is applied for."""
    text = "temperature: no adjustment; that a higher one allows a higher rate is the notes' guess, untested"
    if temperature is None:
        return text
    pairs = ", ".join(f"{lr} at {t:g}" for t, lr in _BY_TEMPERATURE.items())
    nearest = _BY_TEMPERATURE[min(_BY_TEMPERATURE, key=lambda known: abs(known - temperature))]
    return f"{text}: their experiment 4 has {pairs}, so {nearest} would be theirs for {temperature:g}"


def _notes_say(base: Base, lr: float) -> str:
    low, high = base.notes
    where = spell(low) if low == high else f"{spell(low)} to {spell(high)}"
    if lr < low * (1 - 1e-9):
        return f"{where}; this is {low / lr:.2g}x lower"
    if lr > high * (1 + 1e-9):
        return f"{where}; this is {lr / high:.2g}x higher"
    return f"{where}; agrees"


def _warnings(
    full: bool, size: float | None, batch: int, samples: int | None, steps: int | None
) -> list[str]:
    found = [] if steps is None else list(warnings_for(steps, warmup_advice(steps)))
    if samples is not None and samples < 50:
        found.append(
            f"{samples} samples to train on: fewer than 50 distinct correct ones are learnt by heart (a judgement)"
        )
    if not full and batch > BATCH:
        found.append(f"LoRA loses more than full fine-tuning does at large batches: {batch} is above {BATCH}")
    if size is not None and size < 0.4e9:
        found.append("below 0.4B parameters published rates go up to 1e-3 (SmolLM, SFT): sweep upwards")
    return found
