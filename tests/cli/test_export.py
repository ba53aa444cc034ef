"""`halo export`: files for other trainers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.ledger.ledger import Ledger
from halo_core.model.pretraining import read_pairs

Halo = Callable[..., Any]
Rows = Callable[[Any], list[dict[str, Any]]]


def test_sft_export_can_be_read_by_halo_sft(rows: Rows, run: Halo, halo: Halo) -> None:
    run()
    pairs = rows(halo("export", "run", "--to", "sft"))
    passed = rows(halo("export", "run", "--status", "pass", "--split", "train"))
    assert {pair["completion"] for pair in pairs} == {row["completion"] for row in passed}
    assert len({(pair["prompt"], pair["completion"]) for pair in pairs}) == len(pairs)
    assert (
        halo("export", "run", "--to", "sft", "-o", "pairs.jsonl").err == f"{len(pairs)} rows in pairs.jsonl\n"
    )
    assert len(read_pairs(Path("pairs.jsonl"))) == len(pairs)
    chosen = rows(halo("export", "run", "--to", "sft", "--chosen"))
    trained = rows(halo("export", "run", "--chosen"))
    assert {pair["completion"] for pair in chosen} == {row["completion"] for row in trained}


def test_held_out_prompts_are_exported_only_on_request(rows: Rows, run: Halo, halo: Halo) -> None:
    run()
    held = {f"demo task {n}" for n in range(8, 12)}
    for to in ("sft", "dpo"):
        assert not held & {row["prompt"] for row in rows(halo("export", "run", "--to", to))}
        exported = {row["prompt"] for row in rows(halo("export", "run", "--to", to, "--split", "heldout"))}
        assert exported
        assert exported <= held


def test_chat_wraps_text_prompts_in_messages(rows: Rows, run: Halo, halo: Halo) -> None:
    run()
    config = Path("run/run.yaml")
    (plain, *_) = rows(halo("export", "run", "--to", "sft"))
    config.write_text(config.read_text().replace(":Skilled", ":Skilled\n  system: be brief"))
    (with_system, *_) = rows(halo("export", "run", "--to", "sft"))
    assert with_system["prompt"] == f"be brief\n\n{plain['prompt']}"
    (chat, *_) = rows(halo("export", "run", "--to", "sft", "--chat"))
    assert chat["prompt"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": plain["prompt"]},
    ]
    assert chat["completion"] == [{"role": "assistant", "content": plain["completion"]}]
    (preference, *_) = rows(halo("export", "run", "--to", "dpo", "--chat"))
    assert preference["prompt"][0]["content"] == "be brief"
    assert preference["rejected"][0]["role"] == "assistant"


def test_the_system_prompt_is_that_of_the_cycle_and_of_the_split(rows: Rows, run: Halo, halo: Halo) -> None:
    run()
    config = yaml.safe_load(Path("run/run.yaml").read_text())
    generator = config["generator"] | {"system": "own"}
    config |= {"generator": generator, "per_cycle": {"generator": {"system": ["first", "later"]}}}
    config["heldout"]["generator"] = generator | {"system": "measured"}
    Path("run/run.yaml").write_text(yaml.safe_dump(config))
    for to in ("sft", "dpo"):
        for flags, system in (
            (["-c", 1], "first"),
            (["-c", 2], "later"),
            (["--split", "heldout"], "measured"),
        ):
            found = rows(halo("export", "run", "--to", to, *flags))
            assert {row["prompt"].split("\n")[0] for row in found} == {system}
    del config["heldout"]["generator"], config["per_cycle"]
    Path("run/run.yaml").write_text(yaml.safe_dump(config))
    found = rows(halo("export", "run", "--to", "sft", "--split", "heldout"))
    assert {row["prompt"].split("\n")[0] for row in found} == {"own"}


def test_preferences_pair_a_better_and_a_worse_answer_to_one_prompt(
    rows: Rows, run: Halo, halo: Halo
) -> None:
    run()
    for pairs in (1, 3):
        found = rows(halo("export", "run", "--to", "dpo", "--split", "train", "--pairs", pairs))
        assert found
        assert all(row["chosen"].startswith("right") for row in found)
        assert all(row["rejected"].startswith("wrong") for row in found)
        per_prompt = [sum(row["prompt"] == f"demo task {n}" for row in found) for n in range(8)]
        assert max(per_prompt) <= pairs * 2, "there are two cycles"
        assert len({tuple(row.values()) for row in found}) == len(found)
    assert all(row["chosen"].startswith("right") for row in rows(halo("export", "run", "--to", "dpo")))


def test_a_completion_that_the_reward_excluded_is_not_preferred(rows: Rows, run: Halo, halo: Halo) -> None:
    run()
    before = rows(halo("export", "run", "--to", "dpo", "-c", 1))
    excluded = f"SELECT id FROM completions WHERE text = '{before[0]['chosen']}'"
    with Ledger(Path("run")).writing() as db:
        db.execute(f"DELETE FROM rewards WHERE completion IN ({excluded})")
    after = rows(halo("export", "run", "--to", "dpo", "-c", 1))
    assert before[0]["chosen"] not in {row["chosen"] for row in after}


def test_equal_preferences_are_exported_once(rows: Rows, run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        passed = "SELECT id FROM verdicts WHERE status = 'pass'"
        for text, where in (("good", "IN"), ("bad", "NOT IN")):
            db.execute(f"UPDATE completions SET text = ? WHERE verdict {where} ({passed})", (text,))
    found = rows(halo("export", "run", "--to", "dpo"))
    assert len({row["prompt"] for row in found}) == len(found) > 1, "although two cycles have it"


def test_chat_prompts_are_exported_as_chats(rows: Rows, run: Halo, halo: Halo, tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "add"}]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"id": n, "messages": chat, "n": n}) + "\n" for n in range(1, 3)))
    (tmp_path / "held.jsonl").write_text('{"prompt": "other"}\n')
    run("run", "--data", path, "--heldout", tmp_path / "held.jsonl", "--model", "m", "--samples", "12")
    (text, *_) = rows(halo("export", "run", "--to", "sft", "--split", "heldout"))
    assert text["prompt"] == [{"role": "user", "content": "other"}], "a column has one type"
    (pair, *_) = rows(halo("export", "run", "--to", "sft", "--split", "train"))
    assert pair["prompt"] == chat
    assert pair["completion"][0]["role"] == "assistant"
    (preference, *_) = rows(halo("export", "run", "--to", "dpo", "--split", "train"))
    assert [each[0]["role"] for each in (preference["chosen"], preference["rejected"])] == ["assistant"] * 2


def test_exports_load_with_datasets(rows: Rows, run: Halo, halo: Halo, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    run()
    everything = rows(halo("export", "run"))
    for to, name in (
        ("jsonl", "all.jsonl"),
        ("parquet", "all.parquet"),
        ("sft", "s.jsonl"),
        ("dpo", "d.jsonl"),
    ):
        assert halo("export", "run", "--to", to, "-o", name).code == 0
        kind = "parquet" if to == "parquet" else "json"
        table = datasets.load_dataset(kind, data_files=name, split="train", cache_dir=str(tmp_path / "cache"))
        assert len(table) > 0
        if to in ("jsonl", "parquet"):
            assert [row["token_ids"] for row in table] == [row["token_ids"] for row in everything]
            assert table[0]["messages"] == everything[0]["messages"]


def test_parquet_needs_pyarrow_and_a_file(run: Halo, halo: Halo, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    assert "--output" in halo("export", "run", "--to", "parquet").remedy()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = halo("export", "run", "--to", "parquet", "-o", "x.parquet")
    assert "writing Parquet needs pyarrow" in answer.complaint()
    assert "halo-core[data]" in answer.remedy()


def test_invalid_exports(run: Halo, halo: Halo) -> None:
    run()
    assert halo("export", "run", "--to", "jsnl").remedy() == "did you mean 'jsonl'?"
    for to in ("jsonl", "parquet"):
        assert "No such file" in halo("export", "run", "--to", to, "-o", "no/where").complaint()
    assert "run is a directory" in halo("export", "run", "-o", "run").complaint()
    assert "no dpo row can be made" in halo("export", "run", "--to", "dpo", "--status", "pass").complaint()
    assert "--split heldout" in halo("export", "run", "--to", "sft", "--cycle", "0").remedy()
    assert "No space left" in halo("export", "run", "-o", "/dev/full").complaint()
    assert halo("export", "run", "-o", "/dev/null").code == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "run.yaml", "plugins.json", "cycles/001/x"])
def test_files_of_a_run_are_not_overwritten(run: Halo, halo: Halo, name: str) -> None:
    run()
    before = Path("run/ledger.db").read_bytes()
    Path("link").symlink_to("run")
    Path("alias").symlink_to(f"run/{name}")
    assert "is part of the run" in halo("export", "run", "-o", "alias").complaint()
    for directory in ("run", "link"):
        assert "is part of the run" in halo("export", "run", "-o", f"{directory}/{name}").complaint()
    assert Path("run/ledger.db").read_bytes() == before
    assert "is part of the run" in halo("compare", "run", "-o", "run/machine.json").complaint()
    assert halo("export", "run", "-o", "run/samples.jsonl").code == 0


def test_failed_export_keeps_the_old_file(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET tokens = x'09' WHERE id = (SELECT max(id) FROM completions)")
    for to, name in (("jsonl", "s.jsonl"), ("parquet", "s.parquet")):
        Path(name).write_text("before")
        assert "is damaged" in halo("export", "run", "--to", to, "-o", name).complaint()
        assert Path(name).read_text() == "before"
    assert not [path for path in Path().iterdir() if path.name.startswith("partial")]


def test_invalid_unicode_is_exported_in_a_loadable_form(run: Halo, halo: Halo, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET text = ?", ("right \ud800".encode(errors="surrogatepass"),))
        db.execute("UPDATE prompts SET body = replace(body, 'demo task', 'demo \\ud800 task')")
        db.execute("UPDATE verdicts SET detail = ?", ("\udfff \0".encode(errors="surrogatepass"),))
    for to in ("jsonl", "parquet", "sft", "dpo"):
        name = f"x.{to}"
        assert halo("export", "run", "--to", to, "--split", "train", "-o", name).code in (
            0,
            2 * (to == "dpo"),
        )
        if to != "dpo":  # all texts are equal, so there is no preference
            kind = "parquet" if to == "parquet" else "json"
            table = datasets.load_dataset(kind, data_files=name, split="train", cache_dir=str(tmp_path / "c"))
            assert table[0]["completion"] == "right \ufffd"
            if to != "sft":
                assert table[0]["messages"][0]["content"].startswith("demo \ufffd task")


def test_samples_with_rewards_come_first_so_that_loaders_infer_the_type(
    rows: Rows, run: Halo, halo: Halo
) -> None:
    run()
    splits = [row["split"] for row in rows(halo("export", "run"))]
    assert splits == sorted(splits, reverse=True)
    assert set(splits) == {"train", "heldout"}


def test_completions_that_were_cut_short_are_left_out_of_training_data(
    rows: Rows, run: Halo, halo: Halo
) -> None:
    run()
    counts = {to: len(rows(halo("export", "run", "--to", to))) for to in ("sft", "dpo")}
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET finish = 'length' WHERE id % 2 = 0")
    for to, count in counts.items():
        assert len(rows(halo("export", "run", "--to", to))) < count
        assert len(rows(halo("export", "run", "--to", to, "--truncated"))) == count
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET finish = 'length'")
    assert "--truncated" in halo("export", "run", "--to", "sft").remedy()


CONTRAST = """
from dataclasses import replace
from halo_core import Selector, Trainer, driver
from halo_core.testing import FakeTrainer

