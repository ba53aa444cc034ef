from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core import sandbox
from halo_core.data import load_prompts
from halo_core.errors import DataError, PluginError
from halo_core.programs import candidates
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_rust import Rust, diagnostics
from halo_verifier_rust.language import RUST

Check = Callable[..., Verdict]
PACKAGE = Path(__file__).parents[1]
PROMPTS = load_prompts(PACKAGE / "prompts.jsonl")
RIGHT = """use std::io::{self, Read};

fn main() {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).unwrap();
    let all: Vec<i64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    println!("{}", all[0] + all[1]);
}
"""
WRONG = RIGHT.replace("all[0] + all[1]", "all[0] - all[1]")
HELPER = "fn add(a: i64, b: i64) -> i64 {\n    a + b\n}\n"
CALLER = RIGHT.replace("all[0] + all[1]", "add(all[0], all[1])")
LITERALS = """const NOTE: &str = r#"a "quoted" `word` // /* "#;

fn first<'a>(all: &'a [char]) -> &'a char {
    &all[0]
}

"""
USES = "let _ = (NOTE.len(), first(&['\"', '\\'']));\n    "
OUTPUT = "\nOutput:\n```\n3 4\n7\n```"
RIGHT_FORMS = {
    "bare": RIGHT,
    "a fence": f"```rust\n{RIGHT}```",
    "the short tag": f"```rs\n{RIGHT}\n```",
    "attributes of rustdoc": f"```rust,no_run\n{RIGHT}\n```",
    "a file name": f"```src/main.rs\n{RIGHT}\n```",
    "no tag": f"```\n{RIGHT}\n```{OUTPUT}",
    "an output fence": f"```rust\n{RIGHT}```{OUTPUT}\nDone.",
    "a command": f"```rust\n{RIGHT}\n```\n```sh\nrustc main.rs && ./main\n```",
    "a manifest": f"```toml\n[package]\nname = \"sum\"\n```\n```rust\n{RIGHT}\n```",
    "prose around it": f"Here is a program that adds two numbers.\n\n{RIGHT}\nIt reads everything, then it's done.",
    "prose that quotes it": f"```rust\n{RIGHT}\n```\n`fn main() {{ ... }}` reads all of stdin.",
    "reasoning": f"<think>\n```rust\n{WRONG}\n```\nNo, it's a sum.</think>\n```rust\n{RIGHT}\n```",
    "a correction": f"```rust\n{WRONG}\n```\nNo, rather:\n```rust\n{RIGHT}\n```",
    "a helper before it": f"```rust\n{HELPER}```\nand\n```rust\n{CALLER}```",
    "a helper after it": f"```rust\n{CALLER}```\nwith\n```rust\n{HELPER}```",
    "a skeleton first": f"```rust\nfn main() {{\n    // ...\n}}\n```\nIn full:\n```rust\n{RIGHT}\n```",
    "never closed": f"```rust\n{RIGHT}",
    "opened in the prompt": f"{RIGHT}```\nThat is all.",
    "a quotation": "> " + f"```rust\n{RIGHT}```".replace("\n", "\n> "),
    "carriage returns": f"```rust\n{RIGHT}\n```\nDone.".replace("\n", "\r\n"),
    "lifetimes and raw strings": RIGHT.replace("fn main", LITERALS + "fn main").replace("let mut", USES + "let mut"),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT_FORMS)
def test_right_program_passes(check: Check, name: str) -> None:
    verdict = check(RIGHT_FORMS[name])
    assert (verdict.status, verdict.stage, verdict.score, verdict.warnings) == (
        Status.PASS, Stage.CORRECT, 1.0, 0,
    ), verdict.detail  # fmt: skip


@pytest.mark.parametrize(
    ("text", "stage", "score"),
    [
        (WRONG, Stage.WRONG, 1 / 3),
        (RIGHT.replace("use std::io::{self, Read};", ""), Stage.INVALID, 0.0),
        (RIGHT.replace("all[1])", "all[7])"), Stage.CRASHED, 0.0),
        ("I do not know Rust.", Stage.INVALID, 0.0),
        (f"```rust\n{RIGHT}\n```\nNo, rather:\n```rust\n{WRONG}\n```", Stage.WRONG, 1 / 3),
        (f"```rust\n{RIGHT}\n```\nNo, rather:\n```rust\nfn main() {{ let }}\n```", Stage.INVALID, 0.0),
    ],
)
def test_stage_and_score_of_wrong_programs(check: Check, text: str, stage: Stage, score: float) -> None:
    verdict = check(text)
    assert (verdict.status, verdict.stage, verdict.score) == (Status.FAIL, stage, pytest.approx(score))


def test_detail_names_the_first_error_with_its_place(check: Check) -> None:
    detail = check('fn main() {\n    let x: i32 = "7";\n}').detail
    assert detail == "main.rs:2: error[E0308]: mismatched types"


