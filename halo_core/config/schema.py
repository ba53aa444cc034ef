"""The configuration of a run, checked. Its layers, lowest first: defaults, hardware, demo, file, --set, flags.

An unknown key is an error that names the nearest known key. A driver is written as its name, or as a mapping of its
name and its options:

    verifier: gcc
    lr_policy: {name: exponential, base_lr: 5e-5, decay: 0.85}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_serializer,
    model_validator,
)

from halo_core.config.curriculum import Curriculum
from halo_core.config.kinds import KINDS
from halo_core.config.mix import Mix
from halo_core.config.model import ModelConfig
from halo_core.config.options import explain
from halo_core.config.rounds import Rounds
from halo_core.errors import ConfigError, did_you_mean

NON_RESULT_KEYS = ("cluster", "workers", "checkpoint_seconds", "sampler_tolerance")
"""Keys that do not change a run's result."""
RETRY_DIVISOR = 10
"""A retry after a divergence divides the learning rate by this."""
_NAMELESS = "a driver needs a name"
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class DriverSpec(_Section):
    """A driver or plugin by name, with its options beside the name."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
            raise ValueError(_NAMELESS)
        return {"name": value["name"], "options": {k: v for k, v in value.items() if k != "name"}}

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


class DataSource(_Section):
    """One of several sources of prompts. The keys after `weight` replace those of the section `data`."""

    prompts: Annotated[str, Field(min_length=1)]
    """A file, a data set, or the directory of a run, as in `data.prompts`."""
    weight: Annotated[float, Field(gt=0)] | None = None
    """Share of this source in the mixture, relative to the others. null for all sources: every prompt is used."""
    recipe: str | None = None
    """See `data.recipe`."""
    columns: dict[str, Any] | None = None
    """See `data.columns`."""
    template: str | None = None
    """See `data.template`."""
    where: str | None = None
    """See `data.where`."""
    databases: str | None = None
    """See `data.databases`."""


class Contamination(_Section):
    """The check that no training prompt is in an evaluation set."""

    sets: dict[str, str] = {}
    """Evaluation sets by name: files or data sets, with columns of any name."""
    words: Annotated[int, Field(ge=2)] = 8
    """Length of the runs of words that are compared."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the words of an evaluation text that such runs cover, from which it counts as contaminated."""
    refuse: bool = False
    """Refuse to run with contaminated prompts; otherwise they are only reported."""


class DataConfig(_Section):
    """The sources of the prompts. Without a model and prompts, the verifier's demo is used."""

    prompts: str | None = None
    """A .jsonl, .parquet, .csv or .json file, a Hugging Face dataset as hf:owner/name:split, or the directory of a run:
    its training prompts. Not needed if `cycles` is 0 and `heldout` is given."""
    heldout: str | None = None
    """The same for the held-out prompts, which are measured on but never trained on; of a run, its held-out prompts."""
    heldout_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the prompts that is held out if `heldout` is not given."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of training prompts; the first ones are used."""
    sources: tuple[DataSource, ...] = ()
    """Several sources of training prompts, mixed by weight, instead of `prompts`."""
    recipe: str = ""
    """Ready mapping of the columns of a known data set: gsm8k, math, humaneval, mbpp, apps, taco, spider, bird, bfcl,
    xlam. Empty: the rows are prompts, or `columns` maps them."""
    columns: dict[str, Any] = {}
    """Columns of the data by key of the prompt (`prompt`, `messages`, `id`, `verifier`, `reference`) or of its
    reference (any other key): a name, a path such as `a.b.0`, or a mapping such as `{from: answer, after: "####"}`."""
    template: str = ""
    """Jinja template of the prompts, with the columns of a row: `Solve this: {{ question }}`. Empty: as they are."""
    where: str = ""
    """Jinja expression of the columns, true for the rows to use: `level == 'easy'`. Empty: all rows."""
    databases: str | None = None
    """Directory of the databases of the recipes spider and bird."""
    contamination: Contamination = Contamination()
    """The check that no training prompt is in an evaluation set."""


