"""The verifiers in use, and which of them judges what.

Needs neither a model nor a run: `halo run` judges by it, and so do `halo verify`, `halo audit` and the bridges
to other trainers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from traceback import extract_tb
from typing import Any

from halo_core import sandbox
from halo_core.config.layers import short_name
from halo_core.config.options import build
from halo_core.config.schema import DriverSpec
from halo_core.drivers import Demo, Verifier
from halo_core.errors import ConfigError, DataError, did_you_mean
from halo_core.plugin.blame import blamed
from halo_core.plugin.discovery import BUILTIN, Source, check_class, load
from halo_core.plugin.validation import flaw_of_verdict
from halo_core.types import Completion, Prompt, Stage, Status, Verdict


@dataclass(frozen=True)
class Judges:
    """Verifiers by name, in the order in which they were listed."""

    verifiers: Mapping[str, Verifier]
    sources: Mapping[str, Source] = field(default_factory=dict)
    """Where each comes from, by the same names."""

    @classmethod
    def load(cls, specs: Sequence[DriverSpec]) -> Judges:
        """Find and build what `specs` name.

        Raises a `PluginError` for a name that is not installed, a `ConfigError` for a name that is listed
        twice or an option that does not fit.
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
        """Name of the verifier that judges prompts which name none."""
        return next(iter(self.verifiers))

    def name_for(self, prompt: Prompt) -> str:
        """Return the name of the verifier that judges `prompt`; may be one that is not here."""
        return prompt.verifier or self.first

    def fingerprints(self) -> dict[str, str]:
        """Return what the verdicts of each verifier depend on besides prompt and text, by name.

        That is what it says itself, and the version that it is loaded in: for a file, that of its content.
        """
        found = {}
        for name, verifier in self.verifiers.items():
            source = self.sources.get(name, BUILTIN)
            with blamed(source):
                found[name] = f"{verifier.fingerprint()} {source.version}".rstrip()
        return found

    def check_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Raise a `DataError` for a prompt that its verifier cannot judge by."""
        for prompt in prompts:
            name = self.name_for(prompt)
            if name not in self.verifiers:
                hint = did_you_mean(name, self.verifiers)
                raise DataError(
                    f"prompt {prompt.id!r} wants verifier {name!r}, which is not among those given", hint=hint
                )
            self.verifiers[name].check_prompt(prompt)

    def preflight(self, mode: sandbox.Mode = "auto") -> None:
        """Have each verifier check, in a sandbox of `mode`, that what it needs is on this machine."""
        sandbox.configure(mode)
        for name, verifier in self.verifiers.items():
            with blamed(self.sources.get(name, BUILTIN)):
                verifier.preflight()

    def demo(self) -> Demo:
        """Return the first demo that a verifier ships; raise a `ConfigError` when none does."""
        for verifier in self.verifiers.values():
            if (demo := verifier.demo()) is not None:
                return demo
        raise ConfigError(
            f"no prompts were given, and verifier {self.first!r} ships no demo",
            hint="give a file of prompts: --data prompts.jsonl",
        )

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge one completion.

        What a verifier raises, or says that cannot be used, is a verdict of error: the others still count.
        """
        name = self.name_for(prompt)
        try:
            verdict: Any = self.verifiers[name].check(prompt, completion)
        except Exception as error:
            place = extract_tb(error.__traceback__)[-1]
            line = f"{Path(place.filename).name}:{place.lineno}"
            trouble = f"raised {type(error).__name__}: {error} (at {line})"
        else:
            flaw = f"{type(verdict).__name__}, not a Verdict"
            if isinstance(verdict, Verdict):
                flaw = flaw_of_verdict(verdict)
                if not flaw:
                    return verdict
            trouble = f"returned {flaw}"
        source = self.sources.get(name, f"verifier {name!r}")
        return Verdict(Status.ERROR, Stage.INVALID, detail=f"{source} {trouble}")

    def check_all(
        self, prompts: Sequence[Prompt], completions: Sequence[Completion], pool: ThreadPoolExecutor
    ) -> list[Verdict]:
        """Judge each completion by the prompt at its place, side by side; equal texts are judged once."""
        first: dict[tuple[str, str], tuple[Prompt, Completion]] = {}
        for prompt, completion in zip(prompts, completions, strict=True):
            first.setdefault((prompt.id, completion.text), (prompt, completion))
        tasks = list(first.values())
        size = max(1, len(tasks) // _TURNS)
        turns = [tasks[start : start + size] for start in range(0, len(tasks), size)]
        judged = [pool.submit(lambda some: [self.check(*task) for task in some], turn) for turn in turns]
        try:
            answers = [verdict for turn in judged for verdict in turn.result()]
        finally:  # Ctrl-C is not to wait for what has not begun
            for turn in judged:
                turn.cancel()
        verdicts = dict(zip(first, answers, strict=True))
        return [
            verdicts[prompt.id, completion.text]
            for prompt, completion in zip(prompts, completions, strict=True)
        ]


_TURNS = 64
"""Into so many pieces the work on a batch is cut, at most: few enough to cost nothing, enough to spread evenly."""


def pool(workers: int | None = None) -> ThreadPoolExecutor:
    """Return threads to judge with: as many as there are cores, and at least 2, unless told."""
    return ThreadPoolExecutor(workers or max(2, os.cpu_count() or 1), thread_name_prefix="verify")
