"""`halo audit`, `halo run --audit` and `halo verify`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
WORDS, GULLIBLE = f"{DRIVERS}:Words", f"{DRIVERS}:Gullible"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    rows = [{"id": f"p{n}", "prompt": f"task {n}", "reference": {"right": f"right {n}"}} for n in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def completions(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: object) -> Path:
        path = tmp_path / "completions.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


def test_sound_verifier_passes_the_audit(halo: Halo, prompts: Path) -> None:
    answer = halo("audit", "--verifier", WORDS, "--data", prompts)
    assert answer.code == 0, answer.err
    assert "8 of 8 prompts" in answer.out
    assert answer.out.rstrip().endswith("passed")


def test_gullible_verifier_fails_with_the_answers_that_it_accepted(halo: Halo, prompts: Path) -> None:
    answer = halo("audit", "--verifier", GULLIBLE, "--data", prompts, "--show", 1)
    assert answer.code == 1
    assert "cannot be trusted" in answer.err
    assert answer.out.count("false accept: ") == 1
    assert "more: --show" in answer.out
    tolerant = halo("audit", "--verifier", GULLIBLE, "--data", prompts, "--max-false-accepts", 1)
    assert tolerant.code == 0


def test_audit_as_json(halo: Halo, prompts: Path) -> None:
    answer = halo("audit", "--verifier", GULLIBLE, "--data", prompts, "--json", "--limit", 2)
    result = json.loads(answer.out)
    assert result["passed"] is False
    assert result["kinds"]["empty"]["false accept"] > 0
    assert {finding["kind"] for finding in result["findings"]} >= {"empty"}


def test_run_with_audit_aborts_if_a_verifier_fails(halo: Halo, fakes: list[str], prompts: Path) -> None:
    small = ["--data", prompts, "--model", "m", "-n", 1, "--samples", 4, "--audit"]
    failed = halo("run", "--verifier", GULLIBLE, *fakes[2:], *small, "-o", "failed")
    assert failed.code == 1
    assert "cannot be trusted" in failed.err
    assert not Path("failed").exists()
    run = halo("run", "--verifier", WORDS, *fakes[2:], *small, "-o", "run")
    assert run.code == 0, run.err
    assert "everything verified twice" in run.out


def test_completions_are_verified_in_order(
    halo: Halo, prompts: Path, completions: Callable[..., Path]
) -> None:
    path = completions(
        {"prompt_id": "p1", "completion": "right 1"},
        {"id": "p0", "completion": "wrong"},
        "",
        {"prompt_id": "p1", "completion": "invalid"},
    )
    answer = halo("verify", "--verifier", WORDS, "--data", prompts, "--completions", path)
    assert answer.code == 0, answer.err
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [(row["prompt_id"], row["index"], row["status"]) for row in rows] == [
        ("p1", 0, "pass"),
        ("p0", 0, "fail"),
        ("p1", 1, "fail"),
    ]
    assert "3 completions" in answer.err
    halo("verify", "--verifier", WORDS, "--data", prompts, "--completions", path, "-o", "out.jsonl")
    assert [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()] == rows


def test_a_run_names_its_held_out_prompts_too(
    halo: Halo, run_prompts: Halo, fakes: list[str], completions: Callable[..., Path]
) -> None:
    assert run_prompts().code == 0
    with closing(Ledger(Path("run"))) as ledger:
        names = [ledger.prompts(split)[0].id for split in ("train", "heldout")]
    path = completions(*({"prompt_id": name, "completion": "x"} for name in names))
    answer = halo("verify", *fakes[:2], "--data", "run", "--completions", path)
    assert [json.loads(line)["prompt_id"] for line in answer.out.splitlines()] == names, answer.err


def test_verify_does_not_overwrite_the_completions_that_it_reads(
    halo: Halo, prompts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "completions.jsonl"
    path.write_text('{"prompt_id": "0", "completion": "x"}\n')
    answer = halo("verify", "--verifier", WORDS, "--data", prompts, "--completions", path, "-o", path)
    assert (answer.code, answer.out) == (2, "")
    assert "contains the completions" in answer.err
    assert path.read_text() == '{"prompt_id": "0", "completion": "x"}\n'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt_id": "p9", "completion": "x"}, "no prompt 'p9'"),
        ({"prompt_id": "p1"}, "prompt_id and completion must be strings"),
        ("{", "not JSON"),
    ],
)
def test_invalid_line_is_named(
    halo: Halo, prompts: Path, completions: Callable[..., Path], row: object, message: str
) -> None:
    path = completions({"prompt_id": "p1", "completion": "right"}, row)
    answer = halo("verify", "--verifier", WORDS, "--data", prompts, "--completions", path)
    assert answer.code == 2
    assert message in answer.err
    assert f"{path}:2" in answer.err


def test_no_completions(halo: Halo, prompts: Path, completions: Callable[..., Path], tmp_path: Path) -> None:
    for path, message in ((completions(), "contains no completions"), (tmp_path / "none", "cannot read")):
        answer = halo("verify", "--verifier", WORDS, "--data", prompts, "--completions", path)
        assert answer.code == 2
        assert message in answer.err


def test_verdicts_that_are_all_errors_fail(
    halo: Halo, prompts: Path, completions: Callable[..., Path]
) -> None:
    path = completions({"prompt_id": "p1", "completion": "error"})
    answer = halo("verify", "--verifier", WORDS, "--data", prompts, "--completions", path)
    assert answer.code == 1
    assert json.loads(answer.out)["status"] == "error"
