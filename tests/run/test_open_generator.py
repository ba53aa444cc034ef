"""A generator outside the process is told of weights before it samples with them, and closed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from halo_core.drivers import driver
from halo_core.errors import Interrupted, ModelError, PluginError
from halo_core.hookspecs import hookimpl
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.model.contexts import SamplingContext, TrainingContext, Weights
from halo_core.plugin.blame import blame_of
from halo_core.run.dispatch import Dispatch, Drivers
from halo_core.testing import FakeActor, FakeGenerator, FakePolicy, FakeTrainer, FakeVerifier, fake_run
from halo_core.types import Completion, CycleReport, Sample, SamplingRequest, TrainStats
from halo_core.verification.verifiers import VerifierSet


@dataclass
class Server:
    """A server with a model of its own, and a record of what it was asked."""

    events: list[str] = field(default_factory=list)
    model: FakeActor = field(default_factory=FakeActor)
    broken: str = ""
    """Event that fails."""

    def record(self, event: str) -> None:
        self.events.append(event)
        if event == self.broken:
            raise OSError(f"{event} failed")

    def load(self, weights: Weights) -> None:
        if weights.directory is None:
            self.model.reset()
        else:
            assert weights.directory.is_absolute()
            assert weights.hash
            assert not weights.is_adapter
            self.model.load(weights.directory)


SERVER = Server()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(f"{__name__}.SERVER", made)
    return made


@driver
class Remote(FakeGenerator):
    """Samples from a server, never from the actor."""

    def open(self, context: SamplingContext) -> Server:
        assert context.session is None
        SERVER.record(f"open {context.directory.name if context.directory else '-'}")
        return SERVER

    def weights_changed(self, weights: Weights, context: SamplingContext) -> None:
        context.session.load(weights)
        name = weights.directory.parent.name if weights.directory else "untrained"
        context.session.record(f"load {name}")

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        server: Server = context.session
        server.record(f"{request.split} {request.cycle}")
        try:
            own = SamplingContext(actor=cast(Any, server.model))
            yield from FakeGenerator.generate(self, request, own)
        finally:
            server.record("end of request")

    def close(self, context: SamplingContext) -> None:
        context.session.record("close")


def finished(directory: Path, **options: Any) -> list[CycleReport]:
    return run_cycles(*fake_run(directory, **{"generator": Remote(), **options}))


def requests(events: Sequence[str]) -> list[str]:
    return [event for event in events if event != "end of request"]


TWO_CYCLES = [
    "open run",
    "load untrained",
    "heldout 0",
    "train 1",
    "load 001",
    "heldout 1",
    "train 2",
    "load 002",
    "heldout 2",
    "close",
]


def test_a_run(server: Server, tmp_path: Path) -> None:
    finished(tmp_path / "run")
    assert requests(server.events) == TWO_CYCLES


def test_the_run_equals_one_in_this_process(server: Server, tmp_path: Path) -> None:
    finished(tmp_path / "remote")
    finished(tmp_path / "local", generator=FakeGenerator())
    parts = compare(Ledger(tmp_path / "remote"), Ledger(tmp_path / "local"))
    assert [part.first for part in parts if not part.same] == []


def test_a_relative_run_directory(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finished(Path("run"))
    assert requests(server.events) == TWO_CYCLES


@driver
class StopsIn(FakeTrainer):
    """Stops the run in a cycle's training."""

    cycle: int

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        if context.cycle == self.cycle:
            raise Interrupted("stopped")
        return FakeTrainer.train(self, samples, context)


def test_a_resumed_run_tells_the_weights_before_anything_is_sampled(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        finished(tmp_path / "run", trainer=StopsIn(cycle=2))
    assert server.events[-1] == "close"
    assert server.events.count("close") == 1
    server.events.clear()
    server.model.skill = 0.99  # whatever it has now
    finished(tmp_path / "run")
    assert requests(server.events) == ["open run", "load 002", "heldout 2", "close"]
    server.events.clear()
    finished(tmp_path / "other")
    assert requests(server.events)[1] == "load untrained", "the server may have the weights of another run"
    parts = compare(Ledger(tmp_path / "run"), Ledger(tmp_path / "other"))
    assert [part.first for part in parts if not part.same] == []


def test_a_finished_run_opens_nothing(server: Server, tmp_path: Path) -> None:
    finished(tmp_path / "run")
    server.events.clear()
    finished(tmp_path / "run")
    assert server.events == []


class RollsBack:
    @hookimpl
    def on_cycle_end(self, run: Any, report: CycleReport) -> None:
        if report.cycle == 1:
            run.roll_back(0)


def test_weights_that_the_run_goes_back_to(server: Server, tmp_path: Path) -> None:
    finished(tmp_path / "run", plugins=[RollsBack()])
    assert [event for event in server.events if event.startswith("load")] == [
        "load untrained",
        "load 001",
        "load untrained",
        "load 002",
    ]


class Fails:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    @hookimpl
    def select(self) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ZeroDivisionError("no"), ZeroDivisionError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (Interrupted("stopped"), Interrupted),
        (SystemExit(3), PluginError),
    ],
)
def test_it_is_closed_once_whatever_ends_the_run(
    error: BaseException, raised: type[BaseException], server: Server, tmp_path: Path
) -> None:
    with pytest.raises(raised):
        finished(tmp_path / "run", plugins=[Fails(error)])
    assert server.events.count("close") == 1
    assert server.events[-1] == "close"


