"""Runs on a Ray cluster of two nodes: the same as alone, also when workers are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from halo_core import Cluster, ModelError, Run
from halo_core.ledger.ledger import open_run
from halo_core.progress import Advance, Progress
from halo_core.testing import ClusterContract, tiny_actor
from halo_core.testing.cluster_contract import contract_run, differing, run_with
from halo_generator_openai.testing import serving
from halo_ray import Ray

pytestmark = pytest.mark.timeout(900)
STALE = """
from dataclasses import replace
from halo_core import driver
from halo_core.drivers.transformers import Transformers


@driver
class Stale(Transformers):
    "Records the log-probabilities of other weights."

    def generate(self, request, context):
        for batch in super().generate(request, context):
            yield [replace(each, logprobs=tuple(p - 1 for p in each.logprobs)) for each in batch]
"""


class Killer(Progress):
    """Kills workers in the first step of a stage, one of each of the given roles."""

    def __init__(self, roles: dict[str, Sequence[str]]) -> None:
        self._roles = roles
        self.run: Run | None = None
        self.killed: list[str] = []
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        def advance(count: float = 1, *, total: int | None = None, note: str = "") -> None:
            for role in self._roles.pop(name, ()) if count else ():
                assert self.run is not None
                pool = getattr(self.run.workers, f"_{role}")
                os.kill(pool._crew.members[0].hello.pid, signal.SIGKILL)
                self.killed.append(role)

        yield advance


DRIVER = """
import json, sys
from pathlib import Path
from halo_core.testing.cluster_contract import run_with
from halo_ray import Ray

run_with(Ray(address="local", samplers=1, verifiers=1), json.loads(sys.argv[1]), Path(sys.argv[2]))
"""


def descendants(pid: int) -> set[int]:
    """Return the process ids of all living descendants of a process."""
    found: set[int] = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found |= {child} | descendants(child)
    return found


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def alive(pids: set[int]) -> set[int]:
    states = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return {pid for pid, path in states.items() if path.exists() and path.read_text().split()[2] != "Z"}


class TestRay(ClusterContract):
    """The contract has four workers of each role; the other tests have one or two."""

    @pytest.fixture
    def cluster(self, two_nodes: Any, request: pytest.FixtureRequest) -> Cluster:
        if "resumed" in request.node.name:
            return Ray(samplers=1, verifiers=1)
        return Ray(samplers=4, verifiers=4, trainers=4)

    def test_workers_that_are_killed_cost_their_batch(
        self, two_nodes: Any, raw: dict[str, Any], alone: Path, tmp_path: Path
    ) -> None:
        killer = Killer({"cycle 0 held-out": ["verifiers", "samplers"], "cycle 1 train": ["trainers"]})
        cluster = Ray(samplers=1, verifiers=1, trainers=2)
        run_with(cluster, raw | {"checkpoint_seconds": 0}, tmp_path / "run", progress=killer)
        assert killer.killed == ["verifiers", "samplers", "trainers"]
        again = [line for line in killer.notes if "started again" in line]
        assert len(again) == 3, killer.notes
        assert differing(alone, tmp_path / "run") == []

    def test_each_sampler_must_prove_its_weights(
        self, two_nodes: Any, raw: dict[str, Any], tmp_path: Path
    ) -> None:
        (tmp_path / "stale.py").write_text(STALE)
        generator = {**raw["generator"], "name": f"{tmp_path}/stale.py:Stale"}
        with pytest.raises(
            ModelError, match=r"sampler 0 on \S+: the sampler does not use the trained weights"
        ):
            run_with(Ray(samplers=1), raw | {"generator": generator}, tmp_path / "run")

    @pytest.mark.slow
    def test_a_driver_that_is_killed_leaves_nothing_and_its_run_is_resumed(
        self, raw: dict[str, Any], alone: Path, tmp_path: Path
    ) -> None:
        raw = raw | {"cycles": 2}
        directory = tmp_path / "run"
        arguments = [sys.executable, "-c", DRIVER, json.dumps(raw), str(directory)]
        driver = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 300
        while not (directory / "run.yaml").exists() or not open_run(directory).reports():
            assert driver.poll() is None, driver.stderr and driver.stderr.read().decode()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        others = {pid for pid in descendants(driver.pid) if "Agent" not in command_of(pid)}
        assert sum("Worker" in command_of(pid) for pid in others) >= 2, "Ray's own agents end a minute later"
        driver.kill()
        driver.wait()
        while left := alive(others):
            assert time.monotonic() < deadline, f"still running: {left}"
            time.sleep(0.2)
        run_with(None, raw, directory)
        assert differing(alone, directory) == []


SERVER = {"command": [sys.executable, "-m", "halo_generator_openai.testing"], "dtype": "float32"}


@pytest.mark.parametrize(
    "name", ["openai", pytest.param("vllm", marks=pytest.mark.slow)], ids=["a-shared-server", "a-server-each"]
)
def test_samplers_with_an_engine_give_the_run_of_one_process(
    two_nodes: Any, name: str, tmp_path: Path
) -> None:
    generator: dict[str, Any] = {
        "name": name,
        "batch": 12,
        "max_new_tokens": 6,
        "temperature": 1.0,
        "top_p": 1.0,
    }
    raw = {**contract_run(tmp_path), "cycles": 1}
    with serving(tiny_actor()) as server:
        if name == "openai":
            generator |= {"url": server.url, "adapters": "vllm", "api": "completions"}
        else:
            generator |= {**SERVER, "environment": {"OMP_NUM_THREADS": "1"}}
        for run, cluster in {"alone": None, "two": Ray(samplers=2)}.items():
            reports = run_with(cluster, raw | {"generator": generator}, tmp_path / run)
            assert (reports[1].sampler_error or 1) < 1e-3, "the trained weights were sampled with"
        assert server.state.adapters == {}, "the samplers have unloaded what they loaded"
        used = {body["model"] for path, body in server.state.asked if "completions" in path}
    assert len(used) == (2 if name == "openai" else 0)
    assert differing(tmp_path / "alone", tmp_path / "two") == []
    assert not Path("vllm.log").exists()


def test_a_model_is_split_over_the_trainers_of_a_run(two_nodes: Any, tmp_path: Path) -> None:
    """Check that the run is that of one process up to rounding, and that one process resumes it."""
    raw = {
        **contract_run(tmp_path),
        "trainer": {"name": "sft", "full": True, "batch_size": 8, "batch_tokens": 64},
    }
    raw["lr_policy"] = {"name": "constant", "base_lr": 1e-3}
    alone = run_with(None, raw, tmp_path / "alone")
    run_with(Ray(trainers=2, shard=True), raw, tmp_path / "run", cycles=1)
    found = run_with(None, raw, tmp_path / "run")
    for one, other in zip(alone[1:], found[1:], strict=True):
        assert one.train is not None
        assert other.train is not None
        assert other.train.losses == pytest.approx(one.train.losses, rel=1e-4)
        assert other.train.weight_norm == pytest.approx(one.train.weight_norm, rel=1e-5)
    weights = open_run(tmp_path / "run").check_adapter(1)
    loaded = AutoModelForCausalLM.from_pretrained(weights)
    assert loaded.num_parameters() == tiny_actor().model.num_parameters()


def test_doctor_describes_the_cluster(two_nodes: Any) -> None:
    first, *nodes = Ray().describe()
    assert ", 2 nodes, " in first
    assert len(nodes) == 2
    assert all("8 CPUs and 0 GPUs" in line for line in nodes)
