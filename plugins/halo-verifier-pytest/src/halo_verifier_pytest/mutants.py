"""Mutants of a program: each differs from it in one place, as after a slip."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.USub: (ast.UAdd,),
}
_NAMES = {
    "min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "upper": "lower",
    "lower": "upper", "append": "extend", "True": "False", "lstrip": "rstrip", "rstrip": "lstrip",
    "startswith": "endswith", "endswith": "startswith", "ceil": "floor", "floor": "ceil",
}  # fmt: skip


def mutate(program: str, limit: int) -> list[str]:
    """Return up to `limit` mutants, spread evenly over `program`; an empty list if it is not Python.

    Deterministic.
    """
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = list(dict.fromkeys(_mutations(tree)))
    return [found[n * len(found) // limit] for n in range(limit)] if len(found) > limit else found


def _mutations(tree: ast.Module) -> Iterator[str]:
    """Yield the program with each node in turn replaced by each of its alternatives; restore `tree` after each."""
    original = ast.unparse(tree)
    for parent in list(ast.walk(tree)):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, list):
                for index, item in enumerate(value):
                    for alternative in _alternatives(item):
                        value[index] = alternative
                        yield from _if_different(tree, original)
                    value[index] = item
                if field == "ifs" and value:
                    kept = value[:]
                    value.clear()
                    yield from _if_different(tree, original)
                    value.extend(kept)
            elif isinstance(value, ast.AST):
                for alternative in _alternatives(value):
                    setattr(parent, field, alternative)
                    yield from _if_different(tree, original)
                setattr(parent, field, value)


def _if_different(tree: ast.Module, original: str) -> Iterator[str]:
    text = ast.unparse(ast.fix_missing_locations(tree))
    if text != original:
        yield text


def _alternatives(node: object) -> Iterator[ast.AST]:
    """Yield nodes that could be written in place of `node` by mistake."""
    if isinstance(node, ast.AST):
        yield from (kind() for kind in _OPERATORS.get(type(node), ()))
    if isinstance(node, ast.Constant):
        yield from map(ast.Constant, _constants(node.value))
    elif isinstance(node, ast.Name) and node.id in _NAMES:
        yield ast.Name(_NAMES[node.id], node.ctx)
    elif isinstance(node, ast.Attribute) and node.attr in _NAMES:
        yield ast.Attribute(node.value, _NAMES[node.attr], node.ctx)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.If):
        yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)


def _constants(value: object) -> Iterator[bool | int | float | str]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
        if value > 1:
            yield value - 1
    elif isinstance(value, str) and 0 < len(value) <= 16:
        yield value[:-1]
