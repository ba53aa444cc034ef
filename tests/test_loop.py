from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from present import present

from halo_core.cli.weights import read_cycle
from halo_core.drivers import Reward, Trainer, driver
from halo_core.drivers.raft import RAFT
from halo_core.errors import Interrupted, PluginError, RunError, TrainingError, VerifierError
from halo_core.hookspecs import hookimpl
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.model.contexts import SelectionContext, TrainingContext
from halo_core.plugin.blame import blame_of
from halo_core.run.state import Run
from halo_core.testing import FakeActor, FakeGenerator, FakePolicy, FakeTrainer, FakeVerifier, fake_run
from halo_core.types import (
    Completion,
    CycleReport,
    Prompt,
    Sample,
    SamplingRequest,
    Stage,
    Status,
    TrainStats,
    Verdict,
)

SIZES: dict[str, Any] = {"prompts": 12, "heldout": 8, "cycles": 3, "samples_per_prompt": 6}


def finished(directory: Path, **options: Any) -> list[CycleReport]:
    return run_cycles(*fake_run(directory, **{**SIZES, **options}))


def differences(one: Path, other: Path) -> list[str]:
    """Return the parts in which two runs differ, the files of their adapters included."""
    files = [
        {str(path.relative_to(place)): path.read_bytes() for path in place.glob("cycles/*/adapter/*")}
        for place in (one, other)
    ]
    found = [part.first for part in compare(Ledger(one), Ledger(other)) if not part.same]
    return found if files[0] == files[1] else [*found, "files"]


def texts(directory: Path, cycle: int, split: Any) -> list[str]:
    ledger = Ledger(directory)
    batches = ledger.batches(cycle, split, ledger.prompts(split))
    return [sample.completion.text for batch in batches for sample in batch]


def rewards_of(directory: Path, cycle: int) -> list[tuple[int, float, float | None]]:
    """Return index, reward and weight of each rewarded sample of `cycle`."""
    with Ledger(directory).reading() as db:
        return db.execute(
            "SELECT number, reward, weight FROM rounds JOIN completions ON round = rounds.id AND split = 'train'"
            " JOIN rewards ON rewards.completion = completions.id"
            " LEFT JOIN selections ON selections.completion = completions.id WHERE cycle = ?",
            (cycle,),
        ).fetchall()


class Recorder:
    """Records the calls of observing hooks; calls `act` each time."""

    def __init__(self, act: Callable[[Run, str, int], None] | None = None) -> None:
        self.entries: list[Any] = []
        self.act = act or (lambda run, hook, cycle: None)

    @hookimpl
    def on_run_start(self, run: Run, history: Sequence[CycleReport]) -> None:
        self.entries.append(("start", len(history)))
        self.act(run, "start", len(history))

    @hookimpl
    def on_cycle_end(self, run: Run, report: CycleReport, history: Sequence[CycleReport]) -> None:
        assert history[-1] is report
        assert run.ledger.reports()[-1] == report, "it is stored already"
        self.entries.append(("cycle", report.cycle))
        self.act(run, "cycle", report.cycle)

    @hookimpl
    def on_run_end(self, run: Run, history: Sequence[CycleReport], error: BaseException | None) -> None:
        self.entries.append(("end", len(history), type(error).__name__))
        self.act(run, "end", len(history))


def test_the_model_learns_and_the_reports_show_it(tmp_path: Path) -> None:
    history = finished(tmp_path)
    assert [report.cycle for report in history] == [0, 1, 2, 3]
    before, *cycles = history
    assert (before.sampled, before.train, before.lr, before.selected) == (None, None, 0.0, 0)
    assert before.heldout is not None
    assert before.heldout.samples == 8 * 8
    passed = [present(report.heldout).passed for report in history]
    assert passed == sorted(passed)
    assert passed[-1] > passed[0] + 0.2
    for report in cycles:
        assert report.lr == 0.1
        assert present(report.sampled).samples == 12 * 6
        stats = present(report.train)
        assert stats.samples == report.selected > 0
        assert stats.loss_last < stats.loss_first
        assert set(report.seconds) == {"sample", "train", "heldout"}
    assert set(before.seconds) == {"heldout"}
    rewards = [(p, 0.7 + 0.3 * p) for p in (present(report.sampled).passed for report in cycles)]
    assert [report.reward_mean for report in cycles] == pytest.approx([reward for _, reward in rewards])


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path: Path) -> None:
    finished(tmp_path / "a")
    finished(tmp_path / "b")
    assert differences(tmp_path / "a", tmp_path / "b") == []
    finished(tmp_path / "c", seed=1)
    assert texts(tmp_path / "c", 1, "train") != texts(tmp_path / "a", 1, "train")


