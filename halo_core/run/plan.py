"""From a configuration to a run: build the drivers, read the data, open the directory.

plan = Plan.from_raw(raw)                     checks everything; writes nothing, loads no model
with plan.open(directory) as (run, hooks):    starts or resumes the run in `directory`
    run_cycles(run, hooks)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.config.hardware import with_hardware_defaults
from halo_core.config.kinds import KINDS, driver_sections
from halo_core.config.layers import assign, normalise, short_name
from halo_core.config.options import options_in, options_of
from halo_core.config.schema import NON_RESULT_KEYS, DataConfig, DriverSpec, RunConfig, read_config
from halo_core.drivers.base import Demo, Generator, Workers
from halo_core.errors import ConfigError, HaloError, RunError, did_you_mean
from halo_core.files import damaged, disk, make_directory
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.rows import prompt_body
from halo_core.model.contexts import ClusterContext
from halo_core.model.rates import default_rate
from halo_core.model.size import parameter_count
from halo_core.plugin.blame import blamed, preflight
from halo_core.plugin.discovery import Origins, Source, origins_of, still_installed
from halo_core.plugin.loading import build_driver, load_class, load_driver, load_plugin
from halo_core.plugin.manager import Hooks
from halo_core.progress import Progress
from halo_core.run.dispatch import Dispatch, Drivers
from halo_core.run.prompts import contaminated, measures_only, names_prompts, read_prompts
from halo_core.run.resume import (
    check_same,
    check_tier,
    check_unchanged,
    environment,
    extend,
    recorded_precision,
)
from halo_core.run.state import Run
from halo_core.run.turns import KINDS_IN_TURN, NAME, check_options, load_turns
from halo_core.types import Prompt
from halo_core.verification.verifiers import VerifierSet

if TYPE_CHECKING:
    from halo_core.config.model import ModelConfig
    from halo_core.model.actor import Actor


@dataclass(frozen=True)
class Plan:
    """A checked run that is not started yet."""

    config: RunConfig
    """Resolved: with every option of every driver."""
    drivers: Drivers
    plugins: tuple[tuple[object, Source, dict[str, Any]], ...]
    """Hook plugins in order, each with its source and its options."""
    demo: Demo | None
    """The demo whose data is used because none was given."""
    demo_model: bool
    """True if the demo's model is also used."""

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any], origins: Origins | None = None) -> Plan:
        """Check `raw` and build the drivers and plugins that it names, those in `origins` from these distributions.

        Raises a `ConfigError` for an invalid key, option or value, and a `PluginError` for a name that is not
        installed or a plugin that cannot be used.
        """
        raw = normalise(raw)
        config = read_config(with_hardware_defaults(raw))
        verifiers = VerifierSet.load(config.specs("verifier"), origins)
        loaded = {kind: load_class(kind, config.spec(kind).name, origins) for kind in driver_sections()}
        demo = None if names_prompts(config) or measures_only(config) else verifiers.demo()
        demo_model = demo is not None and not config.model.name
        if demo is not None:
            classes = {kind: loaded[kind].value for kind in driver_sections()}
            settings = demo_settings(demo, with_model=demo_model)
            config = read_config(with_hardware_defaults(_over_settings(raw, settings, classes)))
        if not config.model.name and demo is None:
            raise ConfigError(
                "prompts were given but no model",
                hint="name one: --model Qwen/Qwen2.5-Coder-0.5B or a directory",
            )
        built = {kind: build_driver(loaded[kind], config.spec(kind)) for kind in driver_sections()}
        if rated := _with_default_rate(config, loaded["lr_policy"].value, built["trainer"]):
            config = rated
            built["lr_policy"] = build_driver(loaded["lr_policy"], config.spec("lr_policy"))
        sources = {kind: loaded[kind].source for kind in driver_sections()}
        config = _with_heldout_generator(config, built["generator"])
        spec = config.heldout.generator
        heldout = load_driver("generator", spec, origins) if spec else None
        _check_per_cycle(config.per_cycle)
        turns = load_turns(config.per_cycle, built, sources, origins)
        drivers = Drivers(verifiers, built, sources, config.per_cycle, turns, heldout)
        _check_values(drivers)
        built_plugins = [load_plugin(spec, origins) for spec in config.specs("plugin")]
        plugins = tuple((plugin, source, options_in(plugin)) for plugin, source in built_plugins)
        options = [options for _, _, options in plugins]
        return cls(_resolved(config, drivers, options), drivers, plugins, demo, demo_model)

    @classmethod
    def from_ledger(
        cls,
        ledger: Ledger,
        *,
        cycles: int | None = None,
        changed: bool = False,
        settings: Mapping[str, Any] = {},
    ) -> Plan:
        """Check the configuration of a recorded run, and build its drivers from the distributions that it recorded.

        `cycles` replaces the number of cycles. With `changed`, a distribution that is gone may be replaced by another
        one that provides the name. `settings` replaces values by path, such as "cluster.samplers"; raises a
        `ConfigError` for one that the result depends on.
        """
        raw, origins = ledger.config(), origins_of(ledger.plugins())
        for path, value in settings.items():
            if path.partition(".")[0] not in NON_RESULT_KEYS:
                raise ConfigError(
                    f"{path} cannot change within a run, whose result depends on it",
                    hint=f"only these can: {', '.join(NON_RESULT_KEYS)}; or start another run",
                )
            assign(raw, path, value)
        if changed:
            origins = still_installed(origins)
        return cls.from_raw(raw if cycles is None else raw | {"cycles": cycles}, origins)

    @contextmanager
    def open(
        self,
        directory: Path,
        progress: Progress | None = None,
        *,
        changed: bool = False,
        extended: bool = False,
    ) -> Iterator[tuple[Run, Hooks]]:
        """Start a run in `directory` or resume the run there; the directory stays locked until exit.

        With `extended`, the run may get more cycles. With `changed`, its plugins and tools may have other versions than
        at the start. Raises a `RunError` if the directory is in use, contains other files, or contains a run with
        another configuration or other versions, and a `DataError` if the prompts are unusable.
        """
        ledger, hooks = Ledger(directory), self._hooks()
        progress = progress or Progress()
        with ledger.locked(), ExitStack() as stack:
            resumed = ledger.exists
            actor = self.actor(recorded_precision(ledger, self.config.model) if resumed else None)

            def open_workers() -> Workers:
                return self._open_workers(actor, directory, progress, stack)

            if resumed:
                workers = self._resume(ledger, open_workers, changed=changed, extended=extended)
            else:
                workers, notes = self._start(ledger, actor, progress, open_workers)
            prompts, heldout = ledger.prompts("train"), ledger.prompts("heldout")
            precision = self.drivers.generator("heldout")[0].precision()
            run = Run(
                self.config, ledger, actor, prompts, heldout, progress, precision=precision, workers=workers
            )
            if resumed:
                notes = self._changed_data(run)
            for note in notes:
                progress.note(f"data     {note}")
            yield run, hooks

    def actor(self, model: ModelConfig | None = None) -> Actor:
        """Return the actor of `model`, by default the configured one; it loads the model when it is first used."""
        from halo_core.model.actor import Actor

        return Actor(model or self.config.model)

    def _open_workers(self, actor: Actor, directory: Path, progress: Progress, stack: ExitStack) -> Workers:
        """Open the cluster until `stack` ends."""
        dtype: Any = str(actor.dtype).removeprefix("torch.")  # another machine might choose another one
        model = replace(self.config.model, dtype=dtype)
        raw = self.config.model_copy(update={"model": model}).model_dump(mode="json")
        left_out = {"plugins": [], "cluster": {"name": KINDS["cluster"].default}}
        context = ClusterContext(
            raw=raw | left_out,
            origins=origins_of(self.manifest()),
            directory=directory.resolve(),
            note=progress.note,
        )
        with blamed(self.drivers.source("cluster")):
            workers: Workers = self.drivers.get("cluster").open(context)
        stack.callback(workers.close)
        return workers

    def _start(
        self, ledger: Ledger, actor: Actor, progress: Progress, open_workers: Callable[[], Workers]
    ) -> tuple[Workers, list[str]]:
        """Create the run; return its workers and the notes on its data."""
        ledger.check_unused()
        prompts, heldout = self.data()
        self.drivers.verifiers.check_prompts([*prompts, *heldout])
        notes = self.data_notes(prompts, heldout)
        self.preflight()
        if missing := actor.preflight():
            progress.note(f"model    downloading {missing} from the hub")
        _ = actor.model, actor.tokenizer  # load them first: a failure must not leave a run behind
        workers = open_workers()
        config, fingerprints = self.config.model_dump(mode="json"), self.drivers.verifiers.fingerprints()
        machine = {**environment(self.config, workers.tier), "dtype": str(actor.dtype).removeprefix("torch.")}
        ledger.create(config, self.manifest(), prompts, heldout, machine, fingerprints)
        return workers, notes

    def _resume(
        self, ledger: Ledger, open_workers: Callable[[], Workers], *, changed: bool, extended: bool
    ) -> Workers:
        check_same(
            ledger.directory, Plan.from_ledger(ledger, changed=changed).config, self.config, extend=extended
        )
        if not ledger.prompts("train"):
            _check_no_training(ledger, self.config)
        self.preflight()
        workers = open_workers()
        check_tier(ledger, workers.tier)
        verifiers, current = self.drivers.verifiers, environment(self.config, workers.tier)
        check_unchanged(ledger, self.manifest(), verifiers, current, accept=changed)
        if extended:
            extend(ledger, self.config, self.drivers.get("lr_policy"))
        return workers

    def _changed_data(self, run: Run) -> list[str]:
        """Return a note if the files of prompts no longer contain the prompts that the run stored."""
        if self.demo is not None:
            return []
        try:
            prompts, heldout = self.data()
        except HaloError as error:  # the source may be a run, damaged since
            return [f"using the stored prompts: {error}"]
        now = [(prompt.id, prompt_body(prompt)) for prompt in [*prompts, *heldout]]
        if now == [(prompt.id, prompt_body(prompt)) for prompt in [*run.prompts, *run.heldout]]:
            return []
        source = self.config.data.prompts or self.config.data.heldout or "a source"
        return [f"using the stored prompts: {source} has changed since the run was started"]

    def data(self) -> tuple[list[Prompt], list[Prompt]]:
        """Return the training prompts and the held-out prompts."""
        return read_prompts(self.config, self.demo)

    def data_notes(self, prompts: Sequence[Prompt], heldout: Sequence[Prompt]) -> list[str]:
        """Return a sentence for whatever is unusual in the data, but does not keep a run from starting."""
        return [
            *self.drivers.verifiers.warnings([*prompts, *heldout]),
            *contaminated(self.config, prompts),
        ]

    def preflight(self) -> None:
        """Check that the machine has what each driver and each plugin needs."""
        self.drivers.verifiers.preflight(self.config.sandbox)
        checked = [(self.drivers.get(kind), self.drivers.source(kind)) for kind in driver_sections()]
        checked += [self.drivers.heldout] if self.drivers.heldout else []
        checked += [turn for turns in self.drivers.in_turn.values() for turn in turns]
        for each, source in [*checked, *((plugin, source) for plugin, source, _ in self.plugins)]:
            preflight(each, source)

    def _hooks(self) -> Hooks:
        hooks = Hooks()
        dispatch = Dispatch(self.drivers, self.config.workers)
        hooks.register(dispatch, name="dispatch", drivers=self.drivers.by_hook())
        for plugin, source, _ in self.plugins:
            hooks.register(plugin, source)
        return hooks

    def manifest(self) -> list[dict[str, Any]]:
        """Return every driver and plugin with its source and its options: `plugins.json`."""
        rows = [(self.drivers.sources[kind], self.config.spec(kind).options) for kind in driver_sections()]
        verifiers = self.drivers.verifiers.sources.values()
        rows += zip(verifiers, [spec.options for spec in self.config.specs("verifier")], strict=True)
        rows += [(source, options) for _, source, options in self.plugins]
        rows += [
            (source, options_in(driver))
            for turns in self.drivers.in_turn.values()
            for driver, source in turns
        ]
        if self.drivers.heldout and self.drivers.heldout[1] not in [source for source, _ in rows]:
            rows.append((self.drivers.heldout[1], options_in(self.drivers.heldout[0])))
        found = [asdict(source) | {"options": options} for source, options in rows]
        return [row for index, row in enumerate(found) if row not in found[:index]]


