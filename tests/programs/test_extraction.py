"""The program in a completion, for languages that halo does not know."""

from __future__ import annotations

import random

import pytest

from halo_core.programs import SHELL_TEXT, Language, candidates, extract

GO = Language(
    name="Go",
    tags=("go", "golang"),
    first_line=r"(?:package\s+\w+\s*$|import\s*[(\"]|func\s+[\w(]|type\s+\w+|var\s+\w|const\s+\w|//|/\*)",
    entry=r"\bfunc\s+main\s*\(",
    definition=r"\bfunc\s+(?:\([^)]*\)\s*)?(\w+)",
)
PERL = Language(
    name="Perl",
    tags=("perl", "pl"),
    first_line=r"(?:use\s+[\w:]+|my\s*[($@%]|sub\s+\w+|while\s*\(|for(?:each)?\b.*[({]|print\b.*;|#|[$@%]\w+\s*=)",
    definition=r"\bsub\s+(\w+)",
    text=SHELL_TEXT,
)
GO_PROGRAM = """package main

import "fmt"

func main() {
	var a, b int
	fmt.Scan(&a, &b)
	fmt.Println(a + b)
}
"""
HELPER = "func add(a, b int) int { return a + b }\n"
PERL_PROGRAM = "use strict;\nmy ($a, $b) = split ' ', <STDIN>;\nprint $a + $b, \"\\n\";\n"
SAMPLES = [(GO, GO_PROGRAM), (PERL, PERL_PROGRAM)]
OUTPUT = "\nOutput:\n```\n7\n```\n"


def forms(tag: str, program: str) -> dict[str, str]:
    return {
        "bare": program,
        "fence": f"```{tag}\n{program}```",
        "capital tag": f"```{tag.upper()}\n{program}```",
        "file name": f"```main.{tag}\n{program}```",
        "tildes": f"~~~{tag}\n{program}~~~",
        "no tag, output": f"```\n{program}```{OUTPUT}",
        "tag of a text": f"```text\n{program}```",
        "prose around": f"Here is the program.\n\n{program}\nIt reads two numbers and prints their sum.",
        "prose before": f"Sure, here it is:\n{program}",
        "output": f"```{tag}\n{program}```{OUTPUT}Done; it works.",
        "command": f"```{tag}\n{program}```\n```sh\nrun it; then look\n```",
        "other language": f"In C:\n```c\nint main(void) {{ return 0; }}\n```\nand\n```{tag}\n{program}```",
        "correction": f"```{tag}\nbroken {{ ;\n```\nNo, rather:\n```{tag}\n{program}```",
        "never closed": f"```{tag}\n{program}",
        "opened in the prompt": f"{program}```\nThat is all.",
        "glued": f"The code: ```{tag}\n{program.rstrip()}```",
        "quotation": "> " + f"```{tag}\n{program}```".replace("\n", "\n> "),
        "list": "1. So:\n   ```" + f"{tag}\n{program}```".replace("\n", "\n   "),
        "markdown": f"````markdown\n# Sum\n```{tag}\n{program}```\n````",
    }


@pytest.mark.parametrize(("language", "program"), SAMPLES, ids=lambda each: getattr(each, "name", ""))
@pytest.mark.parametrize("form", forms("", ""))
def test_program_is_found(language: Language, program: str, form: str) -> None:
    text = forms(language.tags[-1] if form == "file name" else language.tags[0], program)[form]
    found = [" ".join(each.code.split()) for each in candidates(text, language)]
    assert " ".join(program.split()) in found[:2]
    if form != "prose before":  # where only the compiler can tell
        assert found[0] == " ".join(program.split())


def test_the_last_whole_program_counts() -> None:
    other = GO_PROGRAM.replace("a + b", "a - b")
    assert extract(f"```go\n{GO_PROGRAM}```\nor\n```go\n{other}```", GO) == other
    assert extract(f"```go\n{GO_PROGRAM}```\nHelper:\n```go\n{HELPER}```", GO) == GO_PROGRAM
    skeleton = "package main\n\nfunc main() {\n\t// ...\n}\n"
    assert extract(f"```go\n{GO_PROGRAM}```\nIn short:\n```go\n{skeleton}```", GO) == GO_PROGRAM


def test_other_fences_complete_a_program_but_never_replace_it() -> None:
    caller = GO_PROGRAM.replace("a + b", "add(a, b)")
    joined = candidates(f"```go\n{caller}```\nwith\n```go\n{HELPER}```\nand the output\n```\n7;\n```", GO)
    assert [each.code for each in joined] == [caller, f"{caller}{HELPER}"]
    assert joined[1].tags == ("go", "go", "go")
    again = candidates(f"```go\n{GO_PROGRAM}```\n```go\nfunc main() {{ }}\n```", GO)
    assert [each.code for each in again] == ["func main() { }\n"]


def test_what_is_in_a_comment_or_literal_is_not_code() -> None:
    text = f'```go\n{GO_PROGRAM}```\nand a remark\n```go\n// func main() {{ }}\nvar s = "func main("\n```'
    assert extract(text, GO) == GO_PROGRAM
    assert GO.masked('a /* b */ "c" // d\ne') == "a" + 17 * " " + "\ne"
    assert GO.ends_in_text("x /* y")
    assert not GO.ends_in_text("x /* y */")


def test_a_text_without_a_program_is_returned_unchanged() -> None:
    assert extract("I cannot do that.", GO) == "I cannot do that.\n"
    assert extract("", PERL) == "\n"


@pytest.mark.parametrize(
    "unit", ["```", "```go\n", "`", "~~~\n", "func main() {\n", "/*", '"', "> ```\n", "...\n", "import (\n"]
)
def test_long_and_odd_texts_are_read_in_linear_time(unit: str) -> None:
    for language in (GO, PERL):
        assert candidates(unit * 20_000, language)


def test_random_texts_never_raise() -> None:
    parts = [
        "```",
        "go",
        "\n",
        "func main() {",
        "}",
        " ",
        "/*",
        "*/",
        '"',
        "'",
        "~~~",
        ">",
        "- ",
        "\ud800",
        "\0",
        "text.",
    ]
    choose = random.Random(0)
    for _ in range(500):
        text = "".join(choose.choice(parts) for _ in range(choose.randrange(40)))
        for language in (GO, PERL):
            found = candidates(text, language)
            assert found
            assert all(each.code.endswith("\n") for each in found)
