from __future__ import annotations

from typing import Any, cast

import pytest

from halo_core.errors import SandboxError
from halo_core.sandbox import Answer, Limits, NotPlainError, Sandbox


def test_results_are_returned_by_exact_type(box: Sandbox) -> None:
    source = "def f(x, y):\n    return {x: (y, [x], {y})}"
    calls = box.call(source, "f", [(1, 2.0), ("a", None)])
    assert calls.answers == (
        Answer({1: (2.0, [1], {2.0})}, None, ""),
        Answer({"a": (None, ["a"], {None})}, None, ""),
    )
    assert calls.outcome.ok
    assert not calls.tampered


def test_each_series_of_calls_has_one_process(box: Sandbox) -> None:
    source = "n = 0\ndef f():\n    global n\n    n += 1\n    return n"
    for _ in range(2):
        assert [a.value for a in box.call(source, "f", [(), (), ()]).answers] == [1, 2, 3]


def test_exceptions_are_reported_by_name(box: Sandbox) -> None:
    calls = box.call("def f(x):\n    return 1 / x", "f", [(0,), (2,), ("a",)])
    assert [a.error for a in calls.answers] == ["ZeroDivisionError", None, "TypeError"]
    assert calls.answers[1].value == 0.5


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("g = 1", "AttributeError"),
        ("exit(0)", "NameError"),
    ],
)
def test_the_error_of_a_source_that_does_not_load_is_reported(box: Sandbox, source: str, error: str) -> None:
    calls = box.call(source, "f", [(1,)])
    assert calls.loaded is not None
    assert (calls.loaded.error, calls.answers) == (error, ())