class HeldoutConfig(_Section):
    """Sampling of the held-out prompts."""

    samples_per_prompt: Annotated[int, Field(ge=1)] = 8
    """Completions sampled for each held-out prompt after each cycle."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of held-out prompts; the first ones are used."""
    generator: DriverSpec | None = None
    """Generator of the held-out completions, with its options. null: that of the run, or `transformers` if that one
    samples from another model than the one that is trained (a teacher)."""


def _driver_fields() -> dict[str, Any]:
    """Return the type and default of the field for each driver kind."""
    found: dict[str, Any] = {}
    for kind in KINDS.values():
        if not kind.many:
            found[kind.key] = (DriverSpec, Field(DriverSpec(name=kind.default), description=kind.help))
        elif kind.interface:
            found[kind.key] = (
                Annotated[tuple[DriverSpec, ...], Field(min_length=1)],
                Field(description=kind.help),
            )
        else:
            found[kind.key] = (tuple[DriverSpec, ...], Field((), description=kind.help))
    return found


_Drivers = create_model("_Drivers", __base__=_Section, **_driver_fields())


class RunConfig(_Drivers):
    """The resolved configuration of a run; the contents of `run.yaml`.

    It also has a field for each row of `config.kinds.KINDS`: a `DriverSpec`, or a tuple of them.
    """

    model: ModelConfig = ModelConfig()
    """The model to sample from and train."""
    data: DataConfig = DataConfig()
    """The prompts."""
    cycles: Annotated[int, Field(ge=0)] = 5
    """Number of cycles; each samples and trains once. 0: only measure the model on the held-out prompts."""
    samples_per_prompt: Annotated[int, Field(ge=1)] = 8
    """Completions sampled for each training prompt in each cycle."""
    rounds: Rounds = Rounds()
    """Further completions only for prompts that need them."""
    heldout: HeldoutConfig = HeldoutConfig()
    """Measurement on held-out prompts."""
    start_from: Literal["previous", "best", "base", "interpolate"] = "previous"
    """Weights that each cycle's training starts from. `previous`: those of the cycle before. `best`: those of the cycle
    with the highest held-out pass rate so far; sampling uses them too. `base`: the model before any training.
    `interpolate`: a mean of previous and base, weighted by `interpolation`."""
    interpolation: Annotated[float, Field(gt=0, le=1)] = 0.5
    """For `start_from: interpolate`: share of the change from the base model that remains."""
    mix: Mix = Mix()
    """Samples to train on besides a cycle's own selection."""
    curriculum: Curriculum = Curriculum()
    """Prompts that each cycle samples."""
    per_cycle: dict[str, dict[str, tuple[Any, ...]]] = {}  # noqa: RUF012 (pydantic copies it)
    """Options of generator, reward, selector and trainer that change from cycle to cycle: for each driver and option,
    a list of values; the last value holds for all later cycles. Under `name`: selectors or trainers that take turns.
    Held-out prompts are always sampled with the generator's own options."""
    when_none: Literal["stop", "lower", "skip"] = "stop"
    """Reaction to a cycle that selects nothing. `stop`: end the run with the cause. `lower`: select at the highest
    `threshold` below the selector's own that selects something. `skip`: train nothing; the next cycle samples again."""
    divergence_retries: Annotated[int, Field(ge=0)] = 0
    """Maximum number of retries of a cycle whose training diverges, each from the weights that it started from and at a
    tenth of the learning rate."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed that every random choice of the run derives from."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] | None = 60.0
    """Approximate seconds between checkpoints within a long training: a kill or Ctrl-C loses at most this much of it.
    null: no checkpoints. The result is the same."""
    keep_adapters: Literal["all", "best"] | Annotated[int, Field(ge=1)] = "all"
    """Weights to keep on the disk when a cycle ends: `all`; `best`: those of the best and of the last cycle; a number
    N: those of the last N cycles, and of the best. Measurements, reports and completions of all cycles are kept."""
    max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Maximum share of error verdicts; above it the run stops, because a broken verifier must not teach."""
    sampler_tolerance: Annotated[float, Field(gt=0)] | None = None
    """Largest accepted distance of the generator's log-probabilities from those of the trained weights, in nats per
    token; above it the run stops, because the generator samples with other weights. null: 0.01 if both compute in
    float32, otherwise 0.1."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Completions verified at once; null: the number of cores, and at least 2."""
    sandbox: Literal["auto", "strong", "standard", "weak", "none"] = "auto"
    """Containment of untrusted code; `auto` takes the best available tier and refuses a weak one."""

    @model_validator(mode="after")
    def _the_first_round_is_within_the_budget(self) -> Self:
        if (self.rounds.size or 0) > self.samples_per_prompt:
            raise ValueError("rounds.size must be at most samples_per_prompt, the mean number of completions")
        return self

    def spec(self, kind: str) -> DriverSpec:
        """Return the driver of `kind`, a kind that a run has one of."""
        found: DriverSpec = getattr(self, KINDS[kind].key)
        return found

    def specs(self, kind: str) -> tuple[DriverSpec, ...]:
        """Return the drivers of `kind`, a kind that a run may have several of, in order."""
        found: tuple[DriverSpec, ...] = getattr(self, KINDS[kind].key)
        return found


