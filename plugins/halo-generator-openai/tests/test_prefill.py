"""A prefill, and a conversation that ends with the assistant: the server continues it, or is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from small_run import small_run

from halo_core import ConfigError, ModelError, Plan, Prompt, SamplingRequest, run_cycles
from halo_core.ledger.ledger import Ledger
from halo_core.run.open_generator import OpenGenerator
from halo_core.testing import tiny_actor
from halo_core.types import Completion
from halo_generator_openai import Client, OpenAI, generator
from halo_generator_openai.testing import Serving, serving

FLAGS = {"continue_final_message": True, "add_generation_prompt": False}
PLAIN = Prompt("a", "Add 1 and 2.")
CHAT = Prompt(
    "b",
    messages=({"role": "user", "content": "Add 1 and 2."}, {"role": "assistant", "content": "The sum"}),
)


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(tiny_actor()) as found:
        yield found


def sampled(server: Serving, *prompts: Prompt, **options: Any) -> list[Completion]:
    generator = OpenAI(**{"url": server.url, "max_new_tokens": 6, **options})
    generator.preflight()
    request = SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=2, seed=3)
    with closing(OpenGenerator(generator, tiny_actor())) as opened:
        return [completion for batch in opened.generate(request) for completion in batch]


def questions(server: Serving) -> list[dict[str, Any]]:
    """Return the requests for completions, without those of the check."""
    return [body for path, body in server.state.asked if "completions" in path and body["max_tokens"] > 1]


@pytest.mark.parametrize(
    ("prompt", "prefill", "opening"),
    [
        (PLAIN, "```python\n", "```python\n"),
        (PLAIN, "The", "The"),
        (CHAT, "", "The sum"),
        (CHAT, " is", "The sum is"),
    ],
    ids=["fence", "word", "own", "own-and-prefill"],
)
def test_a_chat_server_is_asked_to_continue(
    server: Serving, prompt: Prompt, prefill: str, opening: str
) -> None:
    found = sampled(server, prompt, prefill=prefill)
    for body in questions(server):
        assert body["messages"][-1] == {"role": "assistant", "content": opening}
        assert [message["role"] for message in body["messages"]] == ["user", "assistant"]
        assert {key: body[key] for key in FLAGS} == FLAGS
    actor = tiny_actor()
    for completion in found:
        assert completion.text.startswith(opening)
        assert completion.prompt_token_ids == actor.encode_context(
            actor.context(prompt, prefill=prefill), prompt
        )
        rest = completion.text.removeprefix(opening)
        assert completion.token_ids == actor.encode_answer(rest, ended=completion.finish_reason == "stop")


def test_a_question_is_sent_without_the_fields(server: Serving) -> None:
    sampled(server, PLAIN)
    assert not FLAGS.keys() & questions(server)[0].keys()
    assert len(server.state.asked) == 2 + 2, "nothing is checked that is not needed"


def test_a_chat_and_ids_continue_the_same_context(server: Serving) -> None:
    """Greedy answers are equal if the server has the same context: by messages, or by the actor's template."""
    greedy: dict[str, Any] = {"prefill": "The", "temperature": 0.0}
    chat = sampled(server, PLAIN, **greedy)
    ids = sampled(server, PLAIN, api="completions", adapters="vllm", **greedy)
    assert [each.text for each in chat] == [each.text for each in ids]
    assert [each.prompt_token_ids for each in chat] == [each.prompt_token_ids for each in ids]


def test_a_completion_server_gets_the_text(server: Serving) -> None:
    found = sampled(server, PLAIN, CHAT, api="completions", prefill=" is", teacher_system="Be brief.")
    assert [body["prompt"] for body in questions(server)[::2]] == [
        "Be brief.\n\nAdd 1 and 2. is",
        "Be brief.\n\nAdd 1 and 2.\n\nThe sum is",
    ]
    for each, opening in zip(found, [" is"] * 2 + ["The sum is"] * 2, strict=True):
        assert each.text.startswith(opening)


