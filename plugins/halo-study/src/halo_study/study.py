"""The study file: a base configuration, the arms that differ from it, the seeds, and the comparisons.

question: Does a falling learning rate beat a constant one?
base: gcc_small.yaml
seeds: 10
arms:
constant: {}
falling: {set: {lr_policy: {name: exponential, decay: 0.85}}}
comparisons:
- {arm: falling, against: constant, outcome: final}
smallest_effect: 0.05
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from halo_core import ConfigError
from halo_core.config.kinds import driver_sections
from halo_core.config.layers import load_mapping, load_yaml, normalise
from halo_core.config.options import explain
from halo_core.errors import did_you_mean
from halo_study.outcomes import OUTCOMES
from halo_study.results import COLUMNS

Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


_NEEDED = "it needs at least: question, base, seeds and arms"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Tuning(_Part):
    """The choice of one setting for each arm, on seeds that are not reported."""

    key: str = "lr_policy.base_lr"
    """The setting, as a path in the configuration."""
    values: Annotated[list[float], Field(min_length=2)]
    """The values to try."""
    seeds: Seeds
    """Seeds of the runs that choose; none of the study's own."""
    outcome: str = "area"
    """The value with the highest mean of this outcome is chosen; the lower value if two are equal."""


class Arm(_Part):
    """One way of running, as its difference from the base configuration."""

    set: dict[str, Any] = {}
    """Settings that replace those of the base. Naming another driver drops the options of the base's driver."""
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """Settings by path, each with values: the arm becomes one arm for each combination."""
    tune: bool = True
    """Choose the study's tuned setting for this arm; false: its own settings or those of the base."""
    same_setting_as: str | None = None
    """Use the setting that was chosen for this arm instead of one chosen for the arm itself."""
    equal_sum_of: str | None = None
    """Spend the summed learning rate of this arm's run with the same seed, at a constant rate (the policy `budget`)."""


class Comparison(_Part):
    """A difference that the study measures: `arm` minus `against`."""

    arm: str
    against: str | None = None
    """Null: compare an outcome that is a change (`gain`, `late_change`) with 0."""
    minus: tuple[str, str] | None = None
    """Two other arms whose difference is subtracted: the comparison is an interaction."""
    outcome: str = "final"
    smallest_effect: Annotated[float, Field(gt=0)] | None = None
    """Smallest difference that matters, in the outcome's unit; null: that of the study."""


class Study(_Part):
    """A study, checked."""

    title: str = ""
    question: str
    """The question, as one sentence."""
    notes: str = ""
    """Text for the report: the reasons, and the limits of the answer."""
    conclusion: str = ""
    """The answer in a few sentences, written when the results are known. Empty: the report lists the differences."""
    base: dict[str, Any]
    """The configuration that the arms share; in the file also the name of a YAML file, relative to the study's."""
    seeds: Seeds
    """The reported seeds; in the file also their number: 10 stands for 0 to 9."""
    tune: Tuning | None = None
    """Null: every arm has the settings that it states."""
    arms: Annotated[dict[str, Arm], Field(min_length=1)]
    """By name; grids are already written out."""
    comparisons: list[Comparison] = []
    """The comparisons that are named beforehand, and corrected for their number together."""
    outcomes: list[str] = ["final", "peak", "drop", "area"]
    """The outcomes that the report shows for every arm."""
    by_cycle: list[str] = []
    """Columns of the results that the report shows for every arm and every cycle: entropy, diversity, kl and others."""
    smallest_effect: Annotated[float, Field(gt=0)] = 0.05
    """Smallest difference that matters, for outcomes that are shares: 0.05 is five points."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in (*self.outcomes, *(each.outcome for each in self.comparisons)):
            _known(name, OUTCOMES, "outcome")
        for name in self.by_cycle:
            _known(name, COLUMNS, "column")
        for each in self.comparisons:
            for name in (each.arm, *(each.minus or ())):
                _known(name, self.arms, "arm")
            if each.against is not None:
                _known(each.against, self.arms, "arm")
            elif not OUTCOMES[each.outcome].change:
                raise ValueError(
                    f"the comparison of arm {each.arm!r} needs against: ARM; {each.outcome} is not a change"
                )
            if each.smallest_effect is None and not OUTCOMES[each.outcome].share:
                raise ValueError(
                    f"the comparison of {each.outcome!r} needs a smallest_effect: it is not a share"
                )
        for arm in self.arms.values():
            for other in filter(None, (arm.equal_sum_of, arm.same_setting_as)):
                _known(other, self.arms, "arm")
                if self.arms[other].equal_sum_of or self.arms[other].same_setting_as:
                    raise ValueError(f"arm {other!r} depends on another arm itself")
        if self.tune:
            _known(self.tune.outcome, OUTCOMES, "outcome")
            if both := set(self.tune.seeds) & set(self.seeds):
                raise ValueError(f"seed {min(both)} both chooses settings and is reported; use other seeds")
        return self

    def is_tuned(self, arm: str) -> bool:
        """Return whether the arm's runs wait until its setting has been chosen on other seeds."""
        its = self.arms[arm]
        return bool(self.tune and its.tune and not its.equal_sum_of and not its.same_setting_as)

    def settings(self, arm: str, value: float | None = None) -> dict[str, Any]:
        """Return the configuration of an arm, with `value` for the tuned setting, without a seed."""
        raw = merged(self.base, normalise(self.arms[arm].set))
        if value is not None and self.tune:
            raw = merged(raw, _nested(self.tune.key, value))
        return raw

    def settings_hash(self, arm: str) -> str:
        """Return a hash of everything that the results of an arm depend on in the study file, except the seeds."""
        its = self.arms[arm]
        tuned = self.tune.model_dump() if self.tune and self.is_tuned(arm) else None
        parts: list[Any] = [self.settings(arm), tuned]
        parts += [self.settings_hash(other) for other in (its.equal_sum_of, its.same_setting_as) if other]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def smallest(self, comparison: Comparison) -> float:
        """Return the smallest difference that matters in a comparison."""
        return comparison.smallest_effect or self.smallest_effect


