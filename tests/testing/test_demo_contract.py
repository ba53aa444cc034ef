"""The contract of demos catches demos that violate it: each of its tests is made to fail at least once."""

from __future__ import annotations

import inspect
import itertools
import random
import shutil
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.demo.build import TEMPLATE, Corpus
from halo_core.drivers import Demo, Verifier, driver
from halo_core.errors import DataError, HaloError
from halo_core.testing import DemoContract, demos
from halo_core.types import Completion, Prompt, Stage, Status, Verdict

LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
SETTINGS = {"cycles": 2, "generator": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8}}
COUNTER = itertools.count()
ATTRIBUTES = {"make", "initial_pass_rate", "checked_prompts", "min_mutants", "lucky_mutants"}
"""Attributes that a subclass of the contract may set."""


@driver
class Even(Verifier):
    """Verifies answers of yes and no."""

    def check_prompt(self, prompt: Prompt) -> None:
        if prompt.reference.get("answer") not in ("yes", "no"):
            raise DataError("no answer")

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        if completion.text == prompt.reference["answer"]:
            return Verdict(Status.PASS, Stage.CORRECT, 1.0)
        return Verdict(Status.FAIL, Stage.WRONG)

    def references(self, prompt: Prompt) -> Sequence[str]:
        return [prompt.reference["answer"]]

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        return [{"yes": "no", "no": "yes"}[prompt.reference["answer"]]]


def row(name: str, number: int) -> dict[str, Any]:
    answer = "no" if number % 2 else "yes"
    prompt = f"Is {number} even?"
    return {"id": f"{name}-{number}", "prompt": prompt, "reference": {"answer": answer}, "family": "even"}


def make(args: Namespace) -> Corpus:
    """Return a corpus with random answers."""
    from halo_core.model.pretraining import Pair

    rng = random.Random(args.seed)
    pairs = [Pair(f"Is {rng.randrange(50)} even?", rng.choice(("yes", "no"))) for _ in range(args.pairs)]
    train = [row("train", number) for number in range(args.prompts)]
    return Corpus(train, [row("heldout", 50 + number) for number in range(args.heldout)], pairs)


def make_irreproducibly(args: Namespace) -> Corpus:
    return make(Namespace(**vars(args) | {"seed": next(COUNTER)}))


def make_leaking(args: Namespace) -> Corpus:
    corpus = make(args)
    return replace(corpus, pairs=[*corpus.pairs, replace(corpus.pairs[0], prompt="Is 50  even?")])


