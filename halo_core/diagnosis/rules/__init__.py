"""One function a cause: from a history and what was found before it to a finding, or None.

RULES is in order of precedence. A rule stays silent where it lacks its data, where what it sees may be noise, and
where a cause that comes before it explains what it sees.
"""

from __future__ import annotations

from collections.abc import Callable

from halo_core.diagnosis.findings import Cause, Finding
from halo_core.diagnosis.history import History
from halo_core.diagnosis.rules import data, machinery, outcome, rate, verifier

Rule = Callable[[History, frozenset[Cause]], Finding | None]

RULES: tuple[Rule, ...] = (
    machinery.diverged,
    verifier.errors,
    machinery.stale_sampler,
    machinery.no_update,
    machinery.warmup,
    verifier.leaky,
    data.prompt_reuse,
    verifier.wrong_paid,
    rate.too_high,
    data.truncation,
    data.narrowing,
    machinery.spike,
    data.too_hard,
    outcome.ceiling,
    data.exhausted,
    machinery.too_few_steps,
    rate.too_low,
    outcome.regression,
    outcome.plateau,
    rate.legacy_band,
)