def read_study(path: Path) -> Study:
    """Read a study file. Raises a `ConfigError` that names the first problem."""
    return parse_study(load_mapping(path, "a study", _NEEDED), path)


def parse_study(content: Mapping[str, Any], path: Path) -> Study:
    """Check the content of a study file; `path` is its place, for the base configuration and for messages."""
    raw: dict[str, Any] = copy.deepcopy(dict(content))
    if isinstance(raw.get("base"), str):
        base = path.parent / raw["base"]
        if not base.exists():
            hint = f"a relative path of a base starts at the directory of the study, {path.parent.absolute()}"
            raise ConfigError(f"{path}: base: {base}: No such file or directory", hint=hint)
        raw["base"] = load_yaml(base)
    if isinstance(raw.get("base"), Mapping):
        raw["base"] = normalise(raw["base"])
    if type(raw.get("seeds")) is int:
        raw["seeds"] = list(range(raw["seeds"]))
    try:
        arms = {name: Arm.model_validate(arm or {}) for name, arm in dict(raw.get("arms") or {}).items()}
        raw["arms"] = {new: arm for name, arm in arms.items() for new, arm in _written_out(name, arm)}
        return Study.model_validate(raw)
    except ValidationError as error:
        raise _config_error(error, path) from error


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `over`. A section that names another driver replaces the base's section."""
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        if not (isinstance(before, Mapping) and isinstance(value, Mapping)):
            result[key] = value
            continue
        other_driver = key in driver_sections() and value.get("name") not in (None, before.get("name"))
        result[key] = dict(value) if other_driver else merged(before, value)
    return result


def dump(value: Any) -> str:
    """Return `value` as YAML."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _config_error(error: ValidationError, path: Path) -> ConfigError:
    """Return the first problem of a study file."""
    problems = error.errors(include_url=False)
    first = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    if first["type"] == "extra_forbidden":
        part = Comparison if "comparisons" in first["loc"] else Tuning if "tune" in first["loc"] else Study
        known = list(Arm.model_fields if error.title == "Arm" else part.model_fields)
        hint = did_you_mean(str(first["loc"][-1]), known)
        return ConfigError(f"{path}: unknown key {'.'.join(map(str, first['loc']))!r}", hint=hint)
    hint = "the page of studies describes the file: docs/studies/index.md"
    if first["type"] == "value_error":
        return ConfigError(f"{path}: {first['ctx']['error']}", hint=hint)
    return ConfigError(explain(error, where=str(path)), hint=hint)


def _written_out(name: str, arm: Arm) -> Iterator[tuple[str, Arm]]:
    """Yield an arm for each combination of the values in the arm's grid: "name temperature=0.5 base_lr=0.001"."""
    for values in itertools.product(*arm.grid.values()):
        settings = normalise(arm.set)
        for key, value in zip(arm.grid, values, strict=True):
            settings = merged(settings, normalise(_nested(key, value)))
        label = " ".join(
            f"{key.rpartition('.')[2]}={_short(value)}" for key, value in zip(arm.grid, values, strict=True)
        )
        yield f"{name} {label}".strip(), arm.model_copy(update={"set": settings, "grid": {}})


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _nested(path: str, value: Any) -> dict[str, Any]:
    *parents, last = path.split(".")
    result: dict[str, Any] = {last: value}
    for part in reversed(parents):
        result = {part: result}
    return result


def _known(name: str, known: Collection[str], kind: str) -> None:
    if name not in known:
        raise ValueError(f"no {kind} is called {name!r}: {did_you_mean(name, known)}")
