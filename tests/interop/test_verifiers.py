"""Reward functions for the `verifiers` library: on their own, and in its rubrics and tasks."""

import asyncio
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


def rubric_of(func: Any) -> Any:
    vf = pytest.importorskip("verifiers")
    if not hasattr(vf, "Rubric"):
        pytest.skip("this version of verifiers has tasks instead of rubrics")
    return vf.Rubric(funcs=[func], weights=[2.0])


def state_of(text: str) -> dict[str, Any]:
    chat = [{"role": "user", "content": "Say yes."}]
    reply = [{"role": "assistant", "content": text}]
    return {
        "prompt": chat, "completion": reply, "answer": "", "info": INFO, "task": "t", "error": None,
        "trajectory": [], "input": {"prompt": chat},
    }  # fmt: skip


def test_a_rubric_scores_rollouts_and_marks_errors(exact: str) -> None:
    func = reward_func(exact)
    rubric = rubric_of(func)
    states = [state_of(text) for text in ("yes", "no", "", "break")]
    asyncio.run(rubric.score_group(states))
    assert [state["reward"] for state in states] == [2.0, 1.4, 0.0, 0.0]
    assert states[0]["metrics"] == {"halo_Exact": 1.0}
    assert [state["error"] is not None for state in states] == [False, False, False, True]
    single = state_of("yes")
    asyncio.run(rubric.score_rollout(single))
    assert single["reward"] == 2.0


def test_a_task_awaits_the_function_in_a_reward_method(exact: str) -> None:
    pytest.importorskip("verifiers.v1", exc_type=ImportError)
    import verifiers.v1 as vf

    if not hasattr(vf, "TaskData"):
        pytest.skip("this version of verifiers has rubrics instead of tasks")
    score = reward_func(exact)

    class Data(vf.TaskData):
        reference: dict[str, str]

    class Say(vf.Task[Data]):
        @vf.reward
        async def solved(self, trace: vf.Trace) -> float:
            return await score(completion=trace.last_reply, info={"reference": self.data.reference})

    class Trace:
        last_reply = "yes"

    task = Say(Data(idx=0, prompt="Say yes.", reference={"answer": "yes"}))
    assert asyncio.run(task.solved(Trace())) == 1.0
