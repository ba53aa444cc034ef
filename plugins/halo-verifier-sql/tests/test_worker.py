"""Which sets of databases a process keeps."""

from typing import Any

import pytest

from halo_verifier_sql import worker


class Fake:
    size = 40

    def contents(self) -> Any:
        return {}


def test_sets_that_were_not_used_for_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(key: str) -> list[str]:
        asked.append(key)
        return ["one", "two"]

    monkeypatch.setattr(worker, "ask", ask)
    monkeypatch.setattr(worker, "_ROOM", 170)
    monkeypatch.setattr(worker, "_sets", type(worker._sets)())

    for key in ("a", "b", "a", "c", "a", "b", "c"):
        worker.serve(lambda _: Fake(), key, None, ())  # type: ignore[arg-type, return-value]
    assert asked == ["a", "b", "c", "b", "c"]
    monkeypatch.setattr(worker, "_ROOM", 10)
    worker.serve(lambda _: Fake(), "d", None, ())  # type: ignore[arg-type, return-value]
    assert list(worker._sets) == ["d"]
