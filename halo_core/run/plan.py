"""From a configuration to a run that is ready to go: drivers built, data read, directory opened.

plan = Plan.from_raw(raw)            nothing is written, no model is loaded
with plan.open(directory) as (run, hooks):    the directory is begun, or gone on with
    run_cycles(run, hooks)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, is_dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.config.hardware import with_hardware_defaults
from halo_core.config.kinds import KINDS, driver_sections
from halo_core.config.layers import normalise, short_name
from halo_core.config.options import build, options_of
from halo_core.config.schema import DriverSpec, RunConfig, read_config
from halo_core.data import check_disjoint, load_prompts, split_heldout
from halo_core.drivers.base import Demo
from halo_core.errors import ConfigError, did_you_mean
from halo_core.files import damaged, disk
from halo_core.ledger import Ledger
from halo_core.plugin.blame import blamed
from halo_core.plugin.discovery import Loaded, Source, check_class, load
from halo_core.plugin.manager import Hooks
from halo_core.progress import Progress
from halo_core.run.dispatch import Dispatch, Drivers
from halo_core.run.resume import check_same, check_tier, check_unchanged, environment, extend
from halo_core.run.state import Run
from halo_core.types import Prompt
from halo_core.verification.verifiers import VerifierSet

if TYPE_CHECKING:
    from halo_core.model.actor import Actor


@dataclass(frozen=True)
class Plan:
    """A run that could be started: everything is checked, nothing has happened."""

    config: RunConfig
    """Resolved: every option of every driver is written out."""
    drivers: Drivers
    plugins: tuple[tuple[object, Source, dict[str, Any]], ...]
    """Hook plugins in order, each with its source and options."""
    demo: Demo | None
    """The demo that stands in for data that was not given."""
    demo_model: bool
    """Whether the demo's model stands in too."""

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any]) -> Plan:
        """Check `raw` and build what it names.

        Raises a `ConfigError` for keys, options and values that do not fit and a `PluginError` for names
        that are not installed.
        """
        raw = normalise(raw)
        config = read_config(with_hardware_defaults(raw))
        verifiers = VerifierSet.load(config.specs("verifier"))
        loaded = {kind: _load(kind, config.spec(kind)) for kind in driver_sections()}
        demo = None if config.data.prompts else verifiers.demo()
        demo_model = demo is not None and not config.model.name
        if demo is not None and demo_model:
            classes = {kind: loaded[kind].value for kind in driver_sections()}
            config = read_config(with_hardware_defaults(_suggested(raw, demo, classes)))
        if not config.model.name and demo is None:
            raise ConfigError(
                "prompts were given but no model",
                hint="name one: --model Qwen/Qwen2.5-Coder-0.5B or a directory",
            )
        built = {
            kind: build(
                loaded[kind].value,
                config.spec(kind).options,
                where=f"{kind} {config.spec(kind).name!r}",
            )
            for kind in driver_sections()
        }
        sources = {kind: loaded[kind].source for kind in driver_sections()}
        drivers = Drivers(verifiers, built, sources, config.per_cycle)
        _check_per_cycle(drivers)
        plugins = tuple(_plugin(spec) for spec in config.specs("plugin"))
        options = [options for _, _, options in plugins]
        return cls(_resolved(config, drivers, options), drivers, plugins, demo, demo_model)

    @contextmanager
    def open(
        self,
        directory: Path,
        progress: Progress | None = None,
        *,
        changed: bool = False,
        extended: bool = False,
    ) -> Iterator[tuple[Run, Hooks]]:
        """Begin a run in `directory`, or go on with the one that is there; it is held until this is left.

        Raises a `RunError` when the directory is in use, or holds something else or a run of another
        configuration (with `extended`, of fewer cycles) or, unless `changed`, one that was begun with other
        versions of its plugins or tools, and a `DataError` when the prompts cannot be used.
        """
        from halo_core.model.actor import Actor

        ledger, hooks, actor = Ledger(directory), self._hooks(), Actor(self.config.model)
        with ledger.locked():
            if ledger.exists:
                self._resume(ledger, changed=changed, extended=extended)
            else:
                self._start(ledger, actor)
            prompts, heldout = ledger.prompts("train"), ledger.prompts("heldout")
            yield Run(self.config, ledger, actor, prompts, heldout, progress), hooks

    def _start(self, ledger: Ledger, actor: Actor) -> None:
        ledger.check_unused()
        prompts, heldout = self.data()
        self.drivers.verifiers.check_prompts([*prompts, *heldout])
        self.preflight()
        _ = actor.model, actor.tokenizer  # one that cannot be loaded must not leave a run behind
        config, verifiers = self.config.model_dump(mode="json"), self.drivers.verifiers.fingerprints()
        ledger.create(config, self._manifest(), prompts, heldout, environment(self.config), verifiers)

    def _resume(self, ledger: Ledger, *, changed: bool, extended: bool) -> None:
        check_same(ledger.directory, Plan.from_raw(ledger.config()).config, self.config, extend=extended)
        if not ledger.prompts("train"):
            raise damaged(ledger.path, "it holds no prompts")
        self.preflight()
        check_tier(ledger)
        verifiers, here = self.drivers.verifiers, environment(self.config)
        check_unchanged(ledger, self._manifest(), verifiers, here, accept=changed)
        if extended:
            extend(ledger, self.config, self.drivers.get("lr_policy"))

    def data(self) -> tuple[list[Prompt], list[Prompt]]:
        """Read the training and the held-out prompts."""
        data = self.config.data
        if self.demo is not None:
            prompts, heldout = list(self.demo.prompts), list(self.demo.heldout)
        else:
            prompts, heldout = load_prompts(data.prompts or ""), []
        if data.heldout:
            heldout = load_prompts(data.heldout)
        elif not heldout:
            prompts, heldout = split_heldout(prompts, data.heldout_share, self.config.seed)
        check_disjoint(prompts, heldout)
        return prompts[: data.limit], heldout

    def preflight(self) -> None:
        """Have each driver check that what it needs is on this machine."""
        self.drivers.verifiers.preflight(self.config.sandbox)
        for kind in driver_sections():
            with blamed(self.drivers.source(kind)):
                self.drivers.get(kind).preflight()

    def _hooks(self) -> Hooks:
        hooks = Hooks()
        dispatch = Dispatch(self.drivers, self.config.workers)
        hooks.register(dispatch, name="dispatch", drivers=self.drivers.by_hook())
        for plugin, source, _ in self.plugins:
            hooks.register(plugin, source)
        return hooks

    def _manifest(self) -> list[dict[str, Any]]:
        rows = [(self.drivers.sources[kind], self.config.spec(kind).options) for kind in driver_sections()]
        verifiers = self.drivers.verifiers.sources.values()
        rows += zip(verifiers, [spec.options for spec in self.config.specs("verifier")], strict=True)
        rows += [(source, options) for _, source, options in self.plugins]
        return [asdict(source) | {"options": options} for source, options in rows]