@pytest.fixture(scope="module")
def valid_demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Return a demo that satisfies the contract."""
    from halo_core.config.model import ModelConfig
    from halo_core.config.training import TrainingOptions
    from halo_core.model.pretraining import train_checkpoint

    path = tmp_path_factory.mktemp("demos") / "valid"
    corpus = make(Namespace(prompts=8, heldout=16, pairs=1000, seed=0))
    train_checkpoint(
        corpus.pairs,
        path / "model",
        model=ModelConfig(device="cpu"),
        architecture=LLAMA,
        vocab_size=300,
        chat_template=TEMPLATE,
        options=TrainingOptions(full=True, batch_size=32),
        lr=1e-2,
    )
    prompts, heldout = (
        tuple(demos._loaded(rows, path.parent / "rows.jsonl")) for rows in (corpus.prompts, corpus.heldout)
    )
    return Demo(prompts, heldout, path / "model", SETTINGS)


def contract(demo: Demo | None, **parts: Any) -> type[DemoContract]:
    """Return a test class for `demo`. `parts`: its attributes, or methods of its verifier."""
    attributes = {name: parts.pop(name) for name in ATTRIBUTES & parts.keys()}
    broken: type[Even] = type("Broken", (Even,), {"demo": lambda self: demo, **parts})
    defaults = {"verifier": driver(broken)(), "make": staticmethod(make), "initial_pass_rate": (0.2, 0.8)}
    return type("TestDemo", (DemoContract,), defaults | attributes)


def check(name: str, cls: type[DemoContract], tmp_path: Path) -> None:
    """Run the test `name` of `cls` like pytest."""
    test = getattr(cls(), f"test_{name}")
    fixtures = {
        fixture: tmp_path if fixture == "tmp_path" else getattr(demos, f"_{fixture}")(cls)
        for fixture in inspect.signature(test).parameters
    }
    test(**fixtures)


def first(prompts: Sequence[Prompt], **changes: Any) -> tuple[Prompt, ...]:
    return (replace(prompts[0], **changes), *prompts[1:])


def settings(**changes: Any) -> Callable[[Demo], Demo]:
    return lambda demo: replace(demo, settings={**SETTINGS, **changes})


def prompts(**changes: Any) -> Callable[[Demo], Demo]:
    return lambda demo: replace(demo, prompts=first(demo.prompts, **changes))


def heldout(**changes: Any) -> Callable[[Demo], Demo]:
    return lambda demo: replace(demo, heldout=first(demo.heldout, **changes))


def warns(self: Even, prompt: Prompt, completion: Completion) -> Verdict:
    return replace(Even.check(self, prompt, completion), warnings=1)


def error_on_no(self: Even, prompt: Prompt, completion: Completion) -> Verdict:
    return (
        ERROR
        if completion.text == "no" != prompt.reference["answer"]
        else Even.check(self, prompt, completion)
    )


def returns(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def samples(**changes: Any) -> Callable[[Demo], Demo]:
    return settings(generator={"temperature": 1.0, "top_p": 1.0, **changes})


def too_large(demo: Demo) -> Demo:
    """Return the demo with a model of more than a million parameters in less than 3 MB."""
    from halo_core.config.model import ModelConfig
    from halo_core.model.actor import Actor
    from halo_core.model.pretraining import new_checkpoint

    directory = demo.model.parents[1] / "large" / "model"
    tokenizer = Actor(ModelConfig(name=str(demo.model))).tokenizer
    new_checkpoint(directory, LLAMA | {"intermediate_size": 12_000, "dtype": "bfloat16"}, tokenizer, seed=0)
    return replace(demo, model=directory)


def large_files(demo: Demo) -> Demo:
    model = shutil.copytree(demo.model, demo.model.parents[1] / "copy" / "model")
    (model.parent / "corpus.jsonl").write_bytes(bytes(3_000_000))
    return replace(demo, model=model)


def without_weights(demo: Demo) -> Demo:
    model = shutil.copytree(demo.model, demo.model.parents[1] / "bare" / "model")
    (model / "model.safetensors").unlink()
    return replace(demo, model=model)


def same(demo: Demo) -> Demo:
    return demo


PASS = Verdict(Status.PASS, Stage.CORRECT, 1.0)
FAIL = Verdict(Status.FAIL, Stage.WRONG)
ERROR = Verdict(Status.ERROR, Stage.INVALID)
ACCEPTED = "verifier_accepts_every_prompt"
DISTINCT = "prompts_are_distinct"
FAMILIES = "training_and_held_out_families_are_the_same"
ANSWERS = "references_pass_and_mutants_fail"
SMALL = "demo_is_small"
SETTINGS_VALID = "settings_are_valid"
FITS = "prompts_and_answers_fit_into_the_context"
PASS_RATE = "model_passes_sometimes_and_ends_its_completions"
PROMPTS = "prompts_are_reproducible"
PAIRS = "pairs_are_reproducible"
LEAK = "no_held_out_prompt_is_in_the_corpus"

VIOLATIONS: list[tuple[str, str, Callable[[Demo], Demo], dict[str, Any]]] = [
    ("no training prompts", ACCEPTED, lambda demo: replace(demo, prompts=()), {}),
    ("no held-out prompts", ACCEPTED, lambda demo: replace(demo, heldout=()), {}),
    ("a prompt without a reference", ACCEPTED, heldout(reference={}), {}),
    ("a held-out prompt with the id of a training prompt", DISTINCT, heldout(id="train-3"), {}),
    ("a held-out prompt with the text of a training prompt", DISTINCT, heldout(text="Is 3 even?"), {}),
    ("a held-out prompt that differs in white space", DISTINCT, heldout(text="Is 3  even?"), {}),
    ("two equal held-out prompts", DISTINCT, heldout(text="Is 51 even?"), {}),
    ("two equal training prompts", DISTINCT, prompts(text="Is 3 even?"), {}),
    ("a family that is only held out", FAMILIES, heldout(meta={"family": "odd"}), {}),
    ("a reference that fails", ANSWERS, same, {"references": returns(["perhaps"])}),
    ("a reference with a warning", ANSWERS, same, {"check": warns}),
    ("a mutant that passes", ANSWERS, same, {"mutants": Even.references}),
    ("a mutant with a verdict of error", ANSWERS, same, {"check": error_on_no}),
    ("no mutants", ANSWERS, same, {"mutants": returns([])}),
    ("too few mutants", ANSWERS, same, {"min_mutants": 2}),
    ("a large model", SMALL, too_large, {}),
    ("large files next to the model", SMALL, large_files, {}),
    ("a model without its weights", SMALL, without_weights, {}),
    ("an unknown setting", SETTINGS_VALID, settings(cycels=3), {}),
    ("an unknown option", SETTINGS_VALID, settings(options={"epoch": 2}), {}),
    ("an invalid value", SETTINGS_VALID, settings(lr_policy={"base_lr": "fast"}), {}),
    ("an unknown driver", SETTINGS_VALID, settings(selector={"name": "lottery"}), {}),
    ("a long prompt", FITS, prompts(text="Is 3 even? " * 20), {}),
    ("completions beyond the context", FITS, samples(max_new_tokens=64), {}),
    ("no room for the answer", FITS, samples(max_new_tokens=1), {}),
    ("no reference", FITS, same, {"references": returns([])}),
    ("truncated completions", PASS_RATE, samples(max_new_tokens=1), {}),
    ("always right", PASS_RATE, same, {"check": returns(PASS)}),
    ("never right", PASS_RATE, same, {"check": returns(FAIL)}),
    (
        "always right, as configured",
        PASS_RATE,
        same,
        {"check": returns(PASS), "initial_pass_rate": (0.2, 1.0)},
    ),
    (
        "never right, as configured",
        PASS_RATE,
        same,
        {"check": returns(FAIL), "initial_pass_rate": (0.0, 0.8)},
    ),
    ("a verdict of error", PASS_RATE, same, {"check": error_on_no}),
    ("other training prompts than `make` returns", PROMPTS, prompts(text="Is 60 even?"), {}),
    ("other held-out prompts than `make` returns", PROMPTS, heldout(text="Is 90 even?"), {}),
    ("another reference than `make` returns", PROMPTS, heldout(reference={"answer": "no"}), {}),
    ("another order", PROMPTS, lambda demo: replace(demo, prompts=demo.prompts[::-1]), {}),
    ("other pairs on each call", PAIRS, same, {"make": staticmethod(make_irreproducibly)}),
    ("a held-out prompt in the corpus", LEAK, same, {"make": staticmethod(make_leaking)}),
]


def contract_tests() -> set[str]:
    return {name.removeprefix("test_") for name in vars(DemoContract) if name.startswith("test_")}


@pytest.mark.parametrize("name", sorted(contract_tests()))
def test_a_valid_demo_passes(name: str, valid_demo: Demo, tmp_path: Path) -> None:
    check(name, contract(valid_demo), tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "parts"), [row[1:] for row in VIOLATIONS], ids=[row[0] for row in VIOLATIONS]
)
def test_a_demo_that_violates_the_contract_is_caught(
    name: str, change: Callable[[Demo], Demo], parts: dict[str, Any], valid_demo: Demo, tmp_path: Path
) -> None:
    cls = contract(change(valid_demo), **parts)
    with pytest.raises((AssertionError, HaloError)):
        check(name, cls, tmp_path)


def test_every_contract_test_is_violated_above() -> None:
    assert {row[1] for row in VIOLATIONS} == contract_tests()


def test_lucky_mutants_limits_the_mutants_that_pass(valid_demo: Demo, tmp_path: Path) -> None:
    mutants = {"mutants": lambda self, prompt: ["yes", "no"]}
    check(ANSWERS, contract(valid_demo, **mutants, lucky_mutants=0.5), tmp_path)
    with pytest.raises(AssertionError, match="Is 0 even"):
        check(ANSWERS, contract(valid_demo, **mutants, lucky_mutants=0.45), tmp_path)


def test_checked_prompts_are_drawn_from_both_splits(valid_demo: Demo, tmp_path: Path) -> None:
    verified: list[str] = []

    def verdict(self: Even, prompt: Prompt, completion: Completion) -> Verdict:
        verified.append(prompt.id)
        return Even.check(self, prompt, completion)

    check(ANSWERS, contract(valid_demo, check=verdict, checked_prompts=6), tmp_path)
    assert len(set(verified)) == 6
    assert {name.partition("-")[0] for name in verified} == {"train", "heldout"}


def test_a_verifier_without_a_demo_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ships no demo"):
        check(ACCEPTED, contract(None), tmp_path)


def test_make_is_abstract() -> None:
    with pytest.raises(TypeError, match="make"):
        type("TestDemo", (DemoContract,), {"verifier": Even(), "initial_pass_rate": (0.2, 0.8)})()
