from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.plugin.discovery import available
from halo_core.testing import fake_run

Halo = Callable[..., Any]
Install = Callable[..., Path]
CUSTOM_POLICY = """
from halo_core import LRPolicy, driver

@driver
class Custom(LRPolicy):
    base_lr: float = 3e-5

    def lr(self, *, cycle, cycles, history):
        if self.base_lr > 1:
            raise RuntimeError("base_lr is too high")
        return self.base_lr / cycle
"""


@pytest.fixture
def custom(tmp_path: Path) -> str:
    (tmp_path / "custom.py").write_text(CUSTOM_POLICY)
    return f"{tmp_path}/custom.py:Custom"


def rows(out: str) -> dict[str, list[str]]:
    """Return the cells of each policy in a comparison, by the first word of its label."""
    lines = out.partition("\n\n")[0].splitlines()
    return {line.split()[1]: line.split()[2:] for line in lines if line[:1].strip()}


# schedule


def test_schedule_prints_rates_and_assumptions(halo: Halo) -> None:
    answer = halo(
        "lr", "schedule", "--lr-policy", "exponential", "-L", "decay=0.7", "--cycles", 8, "--steps", 16
    )
    assert answer.code == 0, answer.err
    lrs = [line.split()[1] for line in answer.out.splitlines()[1:9]]
    assert lrs == [f"{5e-5 * 0.7**n:.2e}" for n in range(8)]
    assert "summed learning rate: 0.39 of that of constant 5e-5" in answer.out
    assert "assumed, not measured: pass rates of 30%, 38%" in " ".join(answer.out.split())


def test_schedule_ends_with_a_configuration_section(halo: Halo) -> None:
    answer = halo("lr", "schedule", "--lr-policy", "manual", "-L", "rates=[4e-5, 2e-5]", "-n", 3)
    section = yaml.safe_load(answer.out[answer.out.index("lr_policy:") :])
    assert section == {
        "lr_policy": {"name": "manual", "floor": 1e-7, "ceiling": None, "rates": [4e-5, 2e-5]},
        "cycles": 3,
    }


