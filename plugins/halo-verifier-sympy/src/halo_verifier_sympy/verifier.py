"""The `sympy` verifier: compares the final answer with the reference by kind and by exact value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, ClassVar

from pydantic import Field

from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, SandboxError, did_you_mean
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_core.verification.thoughts import TAGS
from halo_verifier_sympy import demo
from halo_verifier_sympy.around import Answer
from halo_verifier_sympy.attacks import ATTACKS
from halo_verifier_sympy.comparison import (
    FLAGS,
    TOLERANCES,
    Comparison,
    ComparisonStopped,
    Timer,
    check_sandbox,
    shortened,
)
from halo_verifier_sympy.copies import copied_expressions
from halo_verifier_sympy.extract import Where, final_answers, without_reasoning
from halo_verifier_sympy.forms import FORMS
from halo_verifier_sympy.mutants import mutants
from halo_verifier_sympy.tree import Refused, Unreadable

_CHOICES = {
    "kind": ("value", "choice", "text"),
    "form": FORMS,
    "assume": ("complex", "real", "positive"),
}
_KEYS = ["answer", *_CHOICES, *FLAGS, *TOLERANCES]


@driver
class Sympy(Verifier):
    r"""Compares a completion's final answer with the reference: kinds first, then exact values.

    A prompt's reference is `{"answer": "\\frac{1}{2}"}`, in LaTeX or plain notation. Further keys describe the
    task: `kind` (value, choice, text), `form` (auto, any, evaluated, expanded, solved), `rtol` and `atol`, `ordered`
    for lists without brackets, `units`, `names`, `open_forms`, and `assume` (complex, real, positive), the domain of
    the variables.

    The stage is `invalid` if no answer can be read, `flawed` if an answer is readable but not acceptable (hedged,
    hidden, ambiguous, undefined, too large, unevaluated), `crashed` if the comparison reached a limit, else `wrong`.
    Nothing in a completion is ever evaluated as code.
    """

    where: Where = "auto"
    r"""Location of the final answer: box: in \boxed{}; phrase: after "answer is"; last: the last formula, or the
    last line; auto: in a box if there is one, else after "answer is"."""
    final_after: str = ""
    """Read only the text after the last such mark, e.g. `</think>`; a completion without it has no answer."""
    thought_tags: tuple[str, ...] = TAGS
    """Tags whose content is reasoning and not part of the answer."""
    thousands: bool = False
    """Read 12,000 as twelve thousand; otherwise it is refused, unless the reference has such a number."""
    cpu_seconds: float = Field(default=2.0, gt=0.0)
    """CPU time limit for comparing one answer when normal forms do not decide."""
    memory_mib: int = Field(default=1024, gt=0)
    """Memory limit of the comparing process, in MiB."""

    valid_label: ClassVar[str] = "readable"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Return the verdict on `completion`; see `Verifier.check`."""
        timer = Timer()
        try:
            comparison = self._comparison(_without_nulls(prompt), timer)
            for answer in self._answers(completion.text):
                if detail := comparison.difference(answer):
                    return timer.verdict(Status.FAIL, Stage.WRONG, f"{shortened(answer.text)}: {detail}")
        except Unreadable as error:
            return timer.verdict(Status.FAIL, Stage.INVALID, str(error))
        except Refused as error:
            return timer.verdict(Status.FAIL, Stage.FLAWED, str(error))
        except ComparisonStopped as error:
            return timer.verdict(error.status, Stage.CRASHED, str(error))
        except SandboxError as error:
            return timer.verdict(Status.ERROR, Stage.INVALID, str(error))
        return timer.verdict(Status.PASS, Stage.CORRECT, "")

    def extracted(self, prompt: Prompt, completion: Completion) -> str | None:
        """Return the final answer in `completion`, or several, one per line; see `Verifier.extracted`."""
        try:
            return "\n".join(answer.text for answer in self._answers(completion.text)) or None
        except (Unreadable, Refused):
            return None

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference is valid and its own answer is accepted."""
        hint = r'a reference looks like {"answer": "\\frac{1}{2}"}'
        prompt = _without_nulls(prompt)
        reference = prompt.reference
        for key in reference.keys() - set(_KEYS):
            raise DataError(f"prompt {prompt.id!r}: unknown key {key!r} in reference; {did_you_mean(key, _KEYS)}",
                            hint=hint)  # fmt: skip
        if problem := _reference_problem(reference):
            raise DataError(f"prompt {prompt.id!r}: {problem}", hint=hint)
        try:
            comparison = self._comparison(prompt, Timer())
            details = map(comparison.difference, self._answers(self._completion(reference["answer"])))
            detail = next(filter(None, details), "")
        except (Refused, Unreadable, ComparisonStopped) as error:
            detail = str(error)
        if detail:
            raise DataError(f"prompt {prompt.id!r}: its own answer is not accepted: {detail}", hint=hint)

    def preflight(self) -> None:
        """Raise a `HaloError` unless the confined process starts and proves two radicals equal."""
        check_sandbox(self.cpu_seconds, self.memory_mib)

    def fingerprint(self) -> str:
        """Return the options and the versions of this package and of sympy."""
        return (
            f"{self!r} {version('halo-verifier-sympy')} sympy {version('sympy')} mpmath {version('mpmath')}"
        )

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return a completion with the reference's answer."""
        return [self._completion(prompt.reference["answer"])]

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return near misses: off by one, wrong sign, reciprocal, different kind, items swapped or removed."""
        return [
            self._completion(text)
            for text in mutants(_without_nulls(prompt).reference, thousands=self.thousands)
        ]

    def copied_answers(self, prompt: Prompt) -> Sequence[str]:
        """Return the expressions of the prompt as answers, except numbers and those of the reference."""
        return [
            self._completion(text)
            for text in copied_expressions(_without_nulls(prompt), thousands=self.thousands)
        ]

    def attacks(self) -> Sequence[Attack]:
        """Return wrong answers crafted to be accepted."""
        return ATTACKS

    def demo(self) -> Demo:
        """Return small algebra tasks, and a tiny model that answers some of them."""
        return demo.load()

    def _completion(self, answer: str) -> str:
        prefix = self.final_after
        return prefix + (rf"\boxed{{{answer}}}" if self.where in ("auto", "box") else f"The answer is\n{answer}"
                       if self.where == "last" else f"The answer is {answer}")  # fmt: skip

    def _comparison(self, prompt: Prompt, timer: Timer) -> Comparison:
        return Comparison(prompt, self.thousands, self.cpu_seconds, self.memory_mib, timer)

    def _answers(self, text: str) -> list[Answer]:
        ends_thought = self.final_after in [f"</{tag}>" for tag in self.thought_tags]
        if not ends_thought:
            text = without_reasoning(text, self.thought_tags)
        if self.final_after:
            _, mark, text = text.rpartition(self.final_after)
            if not mark:
                raise Unreadable(f"no {self.final_after!r}")
        if ends_thought:
            text = without_reasoning(text, self.thought_tags)
        return final_answers(text, self.where)


def _without_nulls(prompt: Prompt) -> Prompt:
    """Return a prompt without the keys of its reference that are null, as Parquet stores missing ones."""
    if None not in prompt.reference.values():
        return prompt
    return replace(prompt, reference={k: v for k, v in prompt.reference.items() if v is not None})


def _reference_problem(reference: Mapping[str, Any]) -> str:
    """Return what is wrong with a reference; empty if it is valid."""
    if not isinstance(reference.get("answer"), str) or not reference["answer"].strip():
        return "its reference has no answer"
    for key, allowed in _CHOICES.items():
        if reference.get(key, allowed[0]) not in allowed:
            return f"{key} must be one of {', '.join(allowed)}, not {reference[key]!r}"
    for key in FLAGS:
        if not isinstance(reference.get(key, False), bool):
            return f"{key} must be true or false"
    for key in TOLERANCES:
        value = reference.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e300:
            return f"{key} must be a nonnegative number"
    return ""
