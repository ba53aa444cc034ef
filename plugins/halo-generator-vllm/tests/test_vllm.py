"""Generator `vllm` beside a small server that speaks vLLM's routes; `test_real.py` uses vLLM itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import processes
import pytest
from small_run import FULL, small_run

from halo_core import DataError, ModelError, Plan, PluginError, Prompt, SamplingRequest, Weights, run_cycles
from halo_core.config.layers import load_yaml
from halo_core.drivers.transformers import Transformers
from halo_core.ledger.ledger import Ledger
from halo_core.run.open_generator import OpenGenerator
from halo_core.testing import GeneratorContract, tiny_actor
from halo_core.types import Completion, CycleReport
from halo_generator_openai.testing import Serving, serving
from halo_generator_vllm import VLLM

FAKE = (sys.executable, "-m", "halo_generator_openai.testing")
OWN_SERVER = {"name": "vllm", "command": list(FAKE), "dtype": "float32"}
REQUEST = SamplingRequest(
    cycle=1,
    split="train",
    prompts=tuple(Prompt(f"p{n}", f"Add {n} and 2.") for n in range(6)),
    samples_per_prompt=2,
    seed=3,
)


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(tiny_actor()) as found:
        yield found


class TestVLLM(GeneratorContract):
    @pytest.fixture
    def generator(self, server: Serving) -> VLLM:
        return VLLM(
            urls=(server.url,), dtype="float32", max_new_tokens=6, batch=8, temperature=1.0, top_p=1.0
        )


def sampled(generator: VLLM, request: SamplingRequest = REQUEST) -> list[Completion]:
    with closing(OpenGenerator(generator, tiny_actor())) as opened:
        return [completion for batch in opened.generate(request) for completion in batch]


def test_the_shipped_configuration_in_miniature(tmp_path: Path) -> None:
    """`configs/engines/vllm.yaml` with another model, other prompts and the small server."""
    shipped = load_yaml(Path(__file__).parents[3] / "configs/engines/vllm.yaml")
    small = small_run(tmp_path, shipped["generator"] | OWN_SERVER | {"max_new_tokens": 8})
    raw = shipped | {
        key: small[key] for key in ("verifier", "model", "data", "sandbox", "plugins", "generator")
    }
    raw |= {
        "selector": shipped["selector"] | {"truncated": True},
        "lr_policy": small["lr_policy"],
        "cycles": 2,
    }
    raw["trainer"] |= {"epochs": 2, "batch_size": 8}
    with Plan.from_raw(raw).open(tmp_path / "run") as opened:
        reports = run_cycles(*opened)
    assert [report.cycle for report in reports] == [0, 1, 2]
    assert all((report.sampler_error or 1) < 1e-3 for report in reports[1:])
    assert all((report.heldout_changed or 0) > 0 for report in reports[1:])


def test_token_ids_go_in_and_the_actors_end_ends(server: Serving) -> None:
    sampled(VLLM(urls=(server.url,), max_new_tokens=5, top_k=7, min_p=0.1, stop=("END",), system="Be brief."))
    bodies = [body for path, body in server.state.asked if path == "/v1/completions"]
    actor = tiny_actor()
    assert [body["prompt"] for body in bodies] == [
        list(actor.encode(prompt, system="Be brief.")) for prompt in REQUEST.prompts
    ]
    body = bodies[0]
    assert (body["n"], body["max_tokens"], body["top_k"], body["min_p"]) == (2, 5, 7, 0.1)
    assert (body["stop"], body["stop_token_ids"]) == (["END"], list(actor.end_ids))
    assert body["ignore_eos"]
    assert len({each["seed"] for each in bodies}) == len(bodies)


def test_texts_are_those_of_the_generator_transformers(server: Serving) -> None:
    """The opening of an answer belongs to its text, and what follows a stop text does not."""
    options: dict[str, Any] = {"prefill": "<think>", "stop": ("e",), "max_new_tokens": 12}
    for found in sampled(VLLM(urls=(server.url,), dtype="float32", **options)):
        assert found.text.startswith("<think>")
        assert "e" not in found.text.removeprefix("<think>")
        assert found.prompt_token_ids[-1] == tiny_actor().tokenizer("<think>")["input_ids"][-1]
    kept = sampled(VLLM(urls=(server.url,), dtype="float32", keep_stop=True, **options))
    texts = [found.text.removeprefix("<think>") for found in kept]
    assert any(text.endswith("e") for text in texts)
    assert all("e" not in text[:-1] for text in texts)


def test_greedy_decoding_is_that_of_the_generator_transformers(server: Serving) -> None:
    """Check tokens and log-probabilities of 64 prompts; `test_real.py` does so with vLLM itself."""
    prompts = tuple(Prompt(f"p{n}", f"Add {n} and {n * n}.") for n in range(64))
    request = SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=1, seed=3)
    own = Transformers(temperature=0.0, max_new_tokens=4)
    with closing(OpenGenerator(own, tiny_actor())) as opened:
        expected = [completion for batch in opened.generate(request) for completion in batch]
    served = VLLM(urls=(server.url,), dtype="float32", temperature=0.0, max_new_tokens=4)
    found = {completion.prompt_id: completion for completion in sampled(served, request)}
    assert len(found) == len(expected) == 64
    for completion in expected:
        other = found[completion.prompt_id]
        assert (other.prompt_token_ids, other.token_ids) == (
            completion.prompt_token_ids,
            completion.token_ids,
        )
        assert (other.text, other.finish_reason) == (completion.text, completion.finish_reason)
        assert other.logprobs == pytest.approx(completion.logprobs, abs=1e-4)


def test_servers_take_turns_and_all_follow_the_weights(server: Serving, tmp_path: Path) -> None:
    with serving(tiny_actor()) as other:
        both = VLLM(urls=(server.url, other.url), dtype="float32", max_new_tokens=5, batch=4)
        one = VLLM(urls=(server.url,), dtype="float32", max_new_tokens=5, batch=4)
        assert sampled(both) == sampled(one)
        assert len([path for path, _ in other.state.asked if path == "/v1/completions"]) == 3


def test_an_answer_without_token_ids_is_refused(server: Serving) -> None:
    server.state.text_only = True
    with pytest.raises(PluginError, match="no token ids"):
        sampled(VLLM(urls=(server.url,), max_new_tokens=5))


def test_a_prompt_that_is_too_long_is_named(server: Serving) -> None:
    long = Prompt("long", "word " * 5000)
    request = SamplingRequest(cycle=1, split="train", prompts=(long,), samples_per_prompt=1, seed=3)
    with pytest.raises(DataError, match="prompt 'long' has"):
        sampled(VLLM(urls=(server.url,)), request)


def test_a_running_server_cannot_load_a_whole_model(server: Serving, tmp_path: Path) -> None:
    generator = VLLM(urls=(server.url,))
    with closing(OpenGenerator(generator, tiny_actor())) as opened:
        next(iter(opened.generate(REQUEST)))
        (tmp_path / "config.json").write_text("{}")
        context = opened._context
        with pytest.raises(ModelError, match="trains all weights"):
            generator.weights_changed(Weights(directory=tmp_path, hash="x"), context)


def test_preflight_names_the_environment() -> None:
    with pytest.raises(PluginError, match="vLLM is not installed in the environment of") as caught:
        VLLM().preflight()
    assert "-G python=" in caught.value.hint
    with pytest.raises(PluginError, match="no connection"):
        VLLM(urls=("http://127.0.0.1:9",)).preflight()


def test_a_server_that_ends_while_it_starts(tmp_path: Path) -> None:
    generator = VLLM(command=(sys.executable, "-c", "raise ValueError('no such model')"))
    with (
        pytest.raises(PluginError, match=r"ended while it started: ValueError: no such model") as caught,
        closing(OpenGenerator(generator, tiny_actor(), tmp_path)) as opened,
    ):
        list(opened.generate(REQUEST))
    assert caught.value.hint == f"its log is {tmp_path / 'vllm.log'}"


def test_a_server_that_never_answers(tmp_path: Path) -> None:
    generator = VLLM(command=(sys.executable, "-c", "import time; time.sleep(600)"), start_seconds=0.3)
    with (
        pytest.raises(PluginError, match=r"does not answer after 0\.3 s") as caught,
        closing(OpenGenerator(generator, tiny_actor(), tmp_path)) as opened,
    ):
        list(opened.generate(REQUEST))
    assert "start_seconds" in caught.value.hint


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[CycleReport]]:
    """Return a function that runs two cycles in a directory, with a server that halo starts."""

    def call(directory: Path, generator: dict[str, Any], **settings: Any) -> list[CycleReport]:
        raw = small_run(tmp_path, OWN_SERVER | generator) | settings
        with Plan.from_raw(raw).open(directory) as opened:
            return run_cycles(*opened)

    return call


KILLED = """
# The first server ends by itself in the midst of the first cycle that has an adapter.
import os, sys
from pathlib import Path
from halo_generator_openai import testing

