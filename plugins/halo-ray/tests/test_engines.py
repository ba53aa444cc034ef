"""Samplers with an engine: what one batch opens and loads serves the next, and requests are sent ahead and once."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core import Actor, Run, SamplingRequest
from halo_core.ledger.ledger import open_run
from halo_core.progress import Advance, Progress
from halo_core.testing import tiny_actor
from halo_core.testing.cluster_contract import contract_run, differing, run_with
from halo_generator_openai import Client
from halo_generator_openai.testing import Serving, serving
from halo_ray import Ray
from halo_ray.cluster import in_words
from halo_ray.parts import Files, Parts, read_files
from halo_ray.sampling import SamplerWorker, _Turns

pytestmark = pytest.mark.timeout(900)
SAMPLING = {"batch": 4, "max_new_tokens": 2, "temperature": 1.0, "top_p": 1.0}
COUNTED = """
# A server that writes a line for each of its starts and for each adapter that it loads.
import os, sys
from halo_generator_openai import testing

record, load = sys.argv.pop(1), testing._Handler._load


def write(what):
    with open(record, "a") as file:
        file.write(f"{os.getpid()} {what}\\n")


def loaded(self, body):
    write(body["lora_name"])
    return load(self, body)


testing._Handler._load = loaded
write("start")
testing.main()
"""
NOISY = """
import warnings
from halo_core import Stage, Status, Verdict, Verifier, driver
from halo_core.drivers.transformers import Transformers


@driver
class Noisy(Transformers):
    "Has a note on each batch."

    def generate(self, request, context):
        for batch in super().generate(request, context):
            context.note("this model was made for other prompts")
            warnings.warn("the library is old")
            yield batch


@driver
class Warning(Verifier):
    "Warns of each text."

    def check(self, prompt, completion):
        warnings.warn("the compiler is old")
        warnings.warn("a function that will go away", DeprecationWarning)
        passed = len(completion.text) % 2 == 0
        return Verdict(Status.PASS if passed else Status.FAIL, Stage.CORRECT if passed else Stage.WRONG)
