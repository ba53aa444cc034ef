"""The client beside a server that fails in every way a server can."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from halo_core import HaloError, ModelError, PluginError
from halo_generator_openai import Client, in_order

JSON = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\n"


def status(code: int, body: bytes = b"{}", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Reason", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextmanager
def scripted(*answers: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """Serve raw `answers`, one for each connection, the last one for all later ones; None: never answer.

    Yields the address and the requests that arrived.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.05)
    arrived: list[bytes] = []
    over = threading.Event()
    open_sockets: list[socket.socket] = []

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            arrived.append(connection.recv(65536))
            answer = answers[min(len(arrived), len(answers)) - 1]
            open_sockets.append(connection)
            if answer is not None:
                connection.sendall(answer)
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", arrived
    finally:
        over.set()
        thread.join()
        for each in open_sockets:
            each.close()
        listening.close()


def client(url: str, **options: Any) -> Client:
    return Client([url], **{"deadline": 5.0, "retries": 2, "first_pause": 0.0} | options)


@pytest.mark.parametrize(
    "failure",
    [
        status(429, b'{"error": {"message": "slow down"}}', "Retry-After: 0"),
        status(429, b"{}", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"),
        status(500),
        status(502, b"<html>Bad gateway</html>"),
        status(503),
        JSON + b'{"a": [1',
        JSON + b'["list"]',
        status(200, b'{"error": {"message": "upstream is overloaded", "code": 502}}'),
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"not HTTP at all\r\n\r\n",
    ],
    ids=["429", "429-date", "500", "502", "503", "half", "list", "error", "closed", "short", "no-http"],
)
def test_a_failure_that_passes_is_tried_again(failure: bytes) -> None:
    with scripted(failure, failure, JSON + b'{"a": 1}') as (url, arrived):
        asked = client(url)
        assert asked.ask("v1/x", {"q": 1}) == {"a": 1}
        asked.close()
    assert len(arrived) == 3


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (status(429, b'{"error": {"message": "slow\\n  down"}}', "Retry-After: 0"), "429 Reason: slow down"),
        (status(500, b'{"detail": "CUDA out of memory"}'), "500 Reason: CUDA out of memory"),
        (status(503, b"busy"), "503 Reason: busy"),
        (status(200, b'{"error": {"message": "overloaded", "code": 502}}'), "200 Reason: overloaded"),
        (status(200, b'{"error": "no credit", "choices": []}'), "200 Reason: no credit"),
        (JSON + b'{"a": [1', "the answer is not JSON: '{\"a\": [1'"),
        (b"", "no connection"),
        (None, "no answer within 0.2 s"),
    ],
    ids=["429", "500", "503", "error", "text", "half", "closed", "never"],
)
def test_a_failure_that_stays_is_reported_in_one_line(failure: bytes | None, message: str) -> None:
    with scripted(failure) as (url, arrived):
        asked = client(url, deadline=0.2 if failure is None else 5.0)
        with pytest.raises(PluginError) as caught:
            asked.ask("v1/x", {})
        asked.close()
    assert message in str(caught.value)
    assert "(3 tries)" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(arrived) == 3


def test_a_deadline_covers_a_body_that_arrives_byte_by_byte() -> None:
    over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listening.accept()
        connection.recv(65536)
        connection.sendall(JSON)
        while not over.wait(0.05):
            try:
                connection.sendall(b" ")
            except OSError:
                break
        connection.close()

    thread = threading.Thread(target=drip)
    thread.start()
    asked = client(f"http://127.0.0.1:{listening.getsockname()[1]}", deadline=0.3, retries=0)
    with pytest.raises(PluginError, match=r"no answer within 0\.3 s"):
        asked.ask("v1/x", {})
    over.set()
    thread.join()
    asked.close()
    listening.close()


@pytest.mark.parametrize(
    ("code", "hint"), [(400, ""), (401, "key_env"), (403, "key_env"), (404, "model's name"), (422, "")]
)
def test_a_refusal_is_not_tried_again(code: int, hint: str) -> None:
    with scripted(status(code, b'{"error": {"message": "no"}}')) as (url, arrived):
        asked = client(url)
        with pytest.raises(ModelError, match=f"{code} Reason: no") as caught:
            asked.ask("v1/x", {})
        asked.close()
    assert hint in caught.value.hint
    assert len(arrived) == 1