def _check_per_cycle(drivers: Drivers) -> None:
    """Raise a `ConfigError` for what cannot change from cycle to cycle, or not to that."""
    allowed = [kind.name for kind in KINDS.values() if kind.per_cycle]
    for kind, options in drivers.per_cycle.items():
        if kind not in allowed:
            raise ConfigError(
                f"per_cycle.{kind}: only {', '.join(allowed)} can change from cycle to cycle",
                hint=did_you_mean(kind, allowed) or "for learning rates there are policies: halo plugins",
            )
        for option, values in options.items():
            if not values:
                raise ConfigError(f"per_cycle.{kind}.{option} is empty", hint="give a value for each cycle")
            for cycle in range(1, len(values) + 1):
                drivers.get(kind, cycle)


def _load(kind: str, spec: DriverSpec) -> Loaded:
    loaded = load(kind, spec.name)
    check_class(loaded, KINDS[kind].load_interface())
    return loaded


def _plugin(spec: DriverSpec) -> tuple[object, Source, dict[str, Any]]:
    loaded = load("plugin", spec.name)
    where = f"plugin {spec.name!r}"
    if isinstance(loaded.value, type):
        plugin: object = build(loaded.value, spec.options, where=where)
        return plugin, loaded.source, _options(plugin)
    if spec.options:
        raise ConfigError(
            f"{where} takes no options: it is a module", hint="make it a class decorated with @driver"
        )
    return loaded.value, loaded.source, {}


def _suggested(raw: Mapping[str, Any], demo: Demo, classes: Mapping[str, type]) -> dict[str, Any]:
    """Lay `raw` over the demo's settings, leaving out options that the chosen drivers do not have."""
    settings = {**demo.settings, "model": {"name": str(demo.model), **demo.settings.get("model", {})}}
    merged = dict(raw)
    for key, value in settings.items():
        given = raw.get(key)
        if isinstance(value, Mapping):
            if key in classes:
                fields = {option.name for option in options_of(classes[key])}
                value = {name: option for name, option in value.items() if name in fields}
            merged[key] = {**value, **(given or {})}
        elif given is None:
            merged[key] = value
    return merged


def _resolved(config: RunConfig, drivers: Drivers, options: Sequence[dict[str, Any]]) -> RunConfig:
    """Write out every option, and make paths independent of the working directory."""
    update: dict[str, Any] = {kind: _full(config.spec(kind), drivers.get(kind)) for kind in driver_sections()}
    update["verifier"] = tuple(
        _full(spec, drivers.verifiers.by_name[short_name(spec.name)]) for spec in config.specs("verifier")
    )
    update["plugins"] = tuple(
        _spec(spec, given) for spec, given in zip(config.specs("plugin"), options, strict=True)
    )
    update["model"] = replace(
        config.model, name=_absolute(config.model.name), adapter=_absolute(config.model.adapter)
    )
    update["mix"] = replace(config.mix, pairs=_absolute(config.mix.pairs))
    prompts, heldout = _absolute(config.data.prompts), _absolute(config.data.heldout)
    update["data"] = config.data.model_copy(update={"prompts": prompts, "heldout": heldout})
    return config.model_copy(update=update)


def _full(spec: DriverSpec, driver: Any) -> DriverSpec:
    return _spec(spec, _options(driver))


def _spec(spec: DriverSpec, options: Mapping[str, Any]) -> DriverSpec:
    """Write `spec` out as a file would have it: a `DriverSpec` takes its options beside the name."""
    return DriverSpec.model_validate({"name": _located(spec.name), **options})


def _options(driver: object) -> dict[str, Any]:
    return asdict(driver) if is_dataclass(driver) and not isinstance(driver, type) else {}


def _located(name: str) -> str:
    """Make the path of a file plugin absolute; leave the names of installed ones alone."""
    path, colon, attribute = name.partition(":")
    return f"{Path(path).resolve()}{colon}{attribute}" if path.endswith(".py") else name


def _absolute(name: Any) -> Any:
    """Make a path that is on this machine absolute; leave the names of hubs alone."""
    return str(Path(name).resolve()) if name and Path(name).exists() else name


def next_directory(root: Path, config: RunConfig) -> Path:
    """Make the first unused `root/<verifier>-<lr policy>-<n>`, for the caller alone."""
    stem = f"{short_name(config.specs('verifier')[0].name)}-{short_name(config.spec('lr_policy').name)}"
    with disk(root):
        root.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            place = root / f"{stem}-{number}"
            with suppress(FileExistsError):
                place.mkdir()
                return place
    raise AssertionError("there is always a next number")
