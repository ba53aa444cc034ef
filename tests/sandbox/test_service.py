"""`Service`: each way in which a call can end, and that the next call succeeds."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_core.sandbox import Limits, NotPlainError, Service, process_wide

TIGHT = Limits(cpu_seconds=0.2, memory_bytes=400 << 20)


@pytest.mark.parametrize("fresh", [False, True])
def test_values_cross_by_exact_type(fresh: bool) -> None:
    service = Service("copy:copy", fresh=fresh)
    for value in ([1, 1.0, True, "1", None], (b"x",), {2: frozenset({3})}, 1 << 80):
        reply = service.call(value)
        assert reply.ok
        assert repr(reply.value) == repr(value)
        assert reply.tier == sandbox.get().tier
    with pytest.raises(NotPlainError):
        service.call(object())


@pytest.mark.parametrize("fresh", [False, True])
def test_the_exception_of_the_function_is_reported_by_name(fresh: bool) -> None:
    service = Service("json:loads", fresh=fresh)
    reply = service.call("[1,")
    assert (reply.error, reply.ok) == ("JSONDecodeError", False)
    assert reply.message.startswith("Expecting value")
    assert service.call("[1]").value == [1]


def test_a_return_value_that_is_not_plain_data_is_an_error() -> None:
    assert Service("builtins:object").call().error == "NotPlainError"


@pytest.mark.parametrize("fresh", [False, True])
def test_the_cpu_limit_ends_a_call_in_the_middle_of_c_code(fresh: bool) -> None:
    service = Service("builtins:pow", limits=TIGHT, fresh=fresh)
    reply = service.call(3, 10**9)  # would take hours
    assert (reply.limit, reply.ok, reply.inconclusive) == ("cpu", False, False)
    assert service.call(3, 2).value == 9


def test_the_cpu_limit_applies_to_each_call() -> None:
    service = Service("builtins:pow", limits=TIGHT)
    spent, calls = 0.0, 0
    while spent <= TIGHT.cpu_seconds and calls < 1000:
        reply = service.call(3, 200_000, 10**9000 + 7)
        assert reply.ok
        spent, calls = spent + reply.cpu_seconds, calls + 1
    assert spent > TIGHT.cpu_seconds


@pytest.mark.parametrize("fresh", [False, True])
def test_memory_is_limited(fresh: bool) -> None:
    service = Service("builtins:bytearray", limits=TIGHT, fresh=fresh)
    assert service.call(1 << 30).limit == "memory"
    assert service.call(3).error == "NotPlainError"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_process_that_dies_is_replaced(fresh: bool) -> None:
    service = Service("os:_exit", fresh=fresh)
    for code in (0, 3):
        reply = service.call(code)
        assert (reply.error, reply.ok) == ("ProcessDied", False)
        assert str(code) in reply.message


def test_one_process_serves_many_calls_unless_fresh() -> None:
    reused, fresh = Service("os:getpid"), Service("os:getpid", fresh=True)
    assert len({reused.call().value for _ in range(5)}) == 1
    assert len({fresh.call().value for _ in range(5)}) == 5


def test_questions_are_answered_by_the_caller() -> None:
    service = Service("halo_core.sandbox.service:ask")
    asked: list[object] = []

    def answer(question: object) -> object:
        asked.append(question)
        return [question]

    assert service.call((1, 2), answer=answer).value == [(1, 2)]
    assert asked == [(1, 2)]
    assert service.call(1).error == "Tampering"
    assert service.call(1, answer=answer).value == [1]


def test_an_exception_in_answer_reaches_the_caller() -> None:
    service = Service("halo_core.sandbox.service:ask")

    def answer(question: object) -> object:
        raise LookupError(question)

    with pytest.raises(LookupError):
        service.call(1, answer=answer)
    assert service.call(1, answer=str).value == "1"


@pytest.mark.parametrize("fresh", [False, True])
def test_the_function_is_confined(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "secret").write_text("x")
    assert Service("os:listdir", fresh=fresh).call(str(tmp_path)).error in (
        "PermissionError",
        "FileNotFoundError",
    )
    assert Service("os:mkdir", fresh=fresh).call(str(tmp_path / "new")).error is not None
    assert Service("os:fork", fresh=fresh).call().error == "BlockingIOError"
    assert Service("os:system", fresh=fresh).call("echo").value != 0
    assert Service("socket:create_connection", fresh=fresh).call(("127.0.0.1", 9)).error == "PermissionError"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("fresh", [False, True])
def test_of_proc_the_function_reads_no_more_than_its_own_groups(
    confined: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    monkeypatch.setattr(process_wide, "current", confined)
    opened = Service("os:open", fresh=fresh)
    if confined.tier == "standard" and not fresh:
        assert opened.call("/proc/self/cgroup", os.O_RDONLY).ok
    for path in ("self/status", "self/environ", "self/maps", "1/cgroup", f"{os.getpid()}/cgroup", "meminfo"):
        assert opened.call(f"/proc/{path}", os.O_RDONLY).error in ("PermissionError", "FileNotFoundError")
    opened.close()


def test_many_threads_call_concurrently() -> None:
    service = Service("math:factorial")
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda n: service.call(n % 50).value, range(400)))
    import math

    assert values == [math.factorial(n % 50) for n in range(400)]


def test_a_function_that_cannot_be_imported_raises() -> None:
    for target in ("no_such_module:f", "json:no_such_function"):
        with pytest.raises(SandboxError, match="no_such"):
            Service(target).call()


def test_closing_the_sandbox_ends_all_processes() -> None:
    box = sandbox.start()
    before = _children()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_wide, "current", box)
        service = Service("time:sleep")
        assert service.call(0.0).ok
        thread = threading.Thread(target=_expect_error, args=(service, 600.0))
        thread.start()
        time.sleep(0.2)
        box.close()
        thread.join(100)
    assert not thread.is_alive()
    assert len(_children()) < len(before)


def _expect_error(service: Service, *arguments: object) -> None:
    with pytest.raises(SandboxError):
        service.call(*arguments)


def _children() -> list[str]:
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


def test_hashes_are_deterministic() -> None:
    source = "def order(n):\n    return list({str(i) for i in range(n)})\n"
    answers = []
    for _ in range(2):
        with sandbox.start() as box:
            answers.append(box.call(source, "order", [(50,)]).answers[0].value)
    assert answers[0] == answers[1]