def test_preloaded_modules_and_paths_can_be_imported(
    confined: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("library")
    (folder / "helper_for_halo.py").write_text("def twice(x):\n    return 2 * x\n")
    for place in (folder, folder.parent):
        place.chmod(0o755)
    source = "import math, collections, helper_for_halo\ndef f(x):\n    return helper_for_halo.twice(x)"
    calls = confined.call(source, "f", [(4,)], paths=[folder])
    assert [a.value for a in calls.answers] == [8], calls


def test_arguments_that_are_not_plain_data_raise(box: Sandbox) -> None:
    with pytest.raises(NotPlainError):
        box.call("def f(x): ...", "f", [(object(),)])


LIAR = "class Liar(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"


@pytest.mark.parametrize(
    "body",
    [
        "Liar(3)",
        "Liar",
        "[Liar(3)]",
        "type('T', (), {'__eq__': lambda *a: True})()",
        "True.__class__('x') or Liar(1)",
    ],
)
def test_a_value_that_lies_about_equality_is_rejected(box: Sandbox, body: str) -> None:
    (answer,) = box.call(f"{LIAR}def f():\n    return {body}", "f", [()]).answers
    assert answer.value in (None, True)
    assert answer.error == "NotPlainError" or answer.value is True


ATTACKS = {
    "exit on import": "import os\nos._exit(0)\ndef f(x): return x",
    "exit in the call": "import os\ndef f(x): os._exit(0)",
    "raise SystemExit": "def f(x): raise SystemExit(0)",
    "answer before being asked": (
        "import os, struct\nbody = b'{\"tuple\":[null,7]}'\nframe = struct.pack('<I', len(body)) + body\n"
        "def f(x):\n    os.write(3, frame * 3)\n    return 7"
    ),
    "answer in the source": (
        "import os, struct\nbody = b'{\"tuple\":[null,7]}'\n"
        "os.write(3, (struct.pack('<I', len(body)) + body) * 9)\ndef f(x): return 7"
    ),
    "one extra answer at the end": (
        "import os, atexit, struct\nn = 0\ndef f(x):\n    global n\n    n += 1\n"
        "    if n == 2:\n        os.write(3, struct.pack('<I', 4) + b'null')\n        os._exit(0)\n    return x"
    ),
    "gibberish": "import os\ndef f(x):\n    os.write(3, bytes([9, 0, 0, 0]) + b'gibberish')",
    "an endless answer": "import os\ndef f(x):\n    os.write(3, b'\\xff' * 4)\n    while 1: os.write(3, bytes(9999))",
    "close the channel": "import os\ndef f(x):\n    os.close(3)\n    return x",
    "a huge answer": "def f(x): return 'x' * 10_000_000",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_answers_of_a_sample_that_breaks_the_protocol_are_discarded(box: Sandbox, attack: str) -> None:
    calls = box.call(ATTACKS[attack], "f", [(7,), (7,)], limits=Limits(cpu_seconds=1))
    accepted = [a for a in calls.answers if a.error is None]
    assert len(accepted) < 2
    assert calls.tampered or len(calls.answers) < 2 or calls.answers[0].error == "SystemExit"


def test_limits_hold_within_a_call(box: Sandbox) -> None:
    calls = box.call(
        "def f(x):\n    while x: pass\n    return x", "f", [(0,), (1,)], limits=Limits(cpu_seconds=0.2)
    )
    assert [a.value for a in calls.answers] == [0]
    assert calls.outcome.limit == "cpu"
    calls = box.call("def f():\n    return len(bytearray(1 << 40))", "f", [()])
    assert calls.answers[0].error == "MemoryError"


def test_the_process_holds_no_data_of_the_trainer(box: Sandbox) -> None:
    """The sample sees only the supervisor's own small modules and its arguments."""
    source = (
        "import gc, os, sys\n"
        "def f():\n"
        "    frame, names = sys._getframe(), []\n"
        "    while frame:\n"
        "        names += frame.f_code.co_filename.rpartition('/')[2:]\n"
        "        frame = frame.f_back\n"
        "    fds = []\n"
        "    for fd in range(64):\n"
        "        try: fds.append(os.fstat(fd) and fd)\n"
        "        except OSError: pass\n"
        "    return (sorted(set(names)), fds, sorted(os.environ), 'torch' in sys.modules)"
    )
    (answer,) = box.call(source, "f", [()]).answers
    value = cast(tuple[list[str], list[int], list[str], bool], answer.value)
    files, fds, environment, torch = value
    assert set(files) <= {"<solution>", "guest.py", "launch.py", "worker.py", "supervisor.py"}
    assert fds == [0, 1, 2, 3]
    assert not torch
    assert set(environment) <= {"LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONHASHSEED"}


def test_a_trusted_source_is_executed_once_and_each_process_begins_with_a_copy(box: Sandbox) -> None:
    source = (
        "import time\nloaded = time.monotonic_ns()\nn = 0\n"
        "def f():\n    global n\n    n += 1\n    return loaded, n"
    )
    runs: list[list[Any]] = [
        [a.value for a in box.call(source, "f", [(), ()], trusted=True).answers] for _ in range(3)
    ]
    assert len({loaded for run in runs for loaded, _ in run}) == 1
    assert [[n for _, n in run] for run in runs] == [[1, 2]] * 3
    with box.function(source, "f", trusted=True) as function:
        assert function() == Answer((runs[0][0][0], 1), None, "")
    assert box.call("n = 7\ndef f():\n    return n", "f", [()]).answers[0].value == 7


def test_trusted_sources_are_kept_apart(box: Sandbox) -> None:
    for n in (1, 2, 1):
        assert box.call(f"def f():\n    return {n}", "f", [()], trusted=True).answers[0].value == n


def test_a_trusted_source_that_fails_is_an_error_of_the_sandbox(box: Sandbox) -> None:
    with pytest.raises(SandboxError, match="ZeroDivisionError"):
        box.call("1 / 0", "f", [()], trusted=True)
    assert box.call("def f():\n    return 1", "f", [()]).answers[0].value == 1


def test_processes_of_a_trusted_source_are_confined(box: Sandbox) -> None:
    source = "import resource\ndef f():\n    return resource.getrlimit(resource.RLIMIT_AS)[0]"
    limits = Limits(memory_bytes=1 << 29)
    assert box.call(source, "f", [()], limits=limits, trusted=True).answers[0].value == 1 << 29