@driver
class Contrast(Selector):
    "Takes everything; wrong completions get a negative weight."
    def select(self, samples, context):
        return [replace(sample, weight=1.0 if sample.reward == 1.0 else -0.5) for sample in samples]

@driver
class Strict(FakeTrainer):
    "Needs a reward in every sample."
    def train(self, samples, context):
        assert all(isinstance(sample.reward, float) for sample in samples)
        return super().train(samples, context)
"""


@pytest.fixture
def contrast(tmp_path: Path) -> Path:
    path = tmp_path / "contrast.py"
    path.write_text(CONTRAST)
    return path


def test_samples_of_negative_weight_are_no_examples_to_imitate(
    rows: Rows, run: Halo, halo: Halo, contrast: Path
) -> None:
    run("run", "--selector", f"{contrast}:Contrast")
    trained = rows(halo("export", "run", "--chosen"))
    assert {row["weight"] for row in trained} == {1.0, -0.5}
    pairs = rows(halo("export", "run", "--to", "sft", "--chosen"))
    assert {pair["completion"] for pair in pairs} == {
        row["completion"] for row in trained if row["weight"] > 0
    }


@pytest.mark.parametrize("mode", ["accumulate", "replay"])
def test_samples_of_earlier_cycles_have_their_rewards(run: Halo, contrast: Path, mode: str) -> None:
    run("run", "--trainer", f"{contrast}:Strict", "--set", f"mix.mode={mode}")
