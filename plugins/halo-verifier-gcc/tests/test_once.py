"""Remembering what is dear to make."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_core.types import Completion, Prompt, Status
from halo_verifier_gcc import GCC, verifier
from halo_verifier_gcc.once import Once

TESTS = {"tests": [{"stdin": "1", "stdout": "1"}]}


def test_is_made_once_for_all_who_ask_at_a_time() -> None:
    made, once = [], Once[int](2)

    def make() -> int:
        made.append(threading.get_ident())
        time.sleep(0.05)
        return 7

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: once.get("k", make), range(8))) == [7] * 8
    assert len(made) == 1


def test_keys_do_not_wait_for_each_other() -> None:
    once = Once[int](8)
    assert once.get("outer", lambda: once.get("inner", lambda: 3) + 1) == 4


def test_what_was_asked_for_longest_ago_is_forgotten() -> None:
    once, made = Once[str](2), []

    def get(key: str) -> str:
        return once.get(key, lambda: made.append(key) or key)

    for key in "abacab":
        get(key)
    assert made == ["a", "b", "c", "b"]


def test_errors_and_what_is_not_worth_keeping_are_not_remembered() -> None:
    once = Once[int](2)
    with pytest.raises(ZeroDivisionError):
        once.get("k", lambda: 1 // 0)
    assert once.get("k", lambda: 1, keep=lambda made: made > 1) == 1
    assert once.get("k", lambda: 2) == 2
    assert once.get("k", lambda: 3) == 2


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    true_run, runs = sandbox.Workspace.run, []

    def counting(self: sandbox.Workspace, *args: Any, **options: Any) -> sandbox.Outcome:
        runs.append(args)
        return true_run(self, *args, **options)

    monkeypatch.setattr(sandbox.Workspace, "run", counting)
    verifier._VERDICTS.clear()
    return runs


def judge(code: str, reference: Any = TESTS, **options: Any) -> Status:
    return GCC(**options).check(Prompt("p", "t", reference=reference), Completion("p", 0, code)).status


def test_equal_programs_are_judged_once(runs: list[Any]) -> None:
    code = '#include <stdio.h>\nint main(void) { puts("1"); return 0; }'
    for text in (code, f"```c\n{code}\n```", code):
        assert judge(text) is Status.PASS
    assert len(runs) == 2


def test_what_differs_is_judged_anew(runs: list[Any]) -> None:
    code = '#include <stdio.h>\nint main(void) { puts("1"); return 0; }'
    judge(code)
    judge(code + " ")
    judge(code, {"tests": [{"stdin": "2", "stdout": "1"}]})
    judge(code, {"tests": [{"stdin": "1", "stdout": "2"}]})
    judge(code, atol=0.5)
    judge(code, once=False)
    judge(code, once=False)
    assert len(runs) == 14


def test_trouble_is_not_remembered(runs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    code = '#include <stdio.h>\nint main(void) { puts("1"); return 0; }'
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "get", lambda: (_ for _ in ()).throw(SandboxError("gone")))
        assert judge(code) is Status.ERROR
    assert judge(code) is Status.PASS
