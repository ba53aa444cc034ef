"""Reward functions for rubrics of the `verifiers` library from a verifier and a reward of halo.

    rubric = vf.Rubric(funcs=[reward_func("gcc")])

The dataset's `info` holds `reference`, what the verifier judges by; `answer` may hold it instead, as JSON text.
From version 0.4 on the library has tasks in place of rubrics; there, the function is awaited in a reward method:

    @vf.reward
    async def solved(self, trace):
        return await score(completion=trace.last_reply, info={"reference": self.data.reference})
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from halo_core.errors import DataError, VerifierError
from halo_core.interop.scoring import Named, Scorer
from halo_core.sandbox import Mode

RewardFunction = Callable[..., Awaitable[float]]


def reward_func(
    verifier: Named,
    *,
    reward: Named = "graduated",
    sandbox: Mode = "auto",
    max_error_rate: float = 0.05,
    workers: int | None = None,
    **options: Any,
) -> RewardFunction:
    """Return an async reward function that judges by `verifier` and pays by `reward`.

    Arguments and errors are those of `halo_core.interop.trl.reward_func`. A completion without a verdict is
    not worth 0: the function puts a `VerifierError` into the rollout's `state["error"]`, by which the library
    knows rollouts that must not be trained on, and raises it.
    """
    named = {"name": verifier} if isinstance(verifier, str) else dict(verifier)
    scorer = Scorer({**named, **options}, reward, sandbox, max_error_rate, workers)
    scorer.prepare()

    async def score(
        completion: Any,
        prompt: Any = "",
        answer: Any = None,
        info: Any = None,
        state: MutableMapping[str, Any] | None = None,
    ) -> float:
        def judge() -> float:
            ((paid, verdict),) = scorer.score([prompt], [completion], [_reference(info, answer)])
            if paid is None:
                raise VerifierError(f"no verdict ({verdict.status}): {verdict.detail or 'no detail'}")
            return paid

        try:
            return await asyncio.to_thread(judge)
        except (DataError, VerifierError) as error:
            if state is not None:
                state["error"] = error
            raise

    score.__name__ = score.__qualname__ = scorer.name
    return score


def _reference(info: Any, answer: Any) -> Any:
    if isinstance(info, Mapping) and "reference" in info:
        return info["reference"]
    if answer:
        return answer
    raise DataError(
        "a rollout without a reference for the verifier to judge by",
        hint='put it into the dataset: "info": {"reference": {...}}, or as JSON text into "answer"',
    )
