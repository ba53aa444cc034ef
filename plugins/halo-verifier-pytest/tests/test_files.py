"""pytest files: split from the sample if the solution passes that way, else in a shared process."""

import os
import subprocess
import sys
from typing import Any

import pytest
from busy import decided

from halo_core.errors import VerifierError
from halo_core.types import Stage, Status, Verdict
from halo_verifier_pytest.results import solution_passed

RIGHT = "def add(a, b):\n    return a + b\n"
FILE = """
import unittest
import pytest
from helping import seven
from solution import add

@pytest.fixture
def three():
    return 3

@pytest.mark.parametrize("x", [1, 2])
def test_numbers(x, three, one):
    assert add(x, three) + one - 1 == x + 3

class TestMore:
    def test_lists(self):
        assert add([1], [2]) == [1, 2]

    def test_types(self, capsys):
        with pytest.raises(TypeError):
            add(1, None)
        assert capsys.readouterr().out == ""

class Old(unittest.TestCase):
    def setUp(self):
        self.four = 4

    def test_old(self):
        self.assertEqual(add(3, self.four), seven())
"""
CONFTEST = "import pytest\n@pytest.fixture\ndef one():\n    return 1\n"
FILES = {"test_add.py": FILE, "helping.py": "def seven():\n    return 7\n", "conftest.py": CONFTEST}
SPLIT = {"files": FILES, "solution": RIGHT}
SHARED = {"files": FILES}
POINT = """class Point:
    def __init__(self, x):
        self.x = x
    def double(self):
        return Point(2 * self.x)
"""
POINTS = {
    "files": {
        "test_p.py": "from solution import Point\ndef test_p():\n    assert Point(2).double().x == 4\n"
    },
    "solution": POINT,
}


@pytest.fixture(params=["split", "shared"])
def reference(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SPLIT if request.param == "split" else SHARED


def label(reference: dict[str, Any]) -> str:
    return "split" if "solution" in reference else "shared-process"


def test_correct_program_passes(check: Any, reference: dict[str, Any]) -> None:
    verdict = check(RIGHT, reference)
    assert (verdict.status, verdict.stage, verdict.score) == (Status.PASS, Stage.CORRECT, 1.0), verdict.detail
    assert verdict.integrity == label(reference)
    assert verdict.detail.splitlines()[0] == "5 of 5 tests passed"
    assert "test_add.py::test_numbers[1]: ok" in verdict.detail
    assert "test_add.py::Old::test_old: ok" in verdict.detail
    assert verdict.cpu_seconds > 0


@pytest.mark.parametrize(
    ("text", "stage", "reason"),
    [
        ("def add(a, b:\n", Stage.INVALID, "SyntaxError"),
        ("def plus(a, b):\n    return a + b\n", Stage.FLAWED, "does not define add"),
        ("def add(a, b):\n    pass\n", Stage.FLAWED, ""),
        ("1 / 0\n" + RIGHT, Stage.CRASHED, "ZeroDivisionError"),
        ("import sys\nsys.exit(0)\n" + RIGHT, Stage.CRASHED, "SystemExit"),
        ("import os\nos._exit(0)\n" + RIGHT, Stage.CRASHED, "exit code 0"),
        ("def add(a, b):\n    return a.plus(b)\n", Stage.CRASHED, "AttributeError"),
        ("import sys\ndef add(a, b):\n    sys.exit(0)\n", Stage.CRASHED, "SystemExit"),
        ("import os\ndef add(a, b):\n    os._exit(0)\n", Stage.CRASHED, "exit code 0"),
        ("def add(a, b):\n    return 4 if b else a + b\n", Stage.WRONG, "1 of 5 tests passed"),
    ],
)
def test_failure_stages(check: Any, reference: dict[str, Any], text: str, stage: Stage, reason: str) -> None:
    verdict = check(text, reference)
    assert (verdict.status, verdict.stage) == (Status.FAIL, stage), verdict.detail
    assert reason in verdict.detail or stage is Stage.WRONG
    assert verdict.integrity == label(reference)


def test_score_ignores_tests_defined_by_the_sample(check: Any, reference: dict[str, Any]) -> None:
    verdict = check("def add(a, b):\n    return a + b if a != 2 else 0\ndef test_mine(): pass\n", reference)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.WRONG)
    assert verdict.score == pytest.approx(4 / 5)
    assert "test_mine" not in verdict.detail


def test_process_exit_fails_the_remaining_tests(check: Any) -> None:
    text = "import os\ndef add(a, b):\n    if a == 2: os._exit(0)\n    return a + b\n"
    assert check(text, SHARED).score == pytest.approx(1 / 5)
    assert check(text, SPLIT).score == pytest.approx(1 / 5)


def test_cpu_limit_applies_to_each_test(check: Any, reference: dict[str, Any]) -> None:
    text = "def add(a, b):\n    while a == 2: pass\n    return a + b\n"
    verdict = decided(lambda: check(text, reference, cpu_seconds=0.3))
    assert (verdict.stage, verdict.score) == (Stage.CRASHED, pytest.approx(1 / 5)), verdict.detail


