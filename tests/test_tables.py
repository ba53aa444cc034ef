from __future__ import annotations

import pytest

from halo_core.tables import count, fitting, size, table


@pytest.mark.parametrize(
    ("room", "columns"),
    [(None, [0, 1, 2]), (34, [0, 1, 2]), (33, [0, 2]), (22, [0, 2]), (21, [2]), (1, [2])],
)
def test_columns_are_kept_by_rank_while_they_fit(room: int | None, columns: list[int]) -> None:
    assert fitting([10, 10, 10], [1, 2, 0], room) == columns


def test_a_table_leaves_columns_out_only_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("run", "started"), ("a", "2026-01-01")]
    assert table(rows, left=2, ranks=(0, 1)) == "run  started\na    2026-01-01"
    monkeypatch.setattr("halo_core.tables.terminal_width", lambda: 10)
    assert table(rows, left=2, ranks=(0, 1)) == "run\na"
    assert "started" in table(rows, left=2), "without ranks every column stays"


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1 byte"), (999, "999 bytes"), (1500, "1.5 kB"), (34_600_000, "35 MB"), (1_614_000_000, "1.6 GB")],
)
def test_a_size_is_short(number: int, text: str) -> None:
    assert size(number) == text


def test_a_noun_follows_its_number() -> None:
    assert [count(number, "step") for number in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
