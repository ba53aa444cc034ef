"""What a run is made of, and how it is put together: defaults < hardware < demo < file < --set < flags.

Every key is checked; one that is not known is refused with the nearest that is. A driver is written as its
name, or as a mapping of its name and its options:

    verifier: gcc
    lr_policy: {name: exponential, base_lr: 5e-5, decay: 0.85}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator

from halo_core.actor import ModelConfig
from halo_core.curriculum import Curriculum
from halo_core.errors import ConfigError, did_you_mean, first_line
from halo_core.mixing import Mix
from halo_core.options import explain

SINGLE = ("generator", "reward", "selector", "trainer", "lr_policy")
"""Sections that hold one driver."""
LISTS = ("verifier", "plugins")
"""Sections that hold any number."""
FREE = ("workers", "checkpoint_seconds")
"""Keys that do not touch a run's result."""
_NAMELESS = "a driver needs a name"


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
        if isinstance(value, Mapping):
            if not isinstance(value.get("name"), str):
                raise ValueError(_NAMELESS)
            return {"name": value["name"], "options": {k: v for k, v in value.items() if k != "name"}}
        return value

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


class DataConfig(_Section):
    """Where the prompts come from. With neither a model nor prompts, the verifier's demo is used."""

    prompts: str | None = None
    """A .jsonl, .parquet, .csv or .json file, or a Hugging Face dataset as hf:owner/name:split."""
    heldout: str | None = None
    """The same, for the prompts that are only measured on."""
    heldout_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the prompts held out when no file of held-out prompts is given."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use only the first so many training prompts."""


class HeldoutConfig(_Section):
    """How the held-out prompts are measured."""

    samples_per_prompt: Annotated[int, Field(ge=1)] = 8
    """Completions sampled for each held-out prompt after each cycle."""


class RunConfig(_Section):
    """The resolved configuration of a run; what `run.yaml` holds."""

    verifier: Annotated[tuple[DriverSpec, ...], Field(min_length=1)]
    """What judges the completions; `Prompt.verifier` chooses where there are several."""
    model: ModelConfig = ModelConfig()
    """What is sampled from and trained."""
    data: DataConfig = DataConfig()
    """The prompts."""
    generator: DriverSpec = DriverSpec(name="transformers")
    """What samples."""
    reward: DriverSpec = DriverSpec(name="graduated")
    """What turns verdicts into numbers."""
    selector: DriverSpec = DriverSpec(name="raft")
    """What chooses the samples to train on."""
    trainer: DriverSpec = DriverSpec(name="sft")
    """What trains."""
    lr_policy: DriverSpec = DriverSpec(name="constant")
    """What sets each cycle's learning rate."""
    plugins: tuple[DriverSpec, ...] = ()
    """Hook plugins by name or file, in order; later ones wrap earlier ones."""
    cycles: Annotated[int, Field(ge=1)] = 5
    """How often to sample and train."""
    samples_per_prompt: Annotated[int, Field(ge=1)] = 8
    """Completions sampled for each training prompt in each cycle."""
    heldout: HeldoutConfig = HeldoutConfig()
    """How the result is measured."""
    start_from: Literal["previous", "best", "base", "interpolate"] = "previous"
    """Weights that each cycle's training begins with: those of the cycle before; of the best cycle so far by
    held-out pass rate (which then samples, too); of the model before any training; or those of the cycle
    before, drawn towards the latter by `interpolation`."""
    interpolation: Annotated[float, Field(gt=0, le=1)] = 0.5
    """For `start_from: interpolate`: share of the change since the base model that is kept."""
    mix: Mix = Mix()
    """What is trained on besides a cycle's own choice."""
    curriculum: Curriculum = Curriculum()
    """Which of the prompts each cycle samples."""
    per_cycle: dict[str, dict[str, tuple[Any, ...]]] = {}
    """Options of generator, reward, selector and trainer that change from cycle to cycle: by driver and option
    a list, the last value held. Held-out prompts are always sampled with the generator's own options."""
    divergence_retries: Annotated[int, Field(ge=0)] = 0
    """How often a cycle whose training diverges is tried again, each time from the weights that it began with
    and at a tenth of the rate."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Every random choice of the run derives from it."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] | None = 60.0
    """A training that takes long is kept about so often, so that a kill or Ctrl-C loses no more of it. null:
    never. The result is the same."""
    max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of verdicts that may be errors before the run stops: a broken verifier must not teach."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Completions verified at once; none: the number of cores, and at least 2."""
    sandbox: Literal["auto", "strong", "standard", "weak", "none"] = "auto"
    """How well untrusted code must be contained; auto takes the best tier and refuses a weak one."""


def read_config(raw: Mapping[str, Any], *, where: str = "configuration") -> RunConfig:
    """Check `raw` and return it typed. Raises a `ConfigError` that names the first offending key."""
    named = {key: {"name": RunConfig.model_fields[key].default.name} for key in SINGLE}
    filled = {
        key: {**named[key], **value} if key in named and isinstance(value, Mapping) else value
        for key, value in raw.items()
    }
    try:
        return RunConfig.model_validate(filled)
    except ValidationError as error:
        raise _complaint(error, where) from error


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file. Raises a `ConfigError` with line and column where it is not usable."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        loaded = yaml.load(text, _Loader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{place}: {error.problem or 'not YAML'}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {first_line(error)}") from error
    if loaded is None:
        raise ConfigError(f"{path} is empty", hint="it needs at least: verifier: NAME")
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: a configuration is a mapping of keys, not a {type(loaded).__name__}")
    return normalise(loaded)


