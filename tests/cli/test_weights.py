"""`halo generate` and `halo merge`; tests/model/test_weights.py compares the merged model with the original."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli.weights import read_cycle
from halo_core.errors import RunError
from halo_core.ledger.card import card_of
from halo_core.ledger.ledger import Ledger, open_run
from halo_core.loop import run_cycles
from halo_core.testing import fake_run

Halo = Callable[..., Any]


def test_generate_of_a_directory_without_a_run(halo: Halo) -> None:
    assert "nowhere contains no run" in halo("generate", "nowhere", "task").complaint()


def test_generate_with_trained_weights(halo: Halo, fakes: list[str]) -> None:
    assert halo("run", *fakes, "-o", "run", "-n", 1).code == 0
    lines = halo("generate", "run", "task", "-n", 3).out.splitlines()
    assert [line.split()[0] in ("right", "wrong") for line in lines[::2]] == [True] * 3
    assert halo("generate", "run", "task").out.count("\n") == 1
    first, again, other = (halo("generate", "run", "task", "--seed", seed).out for seed in (1, 1, 2))
    assert first == again != other
    assert halo("generate", "run", "task", "--cycle", 0).code == 0
    answer = halo("generate", "run", "task", "--cycle", 5)
    assert "has no cycle 5" in answer.complaint()
    assert answer.remedy() == "finished cycles: 0, 1; or last, or best"


REMOTE = """
from pathlib import Path

from halo_core import driver
from halo_core.testing import FakeGenerator


@driver
class Remote(FakeGenerator):
    \"\"\"Logs the calls of its methods.\"\"\"

    def open(self, context):
        return Path("log.txt").open("a")

    def weights_changed(self, weights, context):
        name = weights.directory.parent.name if weights.directory else "untrained"
        print(name, len(weights.hash), file=context.session)

    def close(self, context):
        print("close", file=context.session)
        context.session.close()
"""


def test_generate_tells_a_generator_of_the_weights_and_closes_it(halo: Halo, fakes: list[str]) -> None:
    Path("remote.py").write_text(REMOTE)
    assert halo("run", *fakes, "--generator", "./remote.py:Remote", "-o", "run", "-n", 1).code == 0
    for cycle, wanted in ((1, "001 64\nclose\n"), (0, "untrained 0\nclose\n")):
        Path("log.txt").write_text("")
        assert halo("generate", "run", "task", "--cycle", cycle).code == 0
        assert Path("log.txt").read_text() == wanted


def test_best_is_the_cycle_with_the_highest_pass_rate(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path, cycles=4)
    report = run_cycles(run, hooks)[2]
    assert report.heldout is not None
    run.ledger.write_report(replace(report, heldout=replace(report.heldout, passed=1.0)))
    assert [read_cycle(run.ledger, text) for text in ("best", "last", "0", "3")] == [2, 4, 0, 3]
    for text in ("5", "-1", "01", "worst", ""):
        with pytest.raises(RunError, match="has no cycle"):
            read_cycle(run.ledger, text)
    assert read_cycle(fake_run(tmp_path / "new")[0].ledger, "best") == 0


def record_pass_rate(cycle: int, share: float) -> None:
    with closing(Ledger(Path("run"))) as ledger:
        report = ledger.reports()[cycle]
        assert report.heldout is not None
        ledger.write_report(replace(report, heldout=replace(report.heldout, passed=share)))


def test_merge_errors(halo: Halo, fakes: list[str], tmp_path: Path) -> None:
    assert halo("run", *fakes, "-o", "run", "-n", 1).code == 0
    assert "nowhere contains no run" in halo("merge", "nowhere", "out").complaint()
    assert "the model before training" in halo("merge", "run", "out", "--cycle", 0).complaint()
    record_pass_rate(1, 0.0)
    answer = halo("merge", "run", "out", "--cycle", "best")
    assert "no cycle has a higher held-out pass rate than the model before training" in answer.complaint()
    assert answer.remedy().endswith(" as it is, or name a cycle: --cycle last")
    answer = halo("merge", "run", "out")
    assert "trained all weights, without an adapter" in answer.complaint()
    assert answer.remedy().endswith("cycles/001/adapter")
    Path("out").mkdir()
    assert "out already exists" in halo("merge", "run", "out").complaint()


def test_trained_weights_have_a_model_card(halo: Halo, fakes: list[str]) -> None:
    assert halo("run", *fakes, "-o", "run", "-n", 2).code == 0
    cards = [Path(f"run/cycles/00{cycle}/adapter/README.md").read_text(encoding="utf-8") for cycle in (1, 2)]
    for cycle, card in enumerate(cards, 1):
        front, text = card.removeprefix("---\n").split("---\n", 1)
        assert "base_model: " in front
        assert f"the whole model, after {cycle} cycle" in text
        assert re.search(r"\| selector \| `raft` \(.*threshold=0\.5", text)
        assert f"These weights, of cycle {cycle}, were stored before they were measured" in text
        assert str(Path.cwd()) not in card
    assert cards[1].count("\n| 0 | ") == cards[1].count("\n| 1 | ") == 1
    merged = card_of(open_run(Path("run")), 2, merged=True)
    assert "library_name: transformers" in merged
    assert merged.count(" points |") == 2
    assert "stored before" not in merged


def test_gguf_without_its_converter_names_the_two_commands(
    halo: Halo, fakes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_CPP", "nowhere")
    answer = halo("export", "run", "--to", "gguf", "-o", "model.gguf", "--cycle", 2)
    assert "convert_hf_to_gguf.py, is neither on PATH" in answer.complaint()
    assert "merge run run-merged --cycle 2 && python" in answer.remedy()
    assert "run-merged --outfile model.gguf" in answer.remedy()
    Path("run").mkdir()
    monkeypatch.chdir("run")
    assert "run-merged --outfile run.gguf" in halo("export", ".", "--to", "gguf").remedy()


def test_a_size_of_shards_is_checked(halo: Halo) -> None:
    assert "'5' is not a size" in halo("merge", "run", "out", "--shard-size", "5").complaint()
