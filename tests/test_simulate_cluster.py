"""The simulation of clusters in benchmarks/simulate_cluster.py, in small."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from halo_core.loop import run_cycles
from halo_core.testing import fake_run

PATH = Path(__file__).parents[1] / "benchmarks" / "simulate_cluster.py"


@pytest.fixture(scope="module")
def simulate() -> Iterator[ModuleType]:
    spec = util.spec_from_file_location("simulate_cluster", PATH)
    assert spec
    assert spec.loader
    module = util.module_from_spec(spec)
    sys.modules["simulate_cluster"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["simulate_cluster"]


def test_a_cluster_is_as_fast_as_its_limit_allows(simulate: ModuleType) -> None:
    even = simulate.Measured([100], [0.01], batch=64, token_seconds=1e-3, call=0.0, loop=0.0, ledger=0.0)

    def of(samplers: int, verifiers: int, measured: Any = even) -> Any:
        return simulate.Simulation(measured, 60, samplers, verifiers).run()

    one, two = of(1, 64), of(2, 64)
    assert one.limit == "samplers"
    assert one.per_second == pytest.approx(640, rel=0.05), "64 completions in 0.1 s"
    assert two.per_second == pytest.approx(2 * one.per_second, rel=0.05)
    few = of(8, 2)
    assert few.limit == "verifiers"
    assert few.per_second == pytest.approx(200, rel=0.05), "2 verdicts in 0.01 s"
    for name in ("loop", "ledger"):
        slow = simulate.replace(even, **{name: 5e-3})
        found = of(32, 64, slow)
        assert found.limit == name
        assert found.per_second == pytest.approx(200, rel=0.1)
    assert of(32, 64) == of(32, 64), "the same seed gives the same outcome"


def test_what_a_run_measured_drives_the_simulation(simulate: ModuleType, tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run", cycles=1)
    run_cycles(run, hooks)
    run.ledger.close()
    measured = simulate.measure(tmp_path / "run")
    assert set(measured.tokens) == {12}
    assert len(measured.verdicts) == len(measured.tokens) == 96
    assert measured.batch == 16
    assert min(measured.ledger, measured.loop, measured.network_bytes, measured.token_seconds) > 0
    outcomes = [simulate.Simulation(measured, 4, *size).run() for size in ((1, 1), (256, 4096))]
    assert simulate.table(outcomes).count("\n") == 3
