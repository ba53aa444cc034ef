"""Run the verifiers on the data of other projects, and list every verdict that differs from what the data states.

    python benchmarks/peers.py humaneval DIR      a clone of openai/human-eval
    python benchmarks/peers.py mbpp DIR           a directory with mbpp.jsonl, as in google-research/mbpp
    python benchmarks/peers.py c-testsuite DIR    a clone of c-testsuite/c-testsuite
    python benchmarks/peers.py jsonschema DIR     a clone of json-schema-org/JSON-Schema-Test-Suite
    python benchmarks/peers.py math-verify DIR    a clone of huggingface/Math-Verify

DIR holds the data, which is not part of halo. For HumanEval, trivial bodies must fail, too. For c-testsuite, a line is
printed at the end of each program, since a test needs an output, and programs may write files. Math-Verify's tests are
read and not run: a prediction without a box or a sentence is put into a box, and 1,000 is a number. docs/verifiers.md
explains the differences that remain.

Exits with 1 if a wrong answer is accepted, or if fewer right ones are than `TARGETS` states.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo_core.drivers import Verifier
from halo_core.errors import DataError
from halo_core.types import Completion, Prompt, Status
from halo_verifier_gcc import GCC
from halo_verifier_jsonschema import JSONSchema
from halo_verifier_pytest import Pytest
from halo_verifier_sympy import Sympy
from halo_verifier_sympy.extract import final_answers
from halo_verifier_sympy.tree import Refused, Unreadable

TARGETS = {"humaneval": 164, "mbpp": 973, "c-testsuite": 220}
"""Least number of right answers that must be accepted."""
TRIVIAL = ("pass", "return None", "return 0", "return []", "return True", "return ''", "raise StopIteration")
DRAFTS = {"draft4": "4", "draft6": "6", "draft7": "7", "draft2019-09": "2019-09", "draft2020-12": "2020-12"}
DONE = "\n__attribute__((destructor)) static void peers_done(void) { __builtin_puts(\"peers done\"); }\n"  # fmt: skip
_STRING_PAIR = 3


@dataclass(frozen=True)
class Case:
    """A completion, and whether it is right."""

    name: str
    reference: dict[str, Any]
    text: str
    right: bool
    prompt: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the verifier."""


def humaneval(folder: Path) -> Iterator[Case]:
    """Yield each canonical solution, and trivial bodies."""
    for row in _lines(_only(folder, "HumanEval.jsonl*")):
        reference = {key: row[key] for key in ("entry_point", "test")}
        for body in (row["canonical_solution"], *(f"    {line}\n" for line in TRIVIAL)):
            right = body == row["canonical_solution"]
            name = row["task_id"] if right else f"{row['task_id']} {body.strip()}"
            yield Case(name, reference, row["prompt"] + body, right, row["prompt"])


def mbpp(folder: Path) -> Iterator[Case]:
    """Yield each reference solution."""
    for row in _lines(_only(folder, "mbpp.jsonl")):
        keys = ("test_list", "test_setup_code", "challenge_test_list")
        reference = {key: row[key] for key in keys if row.get(key)}
        yield Case(f"mbpp {row['task_id']}", reference, row["code"], right=True, prompt=row.get("text", ""))


def c_testsuite(folder: Path) -> Iterator[Case]:
    """Yield each program, which must print what is expected."""
    for source in sorted(_only(folder, "single-exec", "00001.c").glob("*.c")):
        expected = source.with_name(f"{source.name}.expected").read_text(encoding="utf-8", errors="replace")
        tests = [{"stdin": "", "stdout": f"{expected}\npeers done"}]
        text = source.read_text(encoding="utf-8", errors="replace") + DONE
        yield Case(source.name, {"tests": tests, "writable": True}, text, right=True)


def jsonschema(folder: Path) -> Iterator[Case]:
    """Yield each document under its schema."""
    tests = folder / "tests"
    for name, draft in DRAFTS.items():
        options = {"draft": draft, "closed": False, "within": "text"}
        for path in sorted((tests / name).rglob("*.json")):
            for group in json.loads(path.read_text(encoding="utf-8")):
                for test in group["tests"]:
                    title = ": ".join(
                        [str(path.relative_to(tests)), group["description"], test["description"]]
                    )
                    text, reference = json.dumps(test["data"]), {"schema": group["schema"]}
                    yield Case(title, reference, text, test["valid"], options=options)


def math_verify(folder: Path) -> Iterator[Case]:
    """Yield the pairs of reference and prediction in the tests, without those that test other things."""
    for path in sorted((folder / "tests").glob("test_*.py")):
        for row in _parameters(path.read_text(encoding="utf-8")):
            if pair := _pair(row):
                text, where = _completion(pair[1])
                options = {"where": where, "thousands": True}
                name = f"{path.name}:{row.lineno}"
                yield Case(name, {"answer": _bare(pair[0])}, text, pair[2], options=options)


