from __future__ import annotations

import json
import logging
import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.data import check_disjoint, load_prompts, misspelt_keys, split_heldout
from halo_core.errors import DataError
from halo_core.seeds import derive_seed
from halo_core.types import Prompt

GOOD = json.dumps({"id": "a", "prompt": "Add two numbers."})
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(*lines: str, name: str = "prompts.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(line + "\n" for line in lines))
        return path

    return make


def test_a_row_in_full(write: Write) -> None:
    row: dict[str, Any] = {
        "id": "a",
        "prompt": "Add.",
        "verifier": "gcc",
        "reference": {"tests": [{"stdin": "1 2", "stdout": "3"}]},
        "level": 3,
        "source": {"page": 1},
    }
    assert load_prompts(write(json.dumps(row))) == [
        Prompt("a", "Add.", (), "gcc", row["reference"], {"level": 3, "source": {"page": 1}})
    ]


def test_a_chat(write: Write) -> None:
    messages = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Add.", "name": "x"}]
    (prompt,) = load_prompts(write(json.dumps({"id": "a", "messages": messages})))
    assert prompt.text == ""
    assert prompt.messages == (
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Add."},
    )


def test_text_is_another_name_for_prompt(write: Write) -> None:
    assert load_prompts(write('{"id": "a", "text": "Add."}'))[0].text == "Add."


def test_blank_lines_are_skipped_but_counted(write: Write) -> None:
    path = write("", GOOD, "   ", "oops")
    with pytest.raises(DataError, match=r":4: not JSON"):
        load_prompts(path)


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n")
    assert load_prompts(path) == [Prompt("a", "Add two numbers.")]


@pytest.mark.parametrize(("given", "expected"), [(0, "0"), (7, "7"), ("0", "0"), ("a b", "a b")])
def test_ids_become_strings(write: Write, given: object, expected: str) -> None:
    assert load_prompts(write(json.dumps({"id": given, "prompt": "Add."})))[0].id == expected


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": ""}])
def test_a_missing_id_is_made_from_the_content(write: Write, row: dict[str, object]) -> None:
    first, second = load_prompts(
        write(json.dumps({**row, "prompt": "x"}), json.dumps({**row, "prompt": "y"}))
    )
    assert first.id != second.id
    again = load_prompts(write(json.dumps({**row, "prompt": "y"})))
    assert again[0].id == second.id, "whatever its position in the file"


def test_null_means_absent(write: Write) -> None:
    row = {
        "id": "a",
        "prompt": "x",
        "text": None,
        "messages": None,
        "verifier": None,
        "reference": None,
        "level": None,
    }
    assert load_prompts(write(json.dumps(row))) == [Prompt("a", "x")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON: .* at column"),
        ("nonsense", "not JSON"),
        (GOOD[:-1], "not JSON"),
        (GOOD + GOOD, "not JSON"),
        ("3", "a prompt is a JSON object, not int"),
        ("[]", "a prompt is a JSON object, not list"),
        ("null", "a prompt is a JSON object, not NoneType"),
        ("{}", "give either 'prompt' .* or 'messages'"),
        ('{"prompt": ""}', "give either"),
        ('{"prompt": "  "}', "give either"),
        ('{"prompt": 3}', "'prompt' must be text"),
        ('{"prompt": ["x"]}', "'prompt' must be text"),
        ('{"prompt": "x", "messages": [{"role": "user", "content": "y"}]}', "give either"),
        ('{"messages": []}', "give either"),
        ('{"messages": 3}', "'messages' must be a list"),
        ('{"messages": "hello"}', "'messages' must be a list"),
        ('{"messages": {"role": "user", "content": "y"}}', "'messages' must be a list"),
        ('{"messages": ["hello"]}', "each message needs"),
        ('{"messages": [{"role": "user"}]}', "each message needs"),
        ('{"messages": [{"role": "user", "content": 3}]}', "each message needs"),
        ('{"prompt": "x", "reference": [1]}', "'reference' must be a JSON object"),
        ('{"prompt": "x", "reference": "[1]"}', "'reference' must be a JSON object"),
        ('{"prompt": "x", "reference": "{"}', "not JSON"),
        ('{"prompt": "x", "verifier": 3}', "'verifier' must be"),
        ('{"prompt": "x", "id": [1]}', "'id' must be"),
        ('{"prompt": "x", "id": "a"}', "id 'a' is already used at .*:1"),
    ],
)
def test_the_error_for_an_invalid_row_names_its_line(write: Write, line: str, message: str) -> None:
    path = write(GOOD, line)
    with pytest.raises(DataError, match=f"{path}:2: {message}") as caught:
        load_prompts(path)
    assert "\n" not in str(caught.value)


def test_rows_with_equal_content_and_no_id_are_duplicates_named_by_their_lines(write: Write) -> None:
    path = write('{"prompt": "x"}', '{"prompt": "y"}', '{"prompt": "x"}')
    with pytest.raises(DataError) as caught:
        load_prompts(path)
    assert str(caught.value) == f"{path}:3: the same prompt is already at {path}:1"
    assert "'id'" in caught.value.hint


