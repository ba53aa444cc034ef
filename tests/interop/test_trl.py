"""Reward functions for TRL: on their own, and in a step of its GRPO trainer."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import ConfigError, DataError, PluginError, VerifierError
from halo_core.interop.trl import RewardFunction, reward_func

CHAT = [{"role": "user", "content": "Say yes."}]
YES = {"answer": "yes"}


def rewards(
    func: RewardFunction, *completions: Any, prompt: Any = "Say yes.", **columns: Any
) -> list[float | None]:
    columns = {"reference": YES, **columns}
    rows = {name: [value] * len(completions) for name, value in columns.items()}
    return func(prompts=[prompt] * len(completions), completions=list(completions), **rows)


def test_rewards_follow_the_stages(exact: str) -> None:
    assert rewards(reward_func(exact), "yes", "no", "") == [1.0, 0.7, 0.0]
    assert rewards(reward_func(exact, reward="binary"), "yes", "no", "") == [1.0, 0.0, 0.0]
    assert rewards(reward_func(exact, lower=True), "YES") == [1.0]
    assert rewards(
        reward_func({"name": exact, "lower": True}, reward={"name": "graduated", "monotone": True}), "YES"
    ) == [1.0]


def test_a_completion_without_a_conclusive_verdict_gets_none(exact: str) -> None:
    assert rewards(reward_func(exact), "yes", "break", "wait", "no") == [1.0, None, None, 0.7]


def test_too_many_errors_raise_a_verifier_error(exact: str) -> None:
    func = reward_func(exact)
    rewards(func, *["break"] * 15)
    with pytest.raises(VerifierError, match="the tool is missing") as caught:
        rewards(func, "break")
    assert "16 of 16" in str(caught.value)
    patient = reward_func(exact, max_error_rate=1.0)
    assert rewards(patient, *["break"] * 20) == [None] * 20
    mostly_right = reward_func(exact, max_error_rate=0.1)
    rewards(mostly_right, *["yes"] * 100)
    assert rewards(mostly_right, *["break"] * 8) == [None] * 8


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        ("yes", 1.0),
        ([{"role": "assistant", "content": "yes"}], 1.0),
        ([{"role": "assistant", "content": "no"}, {"role": "tool", "content": "x"},
          {"role": "assistant", "content": "yes"}], 1.0),
        ([{"role": "assistant", "content": [{"type": "text", "text": "ye"}, {"type": "text", "text": "s"}]}], 1.0),
        ([{"role": "user", "content": "yes"}], 0.0),
        ([{"role": "assistant", "content": None}], 0.0),
        ([], 0.0),
    ],
)  # fmt: skip
def test_texts_and_chats_get_the_same_reward(exact: str, completion: Any, reward: float) -> None:
    assert rewards(reward_func(exact), completion, prompt=CHAT) == [reward]


def test_the_tool_calls_of_a_message_are_verified(tmp_path: Path, exact: str) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    answer = json.dumps({"role": "assistant", "content": "", "tool_calls": [call]})
    message = {"role": "assistant", "content": "", "reasoning_content": "f, I think", "tool_calls": [call]}
    assert rewards(reward_func(exact), [message], reference={"answer": answer}) == [1.0]


def test_references_come_from_the_named_columns(exact: str) -> None:
    func = reward_func(exact)
    assert rewards(func, "yes", reference=json.dumps(YES)) == [1.0]
    assert rewards(reward_func(exact, reference="data"), "yes", data=YES, reference=None) == [1.0]
    assert rewards(reward_func(exact, reference=("answer",)), "yes", "no", answer="yes") == [1.0, 0.7]
    with pytest.raises(DataError, match="no column 'tests'"):
        rewards(reward_func(exact, reference=["tests"]), "yes")
    for broken in ("{", "1", 1, None, {"answer": 1}, {1: object()}):
        with pytest.raises(DataError):
            rewards(func, "yes", reference=broken)


def test_rows_keep_their_own_references(exact: str) -> None:
    references = [{"answer": str(n)} for n in range(40)]
    completions = [str(n) for n in range(40)]
    func = reward_func(exact, workers=4)
    assert func(prompts=["Say it."] * 40, completions=completions, reference=references) == [1.0] * 40
    assert func(prompts=["Say it."] * 40, completions=completions, reference=references[::-1]) == [0.7] * 40


def test_mistakes_raise_when_the_function_is_made(exact: str) -> None:
    with pytest.raises(ConfigError, match="lowr"):
        reward_func(exact, lowr=True)
    with pytest.raises(PluginError, match="no such tool"):
        reward_func(exact, missing=True)
    with pytest.raises(PluginError, match="graduatd"):
        reward_func(exact, reward="graduatd")
    with pytest.raises(PluginError):
        reward_func("no-such-verifier")


def test_further_arguments_of_trl_are_accepted(exact: str) -> None:
    logged = []
    func = reward_func(exact)
    given = func(
        prompts=["p", "p", "p"],
        completions=["yes", "no", "wait"],
        completion_ids=[[1], [2], [3]],
        reference=[YES] * 3,
        trainer_state=None,
        log_extra=None,
        log_metric=lambda name, value: logged.append((name, value)),
    )
    assert given == [1.0, 0.7, None]
    assert logged == [(f"{func.__name__}/passed", 0.5)]


def test_a_reward_function_can_be_pickled(exact: str) -> None:
    func = reward_func(exact, lower=True, reference=("answer",))
    unpickled = pickle.loads(pickle.dumps(func))
    assert unpickled.__name__ == func.__name__ == "halo_Exact"
    assert rewards(unpickled, "YES", answer="yes") == [1.0]


@pytest.mark.slow
def test_a_grpo_step_uses_the_rewards_and_skips_none(exact: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    from transformers import LlamaConfig, LlamaForCausalLM

    tasks = {"Say yes.": "yes", "Say no.": "no"}
    rows = [{"prompt": text, "reference": json.dumps({"answer": word})} for text, word in tasks.items()]
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokenizer = tiny_tokenizer()
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **shape))
    scripted = iter([["yes", "wait", "no", ""], ["no", "", "break", "yes"]] * 4)
    real = reward_func(exact, max_error_rate=1.0)
    given: list[list[float | None]] = []

    def halo(completions: list[str], reference: list[str], **rest: Any) -> list[float | None]:
        """Score scripted words: so small a model does not produce them."""
        words = [word for _ in range(len(completions) // 4) for word in next(scripted)]
        given.append(real(completions=words, reference=reference, **rest))
        return given[-1]

    settings = trl.GRPOConfig(
        output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=8, num_generations=4,
        max_completion_length=4, learning_rate=0.1, logging_steps=1, report_to=[], use_cpu=True, bf16=False,
        save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    before = [weight.detach().clone() for weight in model.parameters()]
    trainer = trl.GRPOTrainer(
        model=model,
        reward_funcs=[halo],
        args=settings,
        train_dataset=datasets.Dataset.from_list(rows * 4),
        processing_class=tokenizer,
    )
    trainer.train()
    assert len(given) == 2
    assert all(rewards.count(None) == 2 for rewards in given)
    assert {reward for rewards in given for reward in rewards} <= {None, 0.0, 0.7, 1.0}
    assert any((a != b).any() for a, b in zip(before, model.parameters(), strict=True))
    logged = [entry for entry in trainer.state.log_history if "reward" in entry]
    for rewards, entry in zip(given, logged, strict=True):
        scored = [reward for reward in rewards if reward is not None]
        assert entry["reward"] == pytest.approx(sum(scored) / len(scored), abs=1e-3)
        assert entry["halo_Exact/passed"] == pytest.approx(scored.count(1.0) / len(scored), abs=1e-3)


def tiny_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<end>", "Say", "yes", "no", ".", "maybe"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="maybe"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<end>", padding_side="left"
    )