"""


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(tiny_actor()) as found:
        yield found


@pytest.fixture(params=["openai", "vllm"])
def generator(request: pytest.FixtureRequest, server: Serving) -> dict[str, Any]:
    if request.param == "vllm":
        return {"name": "vllm", "urls": [server.url], "dtype": "float32", **SAMPLING}
    return {"name": "openai", "url": server.url, "adapters": "vllm", "api": "completions", **SAMPLING}


def worker_for(generator: dict[str, Any], folder: Path) -> tuple[SamplerWorker, SamplingRequest]:
    """Return a sampler, and a request of four batches of 4 completions and one of 2."""
    raw: dict[str, Any] = {**contract_run(folder), "plugins": [], "generator": generator}
    worker = SamplerWorker(Parts(raw, {}))
    prompts = tuple(worker._parts.plan.data()[1])
    prompts += tuple(replace(prompt, id=f"{prompt.id}-again") for prompt in prompts[:1])
    return worker, SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=2, seed=7)


def adapter(actor: Actor, directory: Path, seed: int) -> tuple[Files, str]:
    """Return the files of an adapter with random weights, and the hash of its weights."""
    actor.add_lora(rank=4, alpha=8.0, dropout=0.0, seed=3)  # type: ignore[attr-defined]
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in actor.trainable().values():
            weight.copy_(torch.randn(weight.shape, generator=drawn) * 0.1)
    actor.save(directory)
    return read_files(directory), actor.weights_hash()


def sampled(worker: SamplerWorker, *numbers: int) -> list[Any]:
    """Ask for batches as the pool does: each call names the two that follow."""
    return [worker.sample(number, numbers[n + 1 : n + 3]).batch for n, number in enumerate(numbers)]


def bodies(server: Serving) -> list[dict[str, Any]]:
    return [body for path, body in server.state.asked if path == "/v1/completions"]


def count(server: Serving, path: str) -> int:
    return sum(where == path for where, _ in server.state.asked)


def test_a_sampler_asks_for_each_completion_once(
    generator: dict[str, Any], server: Serving, tmp_path: Path
) -> None:
    worker, request = worker_for(generator, tmp_path)
    worker.load(None, "")
    worker.begin(request)
    found = sampled(worker, 0, 2, 1, 3, 4)
    assert [len(batch) for batch in found] == [4, 4, 4, 4, 2]
    asked = Counter((tuple(body["prompt"]), body["seed"]) for body in bodies(server))
    assert set(asked.values()) == {1}
    assert sum(body["n"] for body in bodies(server)) == 18
    assert worker.sample(5).batch is None
    assert worker.sample(1, (99, 0)).batch == found[2]
    assert sampled(worker, 99, 0, 7, 3) == [None, found[0], None, found[3]]
    assert count(server, "/v1/models") == 1, "it connects once"
    worker.close()


def test_a_sampler_loads_an_adapter_once_for_each_change_of_weights(
    generator: dict[str, Any], server: Serving, tmp_path: Path
) -> None:
    worker, request = worker_for(generator, tmp_path)
    actor = tiny_actor()
    for change in (1, 2):
        files, digest = adapter(actor, tmp_path / f"adapter-{change}", change)
        worker.load(files, digest)
        for split in ("train", "heldout"):
            worker.begin(replace(request, split=split, weights_hash=digest))
            sampled(worker, 1, 0, 2)
        assert count(server, "/v1/load_lora_adapter") == change
        assert count(server, "/v1/unload_lora_adapter") == change - 1
        assert len(server.state.adapters) == 1
    assert len({body["model"] for body in bodies(server)}) == 2
    worker.load(None, "")
    worker.begin(request)
    worker.sample(0)
    assert bodies(server)[-1]["model"] == "tiny"
    assert server.state.adapters == {}
    assert count(server, "/v1/models") == 1, "it connects once"
    worker.close()


def test_requests_of_the_following_batches_are_sent_ahead(
    generator: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    submit = Client.submit

    def recorded(self: Client, path: str, body: Any = None, *, number: int = 0) -> Any:
        sent.append(number)
        return submit(self, path, body, number=number)

    monkeypatch.setattr(Client, "submit", recorded)
    worker, request = worker_for(generator, tmp_path)
    worker.load(None, "")
    worker.begin(request)
    each = 4 if generator["name"] == "openai" else 2
    assert worker.sample(3, (1, 9)).ahead
    assert sent == [*range(3 * each, 4 * each), *range(each, 2 * each)]
    worker.sample(1, ())
    assert len(sent) == 2 * each
    worker.close()


def test_a_generator_takes_the_numbers_in_the_order_of_the_calls() -> None:
    turns = _Turns()
    turns.expect(4, (2, 9))
    numbers = turns.numbers_ahead(4, 5)
    assert [next(numbers), next(numbers), next(numbers)] == [4, 2, None], "9 is past the end"
    turns.open.discard(4)
    turns.expect(2, (9, 3))
    assert [next(numbers), next(numbers)] == [3, None]
    turns.open.clear()
    assert next(numbers, "end") == "end"


def test_a_generator_that_takes_one_number_at_a_time() -> None:
    turns = _Turns()
    turns.expect(0, (9, 1))
    numbers = turns.numbers(0, 2)
    assert next(numbers) == 0
    turns.expect(1, ())
    assert next(numbers) == 1
    assert next(numbers, None) is None
    assert not turns.ahead


def test_the_log_of_a_server_that_cannot_start_is_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise ValueError('no such model')"]
    worker, request = worker_for({"name": "vllm", "command": command, **SAMPLING}, tmp_path)
    worker.load(None, "")
    worker.begin(request)
    with pytest.raises(Exception, match="ended while it started") as caught:
        worker.sample(0)
    worker.close()
    log = Path(getattr(caught.value, "hint", "").removeprefix("its log is "))
    assert "no such model" in log.read_text()
    log.unlink()
    log.parent.rmdir()


class Notes(Progress):
    """Keeps the lines for the user."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.lines: list[str] = []
        self.shown: list[str] = []

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        def advance(count: float = 1, *, total: int | None = None, note: str = "") -> None:
            self.shown.append(note)

        yield advance

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.mark.slow
def test_each_sampler_starts_its_server_once(two_nodes: Any, tmp_path: Path) -> None:
    """Check the servers of two samplers, and that the run is that of one server."""
    script = tmp_path / "counted.py"
    script.write_text(COUNTED)
    raw = {**contract_run(tmp_path), "cycles": 2}
    counted = tmp_path / "events.txt"
    for name, cluster in {"alone": None, "two": Ray(samplers=2)}.items():
        counted.unlink(missing_ok=True)
        command = [sys.executable, str(script), str(counted)]
        own = {"command": command, "dtype": "float32", "environment": {"OMP_NUM_THREADS": "1"}}
        run_with(cluster, raw | {"generator": {"name": "vllm", **own, **SAMPLING}}, tmp_path / name)
    assert differing(tmp_path / "alone", tmp_path / "two") == []
    events = [line.split() for line in counted.read_text().splitlines()]
    starts = [pid for pid, what in events if what == "start"]
    loads = [(pid, what) for pid, what in events if what != "start"]
    assert len(starts) == len(set(starts)) == 2
    assert len(loads) == len(set(loads))
    assert {pid for pid, _ in loads} == set(starts)
    assert len({what for _, what in loads}) == 2, "an adapter for each cycle"


def test_what_workers_say_reaches_the_user_once(two_nodes: Any, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(NOISY)
    raw = {**contract_run(tmp_path), "cycles": 1, "verifier": f"{tmp_path}/noisy.py:Warning"}
    raw["generator"] |= {"name": f"{tmp_path}/noisy.py:Noisy"}
    notes = Notes()
    run_with(Ray(samplers=2, verifiers=2), raw, tmp_path / "run", progress=notes)
    assert notes.lines.count("sampler  this model was made for other prompts") == 1, notes.lines
    assert notes.lines.count("sampler  the library is old") == 1, notes.lines
    assert notes.lines.count("verifier the compiler is old") == 1, notes.lines
    assert not any("go away" in line for line in notes.lines)
    bar = r"\d+ tokens, \d+/s, samplers \d/2 \(\d+ \+ \d+ tokens/s\), verifiers \d/2"
    assert any(re.fullmatch(bar, shown) for shown in notes.shown), notes.shown
    alone = Notes()
    with pytest.warns(UserWarning, match="compiler is old"):
        run_with(None, raw, tmp_path / "alone", progress=alone)
    assert differing(tmp_path / "alone", tmp_path / "run") == []
    stored = [[event[1:] for event in open_run(tmp_path / name).events()] for name in ("alone", "run")]
    assert stored[0] == stored[1]
    assert ("sampler", "this model was made for other prompts") in stored[0]


@pytest.mark.parametrize(
    ("rates", "shown"),
    [
        ([], ""),
        ([99.6], " (100 tokens/s)"),
        ([498.2, 521.0], " (498 + 521 tokens/s)"),
        ([1.0, 2.0, 3.0, 4.0, 0.4], " (0 to 4 tokens/s each)"),
    ],
)
def test_the_speed_of_each_sampler_is_shown(rates: list[float], shown: str) -> None:
    assert in_words(rates) == shown
