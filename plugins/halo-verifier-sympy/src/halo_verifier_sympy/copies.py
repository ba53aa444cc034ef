"""Answers that repeat an expression of the prompt: (x+1)^2 does not answer "Expand (x+1)^2".

Expressions are compared by their skeleton, which ignores order, brackets and factors of one, but evaluates nothing. A
plain number of the prompt may be the answer; so may an expression that the reference writes in the same way.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

from halo_core.types import Prompt
from halo_verifier_sympy.evaluated import is_literal
from halo_verifier_sympy.latex import latex
from halo_verifier_sympy.notation import read_reference
from halo_verifier_sympy.parser import parse
from halo_verifier_sympy.tree import (
    EXPRESSIONS,
    FUNCTIONS,
    PERCENT,
    Refused,
    Tree,
    Unreadable,
    children,
    map_children,
    walk,
)

_MAX_CHARACTERS = 8000
_MAX_EXPRESSIONS = 200
_MAX_COPIES = 8

_FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_FUNCTION_WORD = re.compile(rf"(?:{'|'.join(sorted(FUNCTIONS, key=len, reverse=True))}|log|sqrt|pi|d?[a-z])+")
_PLAIN = frozenset({"num", "sym", "const", "space"})


def check_not_copied(answer: Tree, gold: Tree, prompt: Prompt) -> None:
    """Raise `Refused` if the prompt has a part of `answer` that the reference does not have."""
    if answer[0] in _PLAIN or not (text := text_of(prompt)):
        return
    parts = [part for part in _parts(answer) if _has_operation(part)]
    copied = _skeletons_oftext_of(text) if parts else frozenset()
    found = copied & set(map(_skeleton, parts)) if copied else frozenset()
    if found and found - _skeletons(gold):
        raise Refused("an expression of the task in place of its result")


def copied_expressions(prompt: Prompt, *, thousands: bool) -> list[str]:
    """Return the expressions of the prompt that the reference does not have; none if any form is accepted."""
    reference = prompt.reference
    if reference.get("kind", "value") != "value" or reference.get("form") == "any":
        return []
    gold = _skeletons(read_reference(reference["answer"], thousands).tree)
    found = []
    for text, tree in _expressions(text_of(prompt)):
        sides = tree[2] if tree[0] == "rel" else ()
        for part, written in ((tree, text), *((side, latex(side)) for side in sides)):
            if _has_operation(part) and _skeleton(part) not in gold:
                found.append(written)
    return list(dict.fromkeys(found))[:_MAX_COPIES]


def text_of(prompt: Prompt) -> str:
    """Return the task as text, whatever form it has."""
    return prompt.text or "\n".join(message.get("content", "") for message in prompt.messages)


def _parts(tree: Tree) -> Iterator[Tree]:
    """Yield what must not be copied: expressions, and relations; of a = b = c, the part that is not a copy counts."""
    if tree[0] == "rel":
        yield tree
        if set(tree[1]) == {"="} and len(tree[2]) == 2 and not _has_operation(tree[2][0]):
            yield tree[2][1]
    elif tree[0] in EXPRESSIONS:
        yield tree
    else:
        for child in children(tree):
            yield from _parts(child)


def _has_operation(tree: Tree) -> bool:
    """Return whether something is left to work out: more than a variable, or a number in lowest terms."""
    if tree[0] == "rel":
        return any(map(_has_operation, tree[2]))
    if tree[0] not in EXPRESSIONS or tree[0] in _PLAIN:
        return False
    if tree[0] == "neg":
        return _has_operation(tree[1])
    if tree[0] == "div" and is_literal(tree):
        numbers = [part[1] if part[0] == "neg" else part for part in tree[1:]]
        return math.gcd(numbers[0][1], numbers[1][1]) > 1
    return bool(tree[0] != "mul" or tree[1][-1] != PERCENT or not is_literal(tree))


@lru_cache(maxsize=4096)
def _skeletons_oftext_of(text: str) -> frozenset[Any]:
    found: set[Any] = set()
    for _, tree in _expressions(text):
        found |= _skeletons(tree)
    return frozenset(found)


def _skeletons(tree: Tree) -> set[Any]:
    return {_skeleton(part) for part in walk(tree) if _has_operation(part)}


def _expressions(text: str) -> Iterator[tuple[str, Tree]]:
    """Yield the formulas of a text, and the runs of words that read as one."""
    text = text[:_MAX_CHARACTERS]
    candidates = [next(filter(None, match.groups())) for match in _FORMULA.finditer(text)]
    candidates += _runs(_FORMULA.sub(" ; ", text))
    for candidate in candidates[:_MAX_EXPRESSIONS]:
        for part in (candidate, *re.split(r"[,;:]|\\quad", candidate)):
            part = part.strip(" \t\n.,;:?!")
            try:
                tree = parse(part)
            except (Refused, Unreadable):
                continue
            yield part, tree
            break


def _runs(text: str) -> Iterator[str]:
    """Yield the longest runs without words, such as (x+1)^2 in "Expand (x+1)^2."."""
    for line in text.splitlines():
        run: list[str] = []
        for word in [*line.split(), "end"]:
            if (
                all(_FUNCTION_WORD.fullmatch(name) for name in _WORD.findall(word)) and not word.isalpha()
            ) or len(word) == 1:
                run.append(word)
            elif run:
                yield " ".join(run)
                run = []
            if run and word[-1] in ".?!;:" and word != "!":
                yield " ".join(run)
                run = []


def _skeleton(tree: Tree) -> Any:
    """Return a tree in a form that is the same for x+1 and 1+x, xx and x^2, -(-x) and x, a/b and a b^{-1}."""
    head = tree[0]
    if head == "add":
        terms = [part for term in tree[1] for part in _flat("add", _skeleton(term)) if part != ("num", 0, 1)]
        return _joined("add", terms, ("num", 0, 1))
    if head in ("mul", "neg", "div"):
        return _product(tree)
    if head in ("pow", "root"):
        base, exponent = tree[1:] if head == "pow" else (tree[2], ("div", ("num", 1, 1), tree[1]))
        exponent = _skeleton(exponent)
        return _skeleton(base) if exponent == ("num", 1, 1) else ("pow", _skeleton(base), exponent)
    if head == "rel" and set(tree[1]) == {"="}:
        return ("rel", tree[1], tuple(sorted(map(_skeleton, tree[2]), key=repr)))
    return map_children(tree, _skeleton)


def _product(tree: Tree) -> Any:
    if tree[0] == "neg":
        factors: list[Any] = [("num", -1, 1), *_flat("mul", _skeleton(tree[1]))]
    elif tree[0] == "div":
        factors = [*_flat("mul", _skeleton(tree[1])), *map(_inverse, _flat("mul", _skeleton(tree[2])))]
    else:
        factors = [part for factor in tree[1] for part in _flat("mul", _skeleton(factor))]
    negative = sum(factor == ("num", -1, 1) for factor in factors) % 2
    powers: Counter[Any] = Counter()
    for factor in factors:
        base, exponent = (
            factor[1:] if factor[0] == "pow" and factor[2][0] == "num" else (factor, ("num", 1, 1))
        )
        if base not in (("num", -1, 1), ("num", 1, 1)):
            powers[base] += Fraction(exponent[1], exponent[2])  # type: ignore[assignment]
    kept: list[Any] = [
        base if count == 1 else ("pow", base, ("num", count.numerator, count.denominator))
        for base, count in powers.items()
    ]
    return _joined("mul", [*kept, *([("num", -1, 1)] if negative else [])], ("num", 1, 1))


def _flat(head: str, tree: Any) -> tuple[Any, ...]:
    return tuple(tree[1]) if tree[0] == head else (tree,)


def _inverse(tree: Any) -> Any:
    if tree[0] == "pow" and tree[2][0] == "num":
        return ("pow", tree[1], ("num", -tree[2][1], tree[2][2]))
    return tree if tree in (("num", 1, 1), ("num", -1, 1)) else ("pow", tree, ("num", -1, 1))


def _joined(head: str, parts: list[Any], neutral: Any) -> Any:
    if not parts:
        return neutral
    return parts[0] if len(parts) == 1 else (head, tuple(sorted(parts, key=repr)))