def test_warnings_are_counted_also_where_the_program_allows_them(check: Check) -> None:
    for attribute in (
        "",
        "#![allow(warnings)]",
        "#![allow(unused, dead_code)]",
        "#![cfg_attr(all(), allow(unused))]",
    ):
        verdict = check(f"{attribute}\nfn unused() {{}}\n{RIGHT}")
        assert (verdict.status, verdict.warnings) == (Status.PASS, 1), attribute
    rejected = check(f"fn unused() {{}}\n{RIGHT}", warnings="reject")
    assert (rejected.status, rejected.stage, rejected.warnings) == (Status.FAIL, Stage.FLAWED, 1)
    assert check(RIGHT, warnings="reject").status is Status.PASS


def test_unsafe_code_can_be_accepted(check: Check) -> None:
    code = RIGHT.replace("all[0] + all[1]", "unsafe { all.get_unchecked(0) + all.get_unchecked(1) }")
    verdict = check(code)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.FLAWED)
    assert "unsafe" in verdict.detail
    assert check(code, unsafe_code=True).status is Status.PASS


def test_the_word_for_assembly_in_a_comment_or_string_is_harmless(check: Check) -> None:
    quoted = RIGHT.replace("all[0] +", '"asm!".len() as i64 - 4 + all[0] +')
    assert check(f"// no asm! here\n{quoted}").status is Status.PASS


def test_options_reach_the_compiler(check: Check) -> None:
    overflow = 'fn main() {\n    let n = std::env::args().count() as u8;\n    println!("{}", n + 255);\n}\n'
    tests = [{"stdout": "0"}]
    assert check(overflow, tests).stage is Stage.CRASHED
    assert check(overflow, tests, flags="-O").status is Status.PASS
    old = 'fn main() {\n    let async = 7;\n    println!("{}", async);\n}\n'
    assert check(old, [{"stdout": "7"}], edition="2015").status is Status.PASS
    assert check(old, [{"stdout": "7"}]).stage is Stage.INVALID


def test_a_missing_compiler_is_an_error_and_not_a_failure(check: Check) -> None:
    verdict = check(RIGHT, compiler="rustc-of-nobody")
    assert (verdict.status, "not found" in verdict.detail) == (Status.ERROR, True)
    with pytest.raises(PluginError, match="not found") as refused:
        Rust(compiler="rustc-of-nobody").preflight()
    assert "apt-get install rustc" in refused.value.hint


def test_a_broken_linker_is_an_error_and_not_a_failure(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_verifier_rust.verifier._linker", lambda *_: ("-Clinker=/usr/bin/false",))
    verdict = check(RIGHT)
    assert verdict.status is Status.ERROR, verdict.detail
    assert "cannot build a Rust program" in verdict.detail


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.id)
def test_sample_prompts_have_solutions_that_pass_and_mutants_that_fail(prompt: Prompt) -> None:
    verifier = Rust(check_solutions=True)
    verifier.check_prompt(prompt)
    (reference,) = verifier.references(prompt)
    assert verifier.check(prompt, Completion(prompt.id, 0, reference)).warnings == 0
    mutants = verifier.mutants(prompt)
    assert len(mutants) >= 2
    for mutant in mutants[:2] + mutants[-1:]:
        assert verifier.check(prompt, Completion(prompt.id, 0, mutant)).status is Status.FAIL, mutant


def test_a_wrong_solution_is_reported() -> None:
    prompt = Prompt(
        "p", "t", reference={"tests": [{"stdout": "8"}], "solution": 'fn main() { println!("7"); }'}
    )
    Rust().check_prompt(prompt)
    with pytest.raises(DataError, match="does not pass"):
        Rust(check_solutions=True).check_prompt(prompt)


def test_constant_program_prints_any_text(check: Check) -> None:
    text = 'a "b" {} \\ é\n'
    assert check(Rust().constant_program(text), [{"stdout": text}]).status is Status.PASS


def test_a_tool_that_crashes_has_no_diagnostics() -> None:
    assert diagnostics.read(b"thread 'rustc' panicked\n[]\n{\"level\": 3}\n") == diagnostics.Diagnostics()


def test_the_name_of_an_attribute_or_lifetime_does_not_hide_code() -> None:
    code = "fn f<'a>(x: &'a str) -> &'a str { x } // '\nfn main() { let c = '\"'; let d = '\\''; }"
    assert re.sub(r"\s+", " ", RUST.masked(code)) == (
        "fn f<'a>(x: &'a str) -> &'a str { x } fn main() { let c = ; let d = ; }"
    )
    assert [each.code for each in candidates(code, RUST)] == [code + "\n"]


def test_the_readmes_prompt_works() -> None:
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    row: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    prompt = Prompt(row["id"], row["prompt"], reference=row["reference"])
    Rust().check_prompt(prompt)
    assert Rust().check(prompt, Completion(prompt.id, 0, RIGHT)).status is Status.PASS
    assert f"has {len(Rust().attacks())} programs" in page
    assert sandbox.get().tier in ("standard", "strong")
