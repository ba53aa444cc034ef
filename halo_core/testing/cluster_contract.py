"""The contract of clusters, as a test class to subclass."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.config.options import build, options_in
from halo_core.drivers.base import Cluster
from halo_core.hookspecs import RunView, hookimpl
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import open_run
from halo_core.loop import run_cycles
from halo_core.run.plan import Plan
from halo_core.testing.tiny import tiny_actor
from halo_core.types import CycleReport

__all__ = ["ClusterContract", "contract_run", "differing", "run_with"]

_VERIFIER = '''
from halo_core import Stage, Status, Verdict, Verifier, driver


@driver
class Even(Verifier):
    """Passes a text with an even number of characters."""

    def check(self, prompt, completion):
        if len(completion.text) % 2:
            return Verdict(Status.FAIL, Stage.WRONG)
        return Verdict(Status.PASS, Stage.CORRECT, 1.0)
'''


class ClusterContract(ABC):
    """Tests of the contract of `halo_core.drivers.Cluster`. Subclass it and define the fixture `cluster`.

    Sums depend on the number of threads, so torch has one thread here; the workers must have one, too.
    """

    @pytest.fixture
    @abstractmethod
    def cluster(self) -> Cluster:
        """The cluster to test."""

    @pytest.fixture(scope="class")
    @classmethod
    def raw(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        """The configuration of a run of two cycles with `tiny_actor`."""
        return contract_run(tmp_path_factory.mktemp("files"))

    @pytest.fixture(scope="class")
    @classmethod
    def alone(cls, raw: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The directory of that run without a cluster."""
        directory = tmp_path_factory.mktemp("alone") / "run"
        run_with(None, raw, directory)
        return directory

    def test_a_run_is_the_same_as_without(
        self, cluster: Cluster, raw: dict[str, Any], alone: Path, tmp_path: Path
    ) -> None:
        """Check that all that is stored is what halo's own process stores."""
        run_with(cluster, raw, tmp_path / "run")
        assert differing(alone, tmp_path / "run") == []

    def test_a_run_is_resumed_with_and_without(
        self, cluster: Cluster, raw: dict[str, Any], alone: Path, tmp_path: Path
    ) -> None:
        """Check that a run may change between the cluster and halo's own process."""
        run_with(None, raw, tmp_path / "run", cycles=1)
        run_with(cluster, raw, tmp_path / "run")
        assert differing(alone, tmp_path / "run") == []

    def test_a_cluster_rebuilt_from_its_options_is_the_same(self, cluster: Cluster) -> None:
        """Check that a cluster is determined by its options."""
        assert build(type(cluster), options_in(cluster), where="test") == cluster


def contract_run(files: Path) -> dict[str, Any]:
    """Write a verifier and prompts to `files`; return the configuration of a run of two cycles with `tiny_actor`."""
    (files / "even.py").write_text(_VERIFIER)
    for name, number in (("train", 4), ("heldout", 8)):
        rows = [json.dumps({"id": f"{name}-{n}", "prompt": f"{name} {n}"}) for n in range(number)]
        (files / f"{name}.jsonl").write_text("\n".join(rows))
    return {
        "verifier": f"{files}/even.py:Even",
        "model": {"name": tiny_actor().config.name, "device": "cpu", "dtype": "float32"},
        "data": {"prompts": f"{files}/train.jsonl", "heldout": f"{files}/heldout.jsonl"},
        "generator": {"name": "transformers", "max_new_tokens": 8, "batch_tokens": 96},
        "reward": "binary",
        "selector": {"name": "raft", "truncated": True, "keep_top": 1.0},
        "trainer": {"name": "sft", "lora_rank": 8, "batch_size": 8, "batch_tokens": 64},
        "lr_policy": {"name": "constant", "base_lr": 2e-2},
        "cycles": 2,
        "samples_per_prompt": 8,
        "heldout": {"samples_per_prompt": 4},
        "sandbox": "none",
    }


def run_with(
    cluster: Cluster | None,
    raw: dict[str, Any],
    directory: Path,
    *,
    cycles: int | None = None,
    progress: Any = None,
) -> list[CycleReport]:
    """Start or resume the run in `directory`, on `cluster` or without one; return the reports of its cycles.

    `cycles`: stop after that many of them. `progress`: a `Progress`, which gets the run as its attribute `run`.
    """
    import torch

    torch.set_num_threads(1)
    plan = Plan.from_raw(raw)
    if cluster is not None:
        drivers = replace(plan.drivers, by_kind={**plan.drivers.by_kind, "cluster": cluster})
        plan = replace(plan, drivers=drivers)
    with plan.open(directory, progress) as (run, hooks):
        if progress is not None:
            progress.run = run
        hooks.register(_Stop(cycles), name="stop")
        return run_cycles(run, hooks)


def differing(one: Path, other: Path) -> list[str]:
    """Return the first difference of each kind of content of two runs, as `halo diff` finds them."""
    parts = compare(open_run(one), open_run(other))
    return [f"{part.name}: {part.first}" for part in parts if not part.same]


class _Stop:
    """Stops a run after a cycle."""

    def __init__(self, cycle: int | None) -> None:
        self._cycle = cycle

    @hookimpl
    def on_cycle_end(self, run: RunView, report: CycleReport) -> None:
        if report.cycle == self._cycle:
            run.stop("the test ends it here")
