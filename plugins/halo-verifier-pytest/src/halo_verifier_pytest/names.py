"""Names in tests: which of them the program must define, and which come from the standard library."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_LIBRARY = {
    name: module
    for module, names in {
        "collections": "Counter OrderedDict defaultdict deque namedtuple",
        "copy": "deepcopy",
        "datetime": "date datetime timedelta",
        "decimal": "Decimal",
        "fractions": "Fraction",
        "functools": "partial reduce",
        "io": "StringIO",
        "itertools": "combinations permutations",
        "operator": "attrgetter itemgetter",
        "math": "ceil inf isclose pi sqrt",
        "typing": "Any Dict List Optional Set Tuple Union",
    }.items()
    for name in names.split()
}
"""Names of the standard library that tests of benchmarks use without importing them."""
_MODULES = sys.stdlib_module_names | {"pytest"}
"""Modules that tests use without importing them."""
_CONSTRUCTORS = frozenset(
    ["list", "tuple", "set", "frozenset", "dict", "str", "int", "float", "bool", "len", "round", "repr"]
)
_BUILTINS = frozenset(vars(builtins)) | {"__name__", "__file__"}


@dataclass(frozen=True, slots=True)
class Names:
    """The names in a task's tests that the tests do not define."""

    entries: tuple[str, ...]
    """Functions that the program must define."""
    fetched: tuple[str, ...]
    """Names that the tests may use of the program if it defines them."""
    imports: str
    """Import statements that the tests rely on."""
    classes: tuple[str, ...]
    """Entries that are classes, so that the tests work with their instances."""
    values: tuple[str, ...]
    """Entries that are neither classes nor functions with a `def`."""


def parse_entry(text: str) -> str:
    """Return an entry point as `function` or `Class.method`, also if it is written `Class().method`."""
    entry = re.sub(r"\(\)(?=\.)", "", text.strip())
    parts = entry.split(".")
    if entry and (len(parts) > 2 or not all(part.isidentifier() for part in parts)):
        raise ValueError(f"entry_point must be a function or Class.method, not {text!r}")
    return entry


def analyse(
    trees: Sequence[ast.Module], entries: Sequence[str], solution: str, context: str, prompt: str
) -> Names:
    """Return the names that tests use. `entries`: those that are known; if empty, they are inferred."""
    known = _definitions(solution)
    own = {name for tree in trees for name in bound(tree)} | set(_definitions(context))
    free = list(dict.fromkeys(name for tree in trees for name in _loaded(tree) if name not in own))
    called = [name for name in _called(trees) if name not in own]
    imports = {name: known[name] for name in free if known.get(name, "").startswith(("import ", "from "))}
    if not entries:
        entries = _inferred(free, [name for name in called if name not in imports], known, prompt)
    owners = {entry.partition(".")[0] for entry in entries}
    others = [name for name in free if name not in owners | _BUILTINS and name not in imports]
    modules = {name for tree in trees for name in _attributed(tree)}
    for name in others:
        if name in modules and name in _MODULES and name not in known:
            imports[name] = f"import {name}"
        elif name in _LIBRARY and name not in known:
            imports[name] = f"from {_LIBRARY[name]} import {name}"
    fetched = [name for name in others if name not in imports]
    classes, values = sorts_of([*entries, *fetched], known)
    return Names(tuple(entries), tuple(fetched), "\n".join(imports.values()), classes, values)


def sorts_of(entries: Iterable[str], known: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which entries are classes and which are other values, as the solution or their spelling shows."""
    classes, values = [], []
    for entry in entries:
        if "." in entry:
            continue
        if (
            known.get(entry, "class" if not known and entry[:1].isupper() and not entry.isupper() else "def")
            == "class"
        ):
            classes.append(entry)
        elif known.get(entry) == "value":
            values.append(entry)
    return tuple(classes), tuple(values)


def imported(files: Mapping[str, str], module: str, solution: str, prompt: str) -> Names:
    """Return the names that test files use from the module under test."""
    known = _definitions(solution)
    found: dict[str, None] = {}
    starred: list[ast.Module] = []
    for text in files.values():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == module:
                found |= {alias.name: None for alias in node.names if alias.name != "*"}
                starred += [tree] if any(alias.name == "*" for alias in node.names) else []
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == module
            ):
                found[node.attr] = None
    imports = {name: known[name] for name in found if known.get(name, "").startswith(("import ", "from "))}
    entries = [name for name in found if name not in imports]
    fetched: tuple[str, ...] = ()
    if starred:
        names = (
            analyse(starred, entries, solution, "", prompt)
            if entries
            else _starred(starred, solution, prompt)
        )
        entries = list(dict.fromkeys([*entries, *names.entries]))
        fetched = names.fetched
        imports |= {line: line for line in names.imports.splitlines()}
    classes, values = sorts_of([*entries, *fetched], known)
    return Names(tuple(entries), fetched, "\n".join(imports.values()), classes, values)


def _starred(trees: list[ast.Module], solution: str, prompt: str) -> Names:
    try:
        return analyse(trees, (), solution, "", prompt)
    except ValueError:
        return Names((), (), "", (), ())


def _inferred(free: Sequence[str], called: Sequence[str], known: Mapping[str, str], prompt: str) -> list[str]:
    """Return the functions that tests call and only the program can define."""
    own = [name for name in called if name not in _BUILTINS or known.get(name) in ("def", "class")]
    asked = [name for name in own if name not in _LIBRARY or name in known or _asks_for(prompt, name)]
    if asked or own:
        return asked or own
    loaded = [name for name in free if name not in _BUILTINS and name not in sys.stdlib_module_names]
    builtin = [name for name in called if _asks_for(prompt, name)]
    builtin = builtin or [name for name in called if name not in _CONSTRUCTORS] or list(called)
    if not loaded and not builtin:
        raise ValueError(
            "entry_point is missing, and no assert calls a function that only the program can define"
        )
    return loaded or builtin[:1]


def _asks_for(prompt: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\(|`{re.escape(name)}`", prompt) is not None


def _definitions(program: str) -> dict[str, str]:
    """Return what a program binds at module level: `def`, `class`, `value`, or the import statement, by name."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = "def"
        elif isinstance(node, ast.ClassDef):
            found[node.name] = "class"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in sys.stdlib_module_names:
                    found[(alias.asname or alias.name).partition(".")[0]] = ast.unparse(ast.Import([alias]))
        elif isinstance(node, ast.ImportFrom):
            if not node.level and (node.module or "").partition(".")[0] in sys.stdlib_module_names:
                for alias in node.names:
                    found[alias.asname or alias.name] = ast.unparse(ast.ImportFrom(node.module, [alias], 0))
        else:
            found |= {each.id: "value" for each in ast.walk(node) if _is_stored(each)}  # type: ignore[attr-defined]
    return found


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _called(trees: Sequence[ast.Module]) -> list[str]:
    calls = (node.func for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return list(dict.fromkeys(each.id for each in calls if isinstance(each, ast.Name)))


def _loaded(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id


def _attributed(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id


def bound(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a program binds anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
