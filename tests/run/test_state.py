from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.config.schema import read_config
from halo_core.errors import Interrupted
from halo_core.ledger.ledger import Ledger
from halo_core.progress import Progress
from halo_core.run.state import Run
from halo_core.testing import FakeActor, fake_run, make_stats
from halo_core.types import CycleReport, Prompt, Sample

Make = Callable[..., Sample]
STATS = make_stats(0.1, steps=1)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return fake_run(tmp_path, cycles=4, samples_per_prompt=3, seed=7)[0]


def test_a_run_exposes_its_data(run: Run, tmp_path: Path) -> None:
    assert (run.directory, run.seed, run.config.cycles) == (tmp_path, 7, 4)
    assert [prompt.id for prompt in run.prompts] == [f"t{n}" for n in range(8)]
    assert [prompt.id for prompt in run.heldout] == [f"h{n}" for n in range(4)]
    assert isinstance(run.prompts, tuple)
    assert isinstance(run.heldout, tuple)


def test_requests_have_the_right_prompts(run: Run) -> None:
    train, heldout = run.request(2, "train"), run.request(2, "heldout")
    assert (train.prompts, train.samples_per_prompt, train.cycle, train.done) == (run.prompts, 3, 2, 0)
    assert (heldout.prompts, heldout.samples_per_prompt) == (run.heldout, 8)


def test_training_requests_have_distinct_seeds_and_held_out_requests_share_one(run: Run) -> None:
    train = {run.request(cycle, "train").seed for cycle in range(1, 50)}
    heldout = {run.request(cycle, "heldout").seed for cycle in range(50)}
    assert len(train) == 49
    assert len(heldout) == 1
    assert not train & heldout


def test_another_seed_gives_other_requests(tmp_path: Path) -> None:
    seeds = [
        fake_run(tmp_path / str(seed), seed=seed)[0].request(1, split).seed
        for seed in (0, 1)
        for split in ("train", "heldout")
    ]
    assert len(set(seeds)) == 4


@pytest.mark.parametrize(
    ("closed", "remaining"), [(0, [1, 2, 3, 4]), (1, [1, 2, 3, 4]), (3, [3, 4]), (5, [])]
)
def test_remaining_cycles(run: Run, closed: int, remaining: list[int]) -> None:
    for cycle in range(closed):
        run.ledger.write_report(CycleReport(cycle=cycle))
    assert list(run.remaining_cycles()) == remaining


def test_a_report_summarizes_the_cycle(run: Run, make_sample: Make) -> None:
    samples = [make_sample("a", n, reward=reward) for n, reward in enumerate([1.0, 0.5, None])]
    report = run.report(2, samples, samples[:1], STATS, heldout=samples)
    assert (report.cycle, report.lr, report.selected, report.train) == (2, 0.1, 1, STATS)
    assert report.reward_mean == 0.75, "mean over the samples with a reward"
    assert report.sampled == report.heldout
    empty = run.report(0, heldout=())
    assert (empty.heldout, empty.sampled, empty.reward_mean) == (None, None, 0.0)


@pytest.mark.parametrize("cycle", [-1, 2, 99])
def test_a_run_rolls_back_to_closed_cycles_only(run: Run, cycle: int) -> None:
    for closed in range(2):
        run.ledger.write_report(CycleReport(cycle=closed))
    run.roll_back(1)
    with pytest.raises(ValueError, match=f"cannot roll back to cycle {cycle}: it is not closed"):
        run.roll_back(cycle)


def test_seconds_belong_to_one_cycle_and_add_up(run: Run) -> None:
    _, hooks = fake_run(run.directory)
    for _ in range(2):
        with run.timed(1, "sample"):
            time.sleep(0.01)
    report = run.report(1, heldout=())
    assert report.seconds["sample"] >= 0.02
    run.close_cycle(hooks, [], report)
    assert run.report(2, heldout=()).seconds == {}
    assert report.seconds != {}


def test_seconds_survive_the_process(run: Run, tmp_path: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), run.timed(1, "train"):
        time.sleep(0.02)
        run.flush_timer(at_least=1000)
        assert run.ledger.seconds(1) == {}, "too short to be stored"
        run.flush_timer(at_least=0.01)
        _ = 1 / 0
    again = fake_run(tmp_path)[0]
    assert again.ledger.seconds(1)["train"] >= 0.02
    with again.timed(1, "train"):
        time.sleep(0.02)
    assert again.report(1, heldout=()).seconds["train"] >= 0.04
    run.flush_timer(at_least=0)  # outside of a stage: no effect
    assert set(run.ledger.seconds(1)) == {"train"}


def test_an_interrupt_is_raised_at_the_next_check(run: Run) -> None:
    run.check_interrupt()
    run.interrupt()
    with pytest.raises(Interrupted, match=f"halo resume {run.directory}") as caught:
        run.check_interrupt()
    assert caught.value.exit_code == 130


def test_a_run_without_progress_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = read_config({"verifier": ["fake"]})
    run = Run(config, Ledger(tmp_path), FakeActor(), [Prompt("p", "x")], [])
    assert isinstance(run.progress, Progress)
    with run.progress.stage("x", 3, "y") as advance:
        advance()
        advance(2, total=3, note="z")
    run.progress.note("x")
    assert capsys.readouterr() == ("", "")
