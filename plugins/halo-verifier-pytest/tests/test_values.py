"""Tests by value: verdicts on correct, wrong, broken and slow programs."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from busy import decided
from hypothesis import given, settings
from hypothesis import strategies as st

from halo_core import sandbox
from halo_core.errors import PluginError, SandboxError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_pytest import Pytest

RIGHT = "def add(a, b):\n    return a + b\n"

LATE = """import os, sys
guest = sys.modules["halo_core.sandbox.guest"]
receive = guest.receive
def late():
    message = receive()
    if message is None: os._exit(3)
    return message
guest.receive = late
"""


def result(verdict: Verdict) -> tuple[Status, Stage]:
    return verdict.status, verdict.stage


def make_reference(*tests: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"entry_point": "f", "tests": list(tests), **more}


def test_correct_program_passes(check: Any) -> None:
    verdict = check(RIGHT)
    assert result(verdict) == (Status.PASS, Stage.CORRECT)
    assert verdict.score == 1.0
    assert verdict.detail.splitlines() == ["3 of 3 tests passed", "test 1: ok", "test 2: ok", "test 3: ok"]
    assert verdict.cpu_seconds > 0
    assert verdict.wall_seconds > 0
    assert verdict.sandbox == sandbox.get().tier
    assert verdict.integrity == "split"


@pytest.mark.parametrize(
    ("text", "stage", "reason"),
    [
        ("", Stage.INVALID, "no program"),
        ("def add(a, b:\n", Stage.INVALID, "SyntaxError"),
        ("x = " + "(" * 500, Stage.INVALID, "Error"),
        ("x = " + "-" * 100_000 + "1", Stage.INVALID, "Error"),
        ("def plus(a, b):\n    return a + b\n", Stage.FLAWED, "does not define add"),
        ("def add(a, b):\n    pass\n", Stage.FLAWED, "got None"),
        ("def add(a, b):\n    return None\n", Stage.FLAWED, "got None"),
        ("import nothing_like_it\n" + RIGHT, Stage.CRASHED, "ModuleNotFoundError"),
        ("1 / 0\n" + RIGHT, Stage.CRASHED, "ZeroDivisionError"),
        ("def add(a):\n    return a\n", Stage.CRASHED, "TypeError"),
        ("add = 7\n", Stage.CRASHED, "not callable"),
        ("def add(a, b):\n    return undefined\n", Stage.CRASHED, "NameError"),
        ("import os\ndef add(a, b):\n    os.abort()\n", Stage.CRASHED, "signal 6"),
        ("def add(a, b):\n    return a * b\n", Stage.CRASHED, "expected 7, got 12"),
        ("def add(a, b):\n    return [a, b]\n", Stage.WRONG, "expected 7, got [3, 4]"),
        ("def add(a, b):\n    return object()\n", Stage.WRONG, "not plain data"),
        ("def add(a, b):\n    return float(a + b) if a == 3 else a + b\n", Stage.WRONG, "got 7.0"),
    ],
)
def test_failure_stages(check: Any, text: str, stage: Stage, reason: str) -> None:
    verdict = check(text)
    assert result(verdict) == (Status.FAIL, stage)
    assert reason in verdict.detail


def test_score_is_the_share_of_passed_tests(check: Any) -> None:
    text = "def add(a, b):\n    return a + b if a == 3 else 0 if a == 'a' else a + b\n"
    assert check(text).score == pytest.approx(2 / 3)
    assert check(text, partial=False).score == 0.0
    assert check(RIGHT, partial=False).score == 1.0


def test_cpu_limit(check: Any) -> None:
    text = "def add(a, b):\n    if a == 'a':\n        while True: pass\n    return a + b\n"
    verdict = decided(lambda: check(text, cpu_seconds=0.2))
    assert result(verdict) == (Status.FAIL, Stage.CRASHED)
    assert verdict.score == pytest.approx(1 / 3)
    assert "test 2: exceeded 0.2 s of CPU time" in verdict.detail


def test_total_cpu_limit_applies_if_the_timer_is_disabled(check: Any) -> None:
    text = (
        "import signal\ndef add(a, b):\n    signal.setitimer(signal.ITIMER_PROF, 0)\n    while True: pass\n"
    )
    verdict = decided(lambda: check(text, cpu_seconds=0.1, total_cpu_seconds=0.3))
    assert result(verdict) == (Status.FAIL, Stage.CRASHED)
    assert "cpu limit" in verdict.detail


def test_memory_and_output_limits(check: Any) -> None:
    text = "def add(a, b):\n    x = bytearray(100 << 20)\n    return a + b\n"
    assert check(text).stage is Stage.CORRECT
    assert check(text, memory_mib=64).stage is Stage.CRASHED
    text = "def add(a, b):\n    return 'x' * 20_000\n"
    assert check(text).stage is Stage.WRONG
    assert "exceeded the output limit" in check(text, output_kib=10).detail


def test_printed_output_is_ignored(check: Any) -> None:
    assert check("print('hello')\ndef add(a, b):\n    print(a)\n    return a + b\n").stage is Stage.CORRECT


def test_main_block_is_not_run(check: Any) -> None:
    assert check(RIGHT + "if __name__ == '__main__':\n    add(int(input()), 1)\n").stage is Stage.CORRECT


def test_failing_exit_does_not_pass(check: Any) -> None:
    for reference in (None, {"test_list": ["assert add(3, 4) == 7"]}):
        verdict = check(LATE + RIGHT, reference)
        assert result(verdict) == (Status.FAIL, Stage.CRASHED)
        assert "answered, but ended with exit code 3" in verdict.detail


def test_expected_exceptions_match_subclasses(check: Any) -> None:
    reference = make_reference({"args": [1], "raises": "LookupError"})
    assert check("def f(x):\n    return {}[x]\n", reference).stage is Stage.CORRECT
    assert check("def f(x):\n    raise LookupError\n", reference).stage is Stage.CORRECT
    assert check("def f(x):\n    raise ValueError\n", reference).stage is Stage.CRASHED
    assert check("def f(x):\n    return 1\n", reference).stage is Stage.WRONG


def test_methods_of_a_class(check: Any) -> None:
    reference = {"entry_point": "Solution.twice", "tests": [{"args": [2], "expected": 4}]}
    assert (
        check("class Solution:\n    def twice(self, n):\n        return 2 * n\n", reference).stage
        is Stage.CORRECT
    )
    assert (
        check("class Solution:\n    def thrice(self, n):\n        return 2 * n\n", reference).stage
        is Stage.CRASHED
    )
    assert check("def twice(n):\n    return 2 * n\n", reference).stage is Stage.FLAWED


def test_tolerance_must_be_requested(check: Any) -> None:
    third = {"args": [3.0], "expected": 0.3333333}
    program = "def f(x):\n    return 1 / x\n"
    assert check(program, make_reference(third)).stage is Stage.WRONG
    assert check(program, make_reference(third, rtol=1e-6)).stage is Stage.CORRECT


def test_forbidden_names_are_flawed(check: Any) -> None:
    for text in (
        "import os\n" + RIGHT,
        "def add(a, b):\n    return eval('a + b')\n",
        "from os import path\n" + RIGHT,
    ):
        assert check(text).stage is Stage.CORRECT
        verdict = check(text, forbid=("eval", "os"))
        assert result(verdict) == (Status.FAIL, Stage.FLAWED)
        assert "forbidden" in verdict.detail


def test_additional_import_paths(check: Any) -> None:
    text = "from helpful import plus\ndef add(a, b):\n    return plus(a, b)\n"
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is not readable by other users
        Path(folder).chmod(0o755)
        (Path(folder) / "helpful.py").write_text("def plus(a, b):\n    return a + b\n")
        assert check(text).stage is Stage.CRASHED
        assert check(text, paths=(folder,)).stage is Stage.CORRECT


def test_expected_values_cannot_be_found(check: Any) -> None:
    text = """import gc, os, sys
