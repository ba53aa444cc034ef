"""The verifier as a whole: rungs, options, reference keys, limits."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_sympy import Sympy

Check = Callable[..., Verdict]

HARD = r"\sqrt{2+\sqrt{3}}+\sqrt[3]{5+\sqrt{7}}+\sqrt[5]{11+\sqrt[3]{13}}"


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        (r"\boxed{1/2}", Stage.CORRECT),
        (r"\boxed{1/3}", Stage.WRONG),
        (r"\boxed{(1, 2)}", Stage.WRONG),
        (r"\boxed{1/2x}", Stage.FLAWED),
        (r"\boxed{\frac{1}{2}", Stage.INVALID),
        ("one half", Stage.INVALID),
    ],
)
def test_rungs(check_completion: Check, text: str, stage: Stage) -> None:
    verdict = check_completion("0.5", text)
    assert verdict.stage is stage
    assert verdict.status is (Status.PASS if stage is Stage.CORRECT else Status.FAIL)
    assert verdict.score == (stage is Stage.CORRECT)
    assert verdict.integrity == "split"


def test_only_the_slow_path_needs_the_sandbox(check: Check) -> None:
    assert check("x^2-1", "(x-1)(x+1)").sandbox == "none"
    assert check("1", r"\sin^2 x+\cos^2 x").sandbox == "none"
    assert check("x^2-1", "(x-1)(x+2)").sandbox == "none"
    assert check("1", r"\sqrt{3+2\sqrt2}-\sqrt2").sandbox in ("strong", "standard")
    assert check("2", r"\sqrt{3+2\sqrt2}-\sqrt2").sandbox in ("strong", "standard")


def test_comparison_stops_at_its_cpu_limit_and_the_next_one_works(check: Check) -> None:
    other = HARD.replace(r"\sqrt{2+\sqrt{3}}", r"\frac{\sqrt{6}+\sqrt{2}+10^{-40}}{2}")
    verdict = check(HARD, other, {"cpu_seconds": 0.1})
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.CRASHED)
    assert "cpu limit" in verdict.detail
    assert check(r"1+\sqrt2", r"\sqrt{3+2\sqrt2}", {"cpu_seconds": 0.5}).status is Status.PASS


def test_agreeing_digits_are_not_a_proof(check: Check) -> None:
    ramanujan = r"e^{\pi\sqrt{163}}"
    assert check("262537412640768744", ramanujan).stage is Stage.WRONG
    assert check("0", r"e^{-\pi^9}").status is Status.FAIL
    assert check("1", r"1 - 10^{-300}\sin 1").status is Status.FAIL


def test_several_boxes_must_all_be_correct(check_completion: Check) -> None:
    assert check_completion("1/2", r"\boxed{1/2} or \boxed{0.5}").status is Status.PASS
    assert check_completion("1/2", r"\boxed{1/2} or \boxed{0.6}").status is Status.FAIL
    assert check_completion("1/2", r"\boxed{0.6} or \boxed{1/2}").status is Status.FAIL


def test_reads_after_the_last_mark(check_completion: Check) -> None:
    options = {"final_after": "</think>"}
    assert check_completion("5", r"\boxed{4}? no </think> \boxed{5}", options).status is Status.PASS
    assert check_completion("5", r"\boxed{5} </think> \boxed{4}", options).status is Status.FAIL
    assert check_completion("5", r"\boxed{5}", options).stage is Stage.INVALID
    assert check_completion("5", r"</think> \boxed{5} </think>", options).stage is Stage.INVALID


def test_location_of_the_answer(check_completion: Check) -> None:
    assert check_completion("5", "The answer is 5.", {"where": "phrase"}).status is Status.PASS
    assert check_completion("5", "The answer is 5.", {"where": "box"}).stage is Stage.INVALID
    assert check_completion("5", "2 + 3 = 5", {"where": "last"}).status is Status.PASS
    assert check_completion("5", "2 + 3 = 5\nand so on", {"where": "last"}).status is Status.FAIL


@pytest.mark.parametrize(
    ("gold", "answer", "form", "good"),
    [
        ("5/6", "5/6", "evaluated", True),
        ("5/6", "10/12", "evaluated", True),
        ("5/6", r"\frac12+\frac13", "evaluated", False),
        ("5/6", "1-1/6", "evaluated", False),
        ("-5/6", r"-\frac{5}{6}", "evaluated", True),
        ("7/2", r"3\frac12", "evaluated", True),
        ("3", "6/2", "evaluated", False),
        ("3", "--3", "evaluated", False),
        ("3", "3!/2", "evaluated", False),
        (r"2\sqrt3", r"2\sqrt{3}", "evaluated", True),
        (r"\frac{\pi}{4}", r"\frac{\pi}{4}", "evaluated", True),
        ("8", "2^3", "evaluated", False),
        ("3", r"\log_2 8", "evaluated", False),
        ("x^2+3x+2", "x^2+3x+2", "expanded", True),
        ("x^2+3x+2", "2+3x+x^2", "expanded", True),
        ("x^2+3x+2", "(x+1)(x+2)", "expanded", False),
        ("x^2+3x+2", "x(x+3)+2", "expanded", False),
        ("x^2+3x+2", "x^2+x+2x+2", "expanded", False),
        ("x^3", "x^2 x", "expanded", False),
        ("-x^2 y+x/2", r"\frac{x}{2}-x^2y", "expanded", True),
        ("x = 5", "5 = x", "solved", True),
        ("x = 5", "2x = 10", "solved", False),
        ("x = 5", "x-5 = 0", "solved", False),
        ("x < c-b", "x+b < c", "solved", False),
        ("x < c-b", "c-b > x", "solved", True),
        ("x = y", "y = x", "solved", True),
        ("x = 2y", "x = x/2+y", "solved", False),
        ("1 < x < 3", "3 > x > 1", "solved", True),
    ],
)
def test_forms(check: Check, gold: str, answer: str, form: str, good: bool) -> None:
    verdict = check(gold, answer, form=form)
    assert verdict.stage is (Stage.CORRECT if good else Stage.FLAWED), verdict.detail
    assert check(gold, answer, form="any").status is Status.PASS


def test_names_option(check: Check) -> None:
    assert check("5", "x = 5").status is Status.PASS
    assert check("5", "x = 5", names=False).status is Status.FAIL
    assert check("x = 5", "5").status is Status.FAIL
    assert check("(1, 2)", r"x \in (1, 2)").status is Status.FAIL
    assert check("5", r"x \in 5").status is Status.FAIL


@pytest.mark.parametrize(
    ("reference", "word"),
    [
        ({}, "no answer"),
        ({"answer": ""}, "no answer"),
        ({"answer": 5}, "no answer"),
        ({"answer": "5", "anser": "6"}, "answer"),
        ({"answer": "1/0"}, "own"),
        ({"answer": "(12,000)"}, "one number or several"),
        ({"answer": r"\frac{1}{2"}, "own"),
        ({"answer": r"\sum_{k=1}^n k"}, "own"),
        ({"answer": "0 = 0"}, "own"),
        ({"answer": "(x+1)(x+2)", "form": "expanded"}, "own"),
        ({"answer": "5", "form": "neat"}, "form"),
        ({"answer": "5", "kind": "essay"}, "kind"),
        ({"answer": "5", "rtol": -1}, "rtol"),
        ({"answer": "5", "rtol": True}, "rtol"),
        ({"answer": "5", "ordered": "yes"}, "ordered"),
        ({"answer": "nothing like it", "kind": "choice"}, "choice"),
    ],
)
def test_invalid_references_are_reported_before_the_run(reference: dict[str, Any], word: str) -> None:
    with pytest.raises(DataError, match=word) as caught:
        Sympy().check_prompt(Prompt("p7", "task", reference=reference))
    assert "p7" in str(caught.value)


def test_keys_that_are_null_are_not_there(check: Check) -> None:
    absent = dict.fromkeys(
        ("kind", "form", "assume", "rtol", "atol", "ordered", "units", "names", "open_forms")
    )
    assert check("x+1", "1+x", **absent).status is Status.PASS
    assert check("x+1", "2+x", **absent).status is Status.FAIL
    assert check("3.14", "3.15", **(absent | {"rtol": 0.01})).status is Status.PASS
    prompt = Prompt("p", "Expand $(x+1)^2$.", reference={"answer": "x^2+2x+1", **absent})
    plain = Prompt("p", "Expand $(x+1)^2$.", reference={"answer": "x^2+2x+1"})
    verifier = Sympy()
    verifier.check_prompt(prompt)
    assert verifier.mutants(prompt) == verifier.mutants(plain)
    assert verifier.copied_answers(prompt) == verifier.copied_answers(plain) != []
    with pytest.raises(DataError, match="no answer"):
        verifier.check_prompt(Prompt("p", "task", reference={"answer": None}))


def test_fingerprint_depends_on_options() -> None:
    assert Sympy().fingerprint() != Sympy(thousands=True).fingerprint()
    assert "sympy 1." in Sympy().fingerprint()


def test_references_follow_the_location_options() -> None:
    prompt = Prompt("p", "task", reference={"answer": "1/2"})
    for options in ({}, {"where": "phrase"}, {"where": "last"}, {"final_after": "</think>"}):
        verifier = Sympy(**options)
        for text in verifier.references(prompt):
            assert verifier.check(prompt, Completion("p", 0, text)).status is Status.PASS


def test_many_threads_share_few_processes(check: Check) -> None:
    found: list[Status] = []

    def run(n: int) -> None:
        found.append(check(rf"(1+\sqrt2)\sin x + {n}", rf"\sin x\cdot\sqrt{{3+2\sqrt2}} + {n}").status)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Status.PASS] * 16