def test_schedule_reads_a_configuration_that_flags_override(halo: Halo, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("verifier: gcc\nlr_policy: {name: exponential, base_lr: 2e-5, decay: 0.5}\ncycles: 3\n")
    out = halo("lr", "schedule", "-c", config, "-L", "decay=0.1").out
    assert [line.split()[1] for line in out.splitlines()[1:4]] == ["2.00e-05", "2.00e-06", "2.00e-07"]
    assert "cycles: 3\n" in out
    assert "cycles: 6\n" in halo("lr", "schedule", "-c", config, "-n", 6).out
    config.write_text("verifier: gcc\n")
    assert "name: constant" in halo("lr", "schedule", "-c", config).out, "the default of a run"
    assert "cycles: 5\n" in halo("lr", "schedule", "-c", config).out


def test_schedule_with_given_measurements(halo: Halo) -> None:
    flags = ("--lr-policy", "plateau", "--passed", "0.3,0.5,0.5,0.5", "--steps", "10,20", "-n", "4")
    lines = halo("lr", "schedule", *flags).out.splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["5.00e-05", "5.00e-05", "5.00e-05", "2.50e-05"]
    assert [line.split()[2] for line in lines[1:5]] == ["10", "20", "20", "20"]
    noisy = halo("lr", "schedule", *flags, "--heldout-samples", 16).out.splitlines()
    assert noisy[4].split()[1] == "5.00e-05", "too few completions to show a plateau"


def test_schedule_prints_a_chart(halo: Halo) -> None:
    out = halo("lr", "schedule", "--chart").out
    assert "5.00e-05 |  a  a  a  a  a  a  a  a" in out


# compare


def test_compare_lists_all_installed_policies_with_constant_first(halo: Halo) -> None:
    answer = halo("lr", "compare")
    assert answer.code == 0
    assert not answer.err
    names = list(rows(answer.out))
    assert names[0] == "constant"
    assert sorted(names) == sorted(source.name for source in available("lr_policy"))


def test_compare_prints_relative_sums(halo: Halo) -> None:
    policies = ["constant", *(f"exponential decay={d}" for d in (0.95, 0.85, 0.7))]
    answer = halo("lr", "compare", *policies, "--steps", 16)
    relative = [line.split()[-1] for line in answer.out.splitlines()[3:7]]
    assert relative == ["1.00", "0.84", "0.61", "0.39"]
    assert "b  exponential decay=0.95" in answer.out


def test_compare_applies_an_option_to_all_policies_that_have_it(halo: Halo) -> None:
    found = rows(halo("lr", "compare", "constant", "exponential", "manual", "-L", "base_lr=1e-4").out)
    assert found["constant"][0] == found["exponential"][0] == "1.00e-04"
    assert found["manual"][0] == "5.00e-05"
    assert found["constant"][-1] == "1.00", "the baseline gets the option too"


def test_compare_accepts_a_policy_from_a_file(halo: Halo, custom: str) -> None:
    out = halo("lr", "compare", "constant", f"{custom} base_lr=4e-5", "-n", 2, "--steps", 10).out
    assert "4.00e-05  2.00e-05  6.00e-04      0.60" in out


def test_compare_skips_unusable_policies_unless_named(halo: Halo, install: Install) -> None:
    needs = "from halo_core import LRPolicy, driver\n@driver\nclass A(LRPolicy):\n    x: int\n"
    needs += "    def lr(self, **_): return 1\n"
    entry = {"halo.lr_policies": "needy = acme_needy:A\nbroken = acme_missing:A\nconstant = acme_needy:A"}
    install("acme", "1", entry, {"acme_needy": needs})
    answer = halo("lr", "compare")
    assert answer.code == 0
    assert "skipped: needy: " in answer.err
    assert "skipped: broken: " in answer.err
    assert "skipped: acme:constant: " in answer.err
    assert "exponential" in rows(answer.out)
    assert "x: a value is required" in halo("lr", "compare", "needy").complaint()


@pytest.mark.parametrize("kind", ["csv", "json", "yaml"])
def test_compare_writes_files(halo: Halo, kind: str) -> None:
    answer = halo("lr", "compare", "constant", "step", "-o", f"rates.{kind}")
    assert f"wrote rates.{kind}" in answer.out
    assert "step" in Path(f"rates.{kind}").read_text()


@pytest.mark.parametrize("command", ["schedule", "compare"])
@pytest.mark.parametrize(("kind", "signature"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_plots(halo: Halo, command: str, kind: str, signature: bytes) -> None:
    assert f"wrote rates.{kind}" in halo("lr", command, "--plot", f"rates.{kind}", "--chart").out
    assert Path(f"rates.{kind}").read_bytes().startswith(signature)


# simulate


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Return the directory of a run of three cycles."""
    run, hooks = fake_run(tmp_path / "run", cycles=3)
    run_cycles(run, hooks)
    return run.directory


def test_simulate_replays_policies_on_the_measurements_of_a_run(halo: Halo, recorded: Path) -> None:
    answer = halo("lr", "simulate", recorded, "constant", "exponential decay=0.5", "plateau floor=1e-3")
    assert answer.code == 0, answer.err
    found = rows(answer.out)
    lr = Ledger(recorded).reports()[1].lr
    assert found["as"] == ["trained", *[f"{lr:.2e}"] * 3, f"{3 * lr:.2e}", "1.00"]
    assert found["constant"] == found["as"][1:], "the default of base_lr is the first rate of the run"
    assert found["exponential"][1:4] == [f"{lr * factor:.2e}" for factor in (1, 0.5, 0.25)]
    assert found["exponential"][-1] == "0.58"
    assert f"recorded by {recorded}" in " ".join(answer.out.split()).replace("- ", "-")
    assert "relative: divided by the sum of the run" in answer.out


def test_simulate_flags_override_the_rate_of_the_run(halo: Halo, recorded: Path) -> None:
    out = halo("lr", "simulate", recorded, "constant", "step base_lr=1e-3", "-L", "base_lr=2e-3", "-n", 2).out
    assert rows(out)["constant"][:2] == ["2.00e-03"] * 2
    assert rows(out)["step"][2] == "1.00e-03"


def test_simulate_replays_all_installed_policies_and_writes_a_file(halo: Halo, recorded: Path) -> None:
    answer = halo("lr", "simulate", recorded, "-o", "rates.json", "--chart")
    found = json.loads(Path("rates.json").read_text())
    names = [policy["name"] for policy in found["policies"]]
    assert sorted(names[1:]) == sorted(source.name for source in available("lr_policy"))
    assert found["relative_to"] == found["policies"][0]["label"] == "as trained"
    assert "b constant" in answer.out


# steps


def test_steps_of_the_halo_forge_notes(halo: Halo) -> None:
    out = halo("lr", "steps", 500, "--batch", 2, "--accumulation", 16).out
    assert "steps       16 = 1 x ceil(ceil(500 / (2 x 1)) / 16)" in out
    assert "halo-forge  15.6 steps" in out
    assert "warmup      2, 2 advised" in out
    assert "-T batch_size=32 -T epochs=1 -T warmup_steps=2" in out
    assert "warning" not in out


def test_steps_warns_of_a_long_warmup(halo: Halo) -> None:
    found = json.loads(halo("lr", "steps", 500, "--warmup", 10, "--json").out)
    assert (found["steps"], found["warmup"], found["warmup_advised"]) == (16, 10, 2)
    assert len(found["warnings"]) == 2
    assert halo("lr", "steps", 500, "--warmup", 10).out.count("\nwarning ") == 2


def test_steps_with_a_carried_optimizer(halo: Halo) -> None:
    assert json.loads(halo("lr", "steps", 500, "--carried", "--json").out)["warmup_advised"] == 0


# recommend


def test_recommend_lists_all_methods(halo: Halo) -> None:
    lines = halo("lr", "recommend").out.splitlines()
    table = [line.split()[:6] for line in lines[:11]]
    assert table[0][:4] == ["method", "weights", "confidence", "lr"]
    assert ["raft", "LoRA", "medium", "7.50e-05", "1.00e-05", "3.00e-04"] in table
    assert ["grpo", "all", "high", "1.00e-06", "5.00e-07", "2.00e-06"] in table


def test_recommend_prints_reasons_for_one_method(halo: Halo) -> None:
    out = halo("lr", "recommend", "raft", "--size", "0.5B", "--samples", 100, "--batch", 64, "--rank", 64).out
    for text in (
        "size        x 1.93",
        "batch       x 1.41",
        "1/4 rule",
        "10-40x",
        "only 2 optimizer steps",
    ):
        assert text in out


def test_recommend_as_json(halo: Halo) -> None:
    found = json.loads(halo("lr", "recommend", "raft", "--samples", 500, "--json").out)
    assert (found["lr"], found["steps"], found["lr_sum"]) == (7.5e-5, 16, pytest.approx(1.2e-3))
    assert len(json.loads(halo("lr", "recommend", "--json").out)) == 10


# Invalid input


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("schedule", "--lr-policy", "exponental"), "exponental"),
        (("schedule", "-L", "decay=0.7"), "lr_policy 'constant' has no option 'decay'"),
        (("schedule", "-L", "decay"), "-L 'decay' is not of the form key=value"),
        (("schedule", "-c", "absent.yaml"), "absent.yaml"),
        (("schedule", "--passed", "30,40"), "shares between 0 and 1"),
        (("schedule", "--passed", "nan"), "shares between 0 and 1"),
        (("schedule", "--passed", ""), "shares between 0 and 1"),
        (("schedule", "--steps", "1.5"), "positive numbers of steps"),
        (("schedule", "--steps", "0"), "positive numbers of steps"),
        (("simulate", "absent"), "no run with a finished cycle"),
        (("schedule", "-o", "rates.jsn"), "did you mean '.json'?"),
        (("schedule", "-o", "rates"), "supported: .csv, .json, .yaml"),
        (("schedule", "-o", "rates.png"), "written by --plot"),
        (("compare", "--plot", "rates.csv"), "written by --output"),
        (("schedule", "--plot", "rates.pgn"), "did you mean '.png'?"),
        (("schedule", "-o", "absent/rates.csv"), "No such file or directory"),
        (("compare", "exponential decay"), "not of the form key=value"),
        (("compare", "'"), "names no policy"),
        (("compare", "constant", "-L", "decay=0.5"), "-L decay: none of these policies has this option"),
        (("compare", "exponential", "-L", "base_lr=fast"), "expected a number"),
        (("recommend", "rlhf"), "no recommendation for method 'rlhf'"),
        (("recommend", "sft", "--size", "big"), "'big' is not a number of parameters"),
    ],
)
def test_invalid_input_is_reported_in_one_line(halo: Halo, arguments: tuple[str, ...], part: str) -> None:
    assert part in halo("lr", *arguments).complaint()


def test_an_invalid_configuration_is_reported_in_one_line(halo: Halo, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    for text, part in (
        ("lr_policy: 5", "lr_policy"),
        ("cycles: none", "cycles"),
        ("lr_policy: {name: 3}", "name"),
    ):
        config.write_text(f"verifier: gcc\n{text}\n")
        assert part in halo("lr", "schedule", "-c", config).complaint()


def test_a_failing_policy_is_named(halo: Halo, custom: str) -> None:
    complaint = halo("lr", "schedule", "--lr-policy", custom, "-L", "base_lr=2").complaint()
    assert "failed at cycle 1: RuntimeError: base_lr is too high" in complaint


def test_no_installed_policy(halo: Halo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.plugin.discovery.entry_points", lambda group: [])
    assert halo("lr", "compare").remedy() == "pip install halo-lr-policies"


def test_lr_imports_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; sys.argv = ['halo', 'lr', 'compare']\n"
        "from halo_core.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'transformers', 'matplotlib'}\n"
        "sys.exit(repr(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
