"""Scoring for all bridges: a verifier and a reward, for prompts and completions in any common form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

from halo_core import sandbox
from halo_core.config.schema import DriverSpec
from halo_core.drivers.base import Reward
from halo_core.errors import DataError
from halo_core.plugin.loading import load_driver
from halo_core.types import Completion, Prompt, Sample, Verdict
from halo_core.verification.errors import ErrorBudget
from halo_core.verification.verifiers import VerifierSet, verification_threads

DriverLike = str | Mapping[str, Any]
"""A driver as in YAML: its name, or a mapping of `name` and options."""

_CACHED_PROMPTS = 65536


@dataclass
class Scorer:
    """Verifies completions and rewards them. Thread-safe."""

    verifier: DriverLike
    reward: DriverLike = "graduated"
    sandbox: sandbox.Mode = "auto"
    """The sandbox tier required while programs run."""
    max_error_rate: float = 0.05
    """Maximum tolerated share of verdicts that are errors."""
    workers: int | None = None
    """Completions verified at once; None: one per core, at least 2."""

    _lock: Lock = field(default_factory=Lock, init=False, repr=False)
    _prompts: dict[str, Prompt] = field(default_factory=dict, init=False, repr=False)

    def prepare(self) -> None:
        """Load the verifier and the reward, and check their requirements.

        Raises a `PluginError` if something is not installed or does not work, and a `ConfigError` for an invalid
        option.
        """
        self._verifiers.preflight(self.sandbox)
        _ = self._reward

    @property
    def name(self) -> str:
        """The verifier's name as an identifier."""
        return "halo_" + "".join(c if c.isalnum() else "_" for c in self._verifiers.first)

    def score(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        references: Sequence[Any],
        token_ids: Sequence[Sequence[int]] | None = None,
    ) -> list[tuple[float | None, Verdict]]:
        """Return the reward and the verdict of each completion; the reward is None if the verdict is not conclusive.

        Prompts and completions are text or chat messages; of several messages the assistant's last one is verified.
        References are mappings, or mappings as JSON text. Raises a `DataError` for a reference that the verifier
        rejects, and a `VerifierError` if too many verdicts are errors.
        """
        tasks = [self._prompt(*row) for row in zip(prompts, references, strict=True)]
        ids = token_ids or [()] * len(tasks)
        answers = [
            Completion(prompt.id, index, text_of(completion), token_ids=tuple(tokens))
            for index, (prompt, completion, tokens) in enumerate(zip(tasks, completions, ids, strict=True))
        ]
        verdicts = self._verifiers.check_all(tasks, answers, self._threads)
        self._budget.add(verdicts)
        samples = map(Sample, tasks, answers, verdicts)
        return [(self._reward_of(sample), sample.verdict) for sample in samples]

    def _reward_of(self, sample: Sample) -> float | None:
        if not sample.verdict.conclusive:
            return None
        value = self._reward.reward(sample)
        return None if value is None else float(value)

    def _prompt(self, prompt: Any, reference: Any) -> Prompt:
        """Return the `Prompt` for a prompt and a reference; the verifier checks each new one."""
        data = _mapping(reference)
        content = prompt if isinstance(prompt, str) else [_message(message) for message in prompt or ()]
        try:
            key = json.dumps([content, data], sort_keys=True, default=str)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"a reference contains values that JSON cannot represent: {error}", hint=_REFERENCE
            ) from None
        if (known := self._prompts.get(key)) is not None:
            return known
        new = Prompt(
            id=hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:16],
            text=content if isinstance(content, str) else "",
            messages=() if isinstance(content, str) else tuple(content),
            reference=data,
        )
        self._verifiers.check_prompts([new])
        with self._lock:
            if len(self._prompts) >= _CACHED_PROMPTS:
                self._prompts.clear()
            return self._prompts.setdefault(key, new)

    @cached_property
    def _budget(self) -> ErrorBudget:
        return ErrorBudget(self.max_error_rate)

    @cached_property
    def _verifiers(self) -> VerifierSet:
        return VerifierSet.load([DriverSpec.model_validate(self.verifier)])

    @cached_property
    def _reward(self) -> Reward:
        reward: Reward
        reward, _ = load_driver("reward", DriverSpec.model_validate(self.reward))
        return reward

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return verification_threads(self.workers)


_REFERENCE = "a reference is a mapping, or a mapping as JSON text; docs/interop.md shows how to pass it"


def text_of(completion: Any) -> str:
    """Return the text to verify: the completion itself, or the assistant's last message.

    A message with tool calls is returned as JSON, in the form that the `jsonschema` verifier reads.
    """
    if isinstance(completion, str):
        return completion
    replies = [message for message in completion or () if _get(message, "role") in ("assistant", None)]
    if not replies:
        return ""
    content, calls = _content(replies[-1]), _get(replies[-1], "tool_calls")
    if not calls:
        return content
    return json.dumps({"role": "assistant", "content": content, "tool_calls": _plain(calls)})


def _message(message: Any) -> dict[str, str]:
    return {"role": str(_get(message, "role") or "user"), "content": _content(message)}


def _content(message: Any) -> str:
    """Return the text of a message; of content in parts, the text parts joined."""
    content = _get(message, "content")
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(str(_get(part, "text") or "") for part in content)


def _get(message: Any, key: str) -> Any:
    return message.get(key) if isinstance(message, Mapping) else getattr(message, key, None)


def _plain(value: Any) -> Any:
    """Convert pydantic models to mappings."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else value


def _mapping(reference: Any) -> Mapping[str, Any]:
    if isinstance(reference, str):
        try:
            reference = json.loads(reference)
        except ValueError as error:
            raise DataError(f"a reference is not JSON: {error}", hint=_REFERENCE) from None
    if not isinstance(reference, Mapping):
        raise DataError(f"a reference is a {type(reference).__name__}, not a mapping", hint=_REFERENCE)
    return reference
