"""The verifiers in use, and the routing of prompts to them.

Needs neither a model nor a run: `halo run` verifies with it, and so do `halo verify`, `halo audit` and the bridges to
other trainers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from traceback import extract_tb
from typing import Any

from halo_core import sandbox
from halo_core.config.layers import short_name
from halo_core.config.options import build
from halo_core.config.schema import DriverSpec
from halo_core.data import misspelt_keys
from halo_core.drivers.base import Demo, Verifier
from halo_core.errors import ConfigError, DataError, did_you_mean
from halo_core.plugin.blame import blamed
from halo_core.plugin.discovery import BUILTIN, Source, check_class, load
from halo_core.plugin.validation import flaw_of_verdict
from halo_core.types import Completion, Prompt, Stage, Status, Verdict

_PIECES = 64
"""Maximum number of pieces that a batch is split into: few enough to cost nothing, enough to spread evenly."""


@dataclass(frozen=True)
class VerifierSet:
    """Verifiers by name, in the order in which the configuration lists them."""

    by_name: Mapping[str, Verifier]
    sources: Mapping[str, Source] = field(default_factory=dict)
    """The source of each verifier, by the same names."""

    @classmethod
    def load(cls, specs: Sequence[DriverSpec]) -> VerifierSet:
        """Find and build the verifiers that `specs` name.

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
            loaded = load("verifier", spec.name)
            check_class(loaded, Verifier)
            verifiers[name] = build(loaded.value, spec.options, where=f"verifier {spec.name!r}")
            sources[name] = loaded.source
        return cls(verifiers, sources)

    @property
    def first(self) -> str:
        """Name of the verifier of prompts that name none."""
        return next(iter(self.by_name))

    def name_for(self, prompt: Prompt) -> str:
        """Return the name of the verifier of `prompt`, which may not be in this set."""
        return prompt.verifier or self.first

    def fingerprints(self) -> dict[str, str]:
        """Return everything that the verdicts of each verifier depend on besides prompt and text, by name.

        That is the verifier's own fingerprint and the version of its distribution; for a file, the hash of its content.
        """
        found = {}
        for name, verifier in self.by_name.items():
            source = self.sources.get(name, BUILTIN)
            with blamed(source):
                found[name] = f"{verifier.fingerprint()} {source.version}".rstrip()
        return found

    def check_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Raise a `DataError` for a prompt that its verifier cannot use; it names the prompt's line."""
        for prompt in prompts:
            subject = f"prompt {prompt.id!r}"
            name = self.name_for(prompt)
            if name not in self.by_name:
                problem = f"names verifier {name!r}, which is not configured"
                hint = did_you_mean(name, self.by_name)
                raise DataError(f"{prompt.place or subject} {problem}", hint=hint)
            try:
                self.by_name[name].check_prompt(prompt)
            except DataError as error:
                problem = str(error).removeprefix(f"{subject}: ")
                raise DataError(
                    f"{prompt.place or subject}: {problem}", hint=_hint_for_keys(prompt) or error.hint
                ) from error

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

    def preflight(self, mode: sandbox.Mode = "auto") -> None:
        """Check, in a sandbox of `mode`, that the machine has what each verifier needs."""
        sandbox.configure(mode)
        for name, verifier in self.by_name.items():
            with blamed(self.sources.get(name, BUILTIN)):
                verifier.preflight()

    def demo(self) -> Demo:
        """Return the first demo that a verifier ships; raise a `ConfigError` if none does."""
        for verifier in self.by_name.values():
            if (demo := verifier.demo()) is not None:
                return demo
        raise ConfigError(
            f"no prompts were given, and verifier {self.first!r} ships no demo",
            hint="give a file of prompts: --data prompts.jsonl",
        )

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Verify one completion.

        An exception of the verifier, or an unusable verdict, becomes a verdict of error; other verdicts still count.
        """
        name = self.name_for(prompt)
        try:
            verdict: Any = self.by_name[name].check(prompt, completion)
        except Exception as error:
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

        first: dict[tuple[str, str], tuple[Prompt, Completion]] = {}
        for prompt, completion in zip(prompts, completions, strict=True):
            first.setdefault((prompt.id, completion.text), (prompt, completion))
        tasks = list(first.values())
        size = max(1, len(tasks) // _PIECES)
        pieces = [tasks[start : start + size] for start in range(0, len(tasks), size)]
        futures = [threads.submit(check_each, piece) for piece in pieces]
        try:
            results = [verdict for future in futures for verdict in future.result()]
        finally:  # Ctrl-C must not wait for pieces that have not started
            for future in futures:
                future.cancel()
        verdicts = dict(zip(first, results, strict=True))
        return [
            verdicts[prompt.id, completion.text]
            for prompt, completion in zip(prompts, completions, strict=True)
        ]


def _hint_for_keys(prompt: Prompt) -> str:
    keys = misspelt_keys([prompt]).items()
    return "; ".join(f"the data has a key {key!r}: did you mean {known!r}?" for key, known in keys)


def verification_threads(workers: int | None = None) -> ThreadPoolExecutor:
    """Return a pool of `workers` threads; None: one for each core, and at least 2."""
    return ThreadPoolExecutor(workers or max(2, os.cpu_count() or 1), thread_name_prefix="verify")