first = Path(sys.argv[0]).with_suffix(".started")
answer, count = testing._Handler._completions, 0


def completions(self, body):
    global count
    count += bool(self.state.adapters)
    if count == 3 and not first.exists():
        first.touch()
        os.kill(os.getpid(), 9)
    return answer(self, body)


testing._Handler._completions = completions
testing.main()
"""

ENDS = """
import os, sys
from halo_generator_openai import testing


def completions(self, body):
    print("ERROR RuntimeError: no offset", file=sys.stderr)
    print("ERROR EngineDeadError: EngineCore encountered an issue", file=sys.stderr, flush=True)
    os._exit(1)


testing._Handler._completions = completions
testing.main()
"""


def test_a_server_that_ignores_the_adapter_is_refused(
    run: Callable[..., list[CycleReport]], tmp_path: Path, server: Serving
) -> None:
    server.state.follows = False
    with pytest.raises(ModelError, match="the sampler does not use the trained weights"):
        run(tmp_path / "run", {"urls": [server.url]})


@pytest.mark.slow
def test_a_server_that_is_killed_is_started_again(
    run: Callable[..., list[CycleReport]], tmp_path: Path
) -> None:
    run(tmp_path / "one", {})
    killed = tmp_path / "killed.py"
    killed.write_text(KILLED)
    reports = run(tmp_path / "two", {"command": [sys.executable, str(killed)]})
    for report in reports[1:]:
        assert report.train is not None
        assert report.sampler_error is not None
        assert report.sampler_error < 1e-4 < (report.train.logprob_shift or 0) / 4
    assert (tmp_path / "two/vllm.log").read_text().count("$ ") == 2
    log = [detail for _, _, detail in Ledger(tmp_path / "two").events()]
    assert any("started again" in line for line in log)
    one, two = Ledger(tmp_path / "one"), Ledger(tmp_path / "two")
    for cycle in (1, 2):
        weights = [
            (ledger.adapter(cycle) / "adapter_model.safetensors").read_bytes() for ledger in (one, two)
        ]
        assert weights[0] == weights[1]
    assert [report.heldout for report in one.reports()] == [report.heldout for report in two.reports()]


def test_a_server_that_ends_again_and_again_ends_the_run_with_its_error(
    run: Callable[..., list[CycleReport]], tmp_path: Path
) -> None:
    ends = tmp_path / "ends.py"
    ends.write_text(ENDS)
    with pytest.raises(PluginError, match=r"the server ended 2 times: .*RuntimeError: no offset") as caught:
        run(tmp_path / "run", {"command": [sys.executable, str(ends)], "restarts": 1})
    assert str(tmp_path / "run/vllm.log") in caught.value.hint
    first = (tmp_path / "run/vllm.log").read_text().splitlines()[0]
    assert "--no-enable-chunked-prefill" in first.split(), (
        "vLLM ends on a CPU where it splits a seeded prompt"
    )


@pytest.mark.slow
def test_full_fine_tuning_starts_the_server_with_the_new_model(
    run: Callable[..., list[CycleReport]], tmp_path: Path
) -> None:
    reports = run(tmp_path / "run", {}, **FULL, cycles=1)
    assert all(report.sampler_error is not None and report.sampler_error < 1e-4 for report in reports)
    assert (tmp_path / "run/vllm.log").read_text().count("$ ") == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_server_ends_with_halo(tmp_path: Path, how: signal.Signals) -> None:
    stub = tmp_path / "stub.py"  # answers to /health, and never to anything else
    stub.write_text(
        "import os, sys, time\n"
        "from http.server import BaseHTTPRequestHandler, HTTPServer\n"
        "from pathlib import Path\n"
        "class Handler(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        if self.path != '/health':\n"
        "            Path(sys.argv[0]).with_name('pid').write_text(str(os.getpid()))\n"
        "            time.sleep(600)\n"
        "        self.send_response(200); self.end_headers()\n"
        "port = int(sys.argv[sys.argv.index('--port') + 1])\n"
        "if os.fork() == 0:\n"
        "    Path(sys.argv[0]).with_name('child').write_text(str(os.getpid()))\n"
        "    os.setsid(); time.sleep(600)\n"
        "HTTPServer(('127.0.0.1', port), Handler).serve_forever()\n"
    )
    raw = small_run(tmp_path, OWN_SERVER | {"command": [sys.executable, str(stub)]})
    (tmp_path / "run.yaml").write_text(json.dumps(raw))
    halo = processes.start("run", "-c", tmp_path / "run.yaml", "-o", tmp_path / "run")

    def waits_for_the_server() -> bool:
        assert halo.is_running(), halo.output + halo.errors
        return (tmp_path / "pid").exists() and (tmp_path / "child").exists()

    try:
        wait_for(waits_for_the_server)
        os.kill(halo.pid, how)
        halo.wait()
    finally:
        halo.kill()
    pids = [int((tmp_path / name).read_text()) for name in ("pid", "child")]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; the suite's timeout ends a wait without an end."""
    import time

    while not condition():
        time.sleep(0.05)


def test_the_supervisor_passes_the_exit_status_on() -> None:
    supervisor = Path(__file__).parents[1] / "src/halo_generator_vllm/supervisor.py"
    command = [sys.executable, "-S", str(supervisor), sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 7


def test_the_supervisor_is_killed(tmp_path: Path) -> None:
    supervisor = Path(__file__).parents[1] / "src/halo_generator_vllm/supervisor.py"
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    command = [sys.executable, "-S", str(supervisor), sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{pid}").exists())