def test_cycles_sample_with_different_seeds_and_measure_with_the_same(tmp_path: Path) -> None:
    finished(tmp_path, trainer=Nudger())
    assert texts(tmp_path, 1, "train") != texts(tmp_path, 2, "train")
    first, *others = [texts(tmp_path, cycle, "heldout") for cycle in (0, 1, 2)]
    assert others == [first, first]


@driver
class Nudger(FakeTrainer):
    """Changes the weights by almost nothing."""

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        return super().train(samples, replace(context, lr=1e-12))


def test_observers_are_called_in_order(tmp_path: Path) -> None:
    recorder = Recorder()
    finished(tmp_path, plugins=[recorder])
    assert recorder.entries == [("start", 0), *(("cycle", n) for n in range(4)), ("end", 4, "NoneType")]


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    first = finished(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "before")
    recorder = Recorder()
    assert finished(tmp_path / "run", plugins=[recorder]) == first
    assert recorder.entries == [("start", 4), ("end", 4, "NoneType")]
    assert differences(tmp_path / "before", tmp_path / "run") == []


# Resume


@pytest.mark.parametrize("hook", ["start", "cycle"])
@pytest.mark.parametrize("cycle", [0, 1, 2])
def test_an_interrupted_and_resumed_run_is_the_same(tmp_path: Path, hook: str, cycle: int) -> None:
    finished(tmp_path / "whole")

    def act(run: Run, where: str, number: int) -> None:
        if (where, number) == (hook, cycle):
            run.interrupt()

    try:
        finished(tmp_path / "run", plugins=[Recorder(act)])
    except Interrupted:
        assert differences(tmp_path / "whole", tmp_path / "run") != []
    finished(tmp_path / "run")
    assert differences(tmp_path / "whole", tmp_path / "run") == []


def test_an_interrupt_during_training_stores_no_weights(tmp_path: Path) -> None:
    @driver
    class Slow(FakeTrainer):
        def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
            running[0].interrupt()
            return super().train(samples, context)

    run, hooks = fake_run(tmp_path / "run", trainer=Slow(), **SIZES)
    running = [run]
    with pytest.raises(Interrupted):
        run_cycles(run, hooks)
    assert run.ledger.trained(1) is None
    finished(tmp_path / "run")
    finished(tmp_path / "whole")
    assert differences(tmp_path / "whole", tmp_path / "run") == []


def failing(hook: str, when: int) -> object:
    """A plugin that raises in one hook of one cycle."""

    def fail(cycle: int) -> None:
        if cycle == when:
            raise ZeroDivisionError("oops")

    def generate(request: SamplingRequest) -> None:
        if request.split == "train":
            fail(request.cycle)

    def on_cycle_end(report: CycleReport) -> None:
        fail(report.cycle)

    shapes: dict[str, Callable[..., None]] = {"generate": generate, "on_cycle_end": on_cycle_end}
    return SimpleNamespace(**{hook: hookimpl(shapes.get(hook, fail))})


@pytest.mark.parametrize("hook", ["lr_for_cycle", "generate", "reward", "select", "train", "on_cycle_end"])
@pytest.mark.parametrize("cycle", [1, 3])
def test_a_plugin_that_raises_is_blamed_and_the_run_can_be_resumed(
    tmp_path: Path, hook: str, cycle: int
) -> None:
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError) as caught:
        finished(tmp_path / "run", plugins=[recorder, failing(hook, cycle)])
    assert recorder.entries[-1] == ("end", cycle + (hook == "on_cycle_end"), "ZeroDivisionError")
    assert blame_of(caught.value) == f"raised by plugin 'fake1' (fakes 0) in hook {hook!r}"
    finished(tmp_path / "run")
    finished(tmp_path / "whole")
    assert differences(tmp_path / "whole", tmp_path / "run") == []


