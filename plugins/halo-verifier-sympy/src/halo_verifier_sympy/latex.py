"""Conversion of trees to LaTeX, which parses to the same tree up to brackets."""

from __future__ import annotations

import re
from fractions import Fraction

from halo_verifier_sympy.tree import FUNCTIONS, Tree

_PLAIN = frozenset(
    {"sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh", "coth", "exp", "ln", "gcd"}
)
_CONSTANTS = {"pi": r"\pi", "inf": r"\infty", "e": "e", "i": "i"}
_SPACES = {"union": r" \cup ", "meet": r" \cap "}
_SIGNS = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne", "in": r"\in"}
_BASE_UNITS = {"$": "dollars", "€": "euro", "£": "sterling"}
_SERIES = {"sum": r"\sum", "prod": r"\prod"}


def latex(tree: Tree) -> str:
    """Return an answer in LaTeX."""
    head = tree[0]
    if head in ("tuple", "set"):
        inside = ", ".join(map(latex, tree[1]))
        return f"({inside})" if head == "tuple" else rf"\{{{inside}\}}"
    if head == "list":
        return (", " if tree[1] == "," else r" \text{ or } ").join(map(latex, tree[2]))
    if head == "interval":
        return f"{'[' if tree[3] else '('}{latex(tree[1])}, {latex(tree[2])}{']' if tree[4] else ')'}"
    if head == "space":
        return rf"\mathbb{{{tree[1]}}}"
    if head in _SPACES:
        return _SPACES[head].join(map(latex, tree[1]))
    if head == "minus":
        return rf"{latex(tree[1])} \setminus {latex(tree[2])}"
    if head == "builder":
        domain = rf"\in {latex(tree[2])} " if tree[2] else ""
        return rf"\{{{tree[1]} {domain}\mid {latex(tree[3])}\}}"
    if head == "image":
        return rf"\{{{latex(tree[2])} \mid {latex(tree[3])}\}}"
    if head == "ratio":
        return " : ".join(map(latex, tree[1]))
    if head == "based":
        return f"{tree[1]}_{{{tree[2]}}}"
    if head == "rel":
        signs = [*(_SIGNS.get(sign, sign) for sign in tree[1]), ""]
        return " ".join(f"{latex(side)} {sign}" for side, sign in zip(tree[2], signs, strict=True)).strip()
    if head == "matrix":
        rows = r" \\ ".join(" & ".join(map(latex, row)) for row in tree[1])
        return rf"\begin{{pmatrix}} {rows} \end{{pmatrix}}"
    if head == "quantity":
        return latex(tree[1]) + _unit(*tree[2])
    return _value(tree)


def _unit(numerator: int, denominator: int, powers: tuple[tuple[str, int], ...]) -> str:
    """Return a unit in base units, preceded by its conversion factor."""
    factor = "" if numerator == denominator else rf" \cdot {_number(numerator, denominator)}"
    upper = " ".join(_power(_BASE_UNITS.get(name, name), power) for name, power in powers if power > 0)
    lower = "".join(f"/{name}" for name, power in powers for _ in range(-power))
    return rf"{factor}\text{{ {upper}{lower}}}"


def _power(unit: str, power: int) -> str:
    return unit if power == 1 else f"square {unit}" if power == 2 else f"{unit}^{power}"


def _value(tree: Tree) -> str:
    head = tree[0]
    if head == "num":
        return _number(tree[1], tree[2])
    if head == "sym":
        return _symbol(tree[1])
    if head == "const":
        return _CONSTANTS[tree[1]]
    if head == "add":
        text = "".join(
            f" - {_factor(term[1])}" if term[0] == "neg" else f" + {_term(term)}" for term in tree[1]
        )
        return text.removeprefix(" + ").strip()
    if head == "mul":
        return r" \cdot ".join(map(_factor, tree[1]))
    if head == "neg":
        return f"-{_factor(tree[1])}"
    if head == "div":
        return rf"\frac{{{latex(tree[1])}}}{{{latex(tree[2])}}}"
    if head == "pow":
        return f"{_base(tree[1])}^{{{latex(tree[2])}}}"
    if head == "root":
        return rf"\sqrt[{latex(tree[1])}]{{{latex(tree[2])}}}"
    if head == "pm":
        return (
            rf"{latex(tree[1])} \pm {_factor(tree[2])}"
            if tree[1] != ("num", 0, 1)
            else rf"\pm {_factor(tree[2])}"
        )
    if head == "log":
        base = "" if tree[1] == ("sym", "the base of log") else f"_{{{latex(tree[1])}}}"
        return rf"\log{base}({latex(tree[2])})"
    if head == "call":
        return _call(tree[1], ", ".join(map(latex, tree[2])))
    if head == "int":
        bounds = "" if tree[2] is None else f"_{{{latex(tree[2])}}}^{{{latex(tree[3])}}}"
        return rf"\int{bounds} {_factor(tree[4])} d{tree[1]}"
    if head == "lim":
        return rf"\lim_{{{tree[1]} \to {latex(tree[2])}}} {_factor(tree[3])}"
    return rf"{_SERIES[head]}_{{{tree[1]}={latex(tree[2])}}}^{{{latex(tree[3])}}} {_factor(tree[4])}"


def _number(numerator: int, denominator: int) -> str:
    value = Fraction(numerator, denominator)
    sign = "-" if value < 0 else ""
    numerator, denominator = abs(value.numerator), value.denominator
    return f"{sign}{numerator}" if denominator == 1 else rf"{sign}\frac{{{numerator}}}{{{denominator}}}"


def _symbol(name: str) -> str:
    if re.search(r"[(\[{|\\]|^[A-Z]{2,}$", name):
        return name
    if "/" in name:
        numerator, denominator = name.split("/")
        return rf"\frac{{{numerator}}}{{{denominator}}}"
    letter, _, subscript = name.partition("_")
    primes = "'" * subscript.count("'")
    letter = letter if len(letter.rstrip("'")) == 1 else "\\" + letter
    return f"{letter}_{{{subscript.rstrip(chr(39))}}}{primes}" if subscript else letter


def _call(name: str, inside: str) -> str:
    if name == "abs":
        return f"|{inside}|"
    if name in ("floor", "ceil"):
        return rf"\l{name} {inside} \r{name}"
    if name == "factorial":
        return f"({inside})!"
    command = f"\\{name}" if name in _PLAIN else rf"\operatorname{{{name}}}" if name in FUNCTIONS else name
    return f"{command}({inside})"


def _simple(tree: Tree) -> bool:
    return tree[0] in ("sym", "const", "root") or (tree[0] == "num" and tree[1] >= 0 and tree[2] == 1)


def _base(tree: Tree) -> str:
    return latex(tree) if _simple(tree) and tree[0] != "root" else f"({latex(tree)})"


def _factor(tree: Tree) -> str:
    return latex(tree) if _simple(tree) or tree[0] in ("pow", "div") else f"({latex(tree)})"


def _term(tree: Tree) -> str:
    return latex(tree) if tree[0] in ("mul", "call", "num") else _factor(tree)
