"""Selection of the prompts that a cycle samples."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import pytest

from halo_core.config.curriculum import Curriculum
from halo_core.errors import DataError
from halo_core.run.curriculum import prompts_for
from halo_core.types import Prompt

PROMPTS = [Prompt(f"p{n}", f"task {n}", meta={"level": n % 5}) for n in range(20)]
PASSES = {f"p{n}": (n, 19) for n in range(20)}


def ids(curriculum: Curriculum, cycle: int = 1, cycles: int = 5, seed: int = 0) -> list[str]:
    taken = prompts_for(curriculum, PROMPTS, PASSES, cycle=cycle, cycles=cycles, seed=seed)
    return [prompt.id for prompt in taken]


def test_without_a_curriculum_all_prompts_are_sampled() -> None:
    assert ids(Curriculum()) == [prompt.id for prompt in PROMPTS]


@pytest.mark.parametrize(("order", "first"), [("easy_first", range(10, 20)), ("hard_first", range(10))])
def test_the_share_grows_to_all_prompts(order: Literal["easy_first", "hard_first"], first: range) -> None:
    curriculum = Curriculum(order=order)
    assert ids(curriculum) == [f"p{n}" for n in first], "in the order of the data"
    sizes = [len(ids(curriculum, cycle)) for cycle in range(1, 6)]
    assert sizes == [10, 13, 15, 18, 20]
    assert set(ids(curriculum, 2)) > set(ids(curriculum, 1))


def test_difficulty_from_the_data() -> None:
    taken = ids(Curriculum(order="easy_first", key="level", start=0.4))
    assert {int(name[1:]) % 5 for name in taken} == {0, 1}
    with pytest.raises(DataError, match="'p0' has no number under 'nothing'"):
        ids(Curriculum(order="easy_first", key="nothing"))


def test_the_frontier_prefers_prompts_that_are_solved_sometimes() -> None:
    counts = Counter(
        name for seed in range(400) for name in ids(Curriculum(order="frontier", start=0.25), seed=seed)
    )
    assert counts["p10"] > 2 * counts["p0"]
    assert counts["p9"] > 2 * counts["p19"]
    assert sum(counts.values()) == 400 * 5


@pytest.mark.parametrize("order", ["frontier", "easy_first", "hard_first"])
def test_shares_are_exact_despite_floating_point(order: Any) -> None:
    many = [Prompt(f"p{n}", "?") for n in range(100)]
    assert 0.07 * 100 > 7
    taken = prompts_for(Curriculum(order=order, start=0.07), many, {}, cycle=1, cycles=3, seed=0)
    assert len(taken) == 7


def test_the_draw_depends_on_seed_and_cycle() -> None:
    frontier = Curriculum(order="frontier")
    assert ids(frontier) == ids(frontier)
    assert ids(frontier, 1) != ids(frontier, 2)


def test_a_prompt_that_was_never_sampled_has_difficulty_one_half() -> None:
    new = Prompt("new", "?")
    taken = prompts_for(
        Curriculum(order="hard_first", start=0.5), [*PROMPTS, new], PASSES, cycle=1, cycles=3, seed=0
    )
    assert [prompt.id for prompt in taken] == [*(f"p{n}" for n in range(10)), "new"]
