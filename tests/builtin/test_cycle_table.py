"""The line below a row of the table of cycles."""

from __future__ import annotations

from dataclasses import replace

from halo_core.builtin.cycle_table import remark
from halo_core.testing.histories import simulate


def test_the_statistics_of_the_trainer_are_shown() -> None:
    report = simulate("healthy", 0)[1]
    assert remark(report) == ""
    assert report.train
    assert report.sampled
    trained = replace(report.train, metrics={"entropy": 0.41234, "clip_share": 0.0})
    assert remark(replace(report, train=trained)) == "cycle 1  entropy 0.412, clip_share 0"
    warned = replace(report, train=trained, sampled=replace(report.sampled, warned=0.25))
    assert remark(warned).endswith(
        "clip_share 0; 25% of the completions have warnings, which may lower their rewards"
    )


def test_the_waiting_times_of_a_cluster_are_shown() -> None:
    report = replace(simulate("healthy", 0)[1], waits={"samplers": 2.6, "verifiers": 12.0})
    assert remark(report) == "cycle 1  waited for the others: samplers 3 s, verifiers 12 s"
