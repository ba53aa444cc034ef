"""Reward functions for the `verifiers` library: on their own, and in its rubrics and tasks."""

import asyncio
import inspect
import json
from typing import Any

import pytest

from halo_core.errors import DataError, VerifierError
from halo_core.interop.verifiers import reward_func

INFO = {"reference": {"answer": "yes"}}


def reward_of(func: Any, completion: Any, **rest: Any) -> float:
    reward: float = asyncio.run(func(completion=completion, **{"prompt": "Say yes.", "info": INFO, **rest}))
    return reward


def test_rewards_follow_the_stages(exact: str) -> None:
    func = reward_func(exact, lower=True)
    assert [reward_of(func, text) for text in ("YES", "no", "")] == [1.0, 0.7, 0.0]
    assert (
        reward_of(
            func, [{"role": "assistant", "content": "yes"}], prompt=[{"role": "user", "content": "Say yes."}]
        )
        == 1.0
    )
    assert reward_of(reward_func(exact, reward="binary"), "no") == 0.0


def test_references_are_in_info_or_answer(exact: str) -> None:
    func = reward_func(exact)
    assert reward_of(func, "yes", info={"reference": json.dumps(INFO["reference"])}) == 1.0
    assert reward_of(func, "yes", info={}, answer=json.dumps(INFO["reference"])) == 1.0
    assert reward_of(func, "yes", info=None, answer=INFO["reference"]) == 1.0
    wrong: list[dict[str, Any]] = [{"info": {}}, {"info": None, "answer": ""}, {"info": {}, "answer": "yes"}]
    for rest in wrong:
        with pytest.raises(DataError):
            reward_of(func, "yes", **rest)


def test_a_verdict_that_is_not_conclusive_marks_the_rollout(exact: str) -> None:
    func = reward_func(exact)
    for text, reason in (("break", "the tool is missing"), ("wait", "too busy")):
        state: dict[str, Any] = {"error": None}
        with pytest.raises(VerifierError, match=reason):
            reward_of(func, text, state=state)
        assert reason in str(state["error"])
    state = {"error": None}
    reward_of(func, "no", state=state)
    assert state == {"error": None}


def test_rollouts_are_verified_concurrently(exact: str) -> None:
    func = reward_func(exact)

    async def all_of_them() -> list[float]:
        infos = [{"reference": {"answer": str(n)}} for n in range(50)]
        return await asyncio.gather(*(func(completion=str(n), info=info) for n, info in enumerate(infos)))

    assert asyncio.run(all_of_them()) == [1.0] * 50


def test_a_rubric_finds_its_arguments_by_name_and_awaits_it(exact: str) -> None:
    """Rubrics pass what the parameters name, and list the reward under the function's name."""
    func = reward_func(exact)
    assert list(inspect.signature(func).parameters) == ["completion", "prompt", "answer", "info", "state"]
    assert inspect.iscoroutinefunction(func)
    assert getattr(func, "__name__", "") == "halo_Exact"


def test_a_reward_method_of_a_task_needs_the_reply_and_the_reference_alone(exact: str) -> None:
    score = reward_func(exact)

    async def solved() -> float:
        return await score(completion="yes", info=INFO)

    assert asyncio.run(solved()) == 1.0
