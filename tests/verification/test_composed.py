"""Several verifiers on one completion: verdicts are combined, and everything else is delegated to the parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.config.options import build
from halo_core.config.schema import DriverSpec
from halo_core.drivers import Verifier, driver
from halo_core.errors import ConfigError, DataError, PluginError
from halo_core.testing import VerifierContract
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_core.verification.audit import audit
from halo_core.verification.composed import All, ComposedVerifier, combine
from halo_core.verification.verifiers import VerifierSet

PARTS = Path(__file__).parents[1] / "verifier_parts.py"
PROMPT = Prompt("two", "Write 2.", reference={"number": 2})


def part(name: str, **options: Any) -> dict[str, Any]:
    return {"name": f"{PARTS}:{name}", **options}


def both(**options: Any) -> All:
    return All(of=(part("Number"), part("Short")), **options)


def verdict_of(verifier: Verifier, text: str, prompt: Prompt = PROMPT) -> Verdict:
    return verifier.check(prompt, Completion(prompt.id, 0, text))


class TestAll(VerifierContract):
    @pytest.fixture
    def verifier(self) -> Verifier:
        return both(weights={"Number": 3})

    @pytest.fixture
    def prompt(self) -> Prompt:
        return PROMPT

    @pytest.fixture
    def good(self) -> str:
        return "It is 2"

    @pytest.fixture
    def bad(self) -> str:
        return "It is 3"


# The combined verdict


@pytest.mark.parametrize(
    ("text", "status", "stage", "score"),
    [
        ("2", Status.PASS, Stage.CORRECT, 1.0),
        ("3", Status.FAIL, Stage.WRONG, (3 * 0.25 + 1.0) / 4),
        ("a", Status.FAIL, Stage.INVALID, (3 * 0.0 + 1.0) / 4),
        (" " * 38 + " 2", Status.FAIL, Stage.FLAWED, (3 * 1.0 + 0.5) / 4),
        (" " * 38 + " 3", Status.FAIL, Stage.FLAWED, (3 * 0.25 + 0.5) / 4),
    ],
)
def test_it_passes_if_every_part_does(text: str, status: Status, stage: Stage, score: float) -> None:
    verdict = verdict_of(both(weights={"Number": 3}), text)
    assert (verdict.status, verdict.stage) == (status, stage)
    assert verdict.score == pytest.approx(score)


def test_signals_are_named_after_the_parts() -> None:
    assert verdict_of(both(), " " * 38 + " 2").signals == {
        "Number.passed": 1.0,
        "Number.score": 1.0,
        "Number.digits": 1.0,
        "Short.passed": 0.0,
        "Short.score": 0.5,
    }


def test_details_warnings_times_and_tiers() -> None:
    verdict = verdict_of(both(), "33")
    assert verdict.detail == "Number: 33 is wrong"
    assert (verdict.warnings, verdict.cpu_seconds) == (1, 0.5)
    assert (verdict.sandbox, verdict.integrity) == ("standard", "shared-process")
    three = All(of=(part("Number"), part("Short"), part("Unsure")))
    assert verdict_of(three, "2").sandbox == "standard", "the weakest in which code ran"
    assert verdict_of(All(of=(part("Number"),)), "2").sandbox == "none"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("error 3", Status.ERROR),
        ("slow 3", Status.INCONCLUSIVE),
        ("slow 2", Status.INCONCLUSIVE),
        ("raise 2", Status.ERROR),
    ],
)
def test_errors_and_inconclusive_verdicts_of_a_part_are_those_of_the_whole(text: str, status: Status) -> None:
    verdict = verdict_of(All(of=(part("Number"), part("Unsure")), weights={"Unsure": 0}), text)
    assert verdict.status is status
    assert "Unsure: " in verdict.detail
    assert verdict.score == 0.0
    assert "Unsure.passed" not in verdict.signals
    if status is Status.ERROR and "raise" in text:
        assert "verifier 'Unsure'" in verdict.detail
        assert "RuntimeError: out of order" in verdict.detail


def test_an_error_precedes_an_inconclusive_verdict() -> None:
    slow, error = Verdict(Status.INCONCLUSIVE, Stage.CRASHED), Verdict(Status.ERROR, Stage.INVALID)
    for verdicts in ({"a": slow, "b": error}, {"a": error, "b": slow}):
        assert combine(verdicts).status is Status.ERROR
        assert combine(verdicts).stage is Stage.INVALID


def test_a_part_of_weight_0_is_only_measured() -> None:
    verifier = both(weights={"Short": 0})
    long = verdict_of(verifier, " " * 38 + " 2")
    assert (long.status, long.stage, long.score) == (Status.PASS, Stage.CORRECT, 1.0)
    assert long.signals["Short.score"] == 0.5
    assert verifier.mutants(PROMPT) == ("3",), "a mutant of Short passes"


# Delegation


def test_fingerprints_name_options_parts_and_their_versions(tmp_path: Path) -> None:
    file = tmp_path / "verifier_parts.py"
    file.write_text(PARTS.read_text())
    of = ({"name": f"{file}:Number"}, part("Short"))
    first = All(of=of).fingerprint()
    assert "Number(version='1'" in first
    assert "sha256:" in first
    assert All(of=of).fingerprint() == All(of=of, weights={"Short": 1}).fingerprint() == first
    moved = tmp_path / "elsewhere.py"
    moved.write_text(PARTS.read_text())
    assert All(of=({"name": f"{moved}:Number"}, part("Short"))).fingerprint() == first
    others = [
        All(of=of, weights={"Short": 2}),
        All(of=(of[1], of[0])),
        All(of=({**of[0], "version": "2"}, of[1])),
    ]
    file.write_text(PARTS.read_text() + "\n# changed\n")
    others.append(All(of=of))
    assert len({first, *(other.fingerprint() for other in others)}) == 5


def test_preflight_and_prompts() -> None:
    both().preflight()
    with pytest.raises(PluginError, match="no abacus"):
        All(of=(part("Short"), part("Number", missing_tool=True))).preflight()
    both().check_prompt(PROMPT)
    with pytest.raises(DataError, match="needs a number"):
        both().check_prompt(Prompt("p"))


def test_every_method_of_a_verifier_is_delegated() -> None:
    methods = {name for name, value in vars(Verifier).items() if callable(value) and not name.startswith("_")}
    assert methods - vars(ComposedVerifier).keys() == {"check"}


def test_labels() -> None:
    assert both().valid_label == "valid"
    assert All(of=(part("Number"),)).valid_label == "parses"
    assert All.valid_label == "valid"


def test_known_answers() -> None:
    verifier = both()
    assert verifier.references(PROMPT) == ("2",)
    assert verifier.mutants(PROMPT) == ("3", "x" * 21)
    assert verifier.copied_answers(PROMPT) == ("1 + 1",)
    assert [(attack.name, attack.text) for attack in verifier.attacks()] == [("Number: full-width", "２")]
    demo = verifier.demo()
    assert demo is not None
    assert len(demo.prompts) == 2


def test_attacks_and_demos_that_not_all_parts_can_use_are_left_out() -> None:
    verifier = All(of=(part("Number"), part("Keyed")))
    assert verifier.attacks() == []
    assert verifier.demo() is None


def test_each_part_has_its_own_reference() -> None:
    verifier = All(of=(part("Number"), part("Keyed"), part("Short")))
    prompt = Prompt(
        "p", "", reference={"Number": {"number": 7}, "Keyed": {"key": "x"}, "Short": "not a mapping"}
    )
    verifier.check_prompt(prompt)
    assert verdict_of(verifier, "x 7", prompt).status is Status.PASS
    signals = verdict_of(verifier, "y 7", prompt).signals
    assert (signals["Number.passed"], signals["Keyed.passed"]) == (1.0, 0.0)
    assert verifier.references(prompt) == ("7",)


def test_the_audit_of_a_composition() -> None:
    verifiers = VerifierSet.load(
        [DriverSpec.model_validate({"name": "all", "of": [part("Number"), part("Short")]})]
    )
    result = audit(verifiers, [PROMPT, replace(PROMPT, id="three", reference={"number": 3})])
    assert result.findings == ()
    assert {case.kind for case in result.cases} == {
        "reference",
        "mutant",
        "empty",
        "constant",
        "copied",
        "attack",
    }


def test_nested_compositions() -> None:
    inner = {"name": "all", "of": [part("Number"), part("Short")], "weights": {"Number": 3}}
    verifier = All(of=(inner, part("Unsure")))
    assert verdict_of(verifier, "2").signals["all.Number.score"] == 1.0
    assert verdict_of(verifier, "3").status is Status.FAIL


def test_options_round_trip_and_paths_are_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PARTS.parent)
    verifier = build(
        All, {"of": ["verifier_parts.py:Number", {"name": "./verifier_parts.py:Short", "most": 3}]}, where="v"
    )
    assert verifier.of == (part("Number"), part("Short", most=3))
    again = build(All, json.loads(json.dumps(asdict(verifier))), where="v")
    assert again == verifier
    assert again.fingerprint() == verifier.fingerprint()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"of": []}, "of: value should have at least 1 item"),
        ({"of": ["nothing"]}, "no verifier named 'nothing' is installed"),
        ({"of": [part("Number", verson=1)]}, "has no option 'verson'"),
        ({"of": [part("Number"), part("Number")]}, "verifier 'Number' is listed twice"),
        ({"of": [{"most": 1}]}, "a verifier in a composition needs a name"),
        ({"of": [part("Number")], "weights": {"Nmber": 1}}, "'Nmber' is not one of the verifiers"),
        ({"of": [part("Number")], "weights": {"Number": -1}}, "greater than or equal to 0"),
        ({"of": [part("Number")], "weights": {"Number": 0}}, "one verifier needs a weight above 0"),
    ],
)
def test_errors(options: dict[str, Any], problem: str) -> None:
    with pytest.raises((ConfigError, PluginError)) as caught:
        build(All, options, where="verifier 'all'")
    assert problem in str(caught.value)


# A composition in code


@driver
class Polite(ComposedVerifier):
    """A number, written politely."""

    version: str = "1"
    """Passed to the part."""

    def compose(self) -> list[str | dict[str, Any]]:
        return [part("Number", version=self.version), part("Keyed")]

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        verdict = self.ask("Number", prompt, completion)
        please = self.ask("Keyed", replace(prompt, reference={"key": "please"}), completion)
        return replace(verdict, signals={**verdict.signals, "polite": float(please.status is Status.PASS)})

    def check_prompt(self, prompt: Prompt) -> None:
        self.parts.by_name["Number"].check_prompt(prompt)


class TestPolite(TestAll):
    @pytest.fixture
    def verifier(self) -> Verifier:
        return Polite()


def test_a_composition_in_code() -> None:
    verdict = verdict_of(Polite(), "please 2")
    assert verdict.status is Status.PASS
    assert verdict.signals == {"digits": 1.0, "polite": 1.0}
    assert verdict_of(Polite(), "2").signals["polite"] == 0.0
    assert "version='7'" in Polite(version="7").fingerprint()
    with pytest.raises(PluginError, match="Polite asks 'Nummer', which its compose"):
        Polite().ask("Nummer", PROMPT, Completion("two", 0, "2"))


# The commands


def test_the_commands_work_with_a_composition(halo: Callable[..., Any], fakes: list[str]) -> None:
    words = Path(__file__).parents[1] / "fake_drivers.py"
    parts = ["-v", "all", "-V", f"of={words}:Words", "-V", f'of={{"name": "{PARTS}:Short", "most": 12}}']
    reward = ["--reward", "weighted", "-R", 'weights={"Words.score": 1.0, "Short.score": 0.5}']
    rows = [{"id": f"p{n}", "prompt": f"task {n}"} for n in range(12)]
    Path("prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = ["--data", "prompts.jsonl", "--model", "m"]
    answer = halo("run", *fakes[2:], *parts, *reward, *data, "-n", 2, "--samples", 4, "-o", "run")
    assert answer.code == 0, answer.err
    exported = [json.loads(line) for line in halo("export", "run", "--to", "jsonl").out.splitlines()]
    assert {"Words.passed", "Short.score"} <= json.loads(exported[0]["signals"]).keys()
    for row in exported:
        signals = json.loads(row["signals"])
        if row["reward"] is not None:
            assert row["reward"] == pytest.approx(signals["Words.score"] + 0.5 * signals["Short.score"])
    assert halo("reverify", "run").code == 0
    assert halo("resume", "run").code == 0
    assert halo("report", "run").code == 0
    assert halo("diagnose", "run").code == 0
    completions = [
        {"prompt_id": "p1", "completion": "right 1"},
        {"prompt_id": "p2", "completion": "right " * 9},
    ]
    Path("completions.jsonl").write_text("\n".join(map(json.dumps, completions)))
    verified = halo("verify", *parts, "--data", "prompts.jsonl", "--completions", "completions.jsonl")
    assert [json.loads(line)["status"] for line in verified.out.splitlines()] == ["pass", "fail"]
    stricter = [*parts[:-1], parts[-1].replace("12", "3")]
    changed = halo("reverify", "run", *stricter)
    assert changed.code == 0, changed.err
    assert "flawed" in changed.out


def test_the_extracted_part_is_that_of_the_first_verifier_that_finds_one() -> None:
    words = {"name": f"{PARTS.with_name('fake_drivers.py')}:Words"}
    completion = Completion("two", 0, "right 2")
    assert All(of=(part("Short"), words)).extracted(PROMPT, completion) == "right"
    assert All(of=(part("Short"),)).extracted(PROMPT, completion) is None
