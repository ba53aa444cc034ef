"""One function for each cause. Given a history and the causes found so far, it returns a finding or None.

`RULES` is in order of precedence. A rule is silent if the reports lack its data, if noise could explain the
measurement, or if a cause that was found before explains it. `h` is the history in every rule.
"""

from __future__ import annotations

from collections.abc import Callable

from halo_core.diagnosis.findings import Cause, Finding
from halo_core.diagnosis.history import History
from halo_core.diagnosis.rules.data import (
    narrowing,
    prompt_reuse,
    prompts_exhausted,
    prompts_too_hard,
    truncation,
)
from halo_core.diagnosis.rules.learning_rate import legacy_band, lr_too_high, lr_too_low
from halo_core.diagnosis.rules.machinery import (
    diverged,
    no_update,
    spike,
    stale_sampler,
    too_few_steps,
    unchecked_sampler,
    warmup,
)
from halo_core.diagnosis.rules.outcome import ceiling, plateau, regression
from halo_core.diagnosis.rules.policy import (
    entropy_collapse,
    equal_groups,
    length_growth,
    policy_drift,
    reward_hacking,
)
from halo_core.diagnosis.rules.verifier import failures_selected, leaky_verifier, verifier_errors, wrong_paid

Rule = Callable[[History, frozenset[Cause]], Finding | None]

RULES: tuple[Rule, ...] = (
    diverged,
    verifier_errors,
    stale_sampler,
    no_update,
    warmup,
    leaky_verifier,
    prompt_reuse,
    wrong_paid,
    reward_hacking,
    lr_too_high,
    policy_drift,
    truncation,
    length_growth,
    narrowing,
    entropy_collapse,
    spike,
    prompts_too_hard,
    equal_groups,
    ceiling,
    prompts_exhausted,
    too_few_steps,
    lr_too_low,
    regression,
    failures_selected,
    plateau,
    legacy_band,
    unchecked_sampler,
)