def normalise(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Write every driver section of `layer` as a mapping, so that layers can be laid over each other."""
    raw = dict(layer)
    for key in SINGLE:
        if isinstance(raw.get(key), str):
            raw[key] = {"name": raw[key]}
    for key in LISTS:
        if raw.get(key) is not None:
            entries = raw[key] if isinstance(raw[key], (list, tuple)) else [raw[key]]
            raw[key] = [{"name": entry} if isinstance(entry, str) else entry for entry in entries]
    return raw


def assign(raw: dict[str, Any], path: str, value: Any) -> None:
    """Set `path` ("selector.threshold", "verifier.gcc.standard") in `raw`, in place.

    In a list of drivers, the part after its key is an entry's name and may be left out when there is only
    one entry. Naming another driver in a section drops the options of the one that was there.
    """
    *parents, last = path.split(".")
    if not parents and last in (*SINGLE, *LISTS):
        return _choose(raw, last, value)
    node: Any = raw
    for part in parents:
        node = _entry(node, part, path) if isinstance(node, list) else node.setdefault(part, _new(part))
        if not isinstance(node, (dict, list)):
            raise ConfigError(f"{path}: {part!r} holds a value, not a section")
    if isinstance(node, list):
        node = _entry(node, None, path)
    if last == "name" and node.get("name") not in (None, value):
        node.clear()
    node[last] = value
    return None


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """List what differs between two resolved configurations, a line each."""
    old, new = flat(there), flat(here)
    return [
        f"{key}: {_shown(old, key)} there, {_shown(new, key)} here"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "absent"


def _choose(raw: dict[str, Any], key: str, value: Any) -> None:
    """Name the driver of a section, keeping the options that were set for that name or for none."""
    chosen = normalise({key: value})[key]
    if key in SINGLE:
        if not isinstance(chosen, Mapping):
            raise ConfigError(f"{key}: a name is wanted, once (got {value!r})")
        there = raw.get(key)
        if isinstance(there, Mapping) and there.get("name") in (None, chosen.get("name")):
            chosen = {**there, **chosen}
        raw[key] = chosen
        return
    before = {entry.get("name"): entry for entry in raw.get(key) or [] if isinstance(entry, Mapping)}
    raw[key] = [{**before.get(entry["name"], before.get(None, {})), **entry} for entry in chosen]


def _new(part: str) -> Any:
    return [{}] if part in LISTS else {}


def _entry(entries: list[Any], name: str | None, path: str) -> Any:
    """Find the entry that `name` means: as written, or without its distribution, directory and suffix."""
    for entry in entries:
        if name in names_of(entry):
            return entry
    if len(entries) == 1 and name is None:
        return entries[0]
    known = ", ".join(names_of(entry)[-1] for entry in entries if names_of(entry))
    raise ConfigError(f"{path}: {'say which' if name is None else 'not listed'}; listed: {known or 'none'}")


def names_of(entry: Any) -> tuple[str, ...]:
    """Return what an entry of a list of drivers may be called: as written, and in short."""
    name = entry.get("name") if isinstance(entry, Mapping) else entry
    return (name, short_name(name)) if isinstance(name, str) else ()


def short_name(name: str) -> str:
    """Return what a driver is called in the run: 'gcc' for 'dist:gcc', 'Judge' for './judge.py:Judge'."""
    path, _, attribute = name.partition(":")
    return attribute or Path(path).stem if path.endswith(".py") else name.rpartition(":")[2]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values below `value` by their paths ("verifier[0].flags"), as JSON has them; empty lists have none."""
    if isinstance(value, Mapping):
        return {
            k: v for key, sub in value.items() for k, v in flat(sub, f"{prefix}.{key}".lstrip(".")).items()
        }
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and any(isinstance(v, Mapping) for v in value)
    ):
        return {k: v for i, sub in enumerate(value) for k, v in flat(sub, f"{prefix}[{i}]").items()}
    return {prefix: json.loads(json.dumps(value, default=str))} if value != [] and value != () else {}


def _complaint(error: ValidationError, where: str) -> ConfigError:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        section: Any = RunConfig
        for part in path[:-1]:
            section = section.model_fields[part].annotation if hasattr(section, "model_fields") else section
        fields = getattr(section, "model_fields", None) or getattr(section, "__pydantic_fields__", {})
        return ConfigError(f"{where}: unknown key {'.'.join(path)!r}", hint=did_you_mean(path[-1], fields))
    if path[:1] == ["verifier"] and (first["type"] == "missing" or first["msg"].endswith(_NAMELESS)):
        return ConfigError(
            "no verifier was named", hint="say what judges: --verifier gcc (halo plugins lists them)"
        )
    return ConfigError(explain(error, where=where))


class _Loader(yaml.SafeLoader):
    """YAML without its worst surprise: a key given twice is an error, not a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            if key is not None:
                seen.add(key)
        return super().construct_mapping(node, deep)
