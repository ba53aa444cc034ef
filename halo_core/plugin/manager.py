"""`Hooks`: a typed front on pluggy with one checked method for each hook.

pluggy calls plugins in order. This module checks what they return, and names the plugin that returned an
unusable value. An exception keeps its type and gets a note with the plugin, its distribution, its version and the hook.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pluggy

from halo_core import hookspecs
from halo_core.config.training import flaw_of_lr
from halo_core.errors import PluginError
from halo_core.hookspecs import RunView
from halo_core.plugin.blame import add_blame, exited
from halo_core.plugin.discovery import BUILTIN, Source
from halo_core.plugin.hook_checks import check_plugin
from halo_core.plugin.observers import OBSERVING, Observers
from halo_core.plugin.tracing import Trail, traced, traced_wrapper
from halo_core.plugin.validation import (
    flaw_of_batch,
    flaw_of_rewards,
    flaw_of_selection,
    flaw_of_verdicts,
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
        self._trail = Trail()
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

        Raises a `PluginError` if it has no hook, or one that would not be called or would fail.
        """
        name = name or source.name
        if name in self._sources:
            if source in self._sources.values():
                raise PluginError(f"plugin {name!r} is listed twice", hint="list it once")
            name = str(source)
        check_plugin(plugin, source)
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"{source} cannot be registered: {str(error).splitlines()[-1]}") from error
        self._sources[name] = source
        self._drivers = drivers or self._drivers
        self._trace(plugin, name)
        if plugin is not self._observers:
            self._observers.add(plugin, name)

    def sources(self) -> list[Source]:
        """Return the sources of the plugins that are not built in, in order."""
        return [source for source in self._sources.values() if source is not BUILTIN]

    def lr_for_cycle(self, *, run: RunView, cycle: int, history: Sequence[CycleReport]) -> float:
        """See `hookspecs.lr_for_cycle`."""

        def flaw(lr: Any) -> str:
            reason = flaw_of_lr(lr)
            return f"{lr!r} for cycle {cycle}; {reason}" if reason else ""

        return float(self._answer("lr_for_cycle", flaw, run=run, cycle=cycle, history=tuple(history)))

    def generate(self, *, run: RunView, request: SamplingRequest) -> Iterator[Sequence[Completion]]:
        """See `hookspecs.generate`. Log-probabilities come back as the float32 values that the ledger stores."""

        def flaw(answer: Any) -> str:
            return "" if isinstance(answer, Iterable) else f"{type(answer).__name__} instead of batches"

        batches = iter(self._answer("generate", flaw, run=run, request=request))
        authors = [name for name, _ in reversed(self._trail.answers)]
        prompts = {prompt.id: prompt for prompt in request.prompts}
        while True:
            with self._blamed("generate"):
                batch: Any = next(batches, _END)
            if batch is _END:
                return
            if what := flaw_of_batch(batch, prompts):
                raise self._unusable("generate", what, authors)
            yield [with_stored_precision(completion) for completion in batch]

    def verify(
        self, *, run: RunView, prompts: Sequence[Prompt], completions: Sequence[Completion]
    ) -> Sequence[Verdict]:
        """See `hookspecs.verify`."""
        verdicts: Sequence[Verdict] = self._answer(
            "verify",
            lambda answer: flaw_of_verdicts(answer, len(completions)),
            run=run,
            prompts=prompts,
            completions=completions,
        )
        return verdicts

    def reward(self, *, run: RunView, cycle: int, samples: Sequence[Sample]) -> Sequence[float | None]:
        """See `hookspecs.reward`."""
        rewards = self._answer(
            "reward", lambda answer: flaw_of_rewards(answer, samples), run=run, cycle=cycle, samples=samples
        )
        return [None if value is None else float(value) for value in rewards]

    def select(self, *, run: RunView, cycle: int, samples: Sequence[Sample]) -> Sequence[Sample]:
        """See `hookspecs.select`. `emptied_by` then names who left nothing."""
        chosen: Sequence[Sample] = self._answer(
            "select", lambda answer: flaw_of_selection(answer, samples), run=run, cycle=cycle, samples=samples
        )
        return chosen

    def emptied_by(self, hook: str) -> str:
        """Return who emptied the answer to the last call of `hook` in this thread; empty if that was the driver."""
        for (_, before), (plugin, answer) in reversed(list(pairwise(self._trail.answers))):
            if before and not answer:
                return f"{self._describe(plugin, hook)} kept none of the {len(before)} that were selected"
        return ""

    def train(self, *, run: RunView, cycle: int, samples: Sequence[Sample], lr: float) -> TrainStats:
        """See `hookspecs.train`."""

        def flaw(stats: Any) -> str:
            return "" if isinstance(stats, TrainStats) else f"{type(stats).__name__} instead of TrainStats"

        stats: TrainStats = self._answer("train", flaw, run=run, cycle=cycle, samples=samples, lr=lr)
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

    def _blame(self, error: BaseException, plugin: str, hook: str) -> str:
        """Blame `plugin` for an exception of its observer; return its description."""
        who = self._describe(plugin, hook)
        if self._sources[plugin] is not BUILTIN:
            add_blame(error, f"{who} in hook {hook!r}")
        return who

    def _answer(self, hook: str, flaw: Callable[[Any], str], **arguments: Any) -> Any:
        """Call `hook` and return its answer. Raises a `PluginError` if `flaw` describes a flaw in it."""
        self._trail.start()
        with self._blamed(hook):
            answer = getattr(self._manager.hook, hook)(**arguments)
        what = "None" if answer is None else flaw(answer)
        if what:
            authors = self._trail.authors(lambda given: given is None or flaw(given))
            raise self._unusable(hook, what, authors)
        return answer

    def _unusable(self, hook: str, what: str, authors: Sequence[str]) -> PluginError:
        """Build the error for an unusable answer of one of `authors`; if they are unknown, of any plugin."""
        names = authors or [impl.plugin_name for impl in reversed(self._impls(hook))]
        described = [self._describe(name, hook) for name in names]
        outside = [author for author in described if author != "builtin"] or described
        hint = "check what it returns" if len(outside) == 1 else "check what they return, outermost first"
        return PluginError(
            f"hook {hook!r} returned {what}; answered by {', '.join(outside) or 'no plugin'}", hint=hint
        )

    @contextmanager
    def _blamed(self, hook: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            plugin = self._culprit(hook, error)
            if isinstance(error, SystemExit):
                who = self._describe(plugin, hook) if plugin else "a plugin"
                raise exited(f"hook {hook!r} of {who}", error) from error
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

    def _trace(self, plugin: object, name: str) -> None:
        """Record the answers of a plugin's implementations, and check that its wrappers yield once."""
        for caller in self._manager.get_hookcallers(plugin) or []:
            hook = caller.name
            for impl in caller.get_hookimpls():
                if impl.plugin is not plugin:
                    continue
                if impl.wrapper:
                    describe = partial(self._describe_wrapper, name, hook)
                    function: Any = traced_wrapper(impl.function, name, self._trail, describe)
                elif hook not in OBSERVING:
                    function = traced(impl.function, name, self._trail)
                else:
                    continue
                setattr(impl, "function", function)  # noqa: B010

    def _describe_wrapper(self, plugin: str, hook: str) -> str:
        return f"the wrapper of {hook!r} in {self._describe(plugin, hook)}"
