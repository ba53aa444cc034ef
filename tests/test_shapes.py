"""Foreign columns as prompts: mapping, templates, filters, several sources, and evaluation sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from halo_core.config.schema import read_config
from halo_core.data import load_prompts
from halo_core.data.contamination import overlap
from halo_core.data.mixture import mixture
from halo_core.data.shape import Shape
from halo_core.errors import ConfigError, DataError, HaloError
from halo_core.run.prompts import contaminated, prompts_in, read_prompts
from halo_core.types import Prompt

ROWS = [
    {
        "question": "How many legs have two dogs?",
        "answer": "Each has 4.\n#### 8",
        "level": 1,
        "extra": {"tags": ["a"]},
    },
    {"question": "Half of ten?", "answer": "10 / 2\n#### 5", "level": 2, "extra": {"tags": ["b"]}},
    {"question": "Three squared?", "answer": "3 * 3\n#### 9", "level": 3, "extra": {"tags": []}},
]
COLUMNS = {"prompt": "question", "answer": {"from": "answer", "after": "####"}}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes rows as JSON Lines."""

    def make(rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return make


def config(**data: Any) -> Any:
    return read_config({"verifier": ["sympy"], "data": data})


def test_columns_are_mapped_and_the_others_are_kept_aside(write: Callable[..., Path]) -> None:
    first, *_ = load_prompts(write(ROWS), Shape(columns={**COLUMNS, "kind": {"value": "value"}}))
    assert first.text == "How many legs have two dogs?"
    assert first.reference == {"answer": "8", "kind": "value"}
    assert first.meta["level"] == 1
    nested = {"prompt": "question", "id": "level", "tests": "extra.tags", "tag": "extra.tags.0"}
    second = load_prompts(write(ROWS[:2]), Shape(columns=nested))[1]
    assert (second.id, second.reference) == ("2", {"tests": ["b"], "tag": "b"})


def test_a_reference_is_completed(write: Callable[..., Path]) -> None:
    rows = [{"prompt": "?", "reference": {"rtol": 0.1}, "solution": "x = {7}"}]
    (prompt,) = load_prompts(
        write(rows), Shape(columns={"answer": {"from": "solution", "match": r"\{(\d)\}"}})
    )
    assert (prompt.text, prompt.reference) == ("?", {"rtol": 0.1, "answer": "7"})


def test_parquet_keeps_what_a_mapping_needs(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    datasets.Dataset.from_list(ROWS).to_parquet(path)
    assert [p.reference for p in load_prompts(path, Shape(columns=COLUMNS))] == [
        {"answer": "8"},
        {"answer": "5"},
        {"answer": "9"},
    ]
    unlike = [{"q": "?", "spec": {"answer": "2"}}, {"q": "!", "spec": {"answer": "3.1", "rtol": 0.1}}]
    datasets.Dataset.from_list(unlike).to_parquet(path)
    found = load_prompts(path, Shape(columns={"prompt": "q", "reference": "spec"}))
    assert [p.reference for p in found] == [{"answer": "2"}, {"answer": "3.1", "rtol": 0.1}]


def test_where_and_template(write: Callable[..., Path]) -> None:
    shape = Shape(
        columns=COLUMNS,
        where="level <= 2 and 'a' in extra.tags",
        template="Solve: {{ prompt }} ({{ level }})",
    )
    (only,) = load_prompts(write(ROWS), shape)
    assert only.text == "Solve: How many legs have two dogs? (1)"
    with pytest.raises(DataError, match="no prompts for which level > 9 is true"):
        load_prompts(write(ROWS), Shape(columns=COLUMNS, where="level > 9"))


@pytest.mark.parametrize(
    ("shape", "message", "hint"),
    [
        (
            {"columns": {"prompt": "questoin"}},
            r":1: prompt: there is no column 'questoin'",
            "did you mean 'question'?",
        ),
        ({"columns": {"answer": {"from": "answer", "after": "@@"}}}, "there is no '@@' in it", ""),
        (
            {"columns": {"answer": {"from": "answer", "afer": "#"}}},
            "unknown key 'afer'",
            "did you mean 'after'?",
        ),
        ({"columns": {"answer": {"after": "#"}}}, "names no column", "{from: COLUMN"),
        ({"columns": {"answer": {"from": "level", "after": "#"}}}, "after needs text, not int", ""),
        ({"columns": {"answer": {"from": "answer", "json": True}}}, "not JSON", ""),
        ({"columns": {"answer": {"from": "answer", "match": "zz"}}}, "'zz' matches nothing", ""),
        ({"columns": {"answer": {"from": "answer", "match": "("}}}, "match: ", ""),
        ({"where": "levl > 1"}, "'levl' is undefined", "the columns are question"),
        ({"where": "level >"}, "data.where: ", "written in Jinja"),
        ({"template": "{{ nothing }}"}, "'nothing' is undefined", "the columns are question"),
        ({"recipe": "gsm9k"}, "there is no recipe 'gsm9k'", "did you mean 'gsm8k'?"),
    ],
)
def test_a_shape_that_does_not_fit(
    write: Callable[..., Path], shape: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(HaloError, match=message) as caught:
        load_prompts(write(ROWS), Shape(**{"columns": COLUMNS, **shape} if "columns" not in shape else shape))
    assert hint in caught.value.hint


# Several sources


def prompts_of(name: str, number: int) -> list[Prompt]:
    return [Prompt(f"{name}{n}", f"{name} {n}") for n in range(number)]


def test_sources_are_mixed_in_proportion_without_repeating() -> None:
    sources = [("a", prompts_of("a", 30), 2.0), ("b", prompts_of("b", 10), 1.0)]
    mixed = mixture(sources, limit=None, seed=0)
    assert len(mixed) == 30
    assert sum(p.id.startswith("a") for p in mixed) == 20
    assert len({p.id for p in mixed}) == 30
    assert mixture(sources, limit=None, seed=0) == mixed
    assert mixture(sources, limit=None, seed=1) != mixed
    limited = mixture(sources, limit=6, seed=0)
    assert [sum(p.id.startswith(name) for p in limited) for name in "ab"] == [4, 2]
    together = mixture([(name, prompts, None) for name, prompts, _ in sources], limit=None, seed=0)
    assert [p.id for p in together] == [p.id for _, prompts, _ in sources for p in prompts]


def test_sources_that_cannot_be_mixed() -> None:
    with pytest.raises(DataError, match="some sources have a weight and others none"):
        mixture([("a", prompts_of("a", 2), 1.0), ("b", prompts_of("b", 2), None)], limit=None, seed=0)
    with pytest.raises(DataError, match="id 'a0' is already used") as caught:
        mixture([("a", prompts_of("a", 2), None), ("b", prompts_of("a", 2), None)], limit=None, seed=0)
    assert "columns" in caught.value.hint


def test_each_source_has_its_own_columns(write: Callable[..., Path]) -> None:
    plain = write([{"prompt": "One?", "reference": {"answer": "1"}}], "plain.jsonl")
    other = write([{"q": "Two?", "a": "2"}], "other.jsonl")
    sources = [
        {"prompts": str(write(ROWS))},
        {"prompts": str(other), "columns": {"prompt": "q", "answer": "a"}, "template": "Answer: {{ q }}"},
        {"prompts": str(plain), "columns": {}},
    ]
    found = prompts_in(config(sources=sources, columns=COLUMNS))
    assert [(p.text, p.reference["answer"]) for p in found[-3:]] == [
        ("Three squared?", "9"),
        ("Answer: Two?", "2"),
        ("One?", "1"),
    ]
    with pytest.raises(ConfigError, match=r"data\.prompts and data\.sources are both given"):
        read_prompts(config(sources=sources, prompts="x.jsonl"), None)


# Evaluation sets


LONG = "A farmer has twelve sheep and sells five of them on Monday; how many sheep does the farmer keep until Tuesday?"


def test_an_evaluation_text_in_the_training_prompts_is_found() -> None:
    prompts = [
        Prompt("train-7", f"Please solve this. {LONG.upper()} Think."),
        Prompt("short", "Half of ten?"),
    ]
    found = overlap(
        prompts,
        "eval",
        ["Nothing in common with anything at all here, none.", LONG, "half of TEN"],
        words=8,
        share=0.5,
    )
    assert found.texts == 3
    assert found.found == ((2, "train-7"), (3, "short"))
    assert str(found) == (
        "2 of the 3 texts of evaluation set 'eval' are in the training prompts: 2 ('train-7'), 3 ('short')"
    )


def test_the_covered_share_counts() -> None:
    words = LONG.split()
    half = Prompt("half", " ".join(words[: len(words) // 2 + 1]))
    few = Prompt("few", " ".join(words[:8]))
    for prompt, share, hit in ((half, 0.5, True), (half, 0.6, False), (few, 0.5, False), (few, 0.3, True)):
        assert bool(overlap([prompt], "eval", [LONG], words=8, share=share).found) is hit, (prompt.id, share)


def test_contamination_is_said_and_refused_by_option(write: Callable[..., Path]) -> None:
    evaluation = write([{"problem": LONG, "solution": "7"}], "eval.jsonl")
    train = write([{"prompt": LONG}, {"prompt": "Half of ten?"}, {"prompt": "Three squared?"}], "train.jsonl")
    data: dict[str, Any] = {"prompts": str(train), "heldout_share": 0.4}
    checked = {"sets": {"math": str(evaluation)}}
    read_prompts(config(**data, contamination=checked), None)
    everything = prompts_in(config(**data))
    assert len(contaminated(config(**data, contamination=checked), everything)) == 1
    assert "evaluation set 'math'" in contaminated(config(**data, contamination=checked), everything)[0]
    assert contaminated(config(**data), everything) == []
    data |= {"prompts": str(write([{"prompt": LONG}, {"prompt": LONG + " Or not?"}], "both.jsonl"))}
    with pytest.raises(DataError, match="evaluation set 'math'"):
        read_prompts(config(**data, contamination={**checked, "refuse": True}), None)
