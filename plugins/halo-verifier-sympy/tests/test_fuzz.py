"""Extraction, parsing and normal forms handle any text: only the documented exceptions, no hang.

HALO_FUZZ_INPUTS sets the number of inputs; 100,000 take some minutes.
"""

import os
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from growth import grows_linearly

from halo_verifier_sympy.compare import difference
from halo_verifier_sympy.criteria import Criteria
from halo_verifier_sympy.extract import final_answers
from halo_verifier_sympy.fast import FastDecider
from halo_verifier_sympy.forms import check_form
from halo_verifier_sympy.latex import latex
from halo_verifier_sympy.mutants import mutants
from halo_verifier_sympy.parser import parse
from halo_verifier_sympy.poly import Undecided
from halo_verifier_sympy.tree import Refused, Unreadable, free_variables

INPUTS = int(os.environ.get("HALO_FUZZ_INPUTS", "3000"))
LINES = Path(__file__).with_name("pairs.txt").read_text(encoding="utf-8").splitlines()
SEEDS = [part for line in LINES if line and line[0] != "#" for part in line.split(" ;; ")[:3]]
GOLDS = [
    parse(line.split(" ;; ")[0]) for line in LINES[1:60] if line and line[0] != "#" and "12000" not in line
]
PIECES = [
    *"0123456789xyzabcdefinpq+-*/^_=<>!|()[]{}.,:;'&%$~ \n\\",
    *re.findall(
        r"\S+",
        r"\frac \sqrt \pi \infty \pm \sin \cos \log \ln \sum_ \int \lim \to \cup \in \{ \} \text{ \left \right",
    ),
    *re.findall(
        r"\S+",
        r"\boxed{ \begin{pmatrix} \end{pmatrix} \\ & \mathbb{R} \overline{3} ^{ _{ }{ \circ \mid \binom \cdot",
    ),
    *re.findall(
        r"\S+",
        "sqrt sin or and in pi 12,000 1e5 10^ 9^9^9 ! cm km <!-- answer is ** == <= >= 0. .5 00 (1,2) [1,2)",
    ),
    *"²½٣х​‮é∞√π≤∪°𝟓①ﷺ\0\ud800\u00ad",
]


def texts(count: int, seed: int) -> Iterator[str]:
    """Yield texts: some are random pieces, most are answers with a few changes."""
    rng = random.Random(seed)
    for _ in range(count):
        if rng.random() < 0.3:
            text = "".join(rng.choices(PIECES, k=rng.randint(0, 40)))
        else:
            text = rng.choice(SEEDS)
            for _ in range(rng.choice((1, 1, 1, 2, 5))):
                place, piece = rng.randint(0, len(text)), rng.choice([*PIECES, rng.choice(SEEDS)])
                text = text[:place] + piece + text[place + rng.randint(0, 3) :]
        if rng.random() < 0.02:
            text *= rng.randint(2, 400)
        yield text


def _exercise(text: str, rng: random.Random) -> None:
    for where in ("auto", "box", "phrase", "last"):
        try:
            found = final_answers(text if rng.random() < 0.5 else rf"\boxed{{{text}}}", where)
        except (Refused, Unreadable):
            continue
        assert found
    tree = parse(text)
    latex(tree)
    free_variables(tree)
    check_form(tree, "expanded", tree)
    difference(rng.choice(GOLDS), tree, Criteria(open_forms=True), FastDecider())
    difference(tree, tree, Criteria(ordered=False), FastDecider())


def test_any_text_is_handled() -> None:
    rng = random.Random(1)
    read = 0
    for text in texts(INPUTS, 0):
        try:
            _exercise(text, rng)
            read += 1
        except (Refused, Unreadable, Undecided):
            pass
    assert read > INPUTS / 20, "most texts are nonsense, but not all"


@pytest.mark.parametrize(
    "piece", ["(", "{", r"\frac", "9", "x^", "-", "|", r"\boxed{", "%", "answer is ", "$a", "1,000"]
)
def test_long_and_deep_texts_take_linear_time(piece: str) -> None:
    def exercise(size: int) -> None:
        text = piece * size
        for each in (text, rf"\boxed{{{text[:1900]}}}", text + r"\boxed{1}"):
            with suppress(Refused, Unreadable, Undecided):
                _exercise(each, random.Random(0))

    assert grows_linearly(exercise, 50_000)


def test_latex_output_parses_to_an_equal_answer() -> None:
    for text in SEEDS:
        try:
            tree = parse(text)
        except (Refused, Unreadable):
            continue
        again = parse(latex(tree))
        try:
            assert difference(tree, again, Criteria(open_forms=True), FastDecider()) == "", (
                text,
                latex(tree),
            )
        except (Refused, Undecided):
            assert latex(parse(latex(again))) == latex(again)


def test_mutants_of_readable_answers_are_readable() -> None:
    for text in texts(150, 7):
        try:
            parse(text)
        except (Refused, Unreadable):
            continue
        for mutant in mutants({"answer": text}):
            parse(mutant)
