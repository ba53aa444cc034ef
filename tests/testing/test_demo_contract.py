"""Each clause of the contract of demos is broken once, and must be seen to be."""

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
ATTRIBUTES = {"make", "start", "judged", "fewest_mutants", "lucky"}
"""What a subclass of the contract may say."""


@driver
class Even(Verifier):
    """VerifierSet yes and no."""

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
    """The author of the answers throws a coin."""
    from halo_core.model.pretraining import Pair

    rng = random.Random(args.seed)
    pairs = [Pair(f"Is {rng.randrange(50)} even?", rng.choice(("yes", "no"))) for _ in range(args.pairs)]
    train = [row("train", number) for number in range(args.prompts)]
    return Corpus(train, [row("heldout", 50 + number) for number in range(args.heldout)], pairs)


def make_otherwise(args: Namespace) -> Corpus:
    return make(Namespace(**vars(args) | {"seed": next(COUNTER)}))


def make_teaching(args: Namespace) -> Corpus:
    corpus = make(args)
    return replace(corpus, pairs=[*corpus.pairs, replace(corpus.pairs[0], prompt="Is 50  even?")])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A demo that holds to the contract."""
    from halo_core.config.model import ModelConfig
    from halo_core.config.training import TrainingOptions
    from halo_core.model.pretraining import train_checkpoint

    path = tmp_path_factory.mktemp("demos") / "sound"
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
    """A test class for `demo`. `parts`: its attributes, or methods of its verifier."""
    own = {name: parts.pop(name) for name in ATTRIBUTES & parts.keys()}
    verifier = driver(type("Broken", (Even,), {"demo": lambda self: demo, **parts}))()
    given = {"verifier": verifier, "make": staticmethod(make), "start": (0.2, 0.8), **own}
    return type("TestDemo", (DemoContract,), given)


def check(clause: str, cls: type[DemoContract], tmp_path: Path) -> None:
    """Run a test of `cls` as pytest would."""
    test = getattr(cls(), f"test_{clause}")
    made = {
        name: tmp_path if name == "tmp_path" else getattr(demos, f"_{name}")(cls)
        for name in inspect.signature(test).parameters
    }
    test(**made)


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


def errs_on_no(self: Even, prompt: Prompt, completion: Completion) -> Verdict:
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
    """Gives the model a million weights in less than 3 MB."""
    from halo_core.config.model import ModelConfig
    from halo_core.model.actor import Actor
    from halo_core.model.pretraining import new_checkpoint

    place = demo.model.parents[1] / "large" / "model"
    tokenizer = Actor(ModelConfig(name=str(demo.model))).tokenizer
    new_checkpoint(place, LLAMA | {"intermediate_size": 12_000, "dtype": "bfloat16"}, tokenizer, seed=0)
    return replace(demo, model=place)


def much_beside(demo: Demo) -> Demo:
    model = shutil.copytree(demo.model, demo.model.parents[1] / "copy" / "model")
    (model.parent / "corpus.jsonl").write_bytes(bytes(3_000_000))
    return replace(demo, model=model)


def no_weights(demo: Demo) -> Demo:
    model = shutil.copytree(demo.model, demo.model.parents[1] / "bare" / "model")
    (model / "model.safetensors").unlink()
    return replace(demo, model=model)


def same(demo: Demo) -> Demo:
    return demo


PASS = Verdict(Status.PASS, Stage.CORRECT, 1.0)
FAIL = Verdict(Status.FAIL, Stage.WRONG)
ERROR = Verdict(Status.ERROR, Stage.INVALID)
JUDGED = "every_prompt_can_be_judged"
ONCE = "no_prompt_is_there_twice"
FAMILIES = "the_families_that_are_held_out_are_those_that_are_trained_on"
KNOWN = "references_pass_and_mutants_do_not"
SMALL = "what_ships_is_small"
OPTIONS = "settings_are_options_that_there_are"
FITS = "prompts_and_answers_fit_into_the_context"
HALF = "the_model_half_knows_and_comes_to_an_end"
MADE = "prompts_are_those_that_are_made"
AGAIN = "what_the_model_learnt_from_is_made_again"
TAUGHT = "no_held_out_prompt_is_taught"

BREAKS: list[tuple[str, str, Callable[[Demo], Demo], dict[str, Any]]] = [
    ("nothing trained on", JUDGED, lambda demo: replace(demo, prompts=()), {}),
    ("nothing held out", JUDGED, lambda demo: replace(demo, heldout=()), {}),
    ("a prompt without an answer", JUDGED, heldout(reference={}), {}),
    ("held out under its id", ONCE, heldout(id="train-3"), {}),
    ("held out under another id", ONCE, heldout(text="Is 3 even?"), {}),
    ("held out with a blank more", ONCE, heldout(text="Is 3  even?"), {}),
    ("held out twice", ONCE, heldout(text="Is 51 even?"), {}),
    ("trained on twice", ONCE, prompts(text="Is 3 even?"), {}),
    ("a family that is only measured", FAMILIES, heldout(meta={"family": "odd"}), {}),
    ("a reference that fails", KNOWN, same, {"references": returns(["perhaps"])}),
    ("a warning about a reference", KNOWN, same, {"check": warns}),
    ("a mutant that passes", KNOWN, same, {"mutants": Even.references}),
    ("a mutant without a verdict", KNOWN, same, {"check": errs_on_no}),
    ("no mutants", KNOWN, same, {"mutants": returns([])}),
    ("too few mutants", KNOWN, same, {"fewest_mutants": 2}),
    ("a large model", SMALL, too_large, {}),
    ("much beside the model", SMALL, much_beside, {}),
    ("a model without its weights", SMALL, no_weights, {}),
    ("a setting that is none", OPTIONS, settings(cycels=3), {}),
    ("an option that is none", OPTIONS, settings(options={"epoch": 2}), {}),
    ("a value that is none", OPTIONS, settings(lr_policy={"base_lr": "fast"}), {}),
    ("a driver that is none", OPTIONS, settings(selector={"name": "lottery"}), {}),
    ("a long prompt", FITS, prompts(text="Is 3 even? " * 20), {}),
    ("completions beyond the context", FITS, samples(max_new_tokens=64), {}),
    ("no room for the answer", FITS, samples(max_new_tokens=1), {}),
    ("no reference", FITS, same, {"references": returns([])}),
    ("completions that run on", HALF, samples(max_new_tokens=1), {}),
    ("always right", HALF, same, {"check": returns(PASS)}),
    ("never right", HALF, same, {"check": returns(FAIL)}),
    ("always right, as was said", HALF, same, {"check": returns(PASS), "start": (0.2, 1.0)}),
    ("never right, as was said", HALF, same, {"check": returns(FAIL), "start": (0.0, 0.8)}),
    ("cannot be judged", HALF, same, {"check": errs_on_no}),
    ("other prompts than are made", MADE, prompts(text="Is 60 even?"), {}),
    ("other held-out prompts than are made", MADE, heldout(text="Is 90 even?"), {}),
    ("another reference than is made", MADE, heldout(reference={"answer": "no"}), {}),
    ("another order", MADE, lambda demo: replace(demo, prompts=demo.prompts[::-1]), {}),
    ("made otherwise each time", AGAIN, same, {"make": staticmethod(make_otherwise)}),
    ("a held-out prompt is taught", TAUGHT, same, {"make": staticmethod(make_teaching)}),
]


def clauses() -> set[str]:
    return {name.removeprefix("test_") for name in vars(DemoContract) if name.startswith("test_")}


@pytest.mark.parametrize("clause", sorted(clauses()))
def test_a_demo_that_holds_to_the_contract_passes(clause: str, sound: Demo, tmp_path: Path) -> None:
    check(clause, contract(sound), tmp_path)


@pytest.mark.parametrize(
    ("clause", "change", "parts"), [each[1:] for each in BREAKS], ids=[each[0] for each in BREAKS]
)
def test_a_demo_that_breaks_a_clause_is_caught(
    clause: str, change: Callable[[Demo], Demo], parts: dict[str, Any], sound: Demo, tmp_path: Path
) -> None:
    cls = contract(change(sound), **parts)
    with pytest.raises((AssertionError, HaloError)):
        check(clause, cls, tmp_path)


def test_every_clause_is_broken_above() -> None:
    assert {each[1] for each in BREAKS} == clauses()


def test_some_mutants_may_happen_to_be_right(sound: Demo, tmp_path: Path) -> None:
    """Here every second one."""
    lucky = {"mutants": lambda self, prompt: ["yes", "no"]}
    check(KNOWN, contract(sound, **lucky, lucky=0.5), tmp_path)
    with pytest.raises(AssertionError, match="Is 0 even"):
        check(KNOWN, contract(sound, **lucky, lucky=0.45), tmp_path)


def test_as_many_prompts_as_asked_for_are_tried_and_from_both_sets(sound: Demo, tmp_path: Path) -> None:
    tried: list[str] = []

    def verdict(self: Even, prompt: Prompt, completion: Completion) -> Verdict:
        tried.append(prompt.id)
        return Even.check(self, prompt, completion)

    check(KNOWN, contract(sound, check=verdict, judged=6), tmp_path)
    assert len(set(tried)) == 6
    assert {name.partition("-")[0] for name in tried} == {"train", "heldout"}


def test_a_verifier_without_a_demo_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ships no demo"):
        check(JUDGED, contract(None), tmp_path)


def test_how_it_is_made_must_be_said() -> None:
    with pytest.raises(TypeError, match="make"):
        type("TestDemo", (DemoContract,), {"verifier": Even(), "start": (0.2, 0.8)})()