def test_a_prompt_knows_its_line_but_does_not_depend_on_it(write: Write) -> None:
    (first,) = load_prompts(path := write("", GOOD))
    assert first.place == f"{path}:2"
    assert first == load_prompts(write(GOOD))[0]
    assert str(path) not in repr(first)


@pytest.mark.parametrize(
    "line",
    [
        r'{"prompt": "half: \ud83d"}',
        r'{"messages": [{"role": "user", "content": "\udc00"}]}',
        r'{"prompt": "x", "reference": {"answer": "\ud800"}}',
    ],
)
def test_half_a_surrogate_pair_is_refused(write: Write, line: str) -> None:
    with pytest.raises(DataError, match=r":1: '\\ud.*' is half of a surrogate pair"):
        load_prompts(write(line))
    assert load_prompts(write(r'{"prompt": "whole: \ud83d\ude00"}'))[0].text == "whole: 😀"


def test_an_unknown_role_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=":1: unknown role 'asistant'") as caught:
        load_prompts(write('{"messages": [{"role": "asistant", "content": "x"}]}'))
    assert caught.value.hint == "did you mean 'assistant'?"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"prompt": "a\tb"}', "Invalid control character at column 14"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"prompt": "x", "n": ' + "9" * 5000 + "}", "Exceeds the limit"),
    ],
)
def test_what_is_wrong_with_json_is_said_once(write: Write, line: str, problem: str) -> None:
    with pytest.raises(DataError, match=f":1: not JSON: {problem}"):
        load_prompts(write(line))


def test_a_misspelt_key_is_named(write: Write) -> None:
    lines = [{"id": "a", "prompt": "x", "refrence": {}, "idx": 3}, {"prompt": "y", "prompt_id": "b"}]
    assert misspelt_keys(load_prompts(write(*map(json.dumps, lines)))) == {"refrence": "reference"}
    with pytest.raises(DataError) as caught:
        load_prompts(write('{"promt": "x"}'))
    assert caught.value.hint == "'promt' is unknown: did you mean 'prompt'?"
    given = write('{"prompt": "x", "reference": {"n": 1}, "references": 2}')
    assert misspelt_keys(load_prompts(given)) == {}, "the right key is there, too"


@pytest.mark.parametrize("lines", [(), ("",), ("  ", "")])
def test_a_file_without_prompts(write: Write, lines: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="contains no prompts") as caught:
        load_prompts(write(*lines))
    assert "prompt" in caught.value.hint


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file or directory"):
        load_prompts(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="Is a directory"):
        load_prompts(tmp_path)
    (tmp_path / "binary.jsonl").write_bytes(GOOD.encode() + b"\n\xff\xfe\n")
    with pytest.raises(DataError, match="not UTF-8"):
        load_prompts(tmp_path / "binary.jsonl")
    for name in ("nowhere.csv", "nowhere.parquet"):
        with pytest.raises(DataError, match=r"nowhere.*No such file"):
            load_prompts(tmp_path / name)


def test_a_table_is_read_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "prompts.csv"
    path.write_text('id,prompt,reference,level\n0,Add.,"{""n"": 1}",2\n1,Sub.,,3\n')
    assert load_prompts(path) == [
        Prompt("0", "Add.", reference={"n": 1}, meta={"level": 2}),
        Prompt("1", "Sub.", meta={"level": 3}),
    ]
    path.write_text("id,prompt\n1,Add.\n1,Sub.\n")
    with pytest.raises(DataError, match=r"prompts.csv row 2: id '1' is already used at .* row 1"):
        load_prompts(path)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("3", "write one JSON object per line, with at least a 'prompt'"),
        ("{}", "write one JSON object per line, with at least a 'prompt'"),
        ('{"promt": "x"}', "'promt' is unknown: did you mean 'prompt'?"),
        ('{"prompt": "", "topic": "a"}', "write the task into 'prompt'"),
        ('{"messages": []}', "write the task into 'messages'"),
        ('{"prompt": "x", "messages": [{"role": "user", "content": "y"}]}', "remove 'messages'"),
        ('{"question": "x", "answer": "y"}', "its keys are 'answer', 'question'; name the one with the task: "
         "--set data.columns.prompt=KEY"),
    ],
)  # fmt: skip
def test_a_row_without_a_prompt_is_answered_with_what_to_write(write: Write, line: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        load_prompts(write(line))
    assert caught.value.hint == hint


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json"])
def test_an_empty_table_has_a_remedy(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"prompts.{suffix}").touch()
    with pytest.raises(DataError) as caught:
        load_prompts(tmp_path / f"prompts.{suffix}")
    assert caught.value.hint


def test_an_unreachable_hub_is_one_line_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def retries(*_: object, **__: object) -> None:
        for attempt in range(5):
            logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 8s [Retry %d/5].", attempt)
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=retries))
    with pytest.raises(DataError, match=r"^hf:owner/name: Couldn't reach") as caught:
        load_prompts("hf:owner/name")
    assert "network" in caught.value.hint
    assert not caplog.records


