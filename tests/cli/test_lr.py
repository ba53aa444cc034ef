from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.discovery import available
from halo_core.loop import run_cycles
from halo_core.testing import fake_run

Halo = Callable[..., Any]
Install = Callable[..., Path]
MINE = """
from halo_core import LRPolicy, driver

@driver
class Mine(LRPolicy):
    base_lr: float = 3e-5

    def lr(self, *, cycle, cycles, history):
        if self.base_lr > 1:
            raise RuntimeError("out of its depth")
        return self.base_lr / cycle
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    return f"{tmp_path}/mine.py:Mine"


def rows(out: str) -> dict[str, list[str]]:
    """The policies of a comparison, by mark and name."""
    lines = out.partition("\n\n")[0].splitlines()[3:]
    return {line.split()[1]: line.split()[2:] for line in lines}


# show


def test_show_prints_rates_and_what_was_assumed(halo: Halo) -> None:
    answer = halo("lr", "show", "--lr-policy", "exponential", "-L", "decay=0.7", "--cycles", 8, "--steps", 16)
    assert answer.code == 0, answer.err
    lrs = [line.split()[1] for line in answer.out.splitlines()[1:9]]
    assert lrs == [f"{5e-5 * 0.7**n:.2e}" for n in range(8)]
    assert "summed rate: 0.39 of that of a constant 5e-5" in answer.out
    assert "assumed, not measured: 30%, 38%" in " ".join(answer.out.split())


def test_show_ends_with_what_a_configuration_would_say(halo: Halo) -> None:
    answer = halo("lr", "show", "--lr-policy", "manual", "-L", "rates=[4e-5, 2e-5]", "-n", 3)
    block = yaml.safe_load(answer.out[answer.out.index("lr_policy:") :])
    assert block == {"lr_policy": {"name": "manual", "rates": [4e-5, 2e-5]}, "cycles": 3}


def test_show_takes_policy_and_cycles_from_a_file_and_flags_go_over_it(halo: Halo, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("verifier: gcc\nlr_policy: {name: exponential, base_lr: 2e-5, decay: 0.5}\ncycles: 3\n")
    out = halo("lr", "show", "-c", config, "-L", "decay=0.1").out
    assert [line.split()[1] for line in out.splitlines()[1:4]] == ["2.00e-05", "2.00e-06", "1.00e-06"]
    assert "cycles: 3\n" in out
    assert "cycles: 6\n" in halo("lr", "show", "-c", config, "-n", 6).out
    config.write_text("verifier: gcc\n")
    assert "name: constant" in halo("lr", "show", "-c", config).out, "a run's defaults"
    assert "cycles: 5\n" in halo("lr", "show", "-c", config).out


def test_show_on_given_measurements(halo: Halo) -> None:
    flags = ("--lr-policy", "plateau", "--passed", "0.3,0.5,0.5,0.5", "--steps", "10,20", "-n", "4")
    lines = halo("lr", "show", *flags).out.splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["5.00e-05", "5.00e-05", "5.00e-05", "2.50e-05"]
    assert [line.split()[2] for line in lines[1:5]] == ["10", "20", "20", "20"]
    noisy = halo("lr", "show", *flags, "--heldout-samples", 16).out.splitlines()
    assert noisy[4].split()[1] == "5.00e-05", "too few to tell"


def test_show_draws(halo: Halo) -> None:
    out = halo("lr", "show", "--plot").out
    assert "5.00e-05 |  a  a  a  a  a  a  a  a" in out


# compare


def test_compare_has_every_installed_policy_and_constant_first(halo: Halo) -> None:
    answer = halo("lr", "compare")
    assert answer.code == 0
    assert not answer.err
    names = list(rows(answer.out))
    assert names[0] == "constant"
    assert sorted(names) == sorted(source.name for source in available("lr_policy"))


def test_compare_shows_what_decay_costs(halo: Halo) -> None:
    policies = ["constant", *(f"exponential decay={d} floor=0" for d in (0.95, 0.85, 0.7))]
    answer = halo("lr", "compare", *policies, "--steps", 16)
    relative = [line.split()[-1] for line in answer.out.splitlines()[3:7]]
    assert relative == ["1.00", "0.84", "0.61", "0.39"]
    assert "b  exponential decay=0.95 floor=0" in answer.out


def test_compare_gives_an_option_to_all_that_have_it(halo: Halo) -> None:
    found = rows(halo("lr", "compare", "constant", "exponential", "manual", "-L", "base_lr=1e-4").out)
    assert found["constant"][0] == found["exponential"][0] == "1.00e-04"
    assert found["manual"][0] == "5.00e-05"
    assert found["constant"][-1] == "1.00", "the yardstick moves along"


def test_compare_takes_others_policies(halo: Halo, mine: str) -> None:
    out = halo("lr", "compare", "constant", f"{mine} base_lr=4e-5", "-n", 2, "--steps", 10).out
    assert "4.00e-05  2.00e-05  6.00e-04      0.60" in out


def test_compare_leaves_out_what_cannot_be_shown_unless_it_was_asked_for(
    halo: Halo, install: Install
) -> None:
    needs = "from halo_core import LRPolicy, driver\n@driver\nclass A(LRPolicy):\n    x: int\n"
    needs += "    def lr(self, **_): return 1\n"
    entry = {"halo.lr_policies": "needy = acme_needy:A\nbroken = acme_absent:A\nconstant = acme_needy:A"}
    install("acme", "1", entry, {"acme_needy": needs})
    answer = halo("lr", "compare")
    assert answer.code == 0
    assert "left out: needy: " in answer.err
    assert "left out: broken: " in answer.err
    assert "left out: acme:constant: " in answer.err
    assert "exponential" in rows(answer.out)
    assert "x: field required" in halo("lr", "compare", "needy").complaint()


@pytest.mark.parametrize("kind", ["csv", "json", "yaml"])
def test_compare_writes_files(halo: Halo, kind: str) -> None:
    answer = halo("lr", "compare", "constant", "step", "-o", f"rates.{kind}")
    assert f"wrote rates.{kind}" in answer.out
    assert "step" in Path(f"rates.{kind}").read_text()


def test_compare_on_what_a_run_measured(halo: Halo, tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run", cycles=3)
    run_cycles(run, hooks)
    answer = halo("lr", "compare", "constant", "plateau", "--run", run.directory)
    assert len(rows(answer.out)["plateau"]) == 5
    assert f"recorded by {run.directory}" in " ".join(answer.out.split()).replace("- ", "-")


# recommend


def test_recommend_lists_all(halo: Halo) -> None:
    lines = halo("lr", "recommend").out.splitlines()
    table = [line.split()[:6] for line in lines[:11]]
    assert table[0][:4] == ["method", "weights", "confidence", "lr"]
    assert ["raft", "LoRA", "medium", "5.00e-05", "1.00e-05", "2.00e-04"] in table
    assert ["grpo", "all", "high", "1.00e-06", "5.00e-07", "2.00e-06"] in table


def test_recommend_one_with_its_reasons(halo: Halo) -> None:
    out = halo("lr", "recommend", "raft", "--size", "0.5B", "--samples", 100, "--batch", 64, "--rank", 64).out
    for text in (
        "size        x 1.93",
        "batch       x 1.41",
        "1/4 rule",
        "10-40x",
        "2 optimizer steps a cycle",
    ):
        assert text in out


def test_recommend_as_json(halo: Halo) -> None:
    found = json.loads(halo("lr", "recommend", "raft", "--samples", 500, "--json").out)
    assert (found["lr"], found["steps"], found["lr_sum"]) == (5e-5, 16, pytest.approx(8e-4))
    assert len(json.loads(halo("lr", "recommend", "--json").out)) == 10


# Bad input


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "--lr-policy", "exponental"), "exponental"),
        (("show", "-L", "decay=0.7"), "lr_policy 'constant' has no option 'decay'"),
        (("show", "-L", "decay"), "-L 'decay' is not of the form key=value"),
        (("show", "-c", "absent.yaml"), "absent.yaml"),
        (("show", "--passed", "30,40"), "shares between 0 and 1"),
        (("show", "--passed", "nan"), "shares between 0 and 1"),
        (("show", "--passed", ""), "shares between 0 and 1"),
        (("show", "--steps", "1.5"), "positive numbers of steps"),
        (("show", "--steps", "0"), "positive numbers of steps"),
        (("show", "--run", "absent"), "no run with a finished cycle"),
        (("show", "--run", "x", "--passed", "0.5"), "--run says what was measured"),
        (("show", "-o", "rates.pgn"), "told by its suffix"),
        (("show", "-o", "absent/rates.csv"), "No such file or directory"),
        (("compare", "exponential decay"), "not of the form key=value"),
        (("compare", "'"), "names no policy"),
        (("compare", "constant", "-L", "decay=0.5"), "-L decay: none of these policies has that option"),
        (("compare", "exponential", "-L", "base_lr=fast"), "valid number"),
        (("recommend", "rlhf"), "no recommendation for method 'rlhf'"),
        (("recommend", "sft", "--size", "big"), "'big' is no number of parameters"),
    ],
)
def test_bad_input_is_one_line(halo: Halo, arguments: tuple[str, ...], says: str) -> None:
    assert says in halo("lr", *arguments).complaint()


def test_a_file_with_a_bad_section(halo: Halo, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    for text, says in (
        ("lr_policy: 5", "lr_policy"),
        ("cycles: none", "cycles"),
        ("lr_policy: {name: 3}", "name"),
    ):
        config.write_text(f"verifier: gcc\n{text}\n")
        assert says in halo("lr", "show", "-c", config).complaint()


def test_a_policy_that_falls_over_is_blamed(halo: Halo, mine: str) -> None:
    complaint = halo("lr", "show", "--lr-policy", mine, "-L", "base_lr=2").complaint()
    assert "failed at cycle 1: RuntimeError: out of its depth" in complaint


def test_no_policy_installed(halo: Halo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.discovery.entry_points", lambda group: [])
    assert halo("lr", "compare").remedy() == "pip install halo-lr-policies"


def test_arithmetic_needs_no_torch() -> None:
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
