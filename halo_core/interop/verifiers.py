"""Reward functions for rubrics of the `verifiers` library from a verifier and a reward of halo.

    rubric = vf.Rubric(funcs=[reward_func("gcc")])

The dataset's `info` has the verifier's data under `reference`; `answer` may have it instead, as JSON text. Since
version 0.4 the library has tasks instead of rubrics; await the function in a reward method there:

    @vf.reward
    async def solved(self, trace):
        return await score(completion=trace.last_reply, info={"reference": self.data.reference})
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from halo_core.errors import DataError, VerifierError
from halo_core.interop.scoring import DriverLike, Scorer
from halo_core.sandbox import Mode

__all__ = ["reward_func"]

RewardFunction = Callable[..., Awaitable[float]]


def reward_func(
    verifier: DriverLike,
    *,
    reward: DriverLike = "graduated",
    sandbox: Mode = "auto",
    max_error_rate: float = 0.05,
    workers: int | None = None,
    **options: Any,
) -> RewardFunction:
    """Return an async reward function that verifies with `verifier` and rewards with `reward`.

    Arguments and errors are those of `halo_core.interop.trl.reward_func`. If a verdict is not conclusive, the function
    raises a `VerifierError` instead of returning 0, and stores it in the rollout's `state["error"]`, which marks
    rollouts that must not be trained on.
    """
    spec = {"name": verifier} if isinstance(verifier, str) else dict(verifier)
    scorer = Scorer({**spec, **options}, reward, sandbox, max_error_rate, workers)
    scorer.prepare()

    async def score(
        completion: Any,
        prompt: Any = "",
        answer: Any = None,
        info: Any = None,
        state: MutableMapping[str, Any] | None = None,
    ) -> float:
        def verify() -> float:
            ((value, verdict),) = scorer.score([prompt], [completion], [_reference(info, answer)])
            if value is None:
                raise VerifierError(
                    f"the verdict is not conclusive ({verdict.status}): {verdict.detail or 'no detail'}"
                )
            return value

        try:
            return await asyncio.to_thread(verify)
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
        "a rollout has no reference for the verifier",
        hint='add it to the dataset: "info": {"reference": {...}}, or as JSON text in "answer"',
    )
