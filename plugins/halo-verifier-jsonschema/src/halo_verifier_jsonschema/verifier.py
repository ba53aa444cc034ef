"""The `jsonschema` verifier: strict JSON, valid under a schema, equal to the answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import ClassVar

from pydantic import Field

from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, SandboxError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_jsonschema import attacks, channel, demo, mutants
from halo_verifier_jsonschema.channel import NoAnswerError, Thinking, Within
from halo_verifier_jsonschema.schemas import BusyError, Draft
from halo_verifier_jsonschema.strict import Limits, NotStrictError, Numbers
from halo_verifier_jsonschema.tasks import Found, Rules, task_of

_DEEPEST = 200


@driver
class JSONSchema(Verifier):
    """Reads the JSON of a completion strictly and holds it against a schema and a reference answer.

    A prompt's reference is one of

    - `{"schema": {...}, "answer": ...}`: a value. Without `answer` whatever is valid is right; without
      `schema` only equality counts. `answers` lists several that are right.
    - `{"openapi": {...}, "operation": "createOrder", "body": "request"}` (or `"response"` with `status`): the
      body of a request or response of an OpenAPI 3.0 or 3.1 description; `media_type` and `answer` if wanted.
    - `{"tools": [...], "calls": [{"name": ..., "arguments": {...}}], "order": "any"}`: tool calls against a
      catalogue. Without `calls`, any valid calls are right.

    `"unordered": true`, or a list of paths such as `/tags`, names arrays whose order does not count. The stage
    is `invalid` without strict JSON in the final channel, `flawed` when it breaks the schema or is no call
    of a known tool, and `wrong` when it is valid but not what was expected.
    """

    within: Within = "auto"
    """Where the JSON is: the whole text after any thought, the only fenced block, or (auto) the latter when
    there is one."""
    thinking: Thinking = "auto"
    """Thoughts are skipped when the text begins with one (auto); open: the prompt has begun one already, and
    what comes before its end never counts."""
    trailing_text: bool = False
    """Accept text after the JSON."""
    max_bytes: int = Field(65536, gt=0)
    """Bytes of the longest JSON text that is read."""
    max_depth: int = Field(64, gt=0, le=_DEEPEST)
    """Objects and arrays inside one another in the deepest JSON that is read."""
    numbers: Numbers = "exact"
    """How answers are compared: exact tells 1 from 1.0 and 0 from -0; value compares doubles."""
    draft: Draft = "2020-12"
    """JSON Schema draft of schemas that do not name theirs in `$schema`."""
    closed: bool = True
    """Refuse properties that a schema does not list, where it leaves that open; off: as JSON Schema has it."""
    partial: bool = False
    """Let the score be the share of the expected calls that were made; off: 0 unless all is right."""
    cpu_seconds: float = Field(1.0, gt=0.0)
    """CPU time for one validation by a schema that is not sure to be quick."""

    valid_label: ClassVar[str] = "parses"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`; see `Verifier.check`."""
        begun = time.perf_counter()
        rules = self._rules()
        try:
            task = task_of(prompt.reference, rules)
            texts = channel.find(
                completion.text, within=self.within, thinking=self.thinking, tags=task.is_call
            )
            found = task.judge([rules.parse(text, trailing=self.trailing_text) for text in texts], rules)
        except (NoAnswerError, NotStrictError) as error:
            found = Found(Stage.INVALID, str(error))
        except BusyError:
            return Verdict(Status.INCONCLUSIVE, Stage.FLAWED, detail="validation ran out of wall time")
        except (DataError, SandboxError) as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))
        return Verdict(
            Status.PASS if found.stage is Stage.CORRECT else Status.FAIL,
            found.stage,
            score=found.score,
            detail=found.detail,
            wall_seconds=time.perf_counter() - begun,
        )

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference has one of the forms above and its answers are valid."""
        try:
            task_of(prompt.reference, self._rules())
        except DataError as error:
            raise DataError(f"prompt {prompt.id!r}: {error}", hint=error.hint) from None

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the answers of the prompt as JSON, calls in each form; `examples` of a bare schema."""
        return mutants.references(prompt.reference, self._rules())

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return near misses: the answers with a key dropped, renamed or doubled, a type or value changed, ..."""
        return mutants.mutants(prompt.reference, self._rules())

    def attacks(self) -> Sequence[Attack]:
        """Return texts that try to be paid without being right."""
        return attacks.ATTACKS

    def fingerprint(self) -> str:
        """Return the options, this package's version and the engine's."""
        return f"{self!r} {version('halo-verifier-jsonschema')} {version('jsonschema-rs')}"

    def demo(self) -> Demo:
        """Return small API tasks and a tiny model that half knows how to answer them."""
        return demo.load()

    def _rules(self) -> Rules:
        limits = Limits(self.max_bytes, self.max_depth)
        return Rules(limits, self.numbers, self.draft, self.closed, self.partial, self.cpu_seconds)