def _check_no_training(ledger: Ledger, config: RunConfig) -> None:
    """Raise a `RunError` unless a run without training prompts is complete and shall only measure."""
    if not ledger.prompts("heldout"):
        raise damaged(ledger.path, "it contains no prompts")
    if config.cycles:
        raise RunError(
            f"{ledger.directory} only measured a model and has no training prompts",
            hint="start a run with halo run, --data and another --output",
        )


def _check_per_cycle(per_cycle: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
    """Raise a `ConfigError` for a kind that cannot change in `per_cycle`, and for an empty list."""
    allowed = [kind.name for kind in KINDS.values() if kind.per_cycle]
    for kind, options in per_cycle.items():
        if kind not in allowed:
            raise ConfigError(
                f"per_cycle.{kind}: only {', '.join(allowed)} can change from cycle to cycle",
                hint=did_you_mean(kind, allowed) or "use a learning-rate policy instead: halo plugins",
            )
        for option, values in options.items():
            if not values:
                raise ConfigError(f"per_cycle.{kind}.{option} is empty", hint="give a value for each cycle")
        if NAME in options and kind not in KINDS_IN_TURN:
            raise ConfigError(
                f"per_cycle.{kind}.{NAME}: a run has one {kind}, whose options may change",
                hint=f"only {' and '.join(KINDS_IN_TURN)} can change from cycle to cycle",
            )


def _check_values(drivers: Drivers) -> None:
    """Raise a `ConfigError` for an option or a value that is invalid in `per_cycle`."""
    for kind, options in drivers.per_cycle.items():
        if kind in drivers.in_turn:
            check_options(kind, options, [driver for driver, _ in drivers.in_turn[kind]])
        for cycle in range(1, max(map(len, options.values()), default=0) + 1):
            drivers.get(kind, cycle)


def demo_settings(demo: Demo, *, with_model: bool) -> dict[str, Any]:
    """Return the configuration for the prompts of `demo`, with its model or with another."""
    if with_model:
        return {**demo.settings, "model": {"name": str(demo.model), **demo.settings.get("model", {})}}
    return {"generator": {"system": demo.system}} if demo.system else {}


def _over_settings(
    raw: Mapping[str, Any], settings: Mapping[str, Any], classes: Mapping[str, type]
) -> dict[str, Any]:
    """Return `raw` merged over the settings, without options that the chosen drivers do not have."""
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


def _with_default_rate(config: RunConfig, policy: type, trainer: object) -> RunConfig | None:
    """Return `config` with the learning rate that suits the trainer and the model; None if it has one already."""
    spec, base = config.spec("lr_policy"), getattr(trainer, "usual_lr", None)
    if (
        base is None
        or "base_lr" in spec.options
        or "base_lr" not in {each.name for each in options_of(policy)}
    ):
        return None
    rate = default_rate(base, parameter_count(config.model), full=bool(getattr(trainer, "full", False)))
    given = DriverSpec.model_validate({"name": spec.name, **spec.options, "base_lr": rate})
    return config.model_copy(update={"lr_policy": given})


def _with_heldout_generator(config: RunConfig, generator: Generator) -> RunConfig:
    """Return `config` with the generator of the held-out prompts named, if `generator` is a teacher."""
    if config.heldout.generator is not None or generator.follows_weights():
        return config
    spec = DriverSpec.model_validate({"name": "transformers", **_shared_options(config.spec("generator"))})
    return config.model_copy(update={"heldout": config.heldout.model_copy(update={"generator": spec})})


def _shared_options(spec: DriverSpec) -> dict[str, Any]:
    """Return the options of a teacher that the generator of the local model takes over."""
    return {name: value for name, value in spec.options.items() if name in ("max_new_tokens", "system")}


def _resolved(config: RunConfig, drivers: Drivers, options: Sequence[dict[str, Any]]) -> RunConfig:
    """Return `config` with every option written out and all local paths absolute."""
    update: dict[str, Any] = {
        kind: _full_spec(config.spec(kind), drivers.get(kind)) for kind in driver_sections()
    }
    update["verifier"] = tuple(
        _full_spec(spec, drivers.verifiers.by_name[short_name(spec.name)])
        for spec in config.specs("verifier")
    )
    update["plugins"] = tuple(
        _spec(spec, given) for spec, given in zip(config.specs("plugin"), options, strict=True)
    )
    update["per_cycle"] = {
        kind: {
            key: tuple(map(_absolute_turn, values)) if key == NAME else values for key, values in each.items()
        }
        for kind, each in config.per_cycle.items()
    }
    paths = {key: _absolute_path(getattr(config.model, key)) for key in ("name", "adapter", "chat_template")}
    update["model"] = replace(config.model, **paths)
    if drivers.heldout is not None and config.heldout.generator is not None:
        spec = _full_spec(config.heldout.generator, drivers.heldout[0])
        update["heldout"] = config.heldout.model_copy(update={"generator": spec})
    update["mix"] = replace(config.mix, pairs=_absolute_path(config.mix.pairs))
    update["data"] = _with_absolute_paths(config.data)
    return config.model_copy(update=update)


def _with_absolute_paths(data: DataConfig) -> DataConfig:
    paths = {key: _absolute_path(getattr(data, key)) for key in ("prompts", "heldout", "databases")}
    keys = ("prompts", "databases")
    sources = tuple(
        each.model_copy(update={key: _absolute_path(getattr(each, key)) for key in keys})
        for each in data.sources
    )
    sets = {name: _absolute_path(source) for name, source in data.contamination.sets.items()}
    contamination = data.contamination.model_copy(update={"sets": sets})
    return data.model_copy(update={**paths, "sources": sources, "contamination": contamination})


def _full_spec(spec: DriverSpec, driver: Any) -> DriverSpec:
    return _spec(spec, options_in(driver))


def _spec(spec: DriverSpec, options: Mapping[str, Any]) -> DriverSpec:
    """Return the spec of the same driver with `options`."""
    return DriverSpec.model_validate({"name": _absolute_name(spec.name), **options})


def _absolute_turn(value: Any) -> Any:
    """Return a driver of `per_cycle`, a name or a mapping, with an absolute path for a file plugin."""
    if isinstance(value, Mapping):
        return {**value, "name": _absolute_name(value["name"])}
    return _absolute_name(value)


def _absolute_name(name: str) -> str:
    """Return the name with an absolute path for a file plugin; unchanged for an installed plugin."""
    path, colon, attribute = name.partition(":")
    return f"{Path(path).resolve()}{colon}{attribute}" if path.endswith(".py") else name


def _absolute_path(name: Any) -> Any:
    """Return an existing path as an absolute path; return any other name, such as one on the hub, unchanged."""
    return str(Path(name).resolve()) if name and Path(name).exists() else name


def next_directory(root: Path, config: RunConfig) -> Path:
    """Create and return the first unused directory of a run in `root`; safe against concurrent callers.

    It is named `<verifier>-<lr policy>-<n>`, or `eval-<verifier>-<model>-<n>` for a run without cycles.
    """
    verifier = short_name(config.specs("verifier")[0].name)
    if config.cycles:
        stem = f"{verifier}-{short_name(config.spec('lr_policy').name)}"
    else:
        stem = f"eval-{verifier}-{Path(config.model.name).name}"
    make_directory(root)
    with disk(root):
        for number in count(1):
            directory = root / f"{stem}-{number}"
            with suppress(FileExistsError):
                directory.mkdir()
                return directory
    raise AssertionError("unreachable: count() never ends")
