"""The contract of generators: halo's own satisfies it, and broken ones fail each of its tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import one_thread

from halo_core.drivers import Generator, driver
from halo_core.drivers.transformers import Transformers
from halo_core.errors import HaloError, PluginError
from halo_core.model.actor import Actor
from halo_core.model.contexts import SamplingContext, Weights
from halo_core.testing import GeneratorContract, tiny_actor
from halo_core.types import Completion, Prompt, SamplingRequest

__all__ = ["one_thread"]
OPTIONS: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8, "batch_tokens": 160}


class TestTransformers(GeneratorContract):
    @pytest.fixture
    def generator(self) -> Generator:
        return Transformers(**OPTIONS)


@driver
class Silent(Transformers):
    """Records no log-probabilities and no token ids."""

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        for batch in Transformers.generate(self, request, context):
            yield [
                Completion(it.prompt_id, it.index, it.text, finish_reason=it.finish_reason) for it in batch
            ]


class TestSilent(TestTransformers):
    @pytest.fixture
    def generator(self) -> Generator:
        return Silent(**OPTIONS)


def changing(**fields: Any) -> Generator:
    """Return a generator whose completions have other fields."""
    return each(lambda completion: replace(completion, **fields))


def each(change: Callable[[Completion], Completion]) -> Generator:
    return batches(lambda batches: ([change(completion) for completion in batch] for batch in batches))


def batches(change: Callable[[Iterator[Sequence[Completion]]], Any]) -> Generator:
    def generate(self: Any, request: SamplingRequest, context: SamplingContext) -> Any:
        return change(Transformers.generate(self, request, context))

    return broken(generate=generate)


def requests(change: Callable[[SamplingRequest], SamplingRequest]) -> Generator:
    """Return a generator that samples for another request."""

    def generate(self: Any, request: SamplingRequest, context: SamplingContext) -> Any:
        return Transformers.generate(self, change(request), context)

    return broken(generate=generate)


def broken(**parts: Any) -> Generator:
    cls: type[Transformers] = type("Broken", (Transformers,), parts)
    return driver(cls)(**OPTIONS)


def raises(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def keeps_its_first_weights() -> Generator:
    """Return a generator that samples with a copy of the weights that it saw first."""
    copies: dict[str, Actor] = {}

    def generate(self: Any, request: SamplingRequest, context: SamplingContext) -> Any:
        own = copies.setdefault("own", Actor(context.actor.config))
        return Transformers.generate(self, request, replace(context, actor=own))

    return broken(generate=generate)


def one_change_late() -> Generator:
    """Return a generator that samples with the weights that it was told of before the last ones."""
    told: list[Weights] = [Weights()]

    def weights_changed(self: Any, weights: Weights, context: SamplingContext) -> None:
        told.append(weights)

    def generate(self: Any, request: SamplingRequest, context: SamplingContext) -> Any:
        own = Actor(context.actor.config)
        if (directory := told[-2].directory) is not None:
            own.load(directory)
        return Transformers.generate(self, request, replace(context, actor=own))

    return broken(generate=generate, weights_changed=weights_changed)


def only_loads_adapters() -> Generator:
    """Return a generator that keeps the adapter when the weights become untrained again."""
    own: dict[str, Actor] = {}

    def weights_changed(self: Any, weights: Weights, context: SamplingContext) -> None:
        actor = own.setdefault("own", Actor(context.actor.config))
        if weights.directory is not None:
            actor.load(weights.directory)

    def generate(self: Any, request: SamplingRequest, context: SamplingContext) -> Any:
        return Transformers.generate(self, request, replace(context, actor=own["own"]))

    return broken(generate=generate, weights_changed=weights_changed)


def counts_requests() -> Generator:
    numbers = count()
    return requests(lambda request: replace(request, seed=request.seed + next(numbers)))


def leaves_a_thread(self: Any, context: SamplingContext) -> None:
    threading.Thread(target=threading.Event().wait, args=(5,), daemon=True).start()


def draws_globally(self: Any, context: SamplingContext) -> None:
    torch.rand(1)


def trains(self: Any, context: SamplingContext) -> None:
    with torch.no_grad():
        next(iter(context.actor.model.parameters())).add_(0.5)


def needs_a_finished_request(self: Any, context: SamplingContext) -> None:
    if context.session["unfinished"]:
        raise RuntimeError("a request is unfinished")


def sampling_in_session(self: Any, request: SamplingRequest, context: SamplingContext) -> Any:
    context.session["unfinished"] = True
    yield from Transformers.generate(self, request, context)
    context.session["unfinished"] = False


def forgets_its_seed() -> Generator:
    @driver
    class Forgets(Transformers):
        """Has an option that is not a field."""

        def generate(self, request: SamplingRequest, context: SamplingContext) -> Any:
            extra = vars(self).get("_extra", 0)
            return Transformers.generate(self, replace(request, seed=request.seed + extra), context)

    made = Forgets(**OPTIONS)
    vars(made)["_extra"] = 5
    return made


def seeded(seed: Callable[[SamplingRequest], int]) -> Generator:
    """Return a generator that takes its seed from something else, too."""
    return requests(lambda request: replace(request, seed=seed(request)))


def with_logprobs(values: Callable[[Completion], tuple[float, ...]]) -> Generator:
    return each(lambda completion: replace(completion, logprobs=values(completion)))


def with_options(**options: Any) -> Generator:
    return Transformers(**OPTIONS | options)


def repeats_a_batch(batches: Iterator[Sequence[Completion]]) -> list[Sequence[Completion]]:
    found = list(batches)
    return [*found, found[0]]


VIOLATIONS: dict[str, dict[str, Callable[[], Generator]]] = {
    "preflight_passes_here": {
        "preflight": lambda: broken(preflight=raises(PluginError("no server"))),
    },
    "every_prompt_gets_its_samples": {
        "a batch is missing": lambda: batches(lambda found: list(found)[1:]),
        "a batch is repeated": lambda: batches(repeats_a_batch),
        "all have index 0": lambda: changing(index=0),
        "another prompt": lambda: changing(prompt_id="other"),
        "a list of ids": lambda: each(lambda it: replace(it, token_ids=[*it.token_ids])),  # type: ignore[arg-type]
        "not completions": lambda: batches(lambda found: [[it.text for it in batch] for batch in found]),
        "an unknown finish reason": lambda: changing(finish_reason="eos"),
        "one log-probability": lambda: changing(logprobs=(-1.0,)),
    },
    "texts_and_tokens_agree": {
        "other text": lambda: each(lambda it: replace(it, text=it.text + ".")),
        "no prompt ids": lambda: changing(prompt_token_ids=()),
        "probabilities": lambda: with_logprobs(lambda it: (0.5,) * len(it.token_ids)),
    },
    "samples_are_drawn": {
        "the seed has no effect": lambda: seeded(lambda request: 0),
        "greedy": lambda: with_options(temperature=0.0),
    },
    "the_same_request_gives_the_same_batches": {
        "counts requests": counts_requests,
        "depends on the cycle": lambda: seeded(lambda request: request.seed + request.cycle),
        "depends on the split": lambda: seeded(lambda request: len(request.split)),
    },
    "a_request_resumes_after_the_stored_batches": {
        "ignores done": lambda: requests(lambda request: replace(request, done=0)),
        "seeds by done": lambda: seeded(lambda request: request.seed + request.done),
        "one batch": lambda: with_options(batch_tokens=9999),
    },
    "log_probabilities_are_those_of_the_actor": {
        "at temperature 2": lambda: with_logprobs(lambda it: tuple(p / 2 for p in it.logprobs or ())),
        "some have none": lambda: each(lambda it: replace(it, logprobs=None) if it.index else it),
    },
    "follows_the_weights": {
        "keeps its first weights": keeps_its_first_weights,
        "one change late": one_change_late,
        "never goes back": only_loads_adapters,
    },
    "a_resumed_run_samples_with_the_same_weights": {
        "keeps the adapter of a run": only_loads_adapters,
    },
    "an_unfinished_request_can_be_closed": {
        "close fails": lambda: broken(
            open=lambda self, context: {}, generate=sampling_in_session, close=needs_a_finished_request
        ),
    },
    "leaves_nothing_behind": {
        "a thread": lambda: broken(close=leaves_a_thread),
        "a file": lambda: broken(close=lambda self, context: Path("log").write_text("x")),
        "random state": lambda: broken(close=draws_globally),
        "weights": lambda: broken(close=trains),
    },
    "options_round_trip": {"hidden option": forgets_its_seed},
}


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param(name, make, id=violation)
        for name, makers in VIOLATIONS.items()
        for violation, make in makers.items()
    ],
)
def test_a_generator_that_violates_the_contract_is_caught(
    name: str,
    make: Callable[[], Generator],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    contract = TestTransformers()
    prompts = tuple(Prompt(f"p{n}", text) for n, text in enumerate(("Add 1 and 2.", "Print 3.", "Count.")))
    request = SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=4, seed=11)
    fixtures = {"generator": make(), "actor": tiny_actor(), "request_": request, "tmp_path": tmp_path}
    test = getattr(contract, f"test_{name}")
    names = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    with pytest.raises((AssertionError, HaloError, RuntimeError)):
        test(**{each: fixtures[each] for each in names})


def test_every_contract_test_is_violated_above() -> None:
    tests = {name for name in vars(GeneratorContract) if name.startswith("test_")}
    assert tests == {f"test_{name}" for name in VIOLATIONS}


def test_a_generator_that_is_neither_reproducible_nor_follows_the_weights(tmp_path: Path) -> None:
    class TestTeacher(TestTransformers):
        follows_weights = reproducible = False

    contract, actor = TestTeacher(), tiny_actor()
    request = SamplingRequest(
        cycle=1, split="train", prompts=(Prompt("p", "Add."),), samples_per_prompt=16, seed=1
    )
    contract.test_a_request_resumes_after_the_stored_batches(counts_requests(), actor, request)
    contract.test_an_unfinished_request_can_be_closed(counts_requests(), actor, request)
    generator = keeps_its_first_weights()
    contract.test_the_same_request_gives_the_same_batches(counts_requests(), actor, request)
    contract.test_log_probabilities_are_those_of_the_actor(generator, actor, request)
    for number, test in enumerate(
        (contract.test_follows_the_weights, contract.test_a_resumed_run_samples_with_the_same_weights)
    ):
        place = tmp_path / str(number)
        place.mkdir()
        test(generator, actor, request, place)


def test_a_teacher_that_samples_with_the_trained_weights_is_caught(tmp_path: Path) -> None:
    class Teacher(TestTransformers):
        follows_weights = False

    request = SamplingRequest(
        cycle=1, split="train", prompts=(Prompt("p", "Add."),), samples_per_prompt=16, seed=1
    )
    with pytest.raises(AssertionError, match="samples with the trained weights"):
        Teacher().test_follows_the_weights(Transformers(**OPTIONS), tiny_actor(), request, tmp_path)