def skill(run: Run) -> float:
    return cast(FakeActor, run.actor).skill


def test_weights_are_restored_on_resume(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path, plugins=[Recorder(stopping_after(2))], **SIZES)
    run_cycles(run, hooks)
    trained = skill(run)
    run, hooks = fake_run(tmp_path, **SIZES)
    assert skill(run) != trained
    run_cycles(run, hooks)
    assert skill(run) == trained + 0.1


# Stopping


def stopping_after(cycle: int) -> Callable[[Run, str, int], None]:
    def act(run: Run, hook: str, number: int) -> None:
        if (hook, number) == ("cycle", cycle):
            run.stop("good enough")

    return act


@pytest.mark.parametrize("cycle", [0, 1, 2])
def test_a_plugin_may_end_the_run_after_any_cycle(tmp_path: Path, cycle: int) -> None:
    recorder = Recorder(stopping_after(cycle))
    run, hooks = fake_run(tmp_path, plugins=[recorder], **SIZES)
    history = run_cycles(run, hooks)
    assert history[-1].cycle == cycle
    assert recorder.entries[-1] == ("end", cycle + 1, "NoneType")
    assert run.stop_reason == "good enough"


def test_an_empty_selection_is_an_error_with_a_hint(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(
        TrainingError, match="cycle 1: none of 72 completions was selected; the best reward was 0"
    ) as caught:
        finished(tmp_path, plugins=[recorder], verifier=Hopeless())
    assert str(caught.value).endswith("below the threshold of 0.5; 100% do not get past the first stage")
    assert caught.value.hint == (
        "name the form of the answer in the prompts or with -G system=TEXT; "
        "no lower threshold would tell good completions from bad ones"
    )
    assert recorder.entries[-1] == ("end", 1, "TrainingError")
    assert len(rewards_of(tmp_path, 1)) == 72, "the rewards are stored for inspection"


@driver
class Hopeless(FakeVerifier):
    """Fails every completion as invalid."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        return Verdict(Status.FAIL, Stage.INVALID)


@driver
class Partial(FakeVerifier):
    """Fails every completion; those of the prompts t0 and t1 get further."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        stage = Stage.WRONG if prompt.id in ("t0", "t1") else Stage.INVALID
        return Verdict(Status.FAIL, stage, detail="" if stage is Stage.WRONG else "no program found\nat all")


def test_an_empty_selection_names_what_a_lower_threshold_would_select(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        finished(tmp_path, verifier=Partial(), selector=RAFT(threshold=0.9))
    assert str(caught.value) == (
        "cycle 1: none of 72 completions was selected; the best reward was 0.7, below the threshold of 0.9; "
        "83% do not get past the first stage, most often for 'no program found'; "
        "the furthest stage was 'wrong', of 17%"
    )
    assert "at a threshold of 0.7, 6 completions of 2 prompts would be selected (-S threshold=0.7" in (
        caught.value.hint
    )


def test_a_threshold_can_be_lowered_to_what_there_is(tmp_path: Path) -> None:
    options = {"selector": RAFT(threshold=0.9), "when_none": "lower", "cycles": 1}
    history = finished(tmp_path, verifier=Partial(), **options)
    assert history[1].selected == 6
    assert sum(weight is not None for _, _, weight in rewards_of(tmp_path, 1)) == 6
    assert {reward for _, reward, weight in rewards_of(tmp_path, 1) if weight is not None} == {0.7}
    assert any("lowered to 0.7" in text for *_, text in Ledger(tmp_path).events())
    with pytest.raises(TrainingError, match="none of 72"):
        finished(tmp_path / "hopeless", verifier=Hopeless(), **options)


@driver
class Awakening(FakeVerifier):
    """Fails every training completion until `asleep` ones were verified."""

    asleep: int = 72

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", [])

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        if prompt.id.startswith("t") and len(self.seen) < self.asleep:
            self.seen.append(completion)
            return Verdict(Status.FAIL, Stage.INVALID)
        return super().check(prompt, completion)

    seen: Any = None


def test_a_cycle_with_nothing_to_train_on_can_be_skipped(tmp_path: Path) -> None:
    history = finished(tmp_path, verifier=Awakening(), when_none="skip")
    assert [report.train is None for report in history] == [True, True, False, False]
    assert [report.started_from for report in history] == [0, 0, 0, 2]
    assert [report.selected > 0 for report in history[1:]] == [False, True, True]
    assert history[1].heldout == history[0].heldout
    assert read_cycle(Ledger(tmp_path), "1") == 0
    assert read_cycle(Ledger(tmp_path), "last") == 3
    log = [text for who, text in [event[1:] for event in Ledger(tmp_path).events()] if who == "skipped"]
    assert len(log) == 1
    assert log[0].startswith("cycle 1: none of 72 completions was selected")
    again = finished(tmp_path, verifier=Awakening(), when_none="skip")
    assert again == history, "a resumed run skips the same cycle"


def test_a_skipped_cycle_keeps_the_weights_of_the_one_before(tmp_path: Path) -> None:
    history = finished(tmp_path, selector=Once(), when_none="skip")
    assert [report.train is None for report in history[1:]] == [False, True, True]
    assert [report.started_from for report in history[1:]] == [0, 1, 1]
    assert read_cycle(Ledger(tmp_path), "last") == 1
    finished(tmp_path / "few", selector=Once(), when_none="skip", keep_adapters="best")
    assert Ledger(tmp_path / "few").check_adapter(1).is_dir(), "the weights in use are kept"


@driver
class Once(RAFT):
    """Selects in the first cycle only."""

    def select(self, samples: Sequence[Sample], context: SelectionContext) -> Sequence[Sample]:
        return super().select(samples, context) if context.cycle == 1 else []


@driver
class Odd(Trainer):
    """Reports changed statistics."""

    change: Any = None

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        return replace(FakeTrainer().train(samples, context), **self.change)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"lr_sum": 0.0},
        {"update_norm": 0.0},
        {"lr_sum": float("nan")},
    ],
    ids=str,
)
def test_a_cycle_that_did_not_change_the_weights_is_an_error(
    tmp_path: Path, change: dict[str, float]
) -> None:
    with pytest.raises(TrainingError, match="cycle 1 did not change the weights") as caught:
        finished(tmp_path, trainer=Odd(change=change))
    assert caught.value.hint
    assert not (tmp_path / "cycles/001/adapter").exists()