@pytest.mark.parametrize("mark", ["skip", "xfail", "skipif(True, reason='x')", "xfail(strict=True)"])
def test_skipped_and_xfailed_tests_do_not_pass(check: Any, mark: str) -> None:
    file = f"import pytest\nfrom solution import add\n@pytest.mark.{mark}\ndef test_add():\n    assert add(3, 4) == 7\n"
    assert check(RIGHT, {"files": {"test_add.py": file}}).status is Status.FAIL


def test_tests_use_objects_of_the_program(check: Any) -> None:
    verdict = check(POINT, POINTS)
    assert (verdict.status, verdict.integrity) == (Status.PASS, "split"), verdict.detail
    assert check(POINT.replace("2 *", "3 *"), POINTS).stage is Stage.WRONG


def test_tests_that_inherit_from_the_program_share_its_process(check: Any) -> None:
    file = "from solution import Point\nclass Far(Point):\n    pass\ndef test_p():\n    assert Far(2).double().x == 4\n"
    reference = {"files": {"test_p.py": file}, "solution": POINT}
    verdict = check(POINT, reference)
    assert (verdict.status, verdict.integrity) == (Status.PASS, "shared-process"), verdict.detail
    assert check(POINT, reference, isolation="split").status is not Status.PASS
    assert check(POINT.replace("2 *", "3 *"), reference).stage is Stage.WRONG


def test_isolation_option(check: Any) -> None:
    assert check(RIGHT, SHARED, isolation="split").integrity == "split"
    assert check(RIGHT, SHARED, isolation="split").status is Status.PASS
    assert check(RIGHT, SPLIT, isolation="shared").integrity == "shared-process"


def test_objects_equal_to_everything_pass_only_in_shared_processes(check: Any) -> None:
    file = "from solution import add\ndef test_add():\n    assert add(3, 4) == 7\n"
    lie = "class Lie:\n    def __eq__(self, other): return True\ndef add(a, b): return Lie()\n"
    shared = check(lie, {"files": {"test_add.py": file}})
    assert (shared.status, shared.integrity) == (Status.PASS, "shared-process")
    assert check(lie, {"files": {"test_add.py": file}, "solution": RIGHT}).status is Status.FAIL


def test_module_can_be_renamed(check: Any) -> None:
    file = "import adder\ndef test_add():\n    assert adder.add(3, 4) == 7\n"
    for more in ({}, {"solution": RIGHT}):
        verdict = check(RIGHT, {"files": {"test_add.py": file}, "module": "adder", **more})
        assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("file", "word"),
    [
        ("from solution import add\n", "no test"),
        ("import nothing_like_it\ndef test_a(): pass\n", "nothing_like_it"),
    ],
)
def test_unusable_files_are_errors(check: Any, file: str, word: str) -> None:
    verdict = check(RIGHT, {"files": {"test_add.py": file}})
    assert verdict.status is Status.ERROR
    assert word in verdict.detail


@pytest.mark.parametrize("more", [{}, {"solution": RIGHT}])
def test_failing_calls_during_import_of_the_file_fail_the_sample(check: Any, more: dict[str, str]) -> None:
    file = "from solution import add\nSEVEN = add(3, 4)\ndef test_add():\n    assert SEVEN == 7\n"
    reference = {"files": {"test_add.py": file}, **more}
    assert check(RIGHT, reference).status is Status.PASS
    verdict = check("def add(a, b):\n    return a.plus(b)\n", reference)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.CRASHED)
    verdict = check("import os\ndef add(a, b):\n    os._exit(0)\n", reference)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.CRASHED)


WITNESS = """
import pytest
from halo_verifier_pytest import file_runner
{patch}
_, items = file_runner._collect({{"test_a.py": "def test_a(): assert {truth}"}})
print(*file_runner._run_one(items[0], None))
"""


@pytest.mark.parametrize(
    ("patch", "truth", "printed"),
    [
        ("", "True", "passed ok"),
        ("", "False", "failed AssertionError"),
        ("pytest.Function.runtest = lambda self: None", "True", "failed did not run to its end"),
        ("pytest.Function.runtest = lambda self: pytest.skip('x')", "True", "failed skipped in call"),
        ("pytest.TestReport.from_item_and_call = lambda item, call: "
         "pytest.TestReport(item.nodeid, item.location, {}, 'passed', None, 'call')", "False", "failed Assertion"),
        ("pytest.TestReport.from_item_and_call = lambda item, call: "
         "pytest.TestReport(item.nodeid, item.location, {}, 'passed', None, 'call')", "True", "failed did not run"),
    ],
)  # fmt: skip
def test_tests_pass_only_if_they_return_and_pytest_agrees(patch: str, truth: str, printed: str) -> None:
    script = WITNESS.format(patch=patch, truth=truth)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.startswith(printed)


def test_undecided_solutions_raise() -> None:
    undecided = Verdict(Status.INCONCLUSIVE, Stage.WRONG, detail="busy")
    with pytest.raises(VerifierError, match="busy"):
        solution_passed(undecided)


def test_pytest_settings_of_the_user_are_ignored(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only -p nothing_like_it")
    assert check(RIGHT, SHARED, total_cpu_seconds=4.0).status is Status.PASS


def test_loading_the_verifier_leaves_the_environment_alone() -> None:
    script = (
        "import os; before = dict(os.environ); import halo_verifier_pytest.verifier; "
        "print(dict(os.environ) == before)"
    )
    environment = {**os.environ, "PYTEST_ADDOPTS": "-q"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "True"