class FailsInVerify:
    @hookimpl
    def verify(self) -> Any:
        raise ZeroDivisionError("no")


def test_an_unfinished_request_is_closed_first(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        finished(tmp_path / "run", plugins=[FailsInVerify()], heldout=64, generator=Remote(batch=2))
    assert caught.value.__traceback__, "it holds the frames that hold the request's iterator"
    assert server.events == ["open run", "load untrained", "heldout 0", "end of request", "close"]


@pytest.mark.parametrize(
    ("broken", "events"),
    [
        ("open run", ["open run"]),
        ("load untrained", ["open run", "load untrained", "close"]),
        ("heldout 0", ["open run", "load untrained", "heldout 0", "close"]),
        ("close", TWO_CYCLES),
    ],
)
def test_a_method_that_fails_is_blamed_on_the_generator(
    broken: str, events: list[str], server: Server, tmp_path: Path
) -> None:
    server.broken = broken
    with pytest.raises(OSError, match="failed") as caught:
        finished(tmp_path / "run")
    assert requests(server.events) == events
    assert blame_of(caught.value)


def test_a_failure_to_close_does_not_hide_the_error_that_ended_the_run(
    server: Server, tmp_path: Path
) -> None:
    server.broken = "close"
    with pytest.raises(ZeroDivisionError) as caught:
        finished(tmp_path / "run", plugins=[Fails(ZeroDivisionError("no"))])
    assert any("on_run_end then raised OSError: close failed" in note for note in caught.value.__notes__)


def test_one_generator_is_told_and_closed_whatever_options_a_cycle_has(
    server: Server, tmp_path: Path
) -> None:
    run, hooks = fake_run(tmp_path / "run", generator=Remote())
    drivers = Drivers(
        VerifierSet({"fake": FakeVerifier()}),
        {"generator": Remote(), "trainer": FakeTrainer(), "lr_policy": FakePolicy()},
        per_cycle={"generator": {"batch": [1, 5]}},
    )
    dispatch = Dispatch(drivers)
    hooks.register(dispatch, name="per cycle")
    sizes = []
    for cycle in (1, 2):
        request = run.request(cycle, "train")
        sizes.append(len(next(dispatch.generate(run, request))))
    dispatch.on_run_end()
    dispatch.on_run_end()
    assert sizes == [1, 5]
    assert requests(server.events) == ["open run", "load untrained", "train 1", "train 2", "close"]


def test_the_other_methods_are_optional(tmp_path: Path) -> None:
    context = SamplingContext(actor=cast(Any, FakeActor()))
    generator = FakeGenerator()
    assert generator.open(context) is None
    generator.weights_changed(Weights(), context)
    generator.close(context)
    assert generator.precision() == ""


def test_weights_name_their_kind(tmp_path: Path) -> None:
    assert not Weights().is_adapter
    assert not Weights(directory=tmp_path, hash="1").is_adapter
    (tmp_path / "adapter_config.json").touch()
    assert Weights(directory=tmp_path, hash="1").is_adapter


# Text without token ids


@driver
class TextOnly(FakeGenerator):
    """Returns text alone, as a server does that does not reveal its tokens."""

    prompt_ids: bool = False
    """Return those of the prompt."""

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        for batch in FakeGenerator.generate(self, request, context):
            yield [
                Completion(
                    it.prompt_id,
                    it.index,
                    it.text,
                    (9,) if self.prompt_ids else (),
                    finish_reason="length" if it.index % 2 else "stop",
                )
                for it in batch
            ]


def sampled(directory: Path, cycle: int = 1) -> list[Completion]:
    ledger = Ledger(directory)
    batches = ledger.batches(cycle, "train", ledger.prompts("train"))
    return [sample.completion for batch in batches for sample in batch]


def log_of(directory: Path) -> list[str]:
    return [f"{kind}: {detail}" for _, kind, detail in Ledger(directory).events()]


@pytest.mark.parametrize("prompt_ids", [False, True])
def test_text_is_tokenized_and_a_line_reports_it_once(tmp_path: Path, prompt_ids: bool) -> None:
    text_only = TextOnly(prompt_ids=prompt_ids)
    with pytest.raises(Interrupted):
        finished(tmp_path, generator=text_only, trainer=StopsIn(cycle=2))
    finished(tmp_path, generator=text_only)
    lines = [line for line in log_of(tmp_path) if "text without token ids" in line]
    assert len(lines) == 1
    actor = FakeActor()
    for completion in sampled(tmp_path):
        words = tuple(2 + len(word) for word in completion.text.split())
        assert completion.token_ids == (words if completion.finish_reason == "length" else (*words, 1))
        prompt = next(it for it in Ledger(tmp_path).prompts("train") if it.id == completion.prompt_id)
        assert completion.prompt_token_ids == ((9,) if prompt_ids else actor.encode(prompt))


def test_nothing_is_tokenized_if_there_are_token_ids(tmp_path: Path) -> None:
    finished(tmp_path, generator=FakeGenerator())
    assert not [line for line in log_of(tmp_path) if "token ids" in line]


class Shortens:
    """A plugin that replaces the generator's completions by text."""

    @hookimpl(wrapper=True)
    def generate(self) -> Any:
        batches = yield
        return ([Completion(it.prompt_id, it.index, it.text) for it in batch] for batch in batches)


def test_text_of_a_plugin_is_tokenized(tmp_path: Path) -> None:
    finished(tmp_path, generator=FakeGenerator(), plugins=[Shortens()])
    assert all(completion.token_ids for completion in sampled(tmp_path))


# Generators that may not follow the weights


@driver
class Deaf(FakeGenerator):
    """Samples with the initial weights in every cycle."""

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        yield from FakeGenerator.generate(self, request, SamplingContext(actor=cast(Any, FakeActor())))


IDENTICAL = "the held-out completions of cycle {} are those of cycle {}, word for word"
UNCHECKED = "whether the held-out completions of cycle {} are from the trained weights cannot be checked"


def with_logprobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake actor compute log-probabilities."""

    def logprobs(self: FakeActor, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
        return [(-1.0 - self.skill,) * len(completion.token_ids) for completion in completions]

    monkeypatch.setattr(FakeActor, "logprobs", logprobs)


def test_identical_heldout_completions_are_reported_in_each_cycle(tmp_path: Path) -> None:
    reports = finished(tmp_path, generator=Deaf(), cycles=3)
    assert [report.heldout_changed for report in reports] == [None, 0.0, 0.0, 0.0]
    lines = log_of(tmp_path)
    for cycle in (1, 2, 3):
        assert sum(IDENTICAL.format(cycle, cycle - 1) in line for line in lines) == 1
    assert any("the generator ignores the training" in line for line in lines)


def test_heldout_completions_that_differ_are_not_reported(tmp_path: Path) -> None:
    reports = finished(tmp_path, generator=FakeGenerator(), heldout=32)
    assert all(0 < (report.heldout_changed or 0) < 1 for report in reports[1:])
    assert not any("word for word" in line for line in log_of(tmp_path))


def test_a_generator_without_log_probabilities_is_reported_in_each_cycle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_logprobs(monkeypatch)
    reports = finished(tmp_path, generator=FakeGenerator())
    assert [report.sampler_unchecked for report in reports] == [False, True, True]
    for cycle in (1, 2):
        assert sum(UNCHECKED.format(cycle) in line for line in log_of(tmp_path)) == 1


@driver
class Proved(FakeGenerator):
    """Records log-probabilities; its texts never change."""

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        skill = cast(FakeActor, context.actor).skill
        fixed = SamplingContext(actor=cast(Any, FakeActor()))
        for batch in FakeGenerator.generate(self, request, fixed):
            yield [
                Completion(
                    it.prompt_id,
                    it.index,
                    it.text,
                    it.prompt_token_ids,
                    it.token_ids,
                    logprobs=(-1.0 - skill,) * len(it.token_ids),
                )
                for it in batch
            ]


def test_log_probabilities_prove_that_the_weights_are_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_logprobs(monkeypatch)
    monkeypatch.setattr(FakeActor, "dtype", "torch.float32", raising=False)
    reports = finished(tmp_path, generator=Proved())
    assert not any(report.sampler_unchecked for report in reports)
    lines = [line for line in log_of(tmp_path) if "word for word" in line]
    assert len(lines) == 2
    assert all("the learning rate may be too low" in line for line in lines)


def test_a_run_asks_the_generator_for_its_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_logprobs(monkeypatch)
    monkeypatch.setattr(FakeActor, "dtype", "torch.float32", raising=False)

    def off_by(error: float) -> Callable[[FakeActor, Sequence[Completion]], list[tuple[float, ...]]]:
        return lambda self, completions: [
            (-1.0 - self.skill - error,) * len(completion.token_ids) for completion in completions
        ]

    monkeypatch.setattr(FakeActor, "logprobs", off_by(0.05))
    with pytest.raises(ModelError, match=r"off by 0\.05 nats per token, more than 0\.01") as caught:
        finished(tmp_path / "strict", generator=Proved())
    assert "sampler_tolerance" in caught.value.hint
    assert len(finished(tmp_path / "loose", generator=Proved(), sampler_tolerance=0.06)) == 3
    run, hooks = fake_run(tmp_path / "engine", generator=Proved())
    run.precision = "bfloat16"
    assert len(run_cycles(run, hooks)) == 3
