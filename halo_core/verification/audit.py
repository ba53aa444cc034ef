"""Audit: test a verifier before a model is trained with its verdicts.

For each prompt, the verifier checks answers whose verdict is known beforehand. References must pass. Their mutants
and empty, constant and copied answers must not pass, and the verifier's own attacks must not get further than an honest
wrong answer. All answers are verified twice, the second time in another order and with more threads than cores: a
verdict that does not repeat is luck.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from halo_core import sandbox
from halo_core.errors import SandboxError, VerifierError
from halo_core.progress import Progress
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_core.verification.verifiers import VerifierSet, verification_threads

Kind = Literal["reference", "mutant", "empty", "constant", "copied", "attack"]
Problem = Literal["false accept", "false reject", "flaky", "no verdict"]
KINDS: tuple[Kind, ...] = ("reference", "mutant", "empty", "constant", "copied", "attack")
PROBLEMS: tuple[Problem, ...] = ("false accept", "false reject", "flaky", "no verdict")

_EMPTY = ("", " \n\t\n", "```\n```", "<think></think>")
_CONSTANT = ("8675309", "xyzzy", "I do not know.")
_LOAD = 4
"""Answers verified at once for each core in the second pass."""


@dataclass(frozen=True, slots=True)
class Case:
    """An answer whose verdict is known beforehand."""

    kind: Kind
    name: str
    """The prompt's id, or the attack's name."""
    prompt: Prompt
    text: str
    furthest: Stage = Stage.WRONG
    """The furthest stage that the answer may reach; `CORRECT`: it must pass."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A case with a wrong verdict."""

    problem: Problem
    case: Case
    first: Verdict
    second: Verdict
    """The verdict in the second pass, under load."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How well the checks of one prompt tell wrong answers from right ones."""

    prompt: str
    """The prompt's id."""
    told_apart: int
    """Mutants of the reference that the checks tell apart from it."""
    mutants: int
    """All mutants that were tried; some may be equivalent to the reference."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Maximum tolerated rate of each problem, as a share of the cases that can have it."""

    false_accepts: float = 0.0
    """Maximum tolerated rate of accepted wrong answers, without mutants."""
    mutants: float = 0.05
    """Maximum tolerated rate of accepted mutants: a mutant may happen to be right, or its prompt has too few checks."""
    false_rejects: float = 0.0
    """Maximum tolerated rate of rejected references."""
    flaky: float = 0.0
    """Maximum tolerated rate of verdicts that do not repeat."""
    no_verdict: float = 0.0
    """Maximum tolerated rate of errors and inconclusive verdicts."""


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    cases: tuple[Case, ...]
    findings: tuple[Finding, ...]
    unreferenced: int
    """Prompts without a reference: no right answer to them was verified."""
    strengths: tuple[Strength, ...] = ()
    """The prompts whose verifier counts the mutants that it tells apart, the weakest first."""
    left_out: int = 0
    """Attacks that were not tried, since no sandbox confines them: one that kills all processes would do so."""

    def count(self, problem: Problem, *kinds: Kind) -> int:
        """Return the number of findings of `problem` among the cases of `kinds`; without `kinds`, among all cases."""
        return sum(f.problem == problem and (not kinds or f.case.kind in kinds) for f in self.findings)

    def cases_of(self, *kinds: Kind) -> int:
        """Return the number of cases of `kinds`."""
        return sum(case.kind in kinds for case in self.cases)

    def failures(self, bounds: Bounds) -> list[str]:
        """Return a line for each exceeded bound; empty if the verifier passes the audit."""
        wrong = tuple(kind for kind in KINDS if kind not in ("reference", "mutant"))
        rows: tuple[tuple[str, Problem, tuple[Kind, ...], float], ...] = (
            ("wrong answers were accepted", "false accept", wrong, bounds.false_accepts),
            ("mutants were accepted", "false accept", ("mutant",), bounds.mutants),
            ("references were rejected", "false reject", ("reference",), bounds.false_rejects),
            ("verdicts did not repeat", "flaky", KINDS, bounds.flaky),
            ("answers got no verdict", "no verdict", KINDS, bounds.no_verdict),
        )
        found = []
        for description, problem, kinds, bound in rows:
            count, cases = self.count(problem, *kinds), self.cases_of(*kinds)
            if count > bound * cases:
                found.append(f"{count} of {cases} {description}")
        return found

    def require(self, bounds: Bounds) -> None:
        """Raise a `VerifierError` if the verifier exceeds `bounds`."""
        if failures := self.failures(bounds):
            raise VerifierError(
                f"the verifier cannot be trusted: {'; '.join(failures)}",
                hint="halo audit shows the cases; fix the verifier or the prompts, or add checks",
            )


