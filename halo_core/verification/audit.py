"""Proving a verifier before anything is trained on what it says.

Of each prompt, answers are judged whose verdict is known beforehand: references must pass; mutants of them,
empty, constant and copied answers must not, nor may the verifier's own collection of attacks get further than
an honest wrong answer would. Everything is judged twice, the second time in another order and with more at
once than there are cores: a verdict that does not repeat is luck.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from halo_core.errors import VerifierError
from halo_core.progress import Progress
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_core.verification.verifiers import VerifierSet, verification_threads

Kind = Literal["reference", "mutant", "empty", "constant", "copied", "attack"]
Problem = Literal["false accept", "false reject", "flaky", "no verdict"]
KINDS: tuple[Kind, ...] = ("reference", "mutant", "empty", "constant", "copied", "attack")
PROBLEMS: tuple[Problem, ...] = ("false accept", "false reject", "flaky", "no verdict")

_EMPTY = ("", " \n\t\n", "```\n```", "<think></think>")
_CONSTANT = ("8675309", "xyzzy", "I do not know.")
_CROWD = 4
"""The second time, so many answers for each core are judged at once."""


@dataclass(frozen=True, slots=True)
class Case:
    """An answer whose verdict is known beforehand."""

    kind: Kind
    name: str
    """The prompt's id, or the attack's name."""
    prompt: Prompt
    text: str
    furthest: Stage = Stage.WRONG
    """The furthest rung that it may reach; `CORRECT`: it must pass."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict that is not what it should be."""

    problem: Problem
    case: Case
    first: Verdict
    second: Verdict
    """Under load."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of each problem is borne, as shares of the cases that could have it."""

    false_accepts: float = 0.0
    """Of everything that must not pass but mutants."""
    mutants: float = 0.05
    """Of mutants that pass; a mutant can happen to be right, or its prompt's checks be too few."""
    false_rejects: float = 0.0
    """Of references."""
    flaky: float = 0.0
    no_verdict: float = 0.0


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    cases: tuple[Case, ...]
    findings: tuple[Finding, ...]
    unreferenced: int
    """Prompts that hold no reference: what is right was not tried on them."""

    def count(self, problem: Problem, *kinds: Kind) -> int:
        """Return how many findings of `problem` there are among the cases of `kinds`; of all when none given."""
        return sum(f.problem == problem and (not kinds or f.case.kind in kinds) for f in self.findings)

    def of(self, *kinds: Kind) -> int:
        """Return the number of cases of `kinds`."""
        return sum(case.kind in kinds for case in self.cases)

    def failures(self, bounds: Bounds) -> list[str]:
        """Say what is past `bounds`; empty when the verifier may be trusted as far as this goes."""
        wrong = tuple(kind for kind in KINDS if kind not in ("reference", "mutant"))
        rows: tuple[tuple[str, Problem, tuple[Kind, ...], float], ...] = (
            ("answers that must not pass were paid", "false accept", wrong, bounds.false_accepts),
            ("mutants passed", "false accept", ("mutant",), bounds.mutants),
            ("references were refused", "false reject", ("reference",), bounds.false_rejects),
            ("verdicts did not repeat", "flaky", KINDS, bounds.flaky),
            ("answers got no verdict", "no verdict", KINDS, bounds.no_verdict),
        )
        found = []
        for what, problem, kinds, bound in rows:
            count, cases = self.count(problem, *kinds), self.of(*kinds)
            if count > bound * cases:
                found.append(f"{count} of {cases} {what}")
        return found

    def require(self, bounds: Bounds) -> None:
        """Raise a `VerifierError` when the verifier is past `bounds`."""
        if failures := self.failures(bounds):
            raise VerifierError(
                f"the verifier cannot be trusted: {'; '.join(failures)}",
                hint="halo audit shows the cases; mend the verifier or the prompts, or give it more checks",
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
    """Judge answers that are known to be right or wrong, twice each; return what came out otherwise.

    `mutants` bounds the mutants of each prompt; `seed` is for the order of the second time. The prompts must
    have been checked (`VerifierSet.check_prompts`).
    """
    cases = list(_cases(verifiers, prompts, mutants))
    order = list(range(len(cases)))
    random.Random(seed).shuffle(order)
    crowd = ThreadPoolExecutor(_CROWD * (workers or os.cpu_count() or 1))
    with (progress or Progress()).stage("audit", 2 * len(cases), "answers") as advance:

        def judged(number: int) -> Verdict:
            case = cases[number]
            verdict = verifiers.check(case.prompt, Completion(case.prompt.id, 0, case.text))
            advance()
            return verdict

        with verification_threads(workers) as calm:
            first = list(calm.map(judged, range(len(cases))))
        with crowd:
            second = dict(zip(order, crowd.map(judged, order), strict=True))
    found = tuple(
        Finding(problem, case, first[number], second[number])
        for number, case in enumerate(cases)
        for problem in _problems(case, first[number], second[number])
    )
    return Audit(tuple(cases), found, sum(not _references(verifiers, prompt) for prompt in prompts))


def _cases(verifiers: VerifierSet, prompts: Sequence[Prompt], mutants: int) -> Iterator[Case]:
    references = {prompt.id: _references(verifiers, prompt) for prompt in prompts}
    for number, prompt in enumerate(prompts):
        for text in references[prompt.id]:
            yield Case("reference", prompt.id, prompt, text, Stage.CORRECT)
        for text in _spread(verifiers.by_name[verifiers.name_for(prompt)].mutants(prompt), mutants):
            yield Case("mutant", prompt.id, prompt, text)
        neighbour = prompts[(number + 1) % len(prompts)]
        copies = (*_copies(prompt), *verifiers.by_name[verifiers.name_for(prompt)].copies(prompt))
        given: dict[Kind, Sequence[str]] = {"empty": _EMPTY, "constant": _CONSTANT, "copied": copies}
        for kind, texts in given.items():
            for text in texts:
                yield Case(kind, prompt.id, prompt, text)
        for text in references[neighbour.id]:
            if not _interchangeable(verifiers, prompt, neighbour, references):
                yield Case("copied", prompt.id, prompt, text)
    for name, verifier in verifiers.by_name.items():
        for attack in verifier.attacks():
            yield Case(
                "attack", attack.name, replace(attack.prompt, verifier=name), attack.text, attack.stage
            )


def _interchangeable(
    verifiers: VerifierSet, prompt: Prompt, neighbour: Prompt, references: dict[str, Sequence[str]]
) -> bool:
    """Whether two prompts ask for the same: each accepts what the other calls right."""
    if prompt.reference == neighbour.reference:
        return True
    ways = ((prompt, references[neighbour.id]), (neighbour, references[prompt.id]))
    return all(
        texts and verifiers.check(asked, Completion(asked.id, 0, texts[0])).status is Status.PASS
        for asked, texts in ways
    )


def _references(verifiers: VerifierSet, prompt: Prompt) -> Sequence[str]:
    return verifiers.by_name[verifiers.name_for(prompt)].references(prompt)


def _copies(prompt: Prompt) -> tuple[str, ...]:
    """Return the task itself, as an answer."""
    asked = prompt.text or "\n".join(message.get("content", "") for message in prompt.messages)
    return (asked, f"```\n{asked}\n```")


def _spread(texts: Sequence[str], count: int) -> Sequence[str]:
    """Return at most `count` of `texts`, taken from all over."""
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
