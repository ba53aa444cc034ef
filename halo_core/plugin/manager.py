"""`Hooks`: a typed front on pluggy with one checked method for each hook.

pluggy calls plugins in order. This module checks what they return, and names the plugin that returned a bad value.
An exception keeps its type and gets a note with the plugin, its distribution, its version and the hook.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pluggy

from halo_core import hookspecs
from halo_core.config.training import flaw_of_lr
from halo_core.errors import PluginError, did_you_mean
from halo_core.hookspecs import RunView
from halo_core.plugin.blame import add_blame
from halo_core.plugin.discovery import BUILTIN, Source
from halo_core.plugin.observers import Observers
from halo_core.plugin.validation import (
    NUMBER,
    flaw_of_completion,
    flaw_of_verdict,
    with_stored_precision,
)
from halo_core.types import Completion, CycleReport, Prompt, Sample, SamplingRequest, TrainStats, Verdict

_END = object()


class Hooks:
    """The plugins of one run, in the order they were registered; later ones wrap and override earlier ones."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("halo")
        self._manager.add_hookspecs(hookspecs)
        self._sources: dict[str, Source] = {}
        self._drivers: Mapping[str, Sequence[Source]] = {}
        self._observers = Observers(self._manager, self._blame)
        self.register(self._observers, name="observers")

    def register(
        self,
        plugin: object,
        source: Source = BUILTIN,
        *,
        name: str = "",
        drivers: Mapping[str, Sequence[Source]] | None = None,
    ) -> None:
        """Add a plugin. `drivers` lists, by hook, the drivers that a built-in plugin delegates to.

        Raises a `PluginError` for a hook that does not exist or takes other arguments.
        """
        name = name or source.name
        if name in self._sources:
            if source in self._sources.values():
                raise PluginError(f"plugin {name!r} is listed twice", hint="list it once")
            name = str(source)
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            reason = str(error).splitlines()[-1] if isinstance(error, ValueError) else _short(error)
            raise PluginError(f"{source} cannot be registered: {reason}") from error
        self._sources[name] = source
        self._drivers = drivers or self._drivers
        self._check_hooks(plugin, name, source)
        if plugin is not self._observers:
            self._observers.add(plugin, name)

    def sources(self) -> list[Source]:
        """Return the sources of the plugins that are not built in, in order."""
        return [source for source in self._sources.values() if source is not BUILTIN]

    def lr_for_cycle(self, *, run: RunView, cycle: int, history: Sequence[CycleReport]) -> float:
        """See `hookspecs.lr_for_cycle`."""
        lr = self._call("lr_for_cycle", run=run, cycle=cycle, history=tuple(history))
        if flaw := flaw_of_lr(lr):
            raise self._unusable("lr_for_cycle", f"{lr!r} for cycle {cycle}; {flaw}")
        return float(lr)

    def generate(self, *, run: RunView, request: SamplingRequest) -> Iterator[Sequence[Completion]]:
        """See `hookspecs.generate`. Log-probabilities come back as the float32 values that the ledger stores."""
        answer = self._call("generate", run=run, request=request)
        if not isinstance(answer, Iterable):
            raise self._unusable("generate", f"{type(answer).__name__} instead of batches")
        batches = iter(answer)
        known = {prompt.id for prompt in request.prompts}
        while True:
            with self._blamed("generate"):
                batch = next(batches, _END)
            if batch is _END:
                return
            completions: Sequence[Completion] = self._each("generate", batch, Completion, None, "")
            earlier = None
            for completion in completions:
                if flaw := flaw_of_completion(completion, earlier):
                    raise self._unusable("generate", f"a completion with {flaw}")
                if completion.prompt_id not in known:
                    raise self._unusable(
                        "generate", f"a completion for {completion.prompt_id!r}, which was not requested"
                    )
                earlier = completion
            yield [with_stored_precision(completion) for completion in completions]

    def verify(
        self, *, run: RunView, prompts: Sequence[Prompt], completions: Sequence[Completion]
    ) -> Sequence[Verdict]:
        """See `hookspecs.verify`."""
        verdicts = self._call("verify", run=run, prompts=prompts, completions=completions)
        checked: Sequence[Verdict] = self._each("verify", verdicts, Verdict, len(completions), "completions")
        for verdict in checked:
            if flaw := flaw_of_verdict(verdict):
                raise self._unusable("verify", f"a verdict with {flaw}")
        return checked

    def reward(self, *, run: RunView, cycle: int, samples: Sequence[Sample]) -> Sequence[float | None]:
        """See `hookspecs.reward`."""
        rewards = self._call("reward", run=run, cycle=cycle, samples=samples)
        rewards = self._each("reward", rewards, (*NUMBER, type(None)), len(samples), "samples")
        for sample, value in zip(samples, rewards, strict=True):
            if value is not None and not math.isfinite(value):
                raise self._unusable("reward", f"{value} for a completion of prompt {sample.prompt.id!r}")
        return [None if value is None else float(value) for value in rewards]

    def select(self, *, run: RunView, cycle: int, samples: Sequence[Sample]) -> Sequence[Sample]:
        """See `hookspecs.select`."""
        answer = self._call("select", run=run, cycle=cycle, samples=samples)
        chosen: Sequence[Sample] = self._each("select", answer, Sample, None, "")
        given = {(sample.prompt.id, sample.completion.index): sample.completion for sample in samples}
        left = dict(given)
        for sample in chosen:
            if not _is_number(sample.weight) or not math.isfinite(sample.weight):
                raise self._unusable(
                    "select", f"a weight of {sample.weight!r} for prompt {sample.prompt.id!r}"
                )
            key, completion = (sample.prompt.id, sample.completion.index), sample.completion
            found = left.pop(key, None)
            if found is completion or found == completion:
                continue
            # The ledger could not record it as a sample that was trained on.
            why = "changed" if found else "twice" if key in given else "which was not among the samples given"
            raise self._unusable("select", f"completion {key[1]} of prompt {key[0]!r}, {why}")
        return chosen

    def train(self, *, run: RunView, cycle: int, samples: Sequence[Sample], lr: float) -> TrainStats:
        """See `hookspecs.train`."""
        stats = self._call("train", run=run, cycle=cycle, samples=samples, lr=lr)
        if not isinstance(stats, TrainStats):
            raise self._unusable("train", f"{type(stats).__name__} instead of TrainStats")
        return stats

    def on_run_start(self, *, run: RunView, history: Sequence[CycleReport]) -> None:
        """See `hookspecs.on_run_start`."""
        self._notify("on_run_start", run=run, history=tuple(history))

    def on_cycle_end(self, *, run: RunView, report: CycleReport, history: Sequence[CycleReport]) -> None:
        """See `hookspecs.on_cycle_end`."""
        self._notify("on_cycle_end", run=run, report=report, history=tuple(history))

    def on_run_end(
        self, *, run: RunView, history: Sequence[CycleReport], error: BaseException | None
    ) -> None:
        """See `hookspecs.on_run_end`."""
        self._notify("on_run_end", run=run, history=tuple(history), error=error)

    def _notify(self, hook: str, **arguments: Any) -> None:
        with self._blamed(hook):
            self._observers.notify(hook, **arguments)

    def _blame(self, error: Exception, plugin: str, hook: str) -> str:
        """Blame `plugin` for an exception of its observer; return its description."""
        who = self._describe(plugin, hook)
        if self._sources[plugin] is not BUILTIN:
            add_blame(error, f"{who} in hook {hook!r}")
        return who

    def _call(self, hook: str, **arguments: Any) -> Any:
        with self._blamed(hook):
            answer = getattr(self._manager.hook, hook)(**arguments)
        if answer is None:
            raise self._unusable(hook, "None")
        return answer

    def _each(self, hook: str, values: Any, kind: Any, count: int | None, of: str) -> Any:
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise self._unusable(hook, f"{type(values).__name__} instead of a list")
        if count is not None and len(values) != count:
            raise self._unusable(hook, f"{len(values)} results for {count} {of}")
        for index, value in enumerate(values):
            if not isinstance(value, kind) or isinstance(value, bool):
                raise self._unusable(hook, f"{value!r} at position {index}")
        return values

    def _unusable(self, hook: str, what: str) -> PluginError:
        """Build the error for an unusable answer; any of the hook's plugins may have returned it."""
        authors = [self._describe(impl.plugin_name, hook) for impl in reversed(self._impls(hook))]
        outside = [author for author in authors if author != "builtin"] or authors
        hint = "check what it returns" if len(outside) == 1 else "check what they return, outermost first"
        return PluginError(
            f"hook {hook!r} returned {what}; answered by {', '.join(outside) or 'no plugin'}", hint=hint
        )

    @contextmanager
    def _blamed(self, hook: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            plugin = self._culprit(hook, error)
            if plugin:
                add_blame(error, f"{self._describe(plugin, hook)} in hook {hook!r}")
            raise

    def _culprit(self, hook: str, error: BaseException) -> str:
        """Return the name of the innermost plugin on the traceback of `error`."""
        impls = [impl for impl in self._impls(hook) if hasattr(impl.function, "__code__")]
        codes = {inspect.unwrap(impl.function).__code__: impl.plugin_name for impl in impls}
        # The code of a generator that a hook returned is not in `codes`, but its file is.
        files = {code.co_filename: plugin for code, plugin in codes.items()}
        plugin, traceback = "", error.__traceback__
        while traceback is not None:
            code = traceback.tb_frame.f_code
            plugin = codes.get(code) or plugin or files.get(code.co_filename, "")
            traceback = traceback.tb_next
        return "" if self._sources.get(plugin, BUILTIN) is BUILTIN else plugin

    def _impls(self, hook: str) -> list[pluggy.HookImpl]:
        return list(getattr(self._manager.hook, hook).get_hookimpls())

    def _describe(self, plugin: str, hook: str) -> str:
        source = self._sources[plugin]
        if source is not BUILTIN:
            return str(source)
        return " or ".join(map(str, self._drivers.get(hook, ()))) or "builtin"

    def _check_hooks(self, plugin: object, name: str, source: Source) -> None:
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            known = [hook for hook in vars(hookspecs) if hasattr(getattr(hookspecs, hook), "halo_spec")]
            pending = [
                hook for hook in vars(self._manager.hook) if hook not in known and not hook.startswith("_")
            ]
            raise PluginError(
                f"{source} implements {pending[0]!r}, which is not a hook",
                hint=did_you_mean(pending[0], known),
            ) from error
        for caller in self._manager.get_hookcallers(plugin) or []:
            for impl in caller.get_hookimpls():
                if impl.plugin_name == name and _is_async(impl.function):
                    raise PluginError(
                        f"{source}: hook {caller.name!r} is a coroutine function",
                        hint="hooks are called synchronously: use def, not async def",
                    )


def _is_number(value: object) -> bool:
    return isinstance(value, NUMBER) and not isinstance(value, bool)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _short(error: pluggy.PluginValidationError) -> str:
    """Return pluggy's message of many lines as one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[1:]) or lines[0]
