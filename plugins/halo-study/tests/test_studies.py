"""The shipped studies: each is valid, and so is every run that it starts with."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.run.plan import Plan
from halo_study.fixed import read_fixed
from halo_study.jobs import count, jobs
from halo_study.progress import stored_results
from halo_study.results import read_results
from halo_study.study import read_study

ROOT = Path(__file__).parents[3]
STUDIES = sorted((ROOT / "configs/studies").glob("*.yaml"))
RESULTS = ROOT / "docs/studies"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_arm_is_a_valid_run(path: Path) -> None:
    study = read_study(path)
    first = {(job.arm, job.value): job for job in jobs(study, [])}.values()
    assert {job.arm for job in first} == {arm for arm in study.arms if study.arms[arm].equal_sum_of is None}
    resolved = {Plan.from_raw({**job.raw, "seed": 0}).config.model_dump_json() for job in first}
    assert len(resolved) == len(first), "two arms are the same"
    assert count(study) >= len(first)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_header_names_the_command(path: Path) -> None:
    assert f"#   halo study run configs/studies/{path.name} -j 2\n" in path.read_text()


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/results.csv")), ids=lambda path: path.parent.name)
def test_the_results_that_ship_belong_to_their_study(path: Path) -> None:
    """A changed setting, or a damaged row, would make a report raise."""
    study = read_study(STUDIES[0].with_name(f"{path.parent.name}.yaml"))
    assert len(stored_results(study, path.parent)) == len(read_results(path))
    assert read_fixed(path.parent) is not None
