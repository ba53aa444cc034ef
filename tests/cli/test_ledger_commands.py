from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger import Ledger
from halo_core.pretrain import read_pairs

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"


@pytest.fixture
def run(halo: Halo, fakes: list[str]) -> Halo:
    """`halo run` with fakes on their demo; more flags go over that. Returns what `halo` does."""

    def call(name: str = "run", *flags: object) -> Any:
        answer = halo("run", *fakes, "-n", 2, "--samples", 4, "-o", name, *flags)
        assert answer.code == 0, answer.err
        return answer

    return call


def rows(answer: Any) -> list[dict[str, Any]]:
    assert answer.code == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]


# halo diff


def test_two_runs_with_one_seed_are_identical_and_with_another_are_not(run: Halo, halo: Halo) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(name, "--seed", seed)
    same = halo("diff", "a", "b")
    assert same.code == 0
    assert same.out.splitlines()[-1] == "identical"
    other = halo("diff", "a", "c")
    assert other.code == 1
    assert other.out.splitlines()[-1] == "not identical: they part in configuration"
    assert "seed: A 0, B 1" in other.out
    assert "cycle 0 heldout, prompt 'd8', completion 0: " in other.out


def test_diff_of_what_is_no_run(run: Halo, halo: Halo) -> None:
    run()
    answer = halo("diff", "run", "nowhere")
    assert "nowhere holds no run" in answer.complaint()
    assert answer.code == 2, "1 would say that they differ"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda place: shutil.rmtree(place), "B adapter missing"),
        (lambda place: next(place.iterdir()).write_text("other"), "cycle 2: A adapter "),
    ],
    ids=["gone", "edited"],
)
def test_diff_looks_at_the_adapters_that_are_there(
    run: Halo, halo: Halo, change: Callable[[Path], Any], says: str
) -> None:
    run()
    shutil.copytree("run", "copy")
    change(Path("copy/cycles/002/adapter"))
    answer = halo("diff", "run", "copy")
    assert answer.code == 1
    assert says in answer.out
    assert answer.out.splitlines()[-1] == "not identical: they part in adapters"


def test_diff_of_a_damaged_run(run: Halo, halo: Halo) -> None:
    run()
    shutil.copytree("run", "copy")
    for damage in ("UPDATE cycles SET report = '{'", "UPDATE contexts SET tokens = x'09'"):
        with Ledger(Path("copy")).writing() as db:
            db.execute(damage)
        answer = halo("diff", "run", "copy")
        assert "copy/ledger.db is damaged" in answer.complaint()
        assert answer.code == 2
        shutil.rmtree("copy")
        shutil.copytree("run", "copy")
    Path("copy/plugins.json").write_text('{"a": 1}')
    assert "copy/plugins.json is damaged" in halo("diff", "run", "copy").complaint()


def test_diff_shows_where_long_texts_part(run: Halo, halo: Halo) -> None:
    run()
    for name, last in (("a", "x"), ("b", "y")):
        shutil.copytree("run", name)
        with Ledger(Path(name)).writing() as db:
            db.execute("UPDATE completions SET text = ? WHERE id = 1", ("same " * 100 + last,))
            db.execute("UPDATE completions SET text = ? WHERE id = 2", ("" if name == "a" else "\x1b[2J",))
    shown = halo("diff", "a", "b").out
    assert "same x, B ..." in shown
    assert "\x1b" not in shown


# halo samples


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--cycle", 1], lambda row: row["cycle"] == 1),
        (["--split", "heldout"], lambda row: row["split"] == "heldout"),
        (["--prompt", "d3"], lambda row: row["prompt_id"] == "d3"),
        (["--stage", "wrong"], lambda row: row["stage"] == "wrong"),
        (["--status", "pass"], lambda row: row["status"] == "pass"),
        (["--min-reward", 0.9], lambda row: row["reward"] is not None and row["reward"] >= 0.9),
        (["--max-reward", 0.9], lambda row: row["reward"] is not None and row["reward"] <= 0.9),
        (["--text", "RIGHT 1"], lambda row: "right 1" in row["completion"]),
        (["--chosen"], lambda row: row["weight"] > 0),
        (["-c", 2, "--split", "train", "-s", "correct"],
         lambda row: (row["cycle"], row["split"], row["stage"]) == (2, "train", "correct")),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)  # fmt: skip
