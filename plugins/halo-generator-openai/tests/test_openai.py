"""Generator `openai` beside a real server around the tiny actor."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from small_run import small_run

from halo_core import (
    HaloError,
    ModelError,
    Plan,
    PluginError,
    Prompt,
    SamplingRequest,
    Weights,
    run_cycles,
)
from halo_core.ledger.ledger import Ledger
from halo_core.run.open_generator import OpenGenerator
from halo_core.testing import GeneratorContract, tiny_actor
from halo_core.testing.cluster_contract import differing
from halo_core.types import Completion, CycleReport
from halo_generator_openai import Client, OpenAI
from halo_generator_openai.adapters import Adapters
from halo_generator_openai.testing import Serving, serving


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(tiny_actor()) as found:
        yield found


class TestTeacher(GeneratorContract):
    follows_weights = False

    @pytest.fixture
    def generator(self, server: Serving) -> OpenAI:
        return OpenAI(url=server.url, max_new_tokens=6, batch=8, top_p=1.0, temperature=1.0)


class TestFollower(GeneratorContract):
    @pytest.fixture
    def generator(self, server: Serving) -> OpenAI:
        return OpenAI(
            url=server.url,
            adapters="vllm",
            api="completions",
            max_new_tokens=6,
            batch=8,
            completions_per_request=3,
            temperature=1.0,
            top_p=1.0,
        )


class TestSGLang(GeneratorContract):
    @pytest.fixture
    def generator(self, server: Serving) -> OpenAI:
        return OpenAI(
            url=server.url,
            adapters="sglang",
            api="completions",
            max_new_tokens=6,
            batch=8,
            temperature=1.0,
            top_p=1.0,
        )


REQUEST = SamplingRequest(
    cycle=1, split="train", prompts=(Prompt("a", "Add 1 and 2."),), samples_per_prompt=2, seed=3
)


def sampled(generator: OpenAI, request: SamplingRequest = REQUEST) -> list[Completion]:
    with closing(OpenGenerator(generator, tiny_actor())) as opened:
        return [completion for batch in opened.generate(request) for completion in batch]


def asked(server: Serving, path: str = "completions") -> list[dict[str, Any]]:
    return [body for where, body in server.state.asked if path in where]


def test_a_teacher_gets_the_messages(server: Serving) -> None:
    generator = OpenAI(
        url=server.url,
        max_new_tokens=4,
        system="Be brief.",
        stop=("END",),
        extra={"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}},
    )
    sampled(generator)
    body = asked(server)[0]
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Add 1 and 2."},
    ]
    assert (body["model"], body["n"], body["max_tokens"]) == ("tiny", 1, 4)
    assert (body["stop"], body["top_k"]) == (["END"], 5)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert len({each["seed"] for each in asked(server)}) == 2


def test_the_teachers_advice_is_not_part_of_the_trained_context(server: Serving) -> None:
    found = sampled(OpenAI(url=server.url, max_new_tokens=4, teacher_system="Think of halves."))
    assert asked(server)[0]["messages"][0]["content"] == "Think of halves."
    assert found[0].prompt_token_ids == tiny_actor().encode(REQUEST.prompts[0])


def test_plain_completions_get_the_text(server: Serving) -> None:
    sampled(OpenAI(url=server.url, api="completions", max_new_tokens=4, send_seed=False))
    assert asked(server)[0]["prompt"] == "Add 1 and 2."
    assert "seed" not in asked(server)[0]


def test_the_key_is_sent_and_stored_nowhere(
    server: Serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.state.key = "sk-secret"
    generator = OpenAI(url=server.url, key_env="TEACHER_KEY", max_new_tokens=4)
    with pytest.raises(ModelError, match="401") as caught:
        generator.preflight()
    assert "key_env" in caught.value.hint
    monkeypatch.setenv("TEACHER_KEY", "sk-secret")
    assert len(sampled(generator)) == 2
    assert "secret" not in repr(generator)


def test_the_key_is_not_shown_in_an_error(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    server.state.key = "sk-other"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(ModelError) as caught:
        sampled(OpenAI(url=server.url))
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_a_model_that_the_server_does_not_have(server: Serving) -> None:
    with pytest.raises(ModelError, match="no model 'big'") as caught:
        OpenAI(url=server.url, model="big").preflight()
    assert caught.value.hint == "it lists tiny"


def answer(**choice: Any) -> bytes:
    return reply({"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "hi"}} | choice]})


def reply(body: Any) -> bytes:
    content = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (reply({}), "no list of choices"),
        (reply({"choices": []}), "0 of 1 completions"),
        (reply({"choices": [{}, {}]}), "2 of 1 completions"),
        (reply({"choices": ["text"]}), "malformed"),
        (answer(finish_reason=None), "for the reason None"),
        (answer(finish_reason="error"), "for the reason 'error'"),
        (answer(token_ids=[1, 2], logprobs={"token_logprobs": [-1.0]}), "1 log-probabilities for 2 tokens"),
        (answer(token_ids=["x"]), "malformed"),
    ],
)
def test_a_wrong_answer_is_reported_in_one_line(server: Serving, raw: bytes, message: str) -> None:
    server.state.fault = lambda path, number: raw if "completions" in path else None
    with pytest.raises(PluginError, match=message) as caught:
        sampled(OpenAI(url=server.url, retries=0))
    assert server.url in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "text", "reason"),
    [
        ({}, "hi", "stop"),
        ({"message": {"content": None}}, "", "stop"),
        ({"finish_reason": "length"}, "hi", "length"),
        ({"finish_reason": "content_filter", "message": {"content": ""}}, "", "length"),
        ({"message": {"content": "12", "reasoning_content": "5 + 7"}}, "12", "stop"),
    ],
)
def test_what_a_choice_means(server: Serving, choice: dict[str, Any], text: str, reason: str) -> None:
    server.state.fault = lambda path, number: answer(**choice) if "completions" in path else None
    found = sampled(OpenAI(url=server.url))[0]
    assert (found.text, found.finish_reason) == (text, reason)


def test_thoughts_are_kept_on_request(server: Serving) -> None:
    choice = {"message": {"content": "12", "reasoning_content": "5 + 7\n"}}
    server.state.fault = lambda path, number: answer(**choice) if "completions" in path else None
    found = sampled(OpenAI(url=server.url, thoughts=True))[0]
    assert found.text == "<think>\n5 + 7\n</think>\n\n12"


@pytest.fixture
def run(tmp_path: Path, server: Serving) -> Callable[..., list[CycleReport]]:
    """Return a function that runs two cycles in a directory."""

    def call(directory: Path, **options: Any) -> list[CycleReport]:
        raw = small_run(tmp_path, {"name": "openai", "url": server.url, **options})
        with Plan.from_raw(raw).open(directory) as opened:
            return run_cycles(*opened)

    return call


def test_distillation_measures_the_model_that_is_trained(
    run: Callable[..., list[CycleReport]], server: Serving, tmp_path: Path
) -> None:
    reports = run(tmp_path / "run")
    ledger = Ledger(tmp_path / "run")
    assert ledger.config()["heldout"]["generator"]["name"] == "transformers"
    assert ledger.config()["heldout"]["generator"]["max_new_tokens"] == 8
    for report in reports[1:]:
        assert not report.sampler_unchecked
        assert report.sampler_error is not None
        assert (report.heldout_changed or 0) > 0.1
    prompts = {body["messages"][0]["content"].split()[0] for body in asked(server)}
    assert prompts == {"train"}
    findings = json.loads((tmp_path / "run/doctor.json").read_text())["findings"]
    assert not {"stale-sampler", "unchecked-sampler"} & {each["cause"] for each in findings}


def test_a_server_that_follows_the_training_is_checked(
    run: Callable[..., list[CycleReport]], server: Serving, tmp_path: Path
) -> None:
    reports = run(tmp_path / "run", adapters="vllm", api="completions")
    assert all(report.sampler_error is not None and report.sampler_error < 1e-4 for report in reports)
    assert server.state.adapters == {}
    assert Ledger(tmp_path / "run").config()["heldout"]["generator"] is None


def test_a_server_that_ignores_the_adapter_is_refused(
    run: Callable[..., list[CycleReport]], server: Serving, tmp_path: Path
) -> None:
    server.state.follows = False
    with pytest.raises(ModelError, match="the sampler does not use the trained weights"):
        run(tmp_path / "run", adapters="vllm", api="completions")


def test_nothing_is_lost_when_the_server_fails_in_the_middle(
    run: Callable[..., list[CycleReport]], server: Serving, tmp_path: Path
) -> None:
    run(tmp_path / "one")
    server.state.asked.clear()
    server.state.fault = lambda path, number: b"" if number > 20 else None
    with pytest.raises(HaloError, match="no connection"):
        run(tmp_path / "two", retries=0)
    server.state.fault = lambda path, number: None
    run(tmp_path / "two", retries=0)
    one, two = (Ledger(tmp_path / name).reports() for name in ("one", "two"))
    assert [report.heldout for report in one] == [report.heldout for report in two]


def failed(code: int, message: str) -> bytes:
    content = json.dumps({"error": {"message": message}}).encode()
    return b"HTTP/1.1 %d Reason\r\nContent-Length: %d\r\n\r\n%s" % (code, len(content), content)


@pytest.mark.parametrize(
    ("seen_as", "directory", "path"),
    [
        ("", "cycles/1/adapter", None),
        ("/mnt/run", "cycles/1/adapter", "/mnt/run/cycles/1/adapter"),
        ("/mnt/run/", "cycles/12/adapter", "/mnt/run/cycles/12/adapter"),
        ("D:/runs", "cycles/1/adapter", "D:/runs/cycles/1/adapter"),
    ],
)
def test_a_server_gets_the_path_that_it_sees(
    server: Serving, tmp_path: Path, seen_as: str, directory: str, path: str | None
) -> None:
    client = Client([server.url])
    adapters = Adapters(client, "tiny", "vllm", tmp_path, seen_as)
    with pytest.raises(ModelError, match="does not load the adapter") as caught:
        adapters.use(Weights(directory=tmp_path / directory, hash="0123456789abcdef0123456789abcdef"))
    assert "served_directory" in caught.value.hint
    assert asked(server, "load_lora_adapter") == [
        {"lora_name": "halo-0123456789abcdef0123", "lora_path": path or str(tmp_path / directory)}
    ]
    client.close()


def test_weights_outside_the_run_directory_have_no_path_on_the_server(
    server: Serving, tmp_path: Path
) -> None:
    client = Client([server.url])
    adapters = Adapters(client, "tiny", "vllm", tmp_path / "run", "/mnt/run")
    with pytest.raises(ModelError, match="not in the run directory"):
        adapters.use(Weights(directory=tmp_path / "other", hash="0123456789abcdef0123456789abcdef"))
    assert not server.state.asked
    client.close()


@pytest.mark.slow
def test_nothing_is_lost_whatever_the_server_does(
    run: Callable[..., list[CycleReport]], server: Serving, tmp_path: Path
) -> None:
    """Check that each failure ends the run with one line, and that it can be resumed to the same end."""
    options = {"retries": 0, "concurrency": 2, "deadline": 20}
    run(tmp_path / "one", **options)
    over = threading.Event()
    faults: dict[str, Callable[[], bytes]] = {
        "429 Reason: slow down": lambda: failed(429, "slow down"),
        "500 Reason: no memory": lambda: failed(500, "no memory"),
        "is not JSON: '{\"choices\": ['": lambda: (
            b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"choices": ['
        ),
        "0 of 1 completions": lambda: reply({"choices": []}),
        "no answer within 20 s": lambda: b"" * over.wait(60),
    }
    for message, fault in faults.items():
        good = len(server.state.asked) + 14

        def answered(
            path: str, number: int, fault: Callable[[], bytes] = fault, good: int = good
        ) -> bytes | None:
            return fault() if number > good and "completions" in path else None

        server.state.fault = answered
        with pytest.raises(HaloError) as caught:
            run(tmp_path / "two", **options)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    over.set()

    def slowly(path: str, number: int) -> None:
        time.sleep(0.05)

    server.state.fault = slowly
    run(tmp_path / "two", **options)
    assert differing(tmp_path / "one", tmp_path / "two") == []
