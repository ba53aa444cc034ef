"""Recipes: rows with the columns of well-known data sets, written for these tests, pass their verifier's checks."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import datasets
import pytest

from halo_core.config.schema import DriverSpec
from halo_core.data import load_prompts
from halo_core.data.recipes import RECIPES
from halo_core.data.recipes.calls import _python_type
from halo_core.data.recipes.maths import boxed
from halo_core.data.shape import Shape
from halo_core.errors import DataError
from halo_core.types import Completion, Status
from halo_core.verification.verifiers import VerifierSet

CASE = tuple[str, str, dict[str, Any], str, str]
"""Recipe, verifier, a row, a right answer, a wrong one."""
GSM8K = {
    "question": "A box holds 6 eggs. How many eggs do 200 boxes hold?",
    "answer": "6 * 200 = 1200\n#### 1,200",
}
MATH = {
    "problem": "Half of one third?",
    "level": "Level 1",
    "type": "Algebra",
    "solution": "It is $\\boxed{2}$? No: $\\boxed{\\frac{1}{6}}$.",
}
HUMANEVAL = {
    "task_id": "Own/0",
    "prompt": 'def twice(n: int) -> int:\n    """Return two times n."""\n',
    "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(-1) == -2\n",
    "entry_point": "twice",
}
MBPP = {
    "task_id": 7,
    "text": "Write a function that adds two numbers.",
    "code": "def plus(a, b):\n    return a + b",
    "test_list": ["assert plus(1, 2) == 3", "assert plus(-1, 1) == 0"],
    "test_setup_code": "",
    "challenge_test_list": [],
}
APPS = {
    "problem_id": 1,
    "question": "Double the number.",
    "input_output": json.dumps({"inputs": ["3\n", "4"], "outputs": ["6\n", "8"]}),
    "starter_code": "",
}
APPS_CALL = {
    "problem_id": 2,
    "question": "Double the number.",
    "input_output": json.dumps({"fn_name": "double", "inputs": [[3], [4]], "outputs": [[6], [8]]}),
    "starter_code": "class Solution:\n    def double(self, n: int) -> int:\n        ",
}
TACO = {
    **APPS_CALL,
    "input_output": json.dumps({"fn_name": "double", "inputs": ["3", "4"], "outputs": [6, 8]}),
    "starter_code": "",
}
SPIDER = {
    "db_id": "farm",
    "question": "Which animals weigh more than 10?",
    "query": "SELECT name FROM animals WHERE weight > 10",
}
BIRD = {
    "db_id": "farm",
    "question": "Which animals are heavy?",
    "evidence": "heavy refers to weight > 10",
    "SQL": SPIDER["query"],
    "question_id": 3,
}
XLAM = {
    "id": 1,
    "query": "Add 1 and 2.",
    "tools": json.dumps(
        [
            {
                "name": "add",
                "description": "Adds.",
                "parameters": {
                    "a": {"type": "int", "description": ""},
                    "b": {"type": "int", "description": ""},
                    "digits": {"type": "int, optional", "description": "", "default": 0},
                },
            }
        ]
    ),
    "answers": json.dumps([{"name": "add", "arguments": {"a": 1, "b": 2}}]),
}
BFCL = {
    "id": "simple_0",
    "question": [[{"role": "user", "content": "The weather in Oslo?"}]],
    "function": [
        {
            "name": "weather",
            "description": "Returns the weather.",
            "parameters": {
                "type": "dict",
                "required": ["city"],
                "properties": {
                    "city": {"type": "string"},
                    "unit": {"type": "string"},
                    "days": {"type": "float"},
                },
            },
        }
    ],
    "ground_truth": [{"weather": {"city": ["Oslo", "Oslo, Norway"], "unit": ["celsius", ""]}}],
}
METHOD = "class Solution:\n    def double(self, n):\n        return 2 * n"
SUM = '[{"name": "add", "arguments": {"a": 1, "b": 2}}]'
RAIN = '[{"name": "weather", "arguments": {"city": "Oslo, Norway"}}]'
CASES: list[CASE] = [
    ("gsm8k", "sympy", GSM8K, "\\boxed{1200}", "\\boxed{1201}"),
    ("math", "sympy", MATH, "\\boxed{\\frac16}", "\\boxed{2}"),
    ("math", "sympy", {**MATH, "answer": "5", "unique_id": "t/1"}, "\\boxed{5}", "\\boxed{\\frac16}"),
    (
        "humaneval",
        "pytest",
        HUMANEVAL,
        "```python\ndef twice(n):\n    return n + n\n```",
        "def twice(n):\n    return n",
    ),
    ("mbpp", "pytest", MBPP, "def plus(a, b):\n    return b + a", "def plus(a, b):\n    return a - b"),
    (
        "apps",
        "pytest",
        APPS_CALL,
        "class Solution:\n    def double(self, n):\n        return 2 * n",
        "class Solution:\n    def double(self, n):\n        return n",
    ),
    ("taco", "pytest", TACO, "def double(n):\n    return 2 * n", "def double(n):\n    return n"),
    ("spider", "sql", SPIDER, "SELECT name FROM animals WHERE NOT weight <= 10", "SELECT name FROM animals"),
    (
        "bird",
        "sql",
        BIRD,
        "SELECT name FROM animals WHERE weight > 10",
        "SELECT name FROM animals WHERE weight > 5",
    ),
    ("xlam", "jsonschema", XLAM, SUM, SUM.replace("2", "3")),
    ("bfcl", "jsonschema", BFCL, RAIN, RAIN.replace("Oslo", "Bergen")),
]
NAMES = [f"{name}-{number}" for number, (name, *_) in enumerate(CASES)]


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    """Return a directory with a database of animals, in Spider's layout."""
    place = tmp_path / "databases" / "farm"
    place.mkdir(parents=True)
    with closing(sqlite3.connect(place / "farm.sqlite")) as database:
        database.execute("CREATE TABLE animals (name TEXT PRIMARY KEY, weight INTEGER NOT NULL)")
        database.executemany(
            "INSERT INTO animals VALUES (?, ?)", [("cat", 4), ("dog", 12), ("cow", 500), ("hen", 7)]
        )
        database.commit()
    return place.parent


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("name", "verifier", "row", "right", "wrong"), CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)]
)
def test_a_recipe_gives_its_verifier_what_it_needs(
    tmp_path: Path,
    databases: Path,
    suffix: str,
    name: str,
    verifier: str,
    row: dict[str, Any],
    right: str,
    wrong: str,
) -> None:
    path = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    else:
        datasets.Dataset.from_list([row]).to_parquet(path)
    (prompt,) = load_prompts(path, Shape(recipe=name, databases=str(databases)))
    assert prompt.text or prompt.messages
    verifiers = VerifierSet.load([DriverSpec(name=verifier)])
    verifiers.check_prompts([prompt])
    verdicts = [verifiers.check(prompt, Completion(prompt.id, 0, text)) for text in (right, wrong)]
    assert [verdict.status for verdict in verdicts] == [Status.PASS, Status.FAIL], verdicts