def test_filters(run: Halo, halo: Halo, flags: list[object], wanted: Callable[[Any], bool]) -> None:
    run()
    everything = rows(halo("export", "run"))
    assert len(everything) == 3 * 4 * 8 + 2 * 8 * 4, "held-out after cycles 0 to 2, training in 1 and 2"
    expected = [row for row in everything if wanted(row)]
    assert 0 < len(expected) < len(everything)
    assert rows(halo("export", "run", *flags)) == expected
    shown = halo("samples", "run", "--limit", 1000, *flags).out
    assert sum(line.startswith("cycle ") for line in shown.splitlines()) == len(expected)


def test_a_sample_is_shown_with_all_that_is_known_of_it(
    run: Halo, halo: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    for columns, side_by_side in (("150", True), ("70", False)):
        monkeypatch.setenv("COLUMNS", columns)
        shown = halo("samples", "run", "--chosen", "--cycle", 1, "-n", 1).out
        title, *body = shown.splitlines()
        assert title.startswith("cycle 1 train  |  d0 #")
        assert "pass, correct  |  reward 1" in title
        assert all(any(word in line for line in body) for word in ("demo task 0", "right", "diagnostics"))
        assert any("prompt" in line and "completion" in line for line in body) == side_by_side
        assert max(map(len, shown.splitlines())) <= int(columns)


def test_there_may_be_more(run: Halo, halo: Halo) -> None:
    run()
    assert "and more: --limit 30" in halo("samples", "run", "-n", 3).out
    assert "and more" not in halo("samples", "run", "-n", 160).out


@pytest.mark.parametrize(
    ("flags", "says", "remedy"),
    [
        (["--stage", "rong"], "--stage 'rong': there is no such stage", "did you mean 'wrong'?"),
        (["--status", "passed"], "--status 'passed': there is no such status", "did you mean 'pass'?"),
        (["--split", "test"], "--split 'test': there is no such split", "known: heldout, train"),
        (["--prompt", "d33"], "has no prompt 'd33'", "did you mean"),
        (["--prompt", "zzz"], "has no prompt 'zzz'", "prompts are d0, d1, d2, d3, d4, ..."),
        (["--prompt", "\udcff"], "has no prompt", "prompts are"),
        (["--cycle", "9"], "no samples of cycle 9", "its last is 2"),
        (["--cycle", "0", "--chosen"], "has no such samples", "cycle 0 measures"),
        (["--split", "heldout", "--min-reward", "0"], "has no such samples", "get no reward"),
        (["--text", "\udcff"], "has no such samples", "leave a filter out"),
        (["--text", "zzz", "-n", "9" * 30], "has no such samples", "leave a filter out"),
    ],
)
def test_samples_that_cannot_be_meant(
    run: Halo, halo: Halo, flags: list[str], says: str, remedy: str
) -> None:
    run()
    for command in ("samples", "export"):
        answer = halo(command, "run", *(flags if command == "samples" else flags[:4]))
        if "-n" not in flags or command == "samples":
            assert says in answer.complaint()
            assert remedy in answer.remedy()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--min-reward", "nan"], "must be a number"),
        (["--min-reward", "1", "--max-reward", "0"], "--min-reward 1 is above --max-reward 0"),
    ],
)
def test_rewards_that_cannot_be_meant(run: Halo, halo: Halo, flags: list[str], says: str) -> None:
    run()
    assert says in halo("samples", "run", *flags).complaint()


