"""Programs: functions for verifier `pytest`; programs with standard input and output for `gcc`, `rust` and others."""

from __future__ import annotations

from typing import Any

from halo_core.data.recipes.reading import Row, identity, parsed, text_of, value_of
from halo_core.errors import DataError


def humaneval(row: Row, place: str, databases: str) -> dict[str, Any]:
    """HumanEval: `prompt` (a signature with its docstring), `test`, `entry_point`, `canonical_solution`."""
    start = text_of(row, place, "prompt")
    reference = {name: text_of(row, place, name) for name in ("entry_point", "test")}
    if isinstance(body := row.get("canonical_solution"), str) and body.strip():
        reference["solution"] = start + body
    text = f"Complete this function. Answer with the whole program.\n\n```python\n{start.rstrip()}\n```"
    return {"prompt": text, "reference": reference, **identity(row, "task_id")}


def mbpp(row: Row, place: str, databases: str) -> dict[str, Any]:
    """MBPP: `text` (sanitized: `prompt`), `code`, `test_list`, and the other columns of tests.

    The first test is shown to the model, because the task does not name the function otherwise.
    """
    tests = row.get("test_list")
    if not isinstance(tests, (list, tuple)) or not tests:
        raise DataError(f"{place}: no tests in column test_list", hint="is this data set MBPP?")
    names = ("test_setup_code", "test_imports", "challenge_test_list")
    reference: dict[str, Any] = {"test_list": list(tests)}
    reference |= {name: row[name] for name in names if row.get(name)}
    if isinstance(code := row.get("code"), str) and code.strip():
        reference["solution"] = code
    text = text_of(row, place, "text", "prompt").strip()
    prompt = f"{text}\n\nThis test must pass:\n\n```python\n{tests[0]}\n```"
    return {"prompt": prompt, "reference": reference, **identity(row, "task_id")}


def apps(row: Row, place: str, databases: str) -> dict[str, Any]:
    """APPS and TACO: `question`, `input_output` (JSON text), `starter_code`.

    With `fn_name` the tests are calls, for `pytest`; otherwise they are standard input and output.
    """
    given = value_of(row, place, "input_output")
    inputs, outputs = (given.get(key) if isinstance(given, dict) else None for key in ("inputs", "outputs"))
    if not inputs or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise DataError(f"{place}: input_output has no inputs and outputs of equal number")
    text = text_of(row, place, "question").strip()
    starter = row.get("starter_code")
    if isinstance(starter, str) and starter.strip():
        text += f"\n\nStart with:\n\n```python\n{starter.strip()}\n```"
    pairs = list(zip(inputs, outputs, strict=True))
    if name := given.get("fn_name"):
        tests = [{"args": _arguments(one, place), "expected": _result(other)} for one, other in pairs]
        entry = f"Solution().{name}" if "class Solution" in str(starter) else name
        return {
            "prompt": text,
            "reference": {"entry_point": entry, "tests": tests},
            **identity(row, "problem_id"),
        }
    tests = [{"stdin": _lines(one), "stdout": _lines(other)} for one, other in pairs]
    text += "\n\nRead standard input and write standard output."
    return {"prompt": text, "reference": {"tests": tests}, **identity(row, "problem_id", "id")}


def _arguments(given: Any, place: str) -> list[Any]:
    """Return the arguments of a call: a list, or JSON texts of the arguments, one on a line."""
    if isinstance(given, str):
        return [parsed(line, f"{place}: input_output") for line in given.splitlines() if line.strip()]
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _result(given: Any) -> Any:
    """Return the result of a call: APPS wraps it into a list of one."""
    return given[0] if isinstance(given, list) and len(given) == 1 else given


def _lines(given: Any) -> str:
    text = "\n".join(map(str, given)) if isinstance(given, list) else str(given)
    return text if text.endswith("\n") or not text else text + "\n"
