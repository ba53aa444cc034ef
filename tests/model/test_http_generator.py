"""Runs with the generator of docs/writing-a-generator.md, which samples from an HTTP server on the loopback."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from small_run import FULL, small_run

from halo_core.errors import ModelError
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.model.actor import Actor
from halo_core.report import write_report
from halo_core.run.plan import Plan
from halo_core.testing import tiny_actor
from halo_core.types import CycleReport

PAGE = Path(__file__).parents[2] / "docs/writing-a-generator.md"
FILES = dict(re.findall(r"^```python file=(\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
TEXT_ONLY = '''
from dataclasses import replace

from {module} import HTTP
from halo_core import driver


@driver
class TextOnly(HTTP):
    """Leaves token ids and log-probabilities out."""

    def generate(self, request, context):
        for batch in HTTP.generate(self, request, context):
            yield [replace(each, token_ids=(), prompt_token_ids=(), logprobs=None) for each in batch]
'''


HALF = '''
from {module} import HTTP
from halo_core import driver


@driver
class Half(HTTP):
    """Samples from a server that computes in 16 bits."""

    def precision(self):
        return "bfloat16"
'''


@dataclass
class Running:
    url: str
    handler: Any
    """The class that answers; its attributes are the server's state."""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    path = tmp_path_factory.mktemp("server") / "server.py"
    path.write_text(FILES["tests/server.py"])
    spec = util.spec_from_file_location("http_server_of_the_page", path)
    assert spec is not None
    assert spec.loader is not None
    found = util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def server(module: ModuleType) -> Iterator[Running]:
    serving = module.serve(tiny_actor(), port=0)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield Running(f"http://127.0.0.1:{serving.server_port}", serving.RequestHandlerClass)
    serving.shutdown()
    serving.server_close()


@pytest.fixture
def run(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., list[CycleReport]]]:
    """Return a function that runs two cycles in a directory."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "remote.py").write_text(FILES["src/halo_generator_http.py"])
    (tmp_path / "text.py").write_text(TEXT_ONLY.format(module="remote"))
    (tmp_path / "half.py").write_text(HALF.format(module="remote"))

    def call(directory: Path, generator: str = "remote.py:HTTP", **settings: Any) -> list[CycleReport]:
        raw = small_run(tmp_path, {"name": f"{tmp_path}/{generator}", "url": server.url}) | settings
        with Plan.from_raw(raw).open(directory) as opened:
            return run_cycles(*opened)

    yield call
    sys.modules.pop("remote", None)


def log_of(directory: Path) -> list[str]:
    return [detail for _, kind, detail in Ledger(directory).events() if kind in ("sampler", "tokenizer")]


@pytest.mark.parametrize("settings", [{}, FULL], ids=["adapter", "full"])
def test_the_server_follows_the_weights(
    run: Callable[..., list[CycleReport]], server: Running, tmp_path: Path, settings: dict[str, Any]
) -> None:
    loaded: list[str] = []
    load = server.handler.load

    def record(self: Any, directory: str | None, hash: str) -> Any:
        loaded.append(hash)
        return load(self, directory, hash)

    server.handler.load = record
    reports = run(tmp_path / "run", **settings)
    ledger = Ledger(tmp_path / "run")
    assert loaded == ["", ledger.weights_hash(1), ledger.weights_hash(2), ""]
    for report in reports[1:]:
        assert report.train is not None
        assert report.sampler_error is not None
        assert report.sampler_error < 1e-4 < (report.train.logprob_shift or 0) / 4
        assert (report.heldout_changed or 0) > 0.1
    assert log_of(tmp_path / "run") == []


def test_a_run_that_is_killed_and_resumed_gives_the_same(
    run: Callable[..., list[CycleReport]], server: Running, tmp_path: Path
) -> None:
    run(tmp_path / "one")
    answered = 0
    generate = server.handler.generate

    def fail_once(self: Any, **body: Any) -> Any:
        nonlocal answered
        answered += 1
        return (500, "out of memory") if answered == 9 else generate(self, **body)

    server.handler.generate = fail_once
    with pytest.raises(ModelError, match="out of memory"):
        run(tmp_path / "two")
    server.handler.hash = "the weights of another run"
    run(tmp_path / "two")
    parts = compare(Ledger(tmp_path / "one"), Ledger(tmp_path / "two"))
    assert [part.first for part in parts if not part.same] == []


def ignore_weights(server: Running) -> None:
    """Make the server accept weights without loading them."""

    def load(self: Any, directory: str | None, hash: str) -> Any:
        server.handler.hash = hash
        return 200, "loaded"

    server.handler.load = load


def test_a_server_that_ignores_the_weights_ends_the_run(
    run: Callable[..., list[CycleReport]], server: Running, tmp_path: Path
) -> None:
    ignore_weights(server)
    with pytest.raises(ModelError, match="the sampler does not use the trained weights"):
        run(tmp_path / "run")


def test_a_server_that_ignores_the_weights_and_returns_only_text_is_reported_in_each_cycle(
    run: Callable[..., list[CycleReport]], server: Running, tmp_path: Path
) -> None:
    ignore_weights(server)
    reports = run(tmp_path / "run", "text.py:TextOnly")
    assert [report.heldout_changed for report in reports] == [None, 0.0, 0.0]
    assert [report.sampler_unchecked for report in reports] == [False, True, True]
    log = log_of(tmp_path / "run")
    assert sum("text without token ids" in line for line in log) == 1
    for cycle in (1, 2):
        assert (
            sum(f"of cycle {cycle} are those of cycle {cycle - 1}, word for word" in line for line in log)
            == 1
        )
        assert sum(f"completions of cycle {cycle} are from the trained weights" in line for line in log) == 1
    findings = json.loads((tmp_path / "run/doctor.json").read_text())["findings"]
    assert [(each["cause"], each["severity"]) for each in findings[:1]] == [("stale-sampler", "critical")]
    write_report(Ledger(tmp_path / "run"))
    page = (tmp_path / "run/report.html").read_text()
    assert "word for word" in page
    assert "stale-sampler" in page


def test_a_server_that_follows_the_weights_and_returns_only_text_is_unchecked(
    run: Callable[..., list[CycleReport]], tmp_path: Path
) -> None:
    reports = run(tmp_path / "run", "text.py:TextOnly")
    assert all((report.heldout_changed or 0) > 0.1 for report in reports[1:])
    findings = json.loads((tmp_path / "run/doctor.json").read_text())["findings"]
    assert "unchecked-sampler" in [each["cause"] for each in findings]


def test_an_engine_in_16_bits(run: Callable[..., list[CycleReport]], server: Running, tmp_path: Path) -> None:
    server.handler.actor = Actor(replace(tiny_actor().config, dtype="bfloat16"))
    reports = run(tmp_path / "half", "half.py:Half")
    errors = [report.sampler_error or 0.0 for report in reports]
    assert all(1e-4 < error < 0.1 for error in errors)
    with pytest.raises(ModelError, match="does not use the trained weights"):
        run(tmp_path / "strict", sampler_tolerance=min(errors) / 2)
    assert len(run(tmp_path / "tolerant", sampler_tolerance=2 * max(errors))) == 3