def audit(
    verifiers: VerifierSet,
    prompts: Sequence[Prompt],
    *,
    mutants: int = 3,
    workers: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Verify answers that are known to be right or wrong, twice each; return the cases and the wrong verdicts.

    `mutants` limits the mutants of each prompt; `seed` determines the order of the second pass. The prompts must have
    passed `VerifierSet.check_prompts`. Attacks are tried only in a sandbox of tier standard or strong.
    """
    attacks = list(_attacks(verifiers))
    left_out = len(attacks) if attacks and not _are_confined() else 0
    cases = [*_cases(verifiers, prompts, mutants), *attacks[left_out:]]
    order = list(range(len(cases)))
    random.Random(seed).shuffle(order)
    overloaded = ThreadPoolExecutor(_LOAD * (workers or os.cpu_count() or 1))
    with (progress or Progress()).stage("audit", 2 * len(cases), "answers") as advance:

        def verify(number: int) -> Verdict:
            case = cases[number]
            verdict = verifiers.check(case.prompt, Completion(case.prompt.id, 0, case.text))
            advance()
            return verdict

        with verification_threads(workers) as threads:
            first = list(threads.map(verify, range(len(cases))))
        with overloaded:
            second = dict(zip(order, overloaded.map(verify, order), strict=True))
    found = tuple(
        Finding(problem, case, first[number], second[number])
        for number, case in enumerate(cases)
        for problem in _problems(case, first[number], second[number])
    )
    unreferenced = sum(not _references(verifiers, prompt) for prompt in prompts)
    return Audit(tuple(cases), found, unreferenced, tuple(_strengths(verifiers, prompts)), left_out)


def _are_confined() -> bool:
    try:
        return sandbox.get().tier in ("standard", "strong")
    except SandboxError:
        return False


def _strengths(verifiers: VerifierSet, prompts: Sequence[Prompt]) -> list[Strength]:
    counts = ((prompt.id, verifiers.told_apart(prompt)) for prompt in prompts)
    found = [Strength(name, *count) for name, count in counts if count]
    return sorted(found, key=lambda each: each.told_apart / max(each.mutants, 1))


def _cases(verifiers: VerifierSet, prompts: Sequence[Prompt], mutants: int) -> Iterator[Case]:
    references = {prompt.id: _references(verifiers, prompt) for prompt in prompts}
    for number, prompt in enumerate(prompts):
        for text in references[prompt.id]:
            yield Case("reference", prompt.id, prompt, text, Stage.CORRECT)
        for text in _evenly_spaced(verifiers.answers("mutants", prompt), mutants):
            yield Case("mutant", prompt.id, prompt, text)
        neighbour = prompts[(number + 1) % len(prompts)]
        copies = (*_copies(prompt), *verifiers.answers("copied_answers", prompt))
        given: dict[Kind, Sequence[str]] = {"empty": _EMPTY, "constant": _CONSTANT, "copied": copies}
        for kind, texts in given.items():
            for text in texts:
                yield Case(kind, prompt.id, prompt, text)
        for text in references[neighbour.id]:
            if not _interchangeable(verifiers, prompt, neighbour, references):
                yield Case("copied", prompt.id, prompt, text)


def _attacks(verifiers: VerifierSet) -> Iterator[Case]:
    for name in verifiers.by_name:
        for attack in verifiers.attacks(name):
            yield Case(
                "attack", attack.name, replace(attack.prompt, verifier=name), attack.text, attack.stage
            )


def _interchangeable(
    verifiers: VerifierSet, prompt: Prompt, neighbour: Prompt, references: dict[str, Sequence[str]]
) -> bool:
    """Return whether two prompts are the same task: each accepts the other's reference."""
    if prompt.reference == neighbour.reference:
        return True
    directions = ((prompt, references[neighbour.id]), (neighbour, references[prompt.id]))
    return all(
        texts and verifiers.check(task, Completion(task.id, 0, texts[0])).status is Status.PASS
        for task, texts in directions
    )


def _references(verifiers: VerifierSet, prompt: Prompt) -> Sequence[str]:
    return verifiers.answers("references", prompt)


def _copies(prompt: Prompt) -> tuple[str, ...]:
    """Return the task itself as answers: plain and in a code fence."""
    task = prompt.text or "\n".join(message.get("content", "") for message in prompt.messages)
    return (task, f"```\n{task}\n```")


def _evenly_spaced(texts: Sequence[str], count: int) -> Sequence[str]:
    """Return at most `count` of `texts`, evenly spaced."""
    return texts if len(texts) <= count else [texts[n * len(texts) // count] for n in range(count)]


def _problems(case: Case, *verdicts: Verdict) -> Iterator[Problem]:
    if any(verdict.status in (Status.ERROR, Status.INCONCLUSIVE) for verdict in verdicts):
        yield "no verdict"
        return
    if len({(v.status, v.stage, v.score, v.warnings) for v in verdicts}) > 1:
        yield "flaky"
    passed = [verdict.status is Status.PASS for verdict in verdicts]
    if case.furthest is Stage.CORRECT:
        if not all(passed):
            yield "false reject"
    elif any(passed) or any(verdict.stage.rank > case.furthest.rank for verdict in verdicts):
        yield "false accept"
