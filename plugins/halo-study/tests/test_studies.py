"""The shipped studies: each is valid, and so is every run that it starts with."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.run.plan import Plan
from halo_study.jobs import count, jobs
from halo_study.study import read_study

STUDIES = sorted((Path(__file__).parents[3] / "configs/studies").glob("*.yaml"))


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
