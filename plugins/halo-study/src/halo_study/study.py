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

import contextlib
import copy
import hashlib
import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from halo_core import ConfigError
from halo_core.config.kinds import driver_lists, driver_sections
from halo_core.config.layers import assign, load_mapping, load_yaml, normalise
from halo_core.config.options import explain
from halo_core.errors import did_you_mean
from halo_study.outcomes import OUTCOMES
from halo_study.results import COLUMNS, DIGITS


def rounded(value: float) -> float:
    """Return a tuned value as results and names of directories have it."""
    return float(f"{value:.{DIGITS}g}")


def _different(values: list[Any]) -> list[Any]:
    if twice := [value for number, value in enumerate(values) if value in values[:number]]:
        raise ValueError(f"{twice[0]!r} is there twice")
    return values


Seeds = Annotated[
    list[Annotated[int, Field(ge=0)]],
    Field(min_length=1),
    AfterValidator(_different),
]

_LONGEST_NAME = 100
"""Characters of an arm's name, which is part of the name of a directory."""
_NEEDED = "it needs at least: question, base, seeds and arms"
_PAGE = "the page of studies describes the file: docs/studies/index.md"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Tuning(_Part):
    """The choice of one setting for each arm, on seeds that are not reported."""

    key: str = "lr_policy.base_lr"
    """The setting, as a path in the configuration."""
    values: Annotated[
        list[Annotated[float, AfterValidator(rounded)]], Field(min_length=2), AfterValidator(_different)
    ]
    """The values to try."""
    seeds: Seeds
    """Seeds of the runs that choose; none of the study's own."""
    outcome: str = "area"
    """The value with the best mean of this outcome is chosen; the lower value if two are equal."""


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
    smallest_effect: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Smallest difference that matters, for outcomes that are shares: 0.05 is five points."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.outcomes:
            _known(name, OUTCOMES, "outcome")
        for name in self.by_cycle:
            _known(name, COLUMNS, "column")
        self._check_names()
        for each in self.comparisons:
            self._check_comparison(each)
        for name in self.arms:
            self._check_arm(name)
        if self.tune:
            _known(self.tune.outcome, OUTCOMES, "outcome")
            if not OUTCOMES[self.tune.outcome].better:
                raise ValueError(
                    f"tune.outcome: {self.tune.outcome} is neither better if higher nor if lower"
                )
            if both := set(self.tune.seeds) & set(self.seeds):
                raise ValueError(f"seed {min(both)} both chooses settings and is reported; use other seeds")
        return self

    def _check_names(self) -> None:
        """Check that the arms' names can be told apart as names of directories, too."""
        found: dict[str, str] = {}
        for name in self.arms:
            if not name or len(name) > _LONGEST_NAME:
                raise ValueError(f"arm {name[:20]!r}: its name needs 1 to {_LONGEST_NAME} characters")
            if other := found.get(in_a_path(name)):
                raise ValueError(f"arms {other!r} and {name!r} would share a directory; rename one of them")
            found[in_a_path(name)] = name

    def _check_comparison(self, its: Comparison) -> None:
        _known(its.outcome, OUTCOMES, "outcome")
        for name in filter(None, (its.arm, its.against, *(its.minus or ()))):
            _known(name, self.arms, "arm")
        where, outcome = f"the comparison of arm {its.arm!r}", OUTCOMES[its.outcome]
        if its.against is None and not outcome.change:
            raise ValueError(f"{where} needs against: ARM; {its.outcome} is not a change")
        if its.arm == its.against or (its.minus and its.minus[0] == its.minus[1]):
            raise ValueError(f"{where} compares an arm with itself")
        if its.smallest_effect is None and not outcome.share:
            raise ValueError(f"{where} needs a smallest_effect: {its.outcome} is not a share")
        if its.smallest_effect is not None and outcome.share and its.smallest_effect >= 1:
            raise ValueError(
                f"{where} has a smallest_effect of a share that is not below 1; 5 points are 0.05"
            )

    def _check_arm(self, name: str) -> None:
        its = self.arms[name]
        if its.equal_sum_of and its.same_setting_as:
            raise ValueError(f"arm {name!r} has both equal_sum_of and same_setting_as; keep one")
        for other in filter(None, (its.equal_sum_of, its.same_setting_as)):
            _known(other, self.arms, "arm")
            if self.arms[other].equal_sum_of or self.arms[other].same_setting_as:
                raise ValueError(f"arm {other!r} depends on another arm itself")
        if its.same_setting_as and not self.is_tuned(its.same_setting_as):
            raise ValueError(
                f"arm {name!r} takes the setting of {its.same_setting_as!r}, which has no tuned one"
            )

    def is_tuned(self, arm: str) -> bool:
        """Return whether the arm's runs wait until its setting has been chosen on other seeds."""
        its = self.arms[arm]
        return bool(self.tune and its.tune and not its.equal_sum_of and not its.same_setting_as)

    def settings(self, arm: str, value: float | None = None) -> dict[str, Any]:
        """Return the configuration of an arm, with `value` for the tuned setting, without a seed."""
        raw = merged(self.base, normalise(self.arms[arm].set))
        if value is not None and self.tune:
            raw = _assigned(raw, self.tune.key, value, self.base)
        return raw

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
        if raw["seeds"] < 1:
            raise ConfigError(
                f"{path}: seeds: {raw['seeds']} seeds are none", hint="a number from 1, or a list"
            )
        raw["seeds"] = list(range(raw["seeds"]))
    if "arms" in raw:
        raw["arms"] = _arms(raw["arms"], raw.get("base"), path)
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise _config_error(error, path) from error