def test_a_run_without_samples(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("DELETE FROM rewards")
        db.execute("DELETE FROM selections")
        db.execute("DELETE FROM completions")
        db.execute("UPDATE rounds SET batches = 0")
    assert "run has no samples yet" in halo("samples", "run").complaint()


def test_text_is_found_whatever_surrounds_it(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        for row, text in ((1, b"right \xed\xa0\x80 Lone%Some"), (2, "a\0lone%some"), (3, "lone-some")):
            db.execute("UPDATE completions SET text = ? WHERE id = ?", (text, row))
    found = rows(halo("export", "run", "--text", "lone%some"))
    assert [row["completion"] for row in found] == ["right \ufffd Lone%Some", "a\0lone%some"]


def test_long_lines_and_wide_letters_are_folded(
    run: Halo, halo: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.cells import cell_len

    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET text = ? WHERE id = 1", ("x" * 5000,))
        db.execute("UPDATE completions SET text = ? WHERE id = 2", ("right \u6f22\u5b57" * 30,))
        db.execute("UPDATE completions SET text = ? WHERE id = 3", ("[/red] [bold]kept[/bold]",))
    for columns in (40, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        long, wide, markup = halo("samples", "run", "-n", 3, "--lines", 5).out.split("cycle 0")[1:]
        assert len(long.splitlines()) < 15 + 5
        assert "lines more" in long
        assert "\u2026" not in wide, "nothing is cut out of a line"
        assert max(cell_len(line) for line in wide.splitlines()[1:]) <= columns
        assert "[/red] [bold]kept[/bold]" in markup


def test_what_would_move_the_cursor_is_not_printed(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET text = ?", ("right \x1b[2J\r\x07 é",))
    shown = halo("samples", "run", "-n", 1).out
    assert not {"\x1b", "\r", "\x07"} & set(shown)
    assert "é" in shown


# halo export


def test_pairs_for_fine_tuning_can_be_trained_on(run: Halo, halo: Halo) -> None:
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


def test_held_out_prompts_are_not_trained_on_by_accident(run: Halo, halo: Halo) -> None:
    run()
    held = {f"demo task {n}" for n in range(8, 12)}
    for to in ("sft", "dpo"):
        assert not held & {row["prompt"] for row in rows(halo("export", "run", "--to", to))}
        asked = {row["prompt"] for row in rows(halo("export", "run", "--to", to, "--split", "heldout"))}
        assert asked
        assert asked <= held


def test_text_as_the_chats_that_a_template_makes_of_it(run: Halo, halo: Halo) -> None:
    run()
    config = Path("run/run.yaml")
    (plain, *_) = rows(halo("export", "run", "--to", "sft"))
    config.write_text(config.read_text().replace(":Skilled", ":Skilled\n  system: be brief"))
    (told, *_) = rows(halo("export", "run", "--to", "sft"))
    assert told["prompt"] == f"be brief\n\n{plain['prompt']}"
    (chat, *_) = rows(halo("export", "run", "--to", "sft", "--chat"))
    assert chat["prompt"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": plain["prompt"]},
    ]
    assert chat["completion"] == [{"role": "assistant", "content": plain["completion"]}]
    (preference, *_) = rows(halo("export", "run", "--to", "dpo", "--chat"))
    assert preference["prompt"][0]["content"] == "be brief"
    assert preference["rejected"][0]["role"] == "assistant"


def test_preferences_are_between_a_better_and_a_worse_answer_to_one_prompt(run: Halo, halo: Halo) -> None:
    run()
    for pairs in (1, 3):
        found = rows(halo("export", "run", "--to", "dpo", "--split", "train", "--pairs", pairs))
        assert found
        assert all(row["chosen"].startswith("right") for row in found)
        assert all(row["rejected"].startswith("wrong") for row in found)
        per_prompt = [sum(row["prompt"] == f"demo task {n}" for row in found) for n in range(8)]
        assert max(per_prompt) <= pairs * 2, "of two cycles"
        assert len({tuple(row.values()) for row in found}) == len(found)
    assert all(row["chosen"].startswith("right") for row in rows(halo("export", "run", "--to", "dpo")))


def test_chats_are_exported_as_chats(run: Halo, halo: Halo, tmp_path: Path) -> None:
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


def test_what_datasets_makes_of_it(run: Halo, halo: Halo, tmp_path: Path) -> None:
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


def test_parquet_without_pyarrow_and_without_a_file(
    run: Halo, halo: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    assert "--output" in halo("export", "run", "--to", "parquet").remedy()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = halo("export", "run", "--to", "parquet", "-o", "x.parquet")
    assert "writing Parquet needs pyarrow" in answer.complaint()
    assert "halo-core[data]" in answer.remedy()


def test_exports_that_cannot_be(run: Halo, halo: Halo) -> None:
    run()
    assert halo("export", "run", "--to", "jsnl").remedy() == "did you mean 'jsonl'?"
    for to in ("jsonl", "parquet"):
        assert "No such file" in halo("export", "run", "--to", to, "-o", "no/where").complaint()
    assert "run is a directory" in halo("export", "run", "-o", "run").complaint()
    assert "makes a row of dpo" in halo("export", "run", "--to", "dpo", "--status", "pass").complaint()
    assert "--split heldout" in halo("export", "run", "--to", "sft", "--cycle", "0").remedy()
    assert "No space left" in halo("export", "run", "-o", "/dev/full").complaint()
    assert halo("export", "run", "-o", "/dev/null").code == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "run.yaml", "plugins.json", "cycles/001/x"])
def test_what_a_run_is_made_of_is_not_written_over(run: Halo, halo: Halo, name: str) -> None:
    run()
    before = Path("run/ledger.db").read_bytes()
    Path("link").symlink_to("run")
    for directory in ("run", "link"):
        assert "is part of the run" in halo("export", "run", "-o", f"{directory}/{name}").complaint()
    assert Path("run/ledger.db").read_bytes() == before
    assert "is part of the run" in halo("compare", "run", "-o", "run/machine.json").complaint()
    assert halo("export", "run", "-o", "run/samples.jsonl").code == 0


def test_an_export_that_fails_leaves_what_was_there(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET tokens = x'09' WHERE id = (SELECT max(id) FROM completions)")
    for to, name in (("jsonl", "s.jsonl"), ("parquet", "s.parquet")):
        Path(name).write_text("before")
        assert "is damaged" in halo("export", "run", "--to", to, "-o", name).complaint()
        assert Path(name).read_text() == "before"
    assert not [path for path in Path().iterdir() if path.name.startswith("partial")]


def test_what_is_no_unicode_is_exported_so_that_it_can_be_loaded(
    run: Halo, halo: Halo, tmp_path: Path
) -> None:
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
        if to != "dpo":  # all texts are equal now
            kind = "parquet" if to == "parquet" else "json"
            table = datasets.load_dataset(kind, data_files=name, split="train", cache_dir=str(tmp_path / "c"))
            assert table[0]["completion"] == "right \ufffd"
            if to != "sft":
                assert table[0]["messages"][0]["content"].startswith("demo \ufffd task")


def test_samples_with_rewards_come_first_so_that_loaders_take_the_right_type(run: Halo, halo: Halo) -> None:
    run()
    splits = [row["split"] for row in rows(halo("export", "run"))]
    assert splits == sorted(splits, reverse=True)
    assert set(splits) == {"train", "heldout"}


# halo reverify


def test_an_unchanged_verifier_is_not_asked(run: Halo, halo: Halo) -> None:
    run()
    before = Path("run/ledger.db").read_bytes()
    assert halo("reverify", "run").out.splitlines() == [
        "160 completions judged alike before, 0 known from an earlier reverify",
        "0 judged now; the verifier was asked 0 times, equal texts once",
    ]
    assert Path("run/ledger.db").read_bytes() == before


def test_changed_options_judge_everything_once(run: Halo, halo: Halo) -> None:
    run()
    shutil.copytree("run", "before")
    first = halo("reverify", "run", "-V", "mode=strict").out.splitlines()
    assert first[0].startswith("0 completions judged alike before, 0 known")
    assert first[1].startswith("160 judged now; the verifier was asked ")
    assert int(first[1].split("asked ")[1].split()[0]) < 160, "equal texts once"
    assert first[2] == "no verdict changed"
    second = halo("reverify", "run", "-V", "mode=strict").out.splitlines()
    assert second[0] == "0 completions judged alike before, 160 known from an earlier reverify"
    assert second[1].startswith("0 judged now; the verifier was asked 0 times")
    assert halo("diff", "before", "run").code == 0, "what the run trained by stays as it was"


def test_what_another_verifier_says_is_counted(run: Halo, halo: Halo) -> None:
    run()
    passed = len(rows(halo("export", "run", "--status", "pass")))
    shown = halo("reverify", "run", "--verifier", f"{DRIVERS}:Hopeless").out
    changes = dict(line.rsplit(maxsplit=1) for line in shown.splitlines() if " > " in line)
    assert {" ".join(key.split()): int(value) for key, value in changes.items()} == {
        "correct > invalid": passed,
        "wrong > invalid": 160 - passed,
    }
    assert shown.splitlines()[-1] == f"passed: {passed} before, 0 now, of 160"


def test_another_verifier_in_front_judges_what_names_none(run: Halo, halo: Halo) -> None:
    run()
    others = ["--verifier", f"{DRIVERS}:Hopeless", "--verifier", f"{DRIVERS}:Words"]
    assert halo("reverify", "run", *others).out.startswith("0 completions judged alike before")
    assert halo("reverify", "run", *others[2:], *others[:2]).out.startswith("160 completions judged alike")


def test_a_verifier_that_breaks_is_an_error(run: Halo, halo: Halo) -> None:
    run()
    answer = halo("reverify", "run", "--verifier", f"{DRIVERS}:Broken")
    assert "160 verdicts are errors" in answer.complaint()
    assert "the judge fell over" in answer.err
    assert "asked" in answer.out
    again = halo("reverify", "run", "--verifier", f"{DRIVERS}:Broken")
    assert again.out.startswith("0 completions judged alike before, 0 known"), "errors are not kept"
    said = halo("reverify", "run", "--verifier", f"{DRIVERS}:Speechless").complaint()
    assert "verifier 'Speechless' returned NoneType, not a Verdict" in said


def test_a_run_is_locked_only_to_judge(run: Halo, halo: Halo) -> None:
    import fcntl

    run()
    with Path("run/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert halo("reverify", "run").code == 0
        assert "in use by another process" in halo("reverify", "run", "-V", "mode=strict").complaint()


def test_only_the_prompts_of_the_verifier_that_changed_are_judged(
    halo: Halo, fakes: list[str], tmp_path: Path
) -> None:
    names = ("Words", "Gullible")
    lines = [
        {"id": f"{name}{n}", "prompt": f"{name} {n}", "verifier": name} for name in names for n in range(4)
    ]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    others = [flag for name in names for flag in ("--verifier", f"{DRIVERS}:{name}")]
    flags = [*fakes[2:], *others, "--data", path, "--model", "m", "-n", 1, "--samples", 3, "-o", "run"]
    assert halo("run", *flags).code == 0
    everything = rows(halo("export", "run"))
    affected = sum(row["prompt_id"].startswith("Gullible") for row in everything)
    assert 0 < affected < len(everything)
    shown = halo("reverify", "run", "-V", "Gullible.mode=strict").out.splitlines()
    assert shown[0].startswith(f"{len(everything) - affected} completions judged alike before")
    assert shown[1].startswith(f"{affected} judged now")


def test_an_unchanged_verifier_takes_no_time(tmp_path: Path, halo: Halo) -> None:
    from halo_core.testing import fake_run
    from halo_core.types import Completion, Sample, Stage, Status, Verdict

    run, _ = fake_run(tmp_path / "run", prompts=100)
    verdict = Verdict(Status.PASS, Stage.CORRECT)
    for batch in range(20):
        texts = [f"right {n}" for n in range(1000)]
        prompts = [run.prompts[n % 100] for n in range(1000)]
        run.ledger.remember(prompts, texts, [verdict] * 1000)
        made = [
            Completion(p.id, batch * 10 + n // 100, t)
            for n, (p, t) in enumerate(zip(prompts, texts, strict=True))
        ]
        run.ledger.append(1, "train", [Sample(p, c, verdict) for p, c in zip(prompts, made, strict=True)])
    run.ledger.close()
    from halo_core.judges import Judges
    from halo_core.ledger.again import rejudge
    from halo_core.progress import Progress
    from halo_core.testing import FakeVerifier

    begin = time.process_time()
    done = rejudge(Ledger(tmp_path / "run"), Judges({"fake": FakeVerifier()}), lambda: None, Progress())
    assert (done.kept, done.judged, done.asked) == (20_000, 0, 0)
    assert time.process_time() - begin < 1.0


# halo reselect


def test_the_runs_own_choice_is_found_again(run: Halo, halo: Halo) -> None:
    run()
    head, *lines = halo("reselect", "run").out.splitlines()
    assert head.split()[:3] == ["cycle", "samples", "reward"]
    assert len(lines) == 2
    for line in lines:
        assert line.split()[6] == "100%", line
        assert line.split()[3] == line.split()[4] == line.split()[5]


def test_another_choice_is_compared(run: Halo, halo: Halo) -> None:
    run()
    (_, first, _) = halo("reselect", "run", "-S", "keep_top=1", "-S", "threshold=0.9").out.splitlines()
    then, now, shared = map(int, first.split()[3:6])
    right = [
        row for row in rows(halo("export", "run", "-c", 1, "--status", "pass")) if row["split"] == "train"
    ]
    assert now == len({(row["prompt_id"], tuple(row["token_ids"])) for row in right})
    assert shared <= min(then, now)
    assert first.split()[6] == f"{shared / (then + now - shared):.0%}"
    binary = halo("reselect", "run", "--reward", "binary").out.splitlines()[1].split()
    assert float(binary[2]) == pytest.approx(len(right) / 32, abs=1e-3)


def test_equal_completions_are_one_whichever_of_them_is_chosen(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:  # of each prompt all are equal now
        db.execute("UPDATE completions SET text = 'right', tokens = x'0107'")
        db.execute("DELETE FROM selections")
        last = "SELECT max(completions.id), 1 FROM completions JOIN rounds ON round = rounds.id"
        db.execute(f"INSERT INTO selections {last} WHERE split = 'train' GROUP BY cycle, prompt")
    for line in halo("reselect", "run", "-S", "threshold=0.1").out.splitlines()[1:]:
        assert line.split()[3:7] == ["8", "8", "8", "100%"]


def test_a_selector_that_is_none(run: Halo, halo: Halo) -> None:
    run()
    assert "did you mean 'threshold'?" in halo("reselect", "run", "-S", "treshold=1").remedy()


# halo runs, halo compare


def test_runs_are_listed_with_what_came_of_them(run: Halo, halo: Halo, tmp_path: Path) -> None:
    run("runs/a")
    plugin = tmp_path / "stop.py"
    plugin.write_text(
        "from halo_core import hookimpl\n@hookimpl\ndef on_cycle_end(run, report):\n    run.interrupt()\n"
    )
    halo("run", *["--verifier", f"{DRIVERS}:Words"], "-p", plugin, "-n", 2, "-o", "runs/b",
         "--generator", f"{DRIVERS}:Skilled", "--trainer", f"{DRIVERS}:Adder")  # fmt: skip
    Path("runs/c").mkdir()
    Path("runs/c/run.yaml").write_text("- x")
    Path("runs/other").mkdir()
    listed = {line.split()[0]: line for line in halo("runs").out.splitlines()[1:]}
    assert set(listed) == {"runs/a", "runs/b", "runs/c"}
    assert "finished" in listed["runs/a"]
    assert "2/2" in listed["runs/a"]
    assert "stopped" in listed["runs/b"]
    assert "unreadable" in listed["runs/c"]
    assert "halo: runs/c: runs/c/run.yaml is damaged" in halo("runs").err
    assert halo("runs", "runs/a").out.splitlines()[1].startswith("runs/a "), "a run by itself"
    for text in ("cycles: x", "a: 1", "{verifier: 3, lr_policy: 4, model: 5, seed: [], cycles: 1}"):
        Path("runs/c/run.yaml").write_text(text)
        answer = halo("runs")
        assert answer.code == 0
        assert "runs/c/run.yaml is damaged" in answer.err
        assert "finished" in answer.out


def test_a_run_that_somebody_holds_is_running(run: Halo, halo: Halo, tmp_path: Path) -> None:
    import fcntl

    run("runs/a", "-n", 2)
    with Ledger(Path("runs/a")).writing() as db:
        db.execute("DELETE FROM cycles WHERE cycle = 2")
    assert "stopped" in halo("runs").out
    with Path("runs/a/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "running" in halo("runs").out


def test_no_runs(halo: Halo) -> None:
    assert "runs is not a directory" in halo("runs").complaint()
    Path("runs").mkdir()
    assert "no runs in runs" in halo("runs").complaint()


def test_runs_side_by_side(run: Halo, halo: Halo) -> None:
    run("one", "--seed", 0)
    run("two", "--seed", 1, "-n", 3)
    shown = halo("compare", "one", "two", "-o", "both.csv")
    lines = shown.out.splitlines()
    assert lines[1].split()[:5] == ["a", "one", "Flat", "0", "2/2"]
    assert lines[2].split()[:5] == ["b", "two", "Flat", "1", "3/3"]
    reports = Ledger(Path("one")).reports()
    (by_cycle,) = [line for line in lines if line.startswith("a ") and "one" not in line]
    assert by_cycle.split()[1:] == [f"{report.heldout.passed:.1%}" for report in reports]
    assert lines[-1] == "wrote both.csv"
    assert len(Path("both.csv").read_text().splitlines()) == 1 + 3 + 4
    assert "cycle |" in shown.out
    assert "cycle |" not in halo("compare", "one", "two", "--no-plot").out


def test_runs_are_compared_prompt_by_prompt_where_that_can_be(run: Halo, halo: Halo, tmp_path: Path) -> None:
    from halo_core.metrics import compare

    run("one", "--seed", 0)
    run("two", "--seed", 1, "-n", 1)
    (tmp_path / "held.jsonl").write_text('{"prompt": "other"}\n')
    run("three", "--heldout", tmp_path / "held.jsonl")
    lines = halo("compare", "one", "two", "three").out.splitlines()
    last = [Ledger(Path(name)).passes("heldout", n, n) for name, n in (("one", 2), ("two", 1))]
    change = compare(*last, seed=0)
    (second,) = [line for line in lines if line.startswith("b against a: ")]
    low, high = (f"{100 * bound:+.1f}" for bound in change.interval)
    assert second.startswith(f"b against a: {100 * change.difference:+.1f} points after the last cycle")
    assert f"(95% interval {low} to {high}" in second
    assert ("not significant" in second) == (not change.significant)
    assert "c against a: other held-out prompts; the rates cannot be compared" in lines
    with Ledger(Path("two")).writing() as db:
        db.execute("UPDATE verifiers SET fingerprint = 'other'")
    assert "judged by another verifier" in halo("compare", "one", "two").out
    assert "against" not in halo("compare", "one").out


def test_runs_of_which_little_is_known_yet(run: Halo, halo: Halo) -> None:
    run("some")
    run("none")
    for name, first in (("some", 1), ("none", 0)):
        with Ledger(Path(name)).writing() as db:
            db.execute("DELETE FROM cycles WHERE cycle >= ?", (first,))
    (report,) = Ledger(Path("some")).reports()
    rate = f"{report.heldout.passed:.1%}"
    shown = halo("compare", "none", "some", "-o", "x.csv")
    assert shown.code == 0
    assert "b against a: nothing was measured yet" in shown.out
    (row,) = [line for line in shown.out.splitlines() if line.startswith("b  some")]
    assert row.split()[5:] == [rate, "0", str(report.heldout.samples), "0", "0.0"], "no rate after training"
    labels = [line.split("%")[0] for line in shown.out.splitlines() if "% |" in line]
    assert all(0 <= float(label) <= 100 for label in labels)
    assert len(labels) == 15
    assert "by cycle" not in halo("compare", "none", "-o", "y.csv").out
    assert Path("y.csv").read_text() == Path("x.csv").read_text().splitlines()[0] + "\n"
    listed = halo("runs", ".").out
    assert rate in listed
    assert ">" not in listed


@pytest.mark.parametrize("suffix", ["json", "svg", "png"])
def test_a_comparison_as_a_file(run: Halo, halo: Halo, suffix: str) -> None:
    run("one")
    assert halo("compare", "one", "-o", f"x.{suffix}").code == 0
    content = Path(f"x.{suffix}").read_bytes()
    assert content.startswith({"json": b"[", "svg": b"<?xml", "png": b"\x89PNG"}[suffix])
    unknown = halo("compare", "one", "-o", "x.gif")
    assert unknown.remedy().startswith(("known", "did you mean"))
    assert unknown.out == "", "said before the work, not after it"
    assert "No such file" in halo("compare", "one", "-o", f"no/x.{suffix}").complaint()


# Going on with other plugins or tools


def test_a_plugin_that_was_edited_is_noticed(halo: Halo, fakes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "judge.py"
    path.write_text(DRIVERS.read_text())
    flags = [*fakes[2:], "--verifier", f"{path}:Words", "-n", 1, "-o", "run"]
    assert halo("run", *flags).code == 0
    path.write_text(DRIVERS.read_text() + "\n# mended\n")
    answer = halo("resume", "run")
    assert "verifier 'Words' was sha256:" in answer.complaint()
    assert "halo resume run --changed" in answer.remedy()
    assert halo("run", *flags).code != 0
    assert halo("resume", "run", "--changed").code == 0
    assert halo("resume", "run").code == 0, "and then that is what the run goes on with"
    assert any(kind == "changed" for _, kind, _ in Ledger(Path("run")).events())


def test_a_tool_that_was_upgraded_is_noticed(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE verifiers SET fingerprint = 'Words, tool 1.0'")
    assert (
        "verifier 'Words' judged by Words, tool 1.0 and judges by Words(" in halo("resume", "run").complaint()
    )
    assert halo("resume", "run", "--changed").code == 0
