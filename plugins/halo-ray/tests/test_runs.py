"""Runs on a Ray cluster of two nodes: the same as alone, also when workers are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from halo_core import Cluster, ModelError, Run
from halo_core.progress import Advance, Progress
from halo_core.testing import ClusterContract
from halo_core.testing.cluster_contract import differing, run_with
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


class TestRay(ClusterContract):
    @pytest.fixture
    def cluster(self, two_nodes: Any, request: pytest.FixtureRequest) -> Cluster:
        if "resumed" in request.node.name:
            return Ray(samplers=1, verifiers=1)
        return Ray(samplers=2, verifiers=2, trainers=2)

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