def test_an_exception_of_datasets_without_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AssertionError

    datasets = types.SimpleNamespace(load_dataset=fails)
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    with pytest.raises(DataError, match=r"^hf:owner/name: AssertionError$"):
        load_prompts("hf:owner/name")


def test_a_table_without_the_datasets_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="needs the datasets package") as caught:
        load_prompts("hf:owner/name:train")
    assert caught.value.hint == "pip install datasets"


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"p{n}", f"task {n}") for n in range(count)]


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_the_split_is_a_partition_that_depends_only_on_the_seed(count: int, share: float, seed: int) -> None:
    train, heldout = split_heldout(prompts(count), share, seed)
    assert sorted(p.id for p in train + heldout) == sorted(p.id for p in prompts(count))
    assert train
    assert heldout
    assert abs(len(heldout) - share * count) <= 1
    assert (train, heldout) == split_heldout(prompts(count), share, seed)
    check_disjoint(train, heldout)
    for part in (train, heldout):
        assert part == [p for p in prompts(count) if p in part], "the file's order is kept"


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("seed", range(20))
def test_prompts_with_the_same_task_stay_together(times: int, seed: int) -> None:
    tasks = [Prompt(f"p{n}", f"task {n // times}", reference={"n": n}) for n in range(42)]
    train, heldout = split_heldout(tasks, 0.1, seed)
    check_disjoint(train, heldout)
    assert len(heldout) == 4 // times * times
    assert len(train) + len(heldout) == 42


def test_the_smallest_task_is_held_out_if_none_fits() -> None:
    tasks = [Prompt(f"p{n}", "abbccc"[n]) for n in (1, 2, 3, 4, 5)]
    train, heldout = split_heldout(tasks, 0.1, 0)
    assert ({p.text for p in train}, {p.text for p in heldout}) == ({"c"}, {"b"})
    with pytest.raises(DataError, match="2 prompts of the same task cannot be split"):
        split_heldout([Prompt("a", "x"), Prompt("b", "x ")], 0.5, 0)


def test_the_split_of_distinct_prompts_is_recorded() -> None:
    order = list(range(50))
    random.Random(derive_seed(3, "heldout")).shuffle(order)
    assert [p.id for p in split_heldout(prompts(50), 0.1, 3)[1]] == [f"p{n}" for n in sorted(order[:5])]


def test_different_seeds_hold_out_different_prompts() -> None:
    held = {tuple(p.id for p in split_heldout(prompts(100), 0.1, seed)[1]) for seed in range(20)}
    assert len(held) == 20
    assert all(len(ids) == 10 for ids in held)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_prompts_to_split(count: int) -> None:
    with pytest.raises(DataError, match="cannot be split") as caught:
        split_heldout(prompts(count), 0.1, 0)
    assert "--heldout" in caught.value.hint


@pytest.mark.parametrize(
    ("train", "heldout"),
    [
        (Prompt("a", "x"), Prompt("a", "y")),
        (Prompt("a", "x"), Prompt("b", "x")),
        (
            Prompt("a", messages=({"role": "user", "content": "x"},)),
            Prompt("b", messages=({"content": "x", "role": "user"},)),
        ),
        (Prompt("a", "x y"), Prompt("b", messages=({"role": "user", "content": "x y"},))),
        (Prompt("a", "x y"), Prompt("b", " x  y\n")),
    ],
)
def test_a_heldout_prompt_must_not_be_a_training_prompt(train: Prompt, heldout: Prompt) -> None:
    with pytest.raises(
        DataError, match=f"held-out prompt '{heldout.id}' is also a training prompt"
    ) as caught:
        check_disjoint([Prompt("z", "z"), train], [Prompt("w", "w"), heldout])
    assert caught.value.hint


def test_disjoint_prompts_pass() -> None:
    check_disjoint([Prompt("a", "x")], [Prompt("b", "y")])
    check_disjoint([], [Prompt("b", "y")])
    system = ({"role": "system", "content": "be brief"}, {"role": "user", "content": "x"})
    check_disjoint([Prompt("a", "x")], [Prompt("b", messages=system)])
    check_disjoint([Prompt("a", "xy")], [Prompt("b", "x y")])


def test_keys_that_a_mapping_column_fills_with_null_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "prompts.parquet"
    tests = [{"stdin": "1", "stdout": "2"}, {"stdout": "3"}]
    rows = [
        {"id": "0", "prompt": "Add.", "reference": {"answer": "2", "rows": [[1, None]]}},
        {"id": "1", "prompt": "Pi?", "reference": {"answer": "3", "rtol": 0.1, "files": {"a": "b"}}},
        {"id": "2", "prompt": "Print.", "reference": {"tests": tests}},
    ]
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    assert [prompt.reference for prompt in load_prompts(path)] == [row["reference"] for row in rows]


def test_a_damaged_table_is_reported_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("datasets")
    path = tmp_path / "x.json"
    path.write_text("[")
    with pytest.raises(DataError) as caught:
        load_prompts(path)
    assert "generating the dataset" not in str(caught.value), "the cause is named"
    assert "Generating" not in capfd.readouterr().err