def _parameters(code: str) -> Iterator[ast.expr]:
    """Yield the rows of each list that a test is parametrized with."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(func=ast.Attribute(attr="parametrize"), args=[_, ast.List(elts=rows), *_]):
                yield from rows


def _pair(row: ast.expr) -> tuple[str, str, bool] | None:
    """Return a row of (gold, prediction, 0 or 1); None for rows of another form."""
    try:
        values = ast.literal_eval(row)
    except ValueError:
        return None
    if not isinstance(values, tuple) or len(values) < _STRING_PAIR:
        return None
    gold, prediction, expected = values[:_STRING_PAIR]
    if isinstance(gold, str) and isinstance(prediction, str) and expected in (0, 1, True, False):
        return gold, prediction, bool(expected)
    return None


def _bare(text: str) -> str:
    """Return a formula without its dollars, or the only answer that a sentence states."""
    text = text.strip()
    for pattern in (r"\$\$(.*)\$\$", r"\$(.*)\$", r"\\\[(.*)\\\]", r"\\\((.*)\\\)"):
        if (found := re.fullmatch(pattern, text, re.DOTALL)) and "$" not in found[1]:
            text = found[1].strip()
    if "boxed" in text or "nswer" in text:
        with suppress(Refused, Unreadable):
            answers = final_answers(text, "auto")
            return answers[0].text if len(answers) == 1 else text
    return text


def _completion(prediction: str) -> tuple[str, str]:
    """Return a completion with a prediction, and the place of its answer."""
    if "boxed" in prediction or "nswer" in prediction:
        return prediction, "auto"
    bare = _bare(prediction)
    prose = re.sub(r"\\[A-Za-z]+(?:\{[^{}]*\})?", "", bare)
    return (prediction, "last") if re.search(r"[A-Za-z]{3}", prose) else (rf"\boxed{{{bare}}}", "auto")


def _only(folder: Path, pattern: str, inside: str = "") -> Path:
    """Return the first path below `folder` that matches; end the program with a message if there is none."""
    found = [path for path in sorted(folder.rglob(pattern)) if not inside or (path / inside).exists()]
    if not found:
        sys.exit(f"no {pattern} below {folder}: give the directory of the data, see --help")
    return found[0]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return (json.loads(line) for line in text.split("\n") if line.strip())


SOURCES: dict[str, tuple[Callable[..., Verifier], Callable[[Path], Iterator[Case]]]] = {
    "humaneval": (Pytest, humaneval),
    "mbpp": (Pytest, mbpp),
    "c-testsuite": (GCC, c_testsuite),
    "jsonschema": (JSONSchema, jsonschema),
    "math-verify": (Sympy, math_verify),
}


def judge(verifier: Verifier, case: Case) -> tuple[str, str]:
    """Return the outcome (pass, fail, error, inconclusive, or refused for the reference) and its detail."""
    prompt = Prompt("p", case.prompt or "task", reference=case.reference)
    try:
        verifier.check_prompt(prompt)
    except DataError as error:
        return "refused", str(error).removeprefix("prompt 'p': ")
    verdict = verifier.check(prompt, Completion("p", 0, case.text))
    return str(verdict.status), verdict.detail


def summary(name: str, outcomes: list[tuple[Case, str, str]]) -> tuple[list[str], bool]:
    """Return the lines of the report, and whether the targets are met."""
    counts = Counter((case.right, outcome) for case, outcome, _ in outcomes)
    lines = [
        f"{outcome:<12} {'right' if case.right else 'wrong'}  {case.name}: {detail[:200]!r}"
        for case, outcome, detail in outcomes
        if outcome != (Status.PASS if case.right else Status.FAIL)
    ]
    right, accepted = sum(case.right for case, _, _ in outcomes), counts[True, "pass"]
    refused = counts[True, "refused"] + counts[False, "refused"]
    lines.append(
        f"{name}: {accepted} of {right} right answers accepted, {counts[False, 'pass']} of {len(outcomes) - right} "
        f"wrong ones; {refused} with a reference that is refused"
    )
    return lines, not counts[False, "pass"] and accepted >= TARGETS.get(name, 0)


def main() -> None:
    """Print the differences and the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", choices=SOURCES)
    parser.add_argument("folder", type=Path, metavar="DIR", help="directory of the data")
    args = parser.parse_args()
    driver, read = SOURCES[args.source]
    verifiers: dict[str, Verifier] = {}

    def run(case: Case) -> tuple[Case, str, str]:
        verifier = verifiers.setdefault(repr(case.options), driver(**case.options))
        return case, *judge(verifier, case)

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(run, read(args.folder)))
    if not outcomes:
        sys.exit(f"no cases below {args.folder}: give the directory of the data, see --help")
    lines, met = summary(args.source, outcomes)
    print("\n".join(lines))
    sys.exit(not met)


if __name__ == "__main__":
    main()
