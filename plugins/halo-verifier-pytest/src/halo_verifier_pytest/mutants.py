"""Near-misses of a program: each differs from it in one place, as a slip would."""

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


def mutate(program: str, most: int) -> list[str]:
    """Return up to `most` programs that differ from `program` in one place, spread over it; always the same.

    None where `program` is not Python.
    """
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = list(dict.fromkeys(_mutations(tree)))
    return [found[at * len(found) // most] for at in range(most)] if len(found) > most else found


def _mutations(tree: ast.Module) -> Iterator[str]:
    """Put each alternative into its place, write the program down, and put back what was there."""
    whole = ast.unparse(tree)
    for parent in list(ast.walk(tree)):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, list):
                for at, item in enumerate(value):
                    for alternative in _alternatives(item):
                        value[at] = alternative
                        yield from _different(tree, whole)
                    value[at] = item
                if field == "ifs" and value:
                    kept = value[:]
                    value.clear()
                    yield from _different(tree, whole)
                    value.extend(kept)
            elif isinstance(value, ast.AST):
                for alternative in _alternatives(value):
                    setattr(parent, field, alternative)
                    yield from _different(tree, whole)
                setattr(parent, field, value)


def _different(tree: ast.Module, whole: str) -> Iterator[str]:
    text = ast.unparse(ast.fix_missing_locations(tree))
    if text != whole:
        yield text


def _alternatives(node: object) -> Iterator[ast.AST]:
    """Yield what one could have written for `node` by mistake."""
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
