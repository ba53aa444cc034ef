"""Verifiers that ask other verifiers: `ComposedVerifier` for authors, and the verifier `all` for configurations.

    verifier: {name: all, of: [gcc, {name: jsonschema, closed: true}], weights: {gcc: 3}}

A composition is one verifier to the rest of halo. What others need to know about its parts is delegated: fingerprints
with the versions of their packages, preflight, checks of prompts, references, mutants and attacks.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from halo_core.config.layers import short_name
from halo_core.config.options import driver
from halo_core.config.schema import DriverSpec
from halo_core.drivers.base import Attack, Demo, Verifier
from halo_core.errors import ConfigError, DataError, PluginError, did_you_mean
from halo_core.plugin.discovery import Source
from halo_core.types import Completion, Prompt, Status, Verdict
from halo_core.verification.verifiers import VerifierSet

Part = str | dict[str, Any]
"""A verifier's name, or a mapping of its name and its options."""
_TIERS = ("weak", "standard", "strong")


class ComposedVerifier(Verifier):
    """The base of verifiers that ask others. A subclass names its parts, and asks them in its `check`.

        @driver
        class Polite(ComposedVerifier):
            \"\"\"A program that works and has a polite comment.\"\"\"

            def compose(self):
                return [{"name": "gcc", "standard": "c17"}]

            def check(self, prompt, completion):
                verdict = self.ask("gcc", prompt, completion)
                polite = "/* please */" in completion.text
                return replace(verdict, signals={**verdict.signals, "polite": float(polite)})

    A part sees the prompt with its own reference: the entry that has the part's name if the prompt's reference has one
    that is a mapping, otherwise the whole reference.
    """

    @abstractmethod
    def compose(self) -> Sequence[Part]:
        """Return the parts, each as it would be written in a configuration; the same on each call."""

    def __post_init__(self) -> None:
        """Load the parts, so that an unknown one is reported before a run starts."""
        labels = {part.valid_label for part in self.parts.by_name.values()}
        if len(labels) == 1:
            vars(self)["valid_label"] = labels.pop()

    @cached_property
    def parts(self) -> VerifierSet:
        """The parts by name."""
        return VerifierSet.load([_spec(part) for part in self.compose()])

    def ask(self, name: str, prompt: Prompt, completion: Completion) -> Verdict:
        """Return the verdict of the part called `name`; an exception of the part is a verdict of error."""
        if name not in self.parts.by_name:
            raise PluginError(
                f"{type(self).__name__} asks {name!r}, which its compose() does not list; "
                f"{did_you_mean(name, self.parts.by_name)}"
            )
        return self.parts.check(prompt_for(name, prompt), completion)

    def preflight(self) -> None:
        """Check that the machine has what each part needs."""
        self.parts.preflight(None)

    def has_tests(self, prompt: Prompt) -> bool:
        """Return whether every part has something to test a completion of `prompt` on."""
        return all(part.has_tests(prompt_for(name, prompt)) for name, part in self.parts.by_name.items())

    def fingerprint(self) -> str:
        """Return the options, and the fingerprint of each part with the version of its package."""
        return f"{self!r} of {self._fingerprints()}"

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` if a part cannot use `prompt`."""
        self.parts.check_prompts([prompt_for(name, prompt) for name in self.parts.by_name])

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the references of the parts; each has to satisfy all of them."""
        return self._answers("references", prompt)

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return the mutants of the parts."""
        return self._answers("mutants", prompt)

    def told_apart(self, prompt: Prompt) -> tuple[int, int] | None:
        """Return the numbers of the first part that knows them."""
        counts = (self.parts.told_apart(prompt_for(name, prompt)) for name in self._required())
        return next(filter(None, counts), None)

    def copied_answers(self, prompt: Prompt) -> Sequence[str]:
        """Return the copied answers of the parts."""
        return self._answers("copied_answers", prompt)

    def extracted(self, prompt: Prompt, completion: Completion) -> str | None:
        """Return the part of `completion` that the first verifier finds that finds any."""
        found = (self.parts.extracted(prompt_for(name, prompt), completion) for name in self.parts.by_name)
        return next(filter(None, found), None)

    def attacks(self) -> Sequence[Attack]:
        """Return the attacks on the parts whose prompts all parts can use; for the others, audit the part itself."""
        return [
            replace(attack, name=f"{name}: {attack.name}")
            for name in self._required()
            for attack in self.parts.attacks(name)
            if self._accepts(attack.prompt)
        ]

    def demo(self) -> Demo | None:
        """Return the first demo of a part whose prompts all parts can use; None if there is none."""
        demos = (part.demo() for part in self.parts.by_name.values())
        return next(
            (demo for demo in demos if demo and all(map(self._accepts, (*demo.prompts, *demo.heldout)))), None
        )

    def _fingerprints(self) -> str:
        return "; ".join(f"{name}: {text}" for name, text in self.parts.fingerprints().items())

    def _required(self) -> Sequence[str]:
        """Return the names of the parts whose wrong answers are wrong answers of the composition, too."""
        return tuple(self.parts.by_name)

    def _answers(
        self, method: Literal["references", "mutants", "copied_answers"], prompt: Prompt
    ) -> Sequence[str]:
        texts = (
            text for name in self._required() for text in self.parts.answers(method, prompt_for(name, prompt))
        )
        return tuple(dict.fromkeys(texts))

    def _accepts(self, prompt: Prompt) -> bool:
        try:
            self.check_prompt(prompt)
        except DataError:
            return False
        return True


def prompt_for(name: str, prompt: Prompt) -> Prompt:
    """Return the prompt as the part called `name` sees it."""
    own = prompt.reference.get(name)
    return replace(prompt, verifier=name, reference=own if isinstance(own, Mapping) else prompt.reference)


def combine(verdicts: Mapping[str, Verdict], weights: Mapping[str, float] | None = None) -> Verdict:
    """Return one verdict from those of several verifiers on one completion, by name.

    - Status: `error` if one is an error, else `inconclusive` if one is, else `fail` if one with a weight fails.
    - Stage: the lowest one with a weight. Score: the mean, weighted; a name without an entry has weight 1.
    - Signals: those of each as "name.signal", and "name.score" and "name.passed" (1 or 0).
    - Warnings and times are sums; the sandbox is the weakest in which code ran.

    A verifier of weight 0 is only measured: it has signals, but no effect on status, stage and score.
    """
    given = weights or {}
    counted = {name: verdict for name, verdict in verdicts.items() if given.get(name, 1.0) > 0}
    total = sum(given.get(name, 1.0) for name in counted)
    broken = [
        v for status in (Status.ERROR, Status.INCONCLUSIVE) for v in verdicts.values() if v.status is status
    ]
    tiers = [verdict.sandbox for verdict in verdicts.values() if verdict.sandbox in _TIERS]
    failed = any(verdict.status is Status.FAIL for verdict in counted.values())
    return Verdict(
        status=broken[0].status if broken else Status.FAIL if failed else Status.PASS,
        stage=broken[0].stage if broken else min((v.stage for v in counted.values()), key=lambda s: s.rank),
        score=0.0
        if broken
        else min(1.0, sum(given.get(n, 1.0) * v.score for n, v in counted.items()) / total),
        warnings=sum(verdict.warnings for verdict in counted.values()),
        detail="\n".join(f"{name}: {verdict.detail}" for name, verdict in verdicts.items() if verdict.detail),
        cpu_seconds=sum(verdict.cpu_seconds for verdict in verdicts.values()),
        wall_seconds=sum(verdict.wall_seconds for verdict in verdicts.values()),
        sandbox=min(tiers, key=_TIERS.index, default="none"),
        integrity=next((v.integrity for v in verdicts.values() if v.integrity != "split"), "split"),
        signals={key: value for name, verdict in verdicts.items() for key, value in _signals(name, verdict)},
    )


def _signals(name: str, verdict: Verdict) -> Iterator[tuple[str, float]]:
    if verdict.conclusive:
        yield f"{name}.passed", float(verdict.status is Status.PASS)
        yield f"{name}.score", float(verdict.score)
    yield from ((f"{name}.{signal}", value) for signal, value in verdict.signals.items())


def _spec(part: Part) -> DriverSpec:
    try:
        return DriverSpec.model_validate(part)
    except ValidationError as error:
        raise ConfigError(f"a verifier in a composition needs a name (got {part!r})") from error


def _address(source: Source) -> str:
    """Return the address with an absolute path for a file; unchanged for an installed verifier."""
    path, colon, attribute = source.address.partition(":")
    return f"{Path(path).resolve()}{colon}{attribute}" if path.endswith(".py") else source.address


def _parsed(parts: Any) -> Any:
    """Read the parts that the command line gives as JSON."""
    if not isinstance(parts, (list, tuple)):
        return [parts]
    return [json.loads(part) if isinstance(part, str) and part[:1] == "{" else part for part in parts]


@driver
class All(ComposedVerifier):
    """Several verifiers on each completion, which passes if it passes all of them.

    The verdict has the signals "name.score" and "name.passed" of each part, and the part's own as "name.signal"; the
    reward `weighted` can use them. A verdict of error or inconclusive of a part is that of the whole. The stage is the
    lowest that a part gives. A part gets the entry of the prompt's reference that has its name, if it is a mapping,
    otherwise the whole reference.
    """

    of: Annotated[tuple[Part, ...], BeforeValidator(_parsed), Field(min_length=1)]
    """The verifiers, each as a name or as a mapping of its name and its options."""
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Weight of each verifier in the score, by name; 1 for those that are not listed. A verifier of weight 0 need not
    pass: it is only measured."""

    @model_validator(mode="after")
    def _check_weights(self) -> All:
        names = [short_name(_spec(part).name) for part in self.of]
        for name in self.weights:
            if name not in names:
                raise ValueError(
                    f"weights: {name!r} is not one of the verifiers; {did_you_mean(name, names)}"
                )
        if not any(self.weights.get(name, 1.0) for name in names):
            raise ValueError("weights: one verifier needs a weight above 0")
        return self

    def __post_init__(self) -> None:
        """Load the parts, and record which package each comes from: a resumed run then loads the same."""
        ComposedVerifier.__post_init__(self)
        found = zip(self.parts.sources.values(), map(_spec, self.of), strict=True)
        of = tuple({"name": _address(source), **spec.options} for source, spec in found)
        object.__setattr__(self, "of", of)

    def compose(self) -> Sequence[Part]:
        """Return the option `of`."""
        return self.of

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Ask every part; see `combine`."""
        return combine(
            {name: self.ask(name, prompt, completion) for name in self.parts.by_name}, self.weights
        )

    def fingerprint(self) -> str:
        """Return the weights and the fingerprint of each part: the content of a file matters, its place does not."""
        weights = {name: self.weights.get(name, 1.0) for name in self.parts.by_name}
        return f"All(weights={weights}) of {self._fingerprints()}"

    def _required(self) -> Sequence[str]:
        return [name for name in self.parts.by_name if self.weights.get(name, 1.0) > 0]
