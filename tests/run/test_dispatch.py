from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from halo_core.drivers import Generator, LRPolicy, Reward, Selector, Trainer, Verifier, driver
from halo_core.errors import ModelError, PluginError
from halo_core.loop import run_cycles
from halo_core.model.contexts import Actor, SamplingContext, SelectionContext, TrainingContext
from halo_core.plugin.blame import blame_of
from halo_core.plugin.discovery import Source
from halo_core.plugin.manager import Hooks
from halo_core.run.dispatch import Dispatch, Drivers
from halo_core.run.state import Run
from halo_core.seeds import derive_seed
from halo_core.testing import FakeGenerator, FakePolicy, FakeTrainer, FakeVerifier, fake_run
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
from halo_core.verification.verifiers import VerifierSet

Make = Callable[..., Sample]
KINDS = {
    "lr_for_cycle": "lr_policy",
    "generate": "generator",
    "reward": "reward",
    "select": "selector",
    "train": "trainer",
}


@driver
class Says(FakeVerifier):
    """Puts its name into the verdict."""

    name: str = ""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        return Verdict(Status.FAIL, Stage.WRONG, detail=f"{self.name} {prompt.id} {completion.text}")


@driver
class Bad(Generator, Reward, Selector, Trainer, LRPolicy, Verifier):  # type: ignore[misc]
    """Every kind of driver, and none that works."""

    answer: Any = None

    def _answer(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Any:
        yield self._answer()

    def reward(self, sample: Sample) -> Any:
        return self._answer()

    def select(self, samples: Sequence[Sample], context: SelectionContext) -> Any:
        return self._answer()

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> Any:
        return self._answer()

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> Any:
        return self._answer()

    def check(self, prompt: Prompt, completion: Completion) -> Any:
        return self._answer()


def source(kind: str) -> Source:
    return Source(kind, "bad", "bad-drivers", "6.6", "bad:Bad")


def built(
    verifiers: dict[str, Verifier] | None = None, bad: Any = None, **drivers: Any
) -> tuple[Drivers, Hooks]:
    """Drivers and the hooks that dispatch to them; with `bad`, each of them is a `Bad` that answers so."""
    broken = Bad(answer=bad)
    chosen: dict[str, Any] = dict.fromkeys(
        ("generator", "reward", "selector", "trainer", "lr_policy"), broken
    )
    verifiers = verifiers or {"bad": broken}
    sources = {kind: source(kind) for kind in chosen}
    verifier_set = VerifierSet(verifiers, {name: source("verifier") for name in verifiers})
    made = Drivers(verifier_set, {**chosen, **drivers}, sources)
    hooks = Hooks()
    hooks.register(Dispatch(made, workers=2), name="dispatch", drivers=made.by_hook())
    return made, hooks


def ask(hooks: Hooks, hook: str, run: Run, sample: Sample) -> Any:
    """Ask any computing hook but `verify`."""
    if hook == "generate":
        return list(hooks.generate(run=run, request=run.request(1, "train")))
    arguments: dict[str, Any] = {"run": run, "cycle": 1}
    arguments |= {"history": ()} if hook == "lr_for_cycle" else {"samples": [sample]}
    arguments |= {"lr": 0.1} if hook == "train" else {}
    return getattr(hooks, hook)(**arguments)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return fake_run(tmp_path, seed=7)[0]


@pytest.mark.parametrize("hook", KINDS)
def test_what_a_driver_raises_names_it_and_its_distribution(run: Run, make_sample: Make, hook: str) -> None:
    _, hooks = built(bad=ZeroDivisionError("oops"))
    with pytest.raises(ZeroDivisionError) as caught:
        ask(hooks, hook, run, make_sample("t0"))
    assert blame_of(caught.value) == f"raised by {KINDS[hook]} 'bad' (bad-drivers 6.6)"


@pytest.mark.parametrize("hook", KINDS)
@pytest.mark.parametrize("answer", [None, float("nan"), "text"])
def test_what_a_driver_answers_wrongly_names_it_too(
    run: Run, make_sample: Make, hook: str, answer: Any
) -> None:
    if hook == "reward" and answer is None:
        return  # not eligible, which is a valid answer
    _, hooks = built(bad=answer)
    with pytest.raises(PluginError, match=rf"answered by {KINDS[hook]} 'bad' \(bad-drivers 6.6\)"):
        ask(hooks, hook, run, make_sample("t0"))


def test_a_verifier_that_answers_wrongly_is_named(run: Run) -> None:
    _, hooks = built(bad="pass")
    (verdict,) = hooks.verify(run=run, prompts=[Prompt("p")], completions=[Completion("p", 0, "x")])
    assert verdict.status is Status.ERROR
    assert verdict.detail == "verifier 'bad' (bad-drivers 6.6) returned str, not a Verdict"
    assert run.ledger.recall([Prompt("p")], ["x"]) == [None], "an error is not remembered"


def test_a_verifier_that_raises_is_named_in_the_verdict_with_the_line(run: Run) -> None:
    _, hooks = built(bad=KeyError("stdin"))
    (verdict,) = hooks.verify(run=run, prompts=[Prompt("p")], completions=[Completion("p", 0, "x")])
    assert verdict.status is Status.ERROR
    assert verdict.detail.startswith(
        "verifier 'bad' (bad-drivers 6.6) raised KeyError: 'stdin' (at test_dispatch.py:"
    )


def test_each_prompt_goes_to_its_verifier_and_the_rest_to_the_first(run: Run) -> None:
    _, hooks = built({"one": Says(name="one"), "two": Says(name="two")})
    prompts = [Prompt("a"), Prompt("b", verifier="two"), Prompt("c", verifier="one")]
    completions = [Completion(prompt.id, 0, "x") for prompt in prompts]
    verdicts = hooks.verify(run=run, prompts=prompts, completions=completions)
    assert [verdict.detail for verdict in verdicts] == ["one a x", "two b x", "one c x"]


def test_a_verifier_that_the_run_does_not_have_is_an_error_not_a_fail(run: Run) -> None:
    _, hooks = built({"one": Says(name="one")})
    prompt = Prompt("a", verifier="gone")
    (verdict,) = hooks.verify(run=run, prompts=[prompt], completions=[Completion("a", 0, "x")])
    assert verdict.status is Status.ERROR
    assert "gone" in verdict.detail


def test_seeds_are_the_cycles_own(run: Run, make_sample: Make) -> None:
    seeds: dict[str, int] = {}

    @driver
    class Picking(Selector):
        def select(self, samples: Sequence[Sample], context: SelectionContext) -> Sequence[Sample]:
            seeds["select"] = context.seed
            return samples

    @driver
    class Training(FakeTrainer):
        def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
            seeds["train"] = context.seed
            return FakeTrainer().train(samples, context)

    _, hooks = built(selector=Picking(), trainer=Training())
    samples = [make_sample("t0")]
    hooks.select(run=run, cycle=3, samples=samples)
    hooks.train(run=run, cycle=3, samples=samples, lr=0.1)
    assert seeds == {"select": derive_seed(7, 3, "select"), "train": derive_seed(7, 3, "train")}


def test_the_policy_is_told_how_many_cycles_there_are(tmp_path: Path) -> None:
    @driver
    class Counting(FakePolicy):
        def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
            return cycle / cycles

    _, hooks = built(lr_policy=Counting())
    run, _ = fake_run(tmp_path, cycles=4)
    assert hooks.lr_for_cycle(run=run, cycle=1, history=()) == 0.25


def test_progress_shows_each_step(run: Run, make_sample: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int | None, str]] = []
    monkeypatch.setattr(run.progress, "stage", recording(steps))
    _, hooks = built(trainer=FakeTrainer())
    hooks.train(run=run, cycle=1, samples=[make_sample("t0")], lr=0.1)
    assert steps == [(1, 1, "loss 0.700")]


def recording(steps: list[tuple[int, int | None, str]]) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def stage(name: str, total: int, unit: str) -> Any:
        yield lambda count=1, *, total=None, note="": steps.append((count, total, note))

    return stage


def test_where_the_answers_to_each_hook_come_from() -> None:
    made, _ = built({"one": Says(name="one"), "two": Says(name="two")}, generator=FakeGenerator())
    assert {hook: [s.kind for s in found] for hook, found in made.by_hook().items()} == {
        **{hook: [kind] for hook, kind in KINDS.items()},
        "verify": ["verifier", "verifier"],
    }


@driver
class Refuses(FakeTrainer):
    """Refuses every model."""

    def check_model(self, actor: Actor) -> None:
        raise ModelError("LoRA does not fit this model")


def test_the_trainer_checks_the_model_before_anything_is_sampled(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path, trainer=Refuses())
    with pytest.raises(ModelError, match="LoRA does not fit"):
        run_cycles(run, hooks)
    assert not run.ledger.reports()


def test_a_run_that_trains_nothing_does_not_ask_the_trainer(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path, trainer=Refuses(), cycles=0)
    assert len(run_cycles(run, hooks)) == 1