def read_config(raw: Mapping[str, Any], *, where: str = "configuration") -> RunConfig:
    """Validate `raw`. Raises a `ConfigError` that names the first invalid key."""
    named = {kind.key: {"name": kind.default} for kind in KINDS.values() if not kind.many}
    filled = {
        key: {**named[key], **value} if key in named and isinstance(value, Mapping) else value
        for key, value in raw.items()
    }
    try:
        return RunConfig.model_validate(filled)
    except ValidationError as error:
        raise _config_error(error, where) from error


def _config_error(error: ValidationError, where: str) -> ConfigError:
    """Return the first problem as an error; unknown keys come first, because they explain missing ones."""
    problems = error.errors(include_url=False)
    first = next((each for each in problems if each["type"] in _UNKNOWN), problems[0])
    path = [str(part) for part in first["loc"]]
    if first["type"] in _UNKNOWN:
        hint = did_you_mean(path[-1], fields_of(path[:-1]))
        return ConfigError(f"{where}: unknown key {'.'.join(path)!r}", hint=hint)
    if first["type"] in {"model_type", "dataclass_type"} and len(path) == 1 and fields_of(path):
        return _section_error(path[0], first["input"], where)
    if (path == ["verifier"] and not first["input"]) or first["type"] == "missing":
        return ConfigError("no verifier was named", hint="name one: --verifier gcc (halo plugins lists them)")
    if not first["msg"].endswith(_NAMELESS):
        return ConfigError(explain(error, where=where))
    if path[0] == "verifier" and isinstance(first["input"], Mapping):
        return ConfigError(
            f"no verifier was named in {first['input']!r}",
            hint="name one: --verifier gcc, or verifier: {name: gcc, OPTION: VALUE}",
        )
    return ConfigError(explain(error, where=where), hint="write {name: NAME, OPTION: VALUE}")


def _section_error(key: str, value: object, where: str) -> ConfigError:
    fields = fields_of([key])
    first = next(iter(fields))
    hint = f"its keys are {', '.join(fields)}"
    if isinstance(value, str) and fields[first].annotation is not int:
        hint = f"write {key}: {{{first}: {value}}}"
    return ConfigError(f"{where}: {key} is a section of keys, not {value!r}", hint=hint)


def fields_of(path: Sequence[str]) -> Mapping[str, Any]:
    """Return the fields of the section at `path`."""
    section: Any = RunConfig
    for part in path:
        section = section.model_fields[part].annotation if hasattr(section, "model_fields") else section
    found: Mapping[str, Any] = getattr(section, "model_fields", None) or getattr(
        section, "__pydantic_fields__", {}
    )
    return found
