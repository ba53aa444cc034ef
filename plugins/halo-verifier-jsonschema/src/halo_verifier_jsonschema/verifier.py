"""The `jsonschema` verifier: accepts strict JSON that is valid under a schema and equals the answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import ClassVar

from pydantic import Field

from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, SandboxError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_core.verification.thoughts import TAGS
from halo_verifier_jsonschema import attacks, channel, demo, mutants
from halo_verifier_jsonschema.channel import NoAnswerError, Thinking, Within, without_introduction
from halo_verifier_jsonschema.schemas import Draft, WallTimeError
from halo_verifier_jsonschema.strict import Limits, NotStrictError, Numbers
from halo_verifier_jsonschema.tasks import Outcome, Rules, task_of

_MAX_DEPTH = 200


@driver
class JSONSchema(Verifier):
    """Verifier for JSON: parses a completion strictly, validates it and compares it with a reference answer.

    A prompt's reference is one of

    - `{"schema": {...}, "answer": ...}`: a value. Without `answer`, every valid value is correct; without
      `schema`, only equality counts. `answers` lists several accepted answers.
    - `{"openapi": {...}, "operation": "createOrder", "body": "request"}` (or `"response"` with `status`): the
      body of a request or response of an OpenAPI 3.0 or 3.1 description; `media_type`, `answer` are optional.
    - `{"tools": [...], "calls": [{"name": ..., "arguments": {...}}], "order": "any"}`: tool calls under a
      catalogue. Without `calls`, all valid calls are correct.

    `"unordered": true`, or a list of paths such as `/tags`, names arrays whose order does not count. The stage
    is `invalid` without strict JSON in the final channel, `flawed` if the JSON violates the schema or does not call
    known tools, and `wrong` if it is valid but not the expected answer.
    """

    within: Within = "auto"
    """Place of the JSON: the whole text after the reasoning, the only fenced block, or (auto) the fenced block
    if there is one and the whole text otherwise."""
    thinking: Thinking = "auto"
    """auto: skip reasoning in tags, and the text before a closing tag without an opening one; open: the prompt opened
    the reasoning, and the text before its end never counts."""
    thought_tags: tuple[str, ...] = TAGS
    """Tags whose content is reasoning and not part of the answer. Those of known models, such as `<thinking>` and
    `[THINK]`, always are."""
    trailing_text: bool = False
    """Accept an introduction such as "Here is the JSON:" on the line of the JSON, and text after it, unless that
    gives another answer."""
    max_bytes: int = Field(65536, gt=0)
    """Maximum size of the JSON text in bytes."""
    max_depth: int = Field(64, gt=0, le=_MAX_DEPTH)
    """Maximum nesting of objects and arrays."""
    numbers: Numbers = "exact"
    """Comparison of numbers: exact distinguishes 1 from 1.0 and 0 from -0; value compares doubles."""
    draft: Draft = "2020-12"
    """JSON Schema draft of schemas without `$schema`."""
    closed: bool = True
    """Reject properties that a schema neither lists nor allows explicitly; off: follow JSON Schema to the letter."""
    partial: bool = False
    """Score the share of the expected calls that were made; off: 0 unless all calls are correct."""
    cpu_seconds: float = Field(1.0, gt=0.0)
    """CPU seconds for one validation under a schema without a linear time bound."""

    valid_label: ClassVar[str] = "parses"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Return the verdict on `completion`; see `Verifier.check`."""
        start = time.perf_counter()
        rules = self._rules()
        try:
            task = task_of(prompt.reference, rules)
            texts = self._texts(completion, is_call=task.is_call)
            if self.trailing_text:
                values = [rules.parse_start(without_introduction(text), task) for text in texts]
            else:
                values = [rules.parse(text) for text in texts]
            outcome = task.judge(values, rules)
        except (NoAnswerError, NotStrictError) as error:
            outcome = Outcome(Stage.INVALID, f"{error}{self._advice(error, completion.text)}")
        except WallTimeError:
            return Verdict(Status.INCONCLUSIVE, Stage.FLAWED, detail="validation exceeded its wall time")
        except (DataError, SandboxError) as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))
        return Verdict(
            Status.PASS if outcome.stage is Stage.CORRECT else Status.FAIL,
            outcome.stage,
            score=outcome.score,
            detail=outcome.detail,
            wall_seconds=time.perf_counter() - start,
        )

    def _advice(self, error: Exception, text: str) -> str:
        """Return how text around the JSON would be accepted, if it is what makes the completion fail."""
        if self.trailing_text or not isinstance(error, NotStrictError):
            return ""
        if str(error).startswith("text after the JSON") or without_introduction(text) != text:
            return "; trailing_text=true accepts an introduction and an explanation"
        return ""

    def extracted(self, prompt: Prompt, completion: Completion) -> str | None:
        """Return the JSON in `completion`, or several calls, one per line; see `Verifier.extracted`."""
        try:
            is_call = task_of(prompt.reference, self._rules()).is_call
            return "\n".join(self._texts(completion, is_call=is_call))
        except NoAnswerError:
            return None

    def _texts(self, completion: Completion, *, is_call: bool) -> list[str]:
        return channel.find(
            completion.text,
            within=self.within,
            thinking=self.thinking,
            thought_tags=self.thought_tags,
            tags=is_call,
        )

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise `DataError` unless the reference has one of the forms above and its answers are valid."""
        try:
            task_of(prompt.reference, self._rules())
        except DataError as error:
            raise DataError(f"prompt {prompt.id!r}: {error}", hint=error.hint) from None

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the answers as JSON, the calls in each form, or the `examples` of a bare schema."""
        return mutants.references(prompt.reference, self._rules())

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return near misses: answers with a key dropped, renamed or duplicated, a type or value changed, ..."""
        return mutants.mutants(prompt.reference, self._rules(), trailing_text=self.trailing_text)

    def attacks(self) -> Sequence[Attack]:
        """Return wrong answers crafted to be accepted."""
        return attacks.ATTACKS

    def fingerprint(self) -> str:
        """Return the options, this package's version and the validation engine's."""
        return f"{self!r} {version('halo-verifier-jsonschema')} {version('jsonschema-rs')}"

    def demo(self) -> Demo:
        """Return small API tasks and a tiny model that answers some of them."""
        return demo.load()

    def _rules(self) -> Rules:
        limits = Limits(self.max_bytes, self.max_depth)
        return Rules(limits, self.numbers, self.draft, self.closed, self.partial, self.cpu_seconds)