def test_ids_without_ids_in_the_answer_carry_the_prefill_once(server: Serving) -> None:
    server.state.text_only = True
    (first, _) = sampled(server, PLAIN, api="completions", adapters="sglang", prefill="The")
    actor = tiny_actor()
    assert first.prompt_token_ids[-1] == actor.tokenizer("The")["input_ids"][-1]
    assert first.token_ids == actor.encode_answer(
        first.text.removeprefix("The"), ended=first.finish_reason == "stop"
    )


@pytest.mark.parametrize("how", ["always", "never"])
def test_a_server_that_ignores_the_fields_is_refused(server: Serving, how: Any) -> None:
    server.state.continues = how
    with pytest.raises(ModelError, match="ignores continue_final_message") as caught:
        sampled(server, PLAIN, prefill="The")
    assert "api=completions" in caught.value.hint
    assert "continue_fields=false" in caught.value.hint
    assert questions(server) == []


def test_a_conversation_that_ends_with_the_assistant_is_refused_too(server: Serving) -> None:
    server.state.continues = "never"
    with pytest.raises(ModelError, match="ignores continue_final_message"):
        sampled(server, PLAIN, CHAT)
    assert questions(server) == []


def test_a_server_that_always_continues_needs_no_fields(server: Serving) -> None:
    server.state.continues = "always"
    found = sampled(server, PLAIN, prefill="The", continue_fields=False)
    assert not FLAGS.keys() & questions(server)[0].keys()
    assert all(each.text.startswith("The") for each in found)


def reply(status: int, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return b"HTTP/1.1 %d Reason\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content)


ANSWER = {"choices": [{"index": 0, "finish_reason": "length", "message": {"content": "x"}}]}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            reply(400, {"error": {"message": "Unknown parameter: continue_final_message"}}),
            "Unknown parameter",
        ),
        (reply(422, {"detail": "extra fields not permitted"}), "extra fields not permitted"),
        (reply(200, ANSWER), "counts no prompt tokens"),
        (reply(200, ANSWER | {"usage": None}), "counts no prompt tokens"),
        (reply(200, ANSWER | {"usage": {"prompt_tokens": 9}}), "ignores continue_final_message"),
    ],
    ids=["unknown", "extra", "no-usage", "null-usage", "equal"],
)
def test_a_server_that_cannot_is_refused_in_one_line(server: Serving, raw: bytes, message: str) -> None:
    server.state.fault = lambda path, number: raw if "completions" in path else None
    with pytest.raises(ModelError, match=message) as caught:
        sampled(server, PLAIN, prefill="The")
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "api=completions" in caught.value.hint


def test_a_template_that_cannot_end_such_a_message_is_proof_too(server: Serving) -> None:
    refused = reply(400, {"error": {"message": "roles must alternate"}})
    bodies = server.state.asked
    server.state.fault = lambda path, number: (
        refused if bodies[-1][1].get("continue_final_message") is False else None
    )
    assert sampled(server, PLAIN, prefill="The")[0].text.startswith("The")


def test_thoughts_and_a_prefill_exclude_each_other(server: Serving) -> None:
    with pytest.raises(ConfigError, match="both thoughts and prefill"):
        sampled(server, PLAIN, prefill="The", thoughts=True)


def test_a_run_with_a_prefill_reports_the_tokenizer_once(server: Serving, tmp_path: Path) -> None:
    raw = small_run(tmp_path, {"name": "openai", "url": server.url, "prefill": "The"})
    with Plan.from_raw(raw).open(tmp_path / "run") as opened:
        run_cycles(*opened)
    ledger = Ledger(tmp_path / "run")
    samples = [sample for batch in ledger.batches(1, "train", ledger.prompts("train")) for sample in batch]
    assert len(samples) == 4 * 8
    assert all(sample.completion.text.startswith("The") for sample in samples)
    told = [text for _, _, text in ledger.events() if "without token ids" in text]
    assert len(told) == 1


def test_the_server_is_asked_over_one_client(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Client] = []

    class Counted(Client):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(generator, "Client", Counted)
    OpenAI(url=server.url, prefill="The").preflight()
    assert [path for path, _ in server.state.asked] == ["/v1/models", *2 * ["/v1/chat/completions"]]
    assert len(made) == 1
