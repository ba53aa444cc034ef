"""`halo reverify`: only completions without a current verdict are verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]
Rows = Callable[[Any], list[dict[str, Any]]]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"


def test_unchanged_verifier_is_not_called(run: Halo, halo: Halo) -> None:
    run()
    before = Path("run/ledger.db").read_bytes()
    assert halo("reverify", "run").out.splitlines() == [
        "160 completions with current verdicts, 0 with verdicts of an earlier reverify",
        "0 verified now in 0 calls: equal texts are verified once",
    ]
    assert Path("run/ledger.db").read_bytes() == before


@pytest.mark.parametrize("batch", [512, 3])
def test_changed_options_verify_every_text_once(
    run: Halo, halo: Halo, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("halo_core.verification.reverify._BATCH", batch)
    run()
    with Ledger(Path("run")).reading() as db:
        (distinct,) = db.execute(
            "SELECT count(*) FROM (SELECT DISTINCT prompt, text FROM completions)"
        ).fetchone()
    assert distinct < 160
    shutil.copytree("run", "before")
    first = halo("reverify", "run", "-V", "mode=strict").out.splitlines()
    assert first[0].startswith("0 completions with current verdicts, 0 with")
    assert first[1].startswith(f"160 verified now in {distinct} calls")
    assert first[2] == "no verdict changed"
    second = halo("reverify", "run", "-V", "mode=strict").out.splitlines()
    assert second[0] == "0 completions with current verdicts, 160 with verdicts of an earlier reverify"
    assert second[1].startswith("0 verified now in 0 calls")
    assert halo("diff", "before", "run").code == 0, "the verdicts that the run trained with have not changed"


def test_changed_verdicts_are_counted(rows: Rows, run: Halo, halo: Halo) -> None:
    run()
    passed = len(rows(halo("export", "run", "--status", "pass")))
    shown = halo("reverify", "run", "--verifier", f"{DRIVERS}:Hopeless").out
    changes = dict(line.rsplit(maxsplit=1) for line in shown.splitlines() if " > " in line)
    assert {" ".join(key.split()): int(value) for key, value in changes.items()} == {
        "correct > invalid": passed,
        "wrong > invalid": 160 - passed,
    }
    assert shown.splitlines()[-1] == f"passed: {passed} before, 0 now, of 160"


def test_first_verifier_verifies_prompts_that_name_no_verifier(run: Halo, halo: Halo) -> None:
    run()
    others = ["--verifier", f"{DRIVERS}:Hopeless", "--verifier", f"{DRIVERS}:Words"]
    assert halo("reverify", "run", *others).out.startswith("0 completions with current verdicts")
    assert halo("reverify", "run", *others[2:], *others[:2]).out.startswith(
        "160 completions with current verdicts"
    )


def test_broken_verifier_is_an_error(run: Halo, halo: Halo) -> None:
    run()
    answer = halo("reverify", "run", "--verifier", f"{DRIVERS}:Broken")
    assert "160 verdicts are errors" in answer.complaint()
    assert "the verifier crashed" in answer.err
    assert "verified now" in answer.out
    again = halo("reverify", "run", "--verifier", f"{DRIVERS}:Broken")
    assert again.out.startswith("0 completions with current verdicts, 0 with"), "errors are not stored"
    complaint = halo("reverify", "run", "--verifier", f"{DRIVERS}:Speechless").complaint()
    assert "verifier 'Speechless'" in complaint
    assert "returned NoneType, not a Verdict" in complaint


def test_run_is_locked_only_to_verify(run: Halo, halo: Halo) -> None:
    import fcntl

    run()
    with Path("run/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert halo("reverify", "run").code == 0
        assert "in use by another process" in halo("reverify", "run", "-V", "mode=strict").complaint()


def test_only_prompts_of_the_changed_verifier_are_verified(
    rows: Rows, halo: Halo, fakes: list[str], tmp_path: Path
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
    assert shown[0].startswith(f"{len(everything) - affected} completions with current verdicts")
    assert shown[1].startswith(f"{affected} verified now")


def test_unchanged_verifier_takes_no_time(tmp_path: Path, halo: Halo) -> None:
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
    from halo_core.progress import Progress
    from halo_core.testing import FakeVerifier
    from halo_core.verification.reverify import reverify
    from halo_core.verification.verifiers import VerifierSet

    def pool() -> AbstractContextManager[ThreadPoolExecutor]:
        raise AssertionError("every verdict is current")

    verifiers = VerifierSet({"fake": FakeVerifier()})
    done = reverify(Ledger(tmp_path / "run"), verifiers, pool, Progress())
    assert (done.unchanged, done.verified, done.calls) == (20_000, 0, 0)