def _arms(raw: Any, base: Any, path: Path) -> dict[str, Arm]:
    """Check the arms and write out their grids."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{path}: arms: expected arms by name (got {raw!r})"[:200], hint=_PAGE)
    found: dict[str, Arm] = {}
    for name, content in raw.items():
        try:
            arm = Arm.model_validate(content or {})
            written_out = list(_written_out(str(name), arm, base if isinstance(base, Mapping) else {}))
        except ValidationError as error:
            raise _config_error(error, path, f"arms.{name}") from error
        except ConfigError as error:
            raise ConfigError(f"{path}: arms.{name}: {error}", hint=error.hint) from error
        for label, each in written_out:
            if label in found:
                raise ConfigError(
                    f"{path}: two arms are called {label!r}", hint="change a name, or a value of a grid"
                )
            found[label] = each
    return found


def in_a_path(name: str) -> str:
    """Return `name` with what could mean something in a path replaced."""
    return re.sub(r"[^\w.=-]+", "-", name)


def config_hash(raw: Mapping[str, Any]) -> str:
    """Return a hash of a run's configuration, its seed included. Numbers may be written as text: 2e-3."""
    return hashlib.sha256(json.dumps(with_numbers(raw), sort_keys=True, default=str).encode()).hexdigest()[
        :12
    ]


def with_numbers(value: Any) -> Any:
    """Return `value` with each number in one form: 2e-3 too, which YAML reads as text and halo as a number."""
    if isinstance(value, Mapping):
        return {key: with_numbers(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [with_numbers(each) for each in value]
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


def _config_error(error: ValidationError, path: Path, place: str = "") -> ConfigError:
    """Return the first problem of a study file, in its part `place`."""
    problems = error.errors(include_url=False)
    first = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    where = f"{path}: {place}" if place else str(path)
    if first["type"] == "extra_forbidden":
        part = Comparison if "comparisons" in first["loc"] else Tuning if "tune" in first["loc"] else Study
        known = list(Arm.model_fields if place else part.model_fields)
        hint = did_you_mean(str(first["loc"][-1]), known)
        return ConfigError(f"{where}: unknown key {'.'.join(map(str, first['loc']))!r}", hint=hint)
    if first["type"] == "value_error":
        key = ".".join(map(str, first["loc"]))
        return ConfigError(f"{where}: {f'{key}: ' if key else ''}{first['ctx']['error']}", hint=_PAGE)
    return ConfigError(explain(error, where=where), hint=_PAGE)


def _written_out(name: str, arm: Arm, base: Mapping[str, Any]) -> Iterator[tuple[str, Arm]]:
    """Yield an arm for each combination of the values in the arm's grid: "name temperature=0.5 base_lr=0.001"."""
    for values in itertools.product(*arm.grid.values()):
        settings = normalise(arm.set)
        for key, value in zip(arm.grid, values, strict=True):
            settings = _assigned(settings, key, value, base)
        label = " ".join(
            f"{key.rpartition('.')[2]}={_short(value)}" for key, value in zip(arm.grid, values, strict=True)
        )
        yield f"{name} {label}".strip(), arm.model_copy(update={"set": settings, "grid": {}})


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(_short, value))
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def _assigned(raw: Mapping[str, Any], path: str, value: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `raw` with `value` at a path such as "lr_policy.base_lr"; lists are those of `base`."""
    result: dict[str, Any] = copy.deepcopy(dict(raw))
    first = path.partition(".")[0]
    if first in driver_lists() and first not in result and first in base:
        result[first] = copy.deepcopy(base[first])
    assign(result, path, value)
    return result


def _known(name: str, known: Collection[str], kind: str) -> None:
    if name not in known:
        raise ValueError(f"no {kind} is called {name!r}: {did_you_mean(name, known)}")