def test_nobody_listens() -> None:
    asked = client("http://127.0.0.1:9")
    with pytest.raises(PluginError, match="no connection"):
        asked.ask("v1/x", {})
    asked.close()


def test_an_address_that_is_none() -> None:
    asked = client("localhost:8000")
    with pytest.raises(HaloError, match="localhost:8000"):
        asked.ask("v1/x", {})
    asked.close()


def test_a_server_that_ended_is_revived_without_a_try() -> None:
    revived: list[int] = []

    def revive() -> bool:
        revived.append(1)
        return len(revived) <= 3

    with scripted(b"", b"", b"", JSON + b'{"a": 1}') as (url, _):
        asked = client(url, retries=0, revive=revive)
        assert asked.ask("v1/x", {}) == {"a": 1}
        asked.close()
    assert len(revived) == 3


def test_a_revival_costs_no_request_a_try() -> None:
    """The server ends while four requests are in flight; one of them starts it again."""
    revived: list[int] = []

    def revive() -> bool:
        revived.append(1)
        return len(revived) == 1

    def serve() -> None:
        for connection in [listening.accept()[0] for _ in range(4)]:
            connection.close()
        for _ in range(4):
            connection, _ = listening.accept()
            connection.recv(65536)
            connection.sendall(JSON + b'{"a": 1}')
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve)
        server.start()
        asked = client(f"http://127.0.0.1:{listening.getsockname()[1]}", retries=0, revive=revive)
        futures = [asked.submit("v1/x", {}, number=0) for _ in range(4)]
        assert [future.result(timeout=30) for future in futures] == [{"a": 1}] * 4
        asked.close()
        server.join()
    assert len(revived) == 1


def test_no_more_than_concurrency_requests_are_in_flight() -> None:
    now, most, lock = 0, 0, threading.Lock()
    listening = socket.create_server(("127.0.0.1", 0))
    release = threading.Barrier(3)

    def handle(connection: socket.socket) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        release.wait()
        with lock:
            now -= 1
        connection.sendall(status(200))
        connection.close()

    def serve() -> None:
        for _ in range(9):
            connection, _ = listening.accept()
            connection.recv(65536)
            threading.Thread(target=handle, args=(connection,)).start()

    threading.Thread(target=serve).start()
    asked = client(f"http://127.0.0.1:{listening.getsockname()[1]}", concurrency=3, deadline=60)
    futures = [asked.submit("v1/x", {}) for _ in range(9)]
    assert [future.result(60) for future in futures] == [{}] * 9
    assert most == 3
    asked.close()
    listening.close()


def test_answers_are_in_order_whatever_the_server_does() -> None:
    with scripted(status(500, b"{}"), JSON + b'{"a": 1}') as (url, _):
        asked = client(url, concurrency=4)
        jobs = list(range(6))
        found = in_order(
            lambda job: asked.submit("v1/x", {"job": job}), jobs, ahead=3, interrupt=lambda: None
        )
        assert [job for job, _ in found] == jobs
        asked.close()


def test_an_interrupt_cancels_what_waits() -> None:
    class Stop(Exception):
        pass

    calls = 0

    def interrupt() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Stop

    with scripted(None) as (url, _):
        asked = client(url, deadline=600.0)
        futures: list[Any] = []

        def submit(job: int) -> Any:
            futures.append(asked.submit("v1/x", {"job": job}))
            return futures[-1]

        with pytest.raises(Stop):
            list(in_order(submit, range(8), ahead=4, interrupt=interrupt))
        assert len(futures) == 4
        assert all(future.cancelled() for future in futures)
        asked.close()


def test_closing_leaves_no_thread() -> None:
    before = threading.active_count()
    with scripted(None) as (url, _):
        asked = client(url)
        asked.submit("v1/x", {})
        asked.close()
        asked.close()
    assert threading.active_count() <= before
