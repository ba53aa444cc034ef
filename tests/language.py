"""Keep stilted phrases out of code and documentation.

    python tests/language.py [DIRECTORY]    count the phrases, by pattern and by file

`test_language.py` asserts that the count is zero. The patterns are constructions that read as if translated
from another language, each with the plain wording to use instead.
"""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

BANNED: dict[str, str] = {
    r"(?:gone|go|goes|going|went) on (?:with|from|after|where|as|up)\b": "resume, continue, start from",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bborne\b|\bbear(?:s|ing)? with\b": "tolerated, allowed",
    r"\bplay(?:s|ed)? along\b": "fail, refuse",
    r"\banew\b|\bafresh\b": "again, new",
    r"\bbegun\b": "started",
    r"\bso many\b|\bso much of\b": "N, this many, the number of",
    r"\b(?:as they were|as it was|as they are now|as it is now)\b": "unchanged, as recorded, current",
    r"\bto be had\b": "available",
    r"\b(?:say|says|said|saying)\b": "report, log, state, name, print",
    r"(?<!wrong-)\b(?:paid|pays?)\b": "accepted, rewarded",
    r"\bfor ever\b": "permanently, always",
    r"(?<!there )(?<!There )\b(?:is|are|was|were) no (?!longer\b|more\b|one\b|different\b|such\b)": "is not a, has no",
    r"\bthat (?:is|are|was|were) none\b": "that is not a",
    r"\b(?:is|are|was|were) to be\b": "must be, should be, will be, or an imperative",
    r"\b(?:worked|works|working) at\b": "in progress, running",
    r"\bstands? (?:in|at|there|beside)\b": "is in, is at",
    r"\bupon\b|\bhitherto\b|\bthereof\b|\bwhence\b|\blest\b|\bwhoever\b|\bwherein\b": "plain words",
    r"\btake[sn]? up\b|\btook up\b": "load, start",
    r"\blet(?:s|ting)? go of\b|\blet (?:\w+ )+go\b": "release, drop, close",
    r"\bfault of halo\b": "bug in halo",
    r"\bin so far as\b|\binsofar\b|\bas far as there\b": "where, if",
    r"\b[Hh]ave (?:it|them|what|the \w+) (?:go|wait|do)\b": "make, defer",
    r"\bcome[s]? to no\b|\bis nothing to\b": "plain words",
    r"\bnot? other than\b|\bno other than\b": "only, exactly",
    r"\b(?:is|are) judged by (?:what|whom)\b|\bwho judges\b|\bwhat judges\b": "verifier",
    r"\bwhat (?:trains|pays|samples|selects)\b": "trainer, reward, generator, selector",
}
"""Pattern -> what to write instead."""

_PATTERN = re.compile("|".join(f"(?:{pattern})" for pattern in BANNED), re.IGNORECASE)
_OPENING = re.compile(r"\s*(?:What|Whether|How much|How often|How far|How many)\b(?![^.\n]*\?)")
"""First words of a docstring that name no noun."""
_PROSE = ("*.md", "*.yaml", "*.html", "*.j2")
_SKIPPED = {"runs", "models", "node_modules", "__pycache__"}
"""Directories that are not read, beside those whose names begin with a dot."""
_OWN = {"language.py", "test_language.py"}
_DATA = {
    "attacks.md",
    "test_shared.py",
    "halo_verifier_gcc_demo",
    "halo_verifier_jsonschema_demo",
    "halo_verifier_pytest_demo",
    "halo_verifier_sql_demo",
    "halo_verifier_sympy_demo",
}
"""Packages and files of tasks, answers and attacks: only their own prose counts."""
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def found_in(root: Path) -> Iterator[tuple[Path, int, str]]:
    """Yield each banned phrase below `root`: file, line, phrase."""
    for path in sorted(_files(root)):
        relative = path.relative_to(root)
        if path.name in _OWN:
            continue
        if path.suffix == ".py":
            texts = _texts(path.read_text(encoding="utf-8"), is_data=bool(_DATA & set(relative.parts)))
        elif any(path.match(pattern) for pattern in _PROSE):
            text = path.read_text(encoding="utf-8")
            texts = iter([(1, _FENCE.sub(_blank, text) if path.name in _DATA else text, False)])
        else:
            continue
        for line, text, is_docstring in texts:
            for match in _PATTERN.finditer(text):
                yield relative, line + text.count("\n", 0, match.start()), match[0]
            if is_docstring and (opening := _OPENING.match(text)):
                yield relative, line, f'docstring begins with "{opening[0].strip()}"'


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if each[0] != "." and each not in _SKIPPED]
        yield from (Path(folder, name) for name in names)


def _blank(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _texts(code: str, *, is_data: bool = False) -> Iterator[tuple[int, str, bool]]:
    """Yield the prose of a module: docstrings, other strings of three words or more, comments.

    In a module of data, the other strings are prompts, answers and attacks, which must not change.
    """
    tree = ast.parse(code)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inner = {id(part) for node in strings for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        if is_data and id(node) not in docstrings:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
            yield node.lineno, text, False
            continue
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or id(node) in inner:
            continue
        if id(node) in docstrings or len(node.value.split()) >= 3:
            yield node.lineno, node.value, id(node) in docstrings
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False


def main() -> None:
    """Print every phrase, then the counts."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    found = list(found_in(root))
    for path, line, phrase in found:
        print(f"{path}:{line}: {phrase}")
    for phrase, count in Counter(phrase.lower() for *_, phrase in found).most_common(25):
        print(f"{count:5}  {phrase}", file=sys.stderr)
    print(f"{len(found)} phrases", file=sys.stderr)


if __name__ == "__main__":
    main()
