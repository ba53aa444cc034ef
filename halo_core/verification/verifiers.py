"""The verifiers in use, and the routing of prompts to them.

Needs neither a model nor a run: `halo run` verifies with it, and so do `halo verify`, `halo audit` and the bridges to
other trainers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import extract_tb
from typing import Any, Literal

from halo_core import sandbox
from halo_core.config.layers import normalise, short_name
from halo_core.config.schema import DriverSpec, read_config
from halo_core.data import misspelt_keys
from halo_core.drivers.base import Attack, Demo, Verifier
from halo_core.errors import ConfigError, DataError, HaloError, PluginError, did_you_mean
from halo_core.plugin.blame import blamed
from halo_core.plugin.discovery import Origins, Source, origins_of
from halo_core.plugin.loading import load_driver
from halo_core.plugin.validation import flaw_of_each, flaw_of_verdict
from halo_core.types import Completion, Prompt, Stage, Status, Verdict

_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")
_PIECES = 64
"""Maximum number of pieces that a batch is split into: few enough to cost nothing, enough to spread evenly."""


@dataclass(frozen=True)
class VerifierSet:
    """Verifiers by name, in the order in which the configuration lists them."""

    by_name: Mapping[str, Verifier]
    sources: Mapping[str, Source] = field(default_factory=dict)
    """The source of each verifier, by the same names."""

    @classmethod
    def load(cls, specs: Sequence[DriverSpec], origins: Origins | None = None) -> VerifierSet:
        """Find and build the verifiers that `specs` name, those in `origins` from these distributions.

        Raises a `PluginError` for a name that is not installed, and a `ConfigError` for a name that is listed
        twice or an invalid option.
        """
        names = [short_name(spec.name) for spec in specs]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(
                    f"verifier {name!r} is listed twice", hint="list it once, or rename one of them"
                )
        verifiers, sources = {}, {}
        for name, spec in zip(names, specs, strict=True):
            verifiers[name], sources[name] = load_driver("verifier", spec, origins)
        return cls(verifiers, sources)

    @classmethod
    def of_run(cls, config: Mapping[str, Any], plugins: Sequence[Mapping[str, Any]]) -> VerifierSet:
        """Return the verifiers of a run's stored configuration and plugins; an empty set if they cannot be loaded."""
        try:
            return cls.load(read_config(normalise(config)).specs("verifier"), origins_of(plugins))
        except HaloError:
            return cls({})

    @property
    def first(self) -> str:
        """Name of the verifier of prompts that name none."""
        return next(iter(self.by_name))

    def source(self, name: str) -> Source:
        """Return the source of a verifier; for one that was not loaded by name, its class."""
        cls = type(self.by_name[name])
        unknown = Source("verifier", name, cls.__module__, "", f"{cls.__module__}:{cls.__qualname__}")
        return self.sources.get(name, unknown)

    def name_for(self, prompt: Prompt) -> str:
        """Return the name of the verifier of `prompt`, which may not be in this set."""
        return prompt.verifier or self.first

    def fingerprints(self) -> dict[str, str]:
        """Return everything that the verdicts of each verifier depend on besides prompt and text, by name.

        That is the verifier's own fingerprint and the version of its distribution; for a file, the hash of its content.
        """
        found = {}
        for name, verifier in self.by_name.items():
            source = self.source(name)
            with blamed(source):
                text: Any = verifier.fingerprint()
            if not isinstance(text, str) or _ADDRESS.search(text):
                raise PluginError(
                    f"the fingerprint of {source} is {text!r:.80}; it must be a str that is the same in each process",
                    hint="name options and versions of tools in it, not an object without a __repr__",
                )
            found[name] = f"{text} {source.version}".rstrip()
        return found

    def check_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Raise a `DataError` for a prompt that its verifier cannot use; it names the prompt's line.

        Raises a `PluginError` if a verifier's `check_prompt` or `references` returns something unusable.
        """
        for prompt in prompts:
            subject = f"prompt {prompt.id!r}"
            name = self.name_for(prompt)
            if name not in self.by_name:
                problem = f"names verifier {name!r}, which is not configured"
                hint = did_you_mean(name, self.by_name)
                raise DataError(f"{prompt.place or subject} {problem}", hint=hint)
            source = self.source(name)
            try:
                with blamed(source):
                    answer: Any = self.by_name[name].check_prompt(prompt)  # type: ignore[func-returns-value]
            except DataError as error:
                problem = str(error).removeprefix(f"{subject}: ")
                hint = _hint_for_keys(prompt) or "; ".join(
                    filter(None, [error.hint, _hint_for_columns(prompt)])
                )
                raise DataError(f"{prompt.place or subject}: {problem}", hint=hint) from error
            if answer is not None:
                raise PluginError(
                    f"check_prompt of {source} returned {answer!r:.80} for prompt {prompt.id!r}",
                    hint="it returns nothing; to refuse a prompt, raise a DataError",
                )
        first = {self.name_for(prompt): prompt for prompt in reversed(prompts)}
        for prompt in first.values():
            self.answers("references", prompt)

    def warnings(self, prompts: Sequence[Prompt]) -> list[str]:
        """Return a line for each likely mistake in checked prompts: misspelt keys, and prompts without tests."""
        found = [
            f"unknown key {key!r}: did you mean {known!r}?" for key, known in misspelt_keys(prompts).items()
        ]
        tested = [self.by_name[self.name_for(prompt)].has_tests(prompt) for prompt in prompts]
        if not any(tested):
            found.append(f"0 of {len(tested)} prompts have tests: no completion can pass")
        elif without := tested.count(False):
            found.append(f"{without} of {len(tested)} prompts have no tests: their completions never pass")
        return found

    def preflight(self, mode: sandbox.Mode | None = "auto") -> None:
        """Check, in a sandbox of `mode` (None: the configured one), that the machine has what each verifier needs."""
        if mode is not None:
            sandbox.configure(mode)
        for name, verifier in self.by_name.items():
            with blamed(self.source(name)):
                verifier.preflight()

    def demo(self) -> Demo:
        """Return the first demo that a verifier ships; raise a `ConfigError` if none does."""
        for name in self.by_name:
            if (demo := self._demo(name)) is not None:
                return demo
        raise ConfigError(
            f"no prompts were given, and verifier {self.first!r} ships no demo",
            hint="give a file of prompts: --data prompts.jsonl",
        )

    def _demo(self, name: str) -> Demo | None:
        source = self.source(name)
        with blamed(source):
            demo: Any = self.by_name[name].demo()
        if demo is None or isinstance(demo, Demo):
            return demo
        raise PluginError(
            f"demo of {source} returned {type(demo).__name__}", hint="it returns a halo_core.Demo, or None"
        )

    def answers(
        self, method: Literal["references", "mutants", "copied_answers"], prompt: Prompt
    ) -> Sequence[str]:
        """Return the answers to `prompt` from its verifier. Raises a `PluginError` unless they are a list of str."""
        name = self.name_for(prompt)
        listed: Sequence[str] = self._listed(name, method, str, prompt)
        return listed

    def told_apart(self, prompt: Prompt) -> tuple[int, int] | None:
        """Return the numbers from `Verifier.told_apart`. Raises a `PluginError` unless they are two counts, or None."""
        name = self.name_for(prompt)
        source = self.source(name)
        with blamed(source):
            counts: Any = self.by_name[name].told_apart(prompt)
        if counts is None:
            return None
        numbers = tuple(counts) if isinstance(counts, tuple | list) else ()
        if len(numbers) != 2 or not all(type(n) is int for n in numbers) or not 0 <= numbers[0] <= numbers[1]:
            raise PluginError(
                f"told_apart of {source} returned {counts!r}",
                hint="it returns (told apart, all mutants), or None",
            )
        return numbers[0], numbers[1]

    def attacks(self, name: str) -> Sequence[Attack]:
        """Return the attacks on a verifier. Raises a `PluginError` unless they are a list of `Attack`."""
        listed: Sequence[Attack] = self._listed(name, "attacks", Attack)
        return listed

    def _listed(self, name: str, method: str, kind: type, *arguments: Prompt) -> Any:
        source = self.source(name)
        with blamed(source):
            values = getattr(self.by_name[name], method)(*arguments)
        if flaw := flaw_of_each(values, kind):
            raise PluginError(
                f"{method} of {source} returned {flaw}", hint=f"it returns a list of {kind.__name__}"
            )
        return values

    def check_answers(self) -> None:
        """Call the methods of each verifier that need no completion, with a prompt of its demo or of its attacks.

        Raises an error that blames the verifier if one of them fails or returns something unusable.
        """
        self.fingerprints()
        for name in self.by_name:
            demo, attacks = self._demo(name), self.attacks(name)
            prompts = [*(demo.prompts[:1] if demo else ()), *(attack.prompt for attack in attacks[:1])]
            for prompt in [replace(prompt, verifier=name) for prompt in prompts[:1]]:
                self.check_prompts([prompt])
                self.answers("mutants", prompt)
                self.answers("copied_answers", prompt)

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Verify one completion.

        An exception of the verifier, or an unusable verdict, becomes a verdict of error; other verdicts still count.
        """
        name = self.name_for(prompt)
        try:
            verdict: Any = self.by_name[name].check(prompt, completion)
        except (Exception, SystemExit) as error:
            place = extract_tb(error.__traceback__)[-1]
            line = f"{Path(place.filename).name}:{place.lineno}"
            problem = f"raised {type(error).__name__}: {error} (at {line})"
        else:
            flaw = f"{type(verdict).__name__}, not a Verdict"
            if isinstance(verdict, Verdict):
                flaw = flaw_of_verdict(verdict)
                if not flaw:
                    return verdict
            problem = f"returned {flaw}"
        source = self.sources.get(name, f"verifier {name!r}")
        return Verdict(Status.ERROR, Stage.INVALID, detail=f"{source} {problem}")

    def extracted(self, prompt: Prompt, completion: Completion) -> str:
        """Return the part of `completion` that its verifier verifies; empty if that is all of it, none or unknown."""
        verifier = self.by_name.get(self.name_for(prompt)) if self.by_name else None
        try:
            found: Any = verifier.extracted(prompt, completion) if verifier else None
        except Exception:  # it is only shown: a flaw in it must not hide the sample
            return ""
        same = not isinstance(found, str) or found.strip() == completion.text.strip()
        return "" if same else found.strip("\n")

    def check_all(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Completion],
        threads: ThreadPoolExecutor,
        *,
        interrupt: Callable[[], None] = lambda: None,
    ) -> list[Verdict]:
        """Verify each completion against the prompt at its position, in parallel; equal texts are verified once.

        `interrupt` is called before each completion and ends the verification by raising an exception.
        """

        def check_each(some: list[tuple[Prompt, Completion]]) -> list[Verdict]:
            verdicts = []
            for task in some:
                interrupt()
                verdicts.append(self.check(*task))
            return verdicts

        def check_in_threads(prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Verdict]:
            tasks = list(zip(prompts, completions, strict=True))
            size = max(1, len(tasks) // _PIECES)
            pieces = [tasks[start : start + size] for start in range(0, len(tasks), size)]
            futures = [threads.submit(check_each, piece) for piece in pieces]
            try:
                return [verdict for future in futures for verdict in future.result()]
            finally:  # Ctrl-C must not wait for pieces that have not started
                for future in futures:
                    future.cancel()

        return check_once(prompts, completions, check_in_threads)


def check_once(
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    check: Callable[[Sequence[Prompt], Sequence[Completion]], Sequence[Verdict]],
) -> list[Verdict]:
    """Return the verdict of `check` on each completion; it gets equal texts for a prompt once."""
    first: dict[tuple[str, str], tuple[Prompt, Completion]] = {}
    for prompt, completion in zip(prompts, completions, strict=True):
        first.setdefault((prompt.id, completion.text), (prompt, completion))
    found = check([prompt for prompt, _ in first.values()], [completion for _, completion in first.values()])
    verdicts = dict(zip(first, found, strict=True))
    return [
        verdicts[prompt.id, completion.text] for prompt, completion in zip(prompts, completions, strict=True)
    ]


def _hint_for_keys(prompt: Prompt) -> str:
    keys = misspelt_keys([prompt]).items()
    return "; ".join(f"the data has a key {key!r}: did you mean {known!r}?" for key, known in keys)


def _hint_for_columns(prompt: Prompt) -> str:
    """Return how to use the other columns of a prompt without a reference; empty if it has none."""
    if prompt.reference or not prompt.meta:
        return ""
    return f"--set data.columns.KEY=COLUMN takes KEY from a column ({', '.join(sorted(prompt.meta))})"


def verification_threads(workers: int | None = None) -> ThreadPoolExecutor:
    """Return a pool of `workers` threads; None: one for each core, and at least 2."""
    return ThreadPoolExecutor(workers or max(2, os.cpu_count() or 1), thread_name_prefix="verify")