def test_every_recipe_is_tried() -> None:
    assert {name for name, *_ in CASES} == set(RECIPES)


def made(name: str, row: dict[str, Any], databases: str = "") -> dict[str, Any]:
    return RECIPES[name](row, "row 1", databases)


def test_programs_of_apps_read_standard_input() -> None:
    prompt = made("apps", APPS)
    assert prompt["reference"] == {
        "tests": [{"stdin": "3\n", "stdout": "6\n"}, {"stdin": "4\n", "stdout": "8\n"}]
    }
    assert prompt["prompt"].endswith("Read standard input and write standard output.")


def test_what_the_model_is_told() -> None:
    assert "animals (name TEXT" not in made("gsm8k", GSM8K)["prompt"]
    assert "twice(n: int)" in made("humaneval", HUMANEVAL)["prompt"]
    assert "plus(1, 2) == 3" in made("mbpp", MBPP)["prompt"]
    assert "plus(-1, 1)" not in made("mbpp", MBPP)["prompt"], "the other tests are hidden"
    system, user = made("xlam", XLAM)["messages"]
    assert '"name": "add"' in system["content"]
    assert user == {"role": "user", "content": "Add 1 and 2."}


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("gsm8k", {**GSM8K, "answer": "1200"}, "row 1: the answer has no '####'"),
        ("gsm8k", {"prompt": "x"}, "row 1: no text in column answer"),
        ("math", {**MATH, "solution": "It is 2."}, "has no .boxed"),
        ("mbpp", {**MBPP, "test_list": []}, "no tests in column test_list"),
        ("apps", {**APPS, "input_output": "{"}, "row 1: input_output: not JSON"),
        (
            "apps",
            {**APPS, "input_output": '{"inputs": ["1"], "outputs": []}'},
            "no inputs and outputs of equal number",
        ),
        ("spider", SPIDER, "the recipe needs databases"),
        ("xlam", {**XLAM, "tools": "[1]"}, "row 1: tools: not a list of objects"),
        ("bfcl", {**BFCL, "ground_truth": None}, "no value in column ground_truth"),
    ],
)
def test_a_row_of_another_data_set_is_refused(name: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(name, row)


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no database .*farm\.sqlite"):
        made("spider", SPIDER, str(tmp_path))


def test_the_last_box_counts_with_its_braces() -> None:
    assert boxed("\\boxed{1} and \\boxed{\\frac{a}{b}\\}x}") == "\\frac{a}{b}\\}x"
    assert boxed("none") is None
    assert boxed("\\boxed{open") is None


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("str, optional", {"type": "string"}),
        ("List[Dict[str, int]]", {"type": "array", "items": {"type": "object"}}),
        (
            "Union[int, List[str]]",
            {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]},
        ),
        ("Optional[float]", {"type": "number"}),
        ("Any", {}),
        ("Tuple[int, int]", {"type": "array"}),
    ],
)
def test_python_types_become_schemas(text: str, schema: dict[str, Any]) -> None:
    assert _python_type(text) == schema
