"""A run directory that the version before schema 3 wrote still works with every command.

`data/run_of_schema_2.tar.gz` is a run of the gcc demo: 4 prompts, 8 held-out prompts, 2 cycles, LoRA of rank 1 on
`q_proj`. Its configuration names an option of gcc that was removed since (`once`).
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import processes
import pytest

import halo_verifier_gcc.demo
from halo_core.ledger.ledger import Ledger

STORED = Path(__file__).parent / "data" / "run_of_schema_2.tar.gz"
MODEL = Path(halo_verifier_gcc.demo.__file__).parent / "model"
RECORDED = "/opt/halo/plugins/halo-verifier-gcc/src/halo_verifier_gcc/demo/model"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Unpack the run, with the demo's model where it is installed here."""
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    config = tmp_path / "run" / "run.yaml"
    text = config.read_text()
    assert RECORDED in text
    config.write_text(text.replace(RECORDED, str(MODEL)))
    return tmp_path / "run"


def halo(*arguments: object) -> str:
    """Run a command in a process of its own; return its output."""
    done = processes.run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_listed_shown_reported_and_compared(run: Path) -> None:
    copy = shutil.copytree(run, run.with_name("copy"))
    listed = halo("runs", run.parent)
    assert listed.count("finished  2/2") == 2
    assert "31.2% > 31.2%" in listed
    assert "cycle 0 heldout  |  heldout-" in halo("samples", run, "--limit", 3)
    halo("report", run, "-o", run.parent / "page.html")
    assert "held-out" in (run.parent / "page.html").read_text(encoding="utf-8").lower()
    assert halo("diff", run, copy).endswith("identical\n")
    assert "31.2%" in halo("resume", copy, "--changed")


def test_its_statistics_have_their_new_names(run: Path) -> None:
    ledger = Ledger(run)
    reports = ledger.reports()
    assert [report.cycle for report in reports] == [0, 1, 2]
    for report in reports[1:]:
        assert report.sampled is not None
        assert report.train is not None
        assert report.train.lr == report.lr > 0
        assert report.train == ledger.trained(report.cycle)
        assert report.train.logprob_shift is not None
        assert report.sampler_error is not None
    prompts = ledger.prompts("train")
    samples = [sample for batch in ledger.batches(1, "train", prompts) for sample in batch]
    assert len(samples) == 16
    assert all(s.completion.logprobs is None and s.completion.loss_mask is None for s in samples)
    assert all(s.verdict.signals == {} for s in samples)


def test_it_is_resumed_with_another_cycle(run: Path) -> None:
    shown = halo("resume", run, "--cycles", 3, "--changed")
    assert f"adapter  {run / 'cycles' / '003' / 'adapter'}" in shown
    ledger = Ledger(run)
    assert len(ledger.reports()) == 4
    prompts = ledger.prompts("train")
    sampled = [s for batch in ledger.batches(3, "train", prompts) for s in batch]
    assert all(len(s.completion.logprobs or ()) == len(s.completion.token_ids) for s in sampled)
    assert ledger.config()["verifier"][0].get("once", "absent") == "absent"