@pytest.mark.parametrize(
    "change",
    [{"loss_last": float("nan")}, {"loss_first": float("inf")}, {"update_norm": float("nan")}],
    ids=str,
)
def test_a_cycle_that_diverged_is_an_error_and_its_weights_are_not_stored(
    tmp_path: Path, change: dict[str, float]
) -> None:
    with pytest.raises(TrainingError, match="cycle 1 diverged: loss ") as caught:
        finished(tmp_path, trainer=Odd(change=change))
    assert "lower the learning rate" in caught.value.hint
    assert not (tmp_path / "cycles/001/adapter").exists()


class Unstable:
    """Diverges at or above a learning rate; records the learning rates."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.lrs: list[float] = []

    @hookimpl(wrapper=True)
    def train(self, lr: float) -> Any:
        self.lrs.append(lr)
        stats = yield
        return stats if lr < self.limit else replace(stats, loss_last=float("nan"))


def test_a_cycle_that_diverged_is_retried_at_a_tenth_of_the_learning_rate(tmp_path: Path) -> None:
    unstable = Unstable(limit=0.005)
    sizes = {"cycles": 1, "lr_policy": FakePolicy(base_lr=0.1), "divergence_retries": 3}
    (_, report) = finished(tmp_path, plugins=[unstable], **sizes)
    assert unstable.lrs == pytest.approx([0.1, 0.01, 0.001])
    assert report.train is not None
    assert report.train.retries == 2
    assert report.lr == report.train.lr_peak == unstable.lrs[-1], "the last learning rate"
    assert Ledger(tmp_path).reports()[-1] == report


def test_a_cycle_that_still_diverges_after_its_retries_ends_the_run(tmp_path: Path) -> None:
    unstable = Unstable(limit=0.005)
    with pytest.raises(TrainingError, match="cycle 1 diverged: loss "):
        finished(tmp_path, plugins=[unstable], lr_policy=FakePolicy(base_lr=0.1), divergence_retries=1)
    assert unstable.lrs == pytest.approx([0.1, 0.01])


def test_a_run_resumed_after_a_retry_reports_the_lower_learning_rate(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    class Kill:
        @hookimpl
        def generate(self, request: SamplingRequest) -> None:
            if (request.cycle, request.split) == (1, "heldout"):
                raise Killed

    options = {"cycles": 1, "lr_policy": FakePolicy(base_lr=0.1), "divergence_retries": 1}
    with pytest.raises(Exception):  # noqa: B017, PT011 - the type does not matter
        finished(tmp_path, plugins=[Unstable(limit=0.05), Kill()], **options)
    (_, report) = finished(tmp_path, **options)
    assert report.lr == pytest.approx(0.01)


@driver
class FixedPolicy(FakePolicy):
    """Returns `answer` as the learning rate."""

    answer: str = "0"

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        return float(self.answer)


@pytest.mark.parametrize("lr", ["0", "-1e-5", "nan", "inf"])
def test_an_invalid_learning_rate_stops_the_run_before_sampling(tmp_path: Path, lr: str) -> None:
    with pytest.raises(PluginError, match="hook 'lr_for_cycle' returned"):
        finished(tmp_path, lr_policy=FixedPolicy(answer=lr))
    assert not (tmp_path / "cycles/001").exists()


def test_errors_and_inconclusive_verdicts_never_reach_a_reward_or_training(tmp_path: Path) -> None:
    @driver
    class Flaky(FakeVerifier):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            status = {0: Status.ERROR, 1: Status.INCONCLUSIVE}.get(completion.index)
            return Verdict(status, Stage.CORRECT, 1.0) if status else super().check(prompt, completion)

    rewarded: list[Sample] = []

    @hookimpl
    def reward(samples: Sequence[Sample]) -> None:
        rewarded.extend(samples)

    plugin = SimpleNamespace(reward=reward)
    history = finished(tmp_path, plugins=[plugin], verifier=Flaky(), max_error_rate=0.5, cycles=1)
    assert {s.completion.index for s in rewarded} == {2, 3, 4, 5}
    metrics = present(history[1].sampled)
    assert (metrics.errors, metrics.inconclusive, metrics.samples) == (12, 12, 48)
    assert {index for index, _, _ in rewards_of(tmp_path, 1)} == {2, 3, 4, 5}


def test_a_sample_without_a_reward_is_not_offered_to_the_selector(tmp_path: Path) -> None:
    @driver
    class EvenOnly(Reward):
        def reward(self, sample: Sample) -> float | None:
            return 1.0 if sample.completion.index % 2 == 0 else None

    offered: list[Sample] = []

    @hookimpl
    def select(samples: Sequence[Sample]) -> None:
        offered.extend(samples)

    plugin = SimpleNamespace(select=select)
    history = finished(tmp_path, plugins=[plugin], reward=EvenOnly(), cycles=1)
    assert {sample.completion.index for sample in offered} == {0, 2, 4}
    assert all(sample.reward == 1.0 for sample in offered)
    assert {index for index, _, _ in rewards_of(tmp_path, 1)} == {0, 2, 4}
    assert history[1].reward_mean == 1.0, "mean over the eligible samples"


def test_requests_name_the_weights_of_the_actor(tmp_path: Path) -> None:
    requests: dict[tuple[int, str], SamplingRequest] = {}

    @hookimpl
    def generate(request: SamplingRequest) -> None:
        requests[request.cycle, request.split] = request

    run, hooks = fake_run(tmp_path, plugins=[SimpleNamespace(generate=generate)], cycles=2)
    run_cycles(run, hooks)
    named = {key: (request.adapter, request.weights_hash) for key, request in requests.items()}
    first, second = ((run.ledger.adapter(cycle), run.ledger.weights_hash(cycle)) for cycle in (1, 2))
    assert named == {
        (0, "heldout"): (None, ""),
        (1, "train"): (None, ""),
        (1, "heldout"): first,
        (2, "train"): first,
        (2, "heldout"): second,
    }
    assert len({"", first[1], second[1]}) == 3
    assert all(adapter.is_dir() for adapter, _ in (first, second))


def test_rewards_and_selections_are_stored(tmp_path: Path) -> None:
    history = finished(tmp_path, cycles=1)
    rows = rewards_of(tmp_path, 1)
    assert len(rows) == 72
    assert sum(weight is not None for *_, weight in rows) == history[1].selected
    assert {reward for _, reward, _ in rows} <= {0.7, 1.0}


def test_a_broken_verifier_stops_the_run_before_training(tmp_path: Path) -> None:
    @driver
    class Broken(FakeVerifier):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            raise OSError("no compiler")

    recorder = Recorder()
    with pytest.raises(VerifierError, match=r"verifier 'fake' raised OSError: no compiler"):
        finished(tmp_path, plugins=[recorder], verifier=Broken())
    assert recorder.entries == [("start", 0), ("end", 0, "VerifierError")]


# on_run_end


def test_on_run_end_is_called_after_on_run_start_raised(tmp_path: Path) -> None:
    def act(run: Run, hook: str, number: int) -> None:
        if hook == "start":
            raise ZeroDivisionError("oops")

    recorder = Recorder(act)
    with pytest.raises(ZeroDivisionError):
        finished(tmp_path, plugins=[recorder])
    assert recorder.entries == [("start", 0), ("end", 0, "ZeroDivisionError")]


def test_an_exception_in_on_run_end_does_not_hide_the_first_error(tmp_path: Path) -> None:
    def act(run: Run, hook: str, number: int) -> None:
        if hook == "end":
            raise RuntimeError("tracker gone")

    with pytest.raises(TrainingError, match="none of 72") as caught:
        finished(tmp_path / "a", plugins=[Recorder(act)], verifier=Hopeless())
    assert "on_run_end then raised RuntimeError: tracker gone" in caught.value.__notes__
    with pytest.raises(RuntimeError, match="tracker gone"):
        finished(tmp_path / "b", plugins=[Recorder(act)])
    assert len(finished(tmp_path / "b")) == 4, "the run itself is complete"


def test_on_run_end_gets_a_keyboard_interrupt(tmp_path: Path) -> None:
    def act(run: Run, hook: str, number: int) -> None:
        if (hook, number) == ("cycle", 1):
            raise KeyboardInterrupt

    recorder = Recorder(act)
    with pytest.raises(KeyboardInterrupt):
        finished(tmp_path, plugins=[recorder])
    assert recorder.entries[-1] == ("end", 2, "KeyboardInterrupt")


# Hook plugins


def test_a_reward_wrapper_changes_the_selection(tmp_path: Path) -> None:
    @hookimpl(wrapper=True)
    def reward(samples: Sequence[Sample]) -> Generator[None, list[float], list[float]]:
        rewards = yield
        return [-1.0 if s.completion.index % 2 else r for r, s in zip(rewards, samples, strict=True)]

    finished(tmp_path, plugins=[SimpleNamespace(reward=reward)], cycles=1)
    rows = rewards_of(tmp_path, 1)
    assert all(weight is None for index, _, weight in rows if index % 2)
    assert any(weight for index, _, weight in rows if not index % 2)


def test_the_policy_sees_the_history(tmp_path: Path) -> None:
    seen: list[list[int]] = []

    @hookimpl
    def lr_for_cycle(cycle: int, history: Sequence[CycleReport]) -> float:
        assert [report.cycle for report in history] == list(range(cycle))
        seen.append([report.cycle for report in history])
        return 0.01 * cycle

    history = finished(tmp_path, plugins=[SimpleNamespace(lr_for_cycle=lr_for_cycle)])
    assert seen == [[0], [0, 1], [0, 1, 2]]
    assert [report.lr for report in history[1:]] == pytest.approx([0.01, 0.02, 0.03])


def test_a_run_without_heldout_prompts_still_runs(tmp_path: Path) -> None:
    history = finished(tmp_path, heldout=0)
    assert [report.heldout for report in history] == [None] * 4


@pytest.mark.parametrize(
    ("usual", "within"), [((700, 10, 10), 50_000), ((0, 10, 10), 0), ((90_000, 9, 9), 90_000)]
)
def test_garbage_collection_is_relaxed_during_a_run_and_restored_after_it(
    tmp_path: Path, usual: tuple[int, int, int], within: int
) -> None:
    seen = []

    class Look:
        @hookimpl
        def on_cycle_end(self) -> None:
            seen.append((gc.get_threshold(), gc.get_freeze_count() > 0))
            if len(seen) == 2:
                raise ZeroDivisionError

    before = gc.get_threshold()
    gc.set_threshold(*usual)
    try:
        with pytest.raises(ZeroDivisionError):
            run_cycles(*fake_run(tmp_path, plugins=[Look()]))
        assert seen == [((within, *usual[1:]), True)] * 2
        assert (gc.get_threshold(), gc.get_freeze_count()) == (usual, 0)
    finally:
        gc.set_threshold(*before)


def test_every_batch_size_gives_complete_cycles(tmp_path: Path) -> None:
    for batch in (1, 7, 1000):
        history = finished(tmp_path / str(batch), generator=FakeGenerator(batch=batch), cycles=1)
        assert present(history[1].sampled).samples == 72


@pytest.mark.parametrize(
    ("start_from", "skills"),
    [("previous", [0.4, 0.5, 0.6]), ("base", [0.4, 0.4, 0.4]), ("interpolate", [0.4, 0.45, 0.475])],
)
def test_start_from_determines_the_weights_that_training_starts_from(
    tmp_path: Path, start_from: str, skills: list[float]
) -> None:
    run, hooks = fake_run(tmp_path / "run", start_from=start_from, cycles=3)
    run_cycles(run, hooks)
    stored = [json.loads((run.ledger.adapter(cycle) / "skill.json").read_text()) for cycle in (1, 2, 3)]
    assert stored == pytest.approx(skills), "each cycle adds 0.1"


# What is kept


def kept(directory: Path) -> list[int]:
    return sorted(int(path.parent.name) for path in directory.glob("cycles/*/adapter"))


@pytest.mark.parametrize(
    ("keep", "best", "wanted"),
    [
        ("all", 2, [1, 2, 3, 4, 5]),
        ("best", 2, [2, 5]),
        (2, 2, [2, 4, 5]),
        (9, 2, [1, 2, 3, 4, 5]),
        (1, 0, [5]),
    ],
)
def test_keep_adapters(
    tmp_path: Path, keep: Any, best: int, wanted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_core.run.state.best_cycle", lambda history: min(best, len(history) - 1))
    finished(tmp_path, cycles=5, keep_adapters=keep)
    assert kept(tmp_path) == wanted
    ledger = Ledger(tmp_path)
    assert [report.cycle for report in ledger.reports()] == list(range(6))
    assert ledger.check_adapter(5).is_dir()
    if 1 not in wanted:
        with pytest.raises(RunError, match="the weights of cycle 1 were not kept") as caught:
            ledger.check_adapter(1)
        assert "--cycle best or last" in str(caught.value.hint)


@pytest.mark.parametrize("keep", ["best", 1])
def test_a_run_that_keeps_few_adapters_is_resumed_to_the_same_result(tmp_path: Path, keep: Any) -> None:
    whole, parts, every = tmp_path / "whole", tmp_path / "parts", tmp_path / "every"
    options: dict[str, Any] = {"keep_adapters": keep, "start_from": "best"}
    finished(whole, **options)

    def stop(run: Run, hook: str, cycle: int) -> None:
        if hook == "cycle" and cycle == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finished(parts, **options, plugins=[Recorder(stop)])
    finished(parts, **options)
    assert not differences(whole, parts)
    finished(every, start_from="best")
    found = {part.name: part.same for part in compare(Ledger(whole), Ledger(every))}
    assert found["adapters"], "compared by their stored hashes"
    assert found["figures"]
