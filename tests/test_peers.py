"""`benchmarks/peers.py` on small data of the same columns, written for this test."""

from __future__ import annotations

import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "peers.py"


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("peers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["peers"] = module
    spec.loader.exec_module(module)
    return module


def outcomes(peers: ModuleType, name: str, folder: Path) -> list[tuple[str, bool, str]]:
    driver, read = peers.SOURCES[name]
    cases = list(read(folder))
    return [(case.name, case.right, peers.judge(driver(**case.options), case)[0]) for case in cases]


def test_humaneval(peers: ModuleType, tmp_path: Path) -> None:
    row = {
        "task_id": "Test/0",
        "prompt": 'def double(n: int) -> int:\n    """Return twice n."""\n',
        "entry_point": "double",
        "canonical_solution": "    return 2 * n\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n",
    }
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    found = outcomes(peers, "humaneval", tmp_path)
    assert found[0] == ("Test/0", True, "pass")
    assert len(found) == 1 + len(peers.TRIVIAL)
    assert {each[1:] for each in found[1:]} == {(False, "fail")}


def test_mbpp(peers: ModuleType, tmp_path: Path) -> None:
    row = {"task_id": 1, "text": "Add.", "code": "def add(a, b):\n    return a + b", "test_setup_code": "",
           "test_list": ["assert add(1, 2) == 3"], "challenge_test_list": []}  # fmt: skip
    wrong = {**row, "task_id": 2, "test_list": ["assert add(1, 2) == 4"]}
    (tmp_path / "mbpp.jsonl").write_text("\n".join(map(json.dumps, (row, wrong))))
    assert outcomes(peers, "mbpp", tmp_path) == [("mbpp 1", True, "pass"), ("mbpp 2", True, "fail")]


def test_c_testsuite(peers: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "single-exec"
    folder.mkdir(parents=True)
    programs = {
        "00001.c": ("int main() { return 0; }\n", ""),
        "00002.c": ('int printf(const char *, ...);\nint main() { printf("4\\n"); return 0; }\n', "4\n"),
        "00003.c": ("int main() { return 1; }\n", ""),
    }
    for name, (program, expected) in programs.items():
        (folder / name).write_text(program)
        (folder / f"{name}.expected").write_text(expected)
    found = outcomes(peers, "c-testsuite", tmp_path)
    assert found == [("00001.c", True, "pass"), ("00002.c", True, "pass"), ("00003.c", True, "fail")]


def test_jsonschema(peers: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "draft2020-12"
    folder.mkdir(parents=True)
    groups = [
        {
            "description": "integers",
            "schema": {"type": "integer"},
            "tests": [
                {"description": "one", "data": 1, "valid": True},
                {"description": "text", "data": "1", "valid": False},
            ],
        },
        {
            "description": "elsewhere",
            "schema": {"$ref": "http://localhost:1/x.json"},
            "tests": [{"description": "one", "data": 1, "valid": True}],
        },
    ]
    (folder / "type.json").write_text(json.dumps(groups))
    found = outcomes(peers, "jsonschema", tmp_path)
    assert [each[1:] for each in found] == [(True, "pass"), (False, "fail"), (True, "refused")]


def test_math_verify(peers: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_pairs.py").write_text(
        "import pytest\n\n\n"
        '@pytest.mark.parametrize("gold, pred, expected", [\n'
        '    (r"$\\frac{1}{2}$", "0.5", 1),\n'
        '    ("12", "The answer is $13$.", 0),\n'
        '    ("12", None, 1),\n'
        "    (1, 2, 3),\n"
        "])\n"
        "def test(gold, pred, expected):\n    raise AssertionError\n"
    )
    found = outcomes(peers, "math-verify", tmp_path)
    assert found == [("test_pairs.py:5", True, "pass"), ("test_pairs.py:6", False, "fail")]


def test_the_summary_lists_differences_and_checks_targets(peers: ModuleType) -> None:
    right, wrong = (peers.Case(name, {}, "", right=name == "a") for name in ("a", "b"))
    lines, met = peers.summary("jsonschema", [(right, "pass", ""), (wrong, "fail", "x")])
    assert met
    assert lines == [
        "jsonschema: 1 of 1 right answers accepted, 0 of 1 wrong ones; 0 with a reference that is refused"
    ]
    lines, met = peers.summary("jsonschema", [(right, "refused", "why"), (wrong, "pass", "")])
    assert not met
    assert [line.split()[:3] for line in lines[:2]] == [["refused", "right", "a:"], ["pass", "wrong", "b:"]]
    assert not peers.summary("humaneval", [(right, "pass", "")])[1]


def test_a_directory_without_the_data_is_an_error_in_one_line(tmp_path: Path) -> None:
    for name in ("mbpp", "jsonschema"):
        done = subprocess.run(
            [sys.executable, str(SCRIPT), name, str(tmp_path)], capture_output=True, text=True
        )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "give the directory of the data" in done.stderr