def f():
    frame, seen = sys._getframe(), [repr(gc.get_objects()), repr(sys.argv), repr(os.environ)]
    while frame:
        seen.append(repr(frame.f_locals) + repr(frame.f_globals))
        frame = frame.f_back
    return "-".join(["xylo", "quartz"]) in "".join(seen)
"""
    assert "got False" in check(text, make_reference({"args": [], "expected": "xylo-quartz"})).detail
    assert (
        "got True" in check(text + "it = 'xylo-quartz'\n", make_reference({"args": [], "expected": 1})).detail
    )


def test_random_numbers_are_deterministic(check: Any) -> None:
    def details() -> tuple[str, str]:
        text = "import random\ndef f():\n    return random.random()\n"
        listed = {"test_list": ["assert f() == 2, f()"]}
        return check(text, make_reference({"args": [], "expected": 2})).detail, check(text, listed).detail

    first = details()
    assert "0.8444218515250481" in first[0]
    with sandbox.start() as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "get", lambda: other)
        assert details()[0] == first[0]


def test_broken_sandbox_is_an_error(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise SandboxError("no walls today")

    monkeypatch.setattr(sandbox, "get", broken)
    verdict = check(RIGHT)
    assert verdict.status is Status.ERROR
    assert "no walls today" in verdict.detail


def test_preflight_rejects_limits_that_are_too_tight() -> None:
    Pytest().preflight()
    with pytest.raises(PluginError, match="does not pass") as caught:
        Pytest(total_cpu_seconds=1e-4).preflight()
    assert "limits" in caught.value.hint


def test_fingerprint_depends_on_options() -> None:
    assert Pytest().fingerprint() == Pytest().fingerprint()
    assert Pytest().fingerprint() != Pytest(cpu_seconds=2.0).fingerprint()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=40)
@given(plain)
def test_every_plain_value_can_be_passed_and_returned(value: object) -> None:
    reference = {"tests": [{"call": f"f({value!r})", "returns": f"[{value!r}]"}]}
    if "inf" in repr(value):
        return
    prompt = Prompt("p", "t", reference=json.loads(json.dumps(reference)))
    verdict = Pytest().check(prompt, Completion("p", 0, "def f(x):\n    return [x]\n"))
    assert verdict.status is Status.PASS, verdict.detail
