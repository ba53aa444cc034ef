"""The program in a completion, and what is not its answer."""

from __future__ import annotations

from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_gcc import GCC
from halo_verifier_gcc.extraction import candidates, extract

PROGRAM = "#include <stdio.h>\nint main(void) { return 0; }\n"
TESTS = [{"stdin": "3 4\n", "stdout": "7\n"}, {"stdin": "-1 1\n", "stdout": "0\n"}]
BODY = '{ int a, b; scanf("%d %d", &a, &b); printf("%d\\n", SUM); return 0; }'
RIGHT = "#include <stdio.h>\nint main(void) " + BODY.replace("SUM", "a + b")
WRONG = RIGHT.replace("a + b", "a - b")
CPP = "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }"
CALLER = "#include <stdio.h>\nint main(void) " + BODY.replace("SUM", "add(a, b)")
HELPER = "int add(int a, int b) { return a + b; }"


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        f"```c\n{PROGRAM}```",
        f"Sure:\n\n```c\n{PROGRAM}```\nThe `main()` function returns 0.",
        f"~~~ C\n{PROGRAM}~~~",
        f"    ```\n{PROGRAM}    ```\n",
        f"```c\n{PROGRAM}",  # never closed
        f"{PROGRAM}```\nThat is all.",  # opened in the prompt
        f"```c\nint main() {{ wrong }}\n```\nNo, rather:\n```c\n{PROGRAM}```",  # the last one counts
        f"```c\n{PROGRAM}```\nRun it:\n```sh\n./a.out\n```",
    ],
)
def test_program_is_found(text: str) -> None:
    assert extract(text).code.strip() == PROGRAM.strip()


@pytest.mark.parametrize(
    "prose",
    [
        "The function `int main() { ... }` reads two numbers.",
        "We need `#include <stdio.h>`, then `main`.",
        "It has `int a, b;` and a loop `for (;;) { }` at the end.",
        'Use `scanf("%d", &a);` first:',
        "`int main(void) {` starts it.",
    ],
)
def test_prose_that_quotes_code_before_a_bare_program(check: Any, prose: str) -> None:
    verdict = check(f"{prose}\n\n{RIGHT}", tests=TESTS)
    assert verdict.status is Status.PASS, verdict.detail


def test_text_without_a_program_is_returned_unchanged() -> None:
    assert extract("I cannot do that.").code == "I cannot do that.\n"
    assert extract("").code == "\n"


def test_fenced_code_is_used_if_no_piece_defines_main() -> None:
    assert extract("So:\n```c\nint x;\n```\nend").code == "int x;\n"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (PROGRAM, "c"),
        (f"```cpp\n{PROGRAM}```", "c++"),
        (f"```C++\n{PROGRAM}```", "c++"),
        ("```c\n#include <iostream>\nint main() { }\n```", "c"),  # the tag decides
        ("#include <iostream>\nint main() { }", "c++"),
        ("template <class T> T f(T t) { return t; }\nint main() { }", "c++"),
        ("struct S { int x; };\nint main() { struct S s; }", "c"),
        ('int main() { puts("std::"); }', "c"),
        ("int main() { std::puts(0); }", "c++"),
        ("int main() { /* using a namespace */ }", "c"),
    ],
)
def test_language(text: str, language: str) -> None:
    assert extract(text).language == language


def test_set_language_overrides_the_tag() -> None:
    assert extract(f"```c\n{PROGRAM}```", "c++").language == "c++"


# Fences


OUTPUT = "\nOutput:\n```\n3 4\n7\n```"
FENCES = {
    "an output fence": f"```c\n{RIGHT}\n```{OUTPUT}\nDone.",
    "a session": f"```c\n{RIGHT}\n```\n```console\n$ ./a.out\n3 4\n7\n```",
    "no tags": f"```\n{RIGHT}\n```{OUTPUT}",
    "closed on the last line": f"```c\n{RIGHT}```",
    "closed on the last line, then prose": f"```c\n{RIGHT}```\nIt adds `a` and `b`.",
    "closed within a line": f"Here: ```c\n{RIGHT}``` and that is it.",
    "closed on the last line, then output": f"```c\n{RIGHT}```{OUTPUT}",
    "closed in a comment": f"```c\n{RIGHT} // done```",
    "opened within a line": f"Here is the code: ```c\n{RIGHT}\n```",
    "opened in the prompt": f"{RIGHT}\n```\nThat is all.",
    "opened in the prompt, then output": f"{RIGHT}\n```{OUTPUT}",
    "opened in the prompt, closed on the last line": f"{RIGHT}```{OUTPUT}",
    "a list item": "1. So:\n\n   ```c\n   " + RIGHT.replace("\n", "\n   ") + "\n   ```\n2. Done.",
    "on the mark of a list item": "- ```c\n  " + RIGHT.replace("\n", "\n  ") + "\n  ```",
    "a quotation": "> So:\n> ```c\n> " + RIGHT.replace("\n", "\n> ") + "\n> ```",
    "four backticks": f"````c\n/*\n```\n*/\n{RIGHT}\n````",
    "closed by a shorter fence": f"````c\n{RIGHT}\n```\nThe end.",
    "closed by another fence": f"~~~c\n{RIGHT}\n```",
    "a fence of markdown": f"```markdown\n# Sum\n```c\n{RIGHT}\n```\n```",
    "a long fence of markdown": f"````markdown\n# Sum\n```c\n{RIGHT}\n```\n````",
    "carriage returns": f"```c\n{RIGHT}\n```\nDone.".replace("\n", "\r\n"),
    "attributes": f"```{{.c .numberLines}}\n{RIGHT}\n```",
    "a title": f'```cpp title="main.cpp"\n{CPP}\n```',
    "a version": f"```c++17\n{CPP}\n```",
    "a file name": f"```main.cpp\n{CPP}\n```",
    "the tag of a text": f"```text\n{RIGHT}\n```",
}


@pytest.mark.parametrize("name", FENCES)
def test_fence(check: Any, name: str) -> None:
    verdict = check(FENCES[name], tests=TESTS)
    assert verdict.status is Status.PASS, verdict.detail


# The wrong piece


PIECES = {
    "a quoted head": f"```c\n{RIGHT}\n```\nNotes: the program starts in `int main() {{ ... }}` and adds.",
    "a quoted program": f"We could write `int main(void) {{ return 0; }}`.\n```c\n{RIGHT}\n```",
    "a quotation without marks": f"```c\n{RIGHT}\n```\nThe function int main() {{ reads }} and adds.",
    "a skeleton": f"```c\n{RIGHT}\n```\nThe structure:\n```c\nint main(void) {{\n    ...\n}}\n```",
    "a skeleton with a comment": f"```c\n{RIGHT}\n```\nIn short:\n```\nint main(void)\n{{\n    // ...\n}}\n```",
    "the same in Java": f"```c\n{RIGHT}\n```\n```java\nclass M {{ static void main(String[] a) {{ }} }}\n```",
    "a command": f"```c\n{RIGHT}\n```\n```bash\ngcc main.c && ./a.out\n```",
    "a makefile": f"```c\n{RIGHT}\n```\n```make\nmain: main.c\n\tgcc main.c\n```",
    "prose before": f"Here is the program:\n\n{RIGHT}",
    "prose around": f"Sure, here's the code (in C):\n{RIGHT}\nIt's short; it adds.",
    "prose around C++": f"Sure, here's the code that you're looking for:\n\n{CPP}\n\nHope that helps!",
    "a correction": f"```c\n{WRONG}\n```\nNo, rather:\n```c\n{RIGHT}\n```",
}


@pytest.mark.parametrize("name", PIECES)
def test_piece(check: Any, name: str) -> None:
    verdict = check(PIECES[name], tests=TESTS)
    assert verdict.status is Status.PASS, verdict.detail


# A program in several fences


SPREAD = {
    "a helper first": f"```c\n{HELPER}\n```\nThen:\n```c\n{CALLER}\n```",
    "a helper last": f"```c\nint add(int, int);\n{CALLER}\n```\nwith\n```c\n{HELPER}\n```",
    "three parts": "```c\n#include <stdio.h>\n```\n```c\nstruct pair { int a, b; };\n```\n```c\nint main(void) "
    '{ struct pair p; scanf("%d%d", &p.a, &p.b); printf("%d", p.a + p.b); }\n```' + OUTPUT,
    "three files": f'**add.h**\n```c\nint add(int, int);\n```\n**add.c**\n```c\n#include "add.h"\n{HELPER}\n```\n'
    f'**main.c**\n```c\n#include "add.h"\n{CALLER}\n```',
    "a class": "```cpp\n#include <iostream>\nstruct Add { int operator()(int a, int b) { return a + b; } };\n```\n"
    "```cpp\nint main() { int a, b; std::cin >> a >> b; std::cout << Add{}(a, b); }\n```",
    "a template without a tag": "```\ntemplate <typename T> T add(T a, T b) { return a + b; }\n```\n```cpp\n"
    f"{CPP.replace('a + b', 'add(a, b)')}\n```",
    "a macro": "```c\n#define add(a, b) ((a) + (b))\n```\n```c\n" + CALLER + "\n```",
    "output between": f"```c\n{HELPER}\n```\nadd(3, 4) gives\n```\n7\n```\n```c\n{CALLER}\n```",
    "a new helper and a new main": f"```c\n{HELPER.replace('+', '-')}\n{CALLER}\n```\nNo:\n```c\n{HELPER}\n```\n"
    f"```c\n{CALLER}\n```",
    "a corrected helper": f"```c\n{HELPER.replace('+', '-')}\n```\nNo:\n```c\n{HELPER}\n```\n```c\n{CALLER}\n```",
}


@pytest.mark.parametrize("name", SPREAD)
def test_program_in_several_fences(check: Any, name: str) -> None:
    verdict = check(SPREAD[name], tests=TESTS)
    assert verdict.status is Status.PASS, verdict.detail


def test_functions_in_several_fences(check: Any) -> None:
    harness = "#include <stdio.h>\nint add(int, int);\nint sub(int, int);\nint main(void) { int a, b; "
    harness += 'while (scanf("%d %d", &a, &b) == 2) printf("%d %d\\n", add(a, b), sub(a, b)); }'
    tests = [{"stdin": "3 4", "stdout": "7 -1"}, {"stdin": "1 1", "stdout": "2 0"}]
    text = f"```c\n{HELPER}\n```\nand\n```c\nint sub(int a, int b) {{ return add(a, -b); }}\n```"
    task = {"harness": harness, "symbols": ["int add(int, int)", "int sub(int, int)"], "tests": tests}
    assert check(text, **task).status is Status.PASS


@pytest.mark.parametrize(
    "text",
    [
        f"```c\n{RIGHT}\n```\nBetter:\n```c\nint main(void) {{ broken }}\n```",
        f"```c\n{RIGHT}\n```\nBetter:\n```c\n{WRONG}\n```",
        f"```c\n{RIGHT}\n```\nBetter:\n```c\n{CALLER}\n```",  # add is missing, and the first main is not used
        f"```c\n{HELPER}\n{CALLER}\n```\nBetter:\n```c\n{CALLER}\n```",  # a helper of an earlier version
        f"```c\n{HELPER}\n```\n```c\n{HELPER.replace('+', '-')}\n```\n```c\n{CALLER}\n```",
        f"```c\n{RIGHT}\n``` \n{WRONG}\n```c\n{WRONG}\n```",
        f"```\n{RIGHT}\n```\n```c\nint x = ;\nint main(void) {{ return x; }}\n```",
    ],
)
def test_an_earlier_version_does_not_count(check: Any, text: str) -> None:
    assert check(text, tests=TESTS).status is Status.FAIL


# Thoughts


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\nPlain addition.\n</think>\n{RIGHT}",
        f"<think>```c\n{WRONG}\n```</think>```c\n{RIGHT}\n```",
        f"<think>\n{WRONG}\n</think>\n\nHere it is:\n\n{RIGHT}",
        f"A draft:\n```c\n{WRONG}\n```\n</think>\n```c\n{RIGHT}\n```",
        f"{WRONG}\n</think>\n{RIGHT}",
        f"<THINK>int main() {{</Think>\n```c\n{RIGHT}\n```",
        f"<think>one <think>two</think> {WRONG}</think>{RIGHT}",
        f"```c\n{RIGHT}\n```\n<think>Is it right? Yes.</think>\nDone.",
        f"<think></think>\n{RIGHT}",
        "```c\n" + RIGHT.replace("int a", 'const char *tag = "<think>"; (void)tag; int a') + "\n```",
        RIGHT.replace("int a", 'const char *tag = "<think>"; (void)tag; int a'),
        RIGHT.replace("int a", "/* after <think> */ int a"),
        RIGHT + "\n// no <think> needed",
        "// <think> is not used\n" + RIGHT,
    ],
)
def test_answer_after_a_thought(check: Any, text: str) -> None:
    verdict = check(text, tests=TESTS)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\n{RIGHT}\n</think>",
        f"<think>\n```c\n{RIGHT}\n```\n</think>\nI do not know.",
        f"<think>\n```c\n{RIGHT}\n```\n</think>\n```c\n{WRONG}\n```",
        f"```c\n{RIGHT}\n```\n</think>\n",
        f"{RIGHT}\n</think>\n{WRONG}",
        f"<think>{WRONG}</think><think>{RIGHT}</think>",
        f"<think>one <think>two</think>\n```c\n{RIGHT}\n```",
    ],
)
def test_program_in_a_thought_is_no_answer(check: Any, text: str) -> None:
    assert check(text, tests=TESTS).status is Status.FAIL


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\n{RIGHT}",
        f"<think>\n```c\n{RIGHT}\n```\nWait, ",
        f"<think>done</think><think>```c\n{RIGHT}\n```",
        f"```c\n{RIGHT}\n```\n<think>Is it right? Let me",
        "<think>",
    ],
)
def test_unfinished_thought_has_no_answer(check: Any, text: str) -> None:
    verdict = check(text, tests=TESTS)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.INVALID)
    assert verdict.detail == "the reasoning never ends: no answer after <think>"


def test_other_tags_of_thoughts(check: Any) -> None:
    text = f"<reason>```c\n{WRONG}\n```</reason>\n{RIGHT}"
    assert check(text, tests=TESTS).status is Status.FAIL
    assert check(text, tests=TESTS, thought_tags=("reason",)).status is Status.PASS
    unfinished = check(f"<reason>{RIGHT}", tests=TESTS, thought_tags=("think", "reason"))
    assert unfinished.detail.endswith("no answer after <reason>")


# The task's language


@pytest.mark.parametrize("name", ["c", "C", " C "])
@pytest.mark.parametrize(
    "text", [CPP, f"```cpp\n{CPP}\n```", f"```\n{CPP}\n```", "```cpp\n" + RIGHT + "\nbool x = true;\n```"]
)
def test_a_task_in_c_does_not_accept_cpp(check: Any, text: str, name: str) -> None:
    assert check(text, tests=TESTS).status is Status.PASS
    verdict = check(text, tests=TESTS, reference_language=name)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.INVALID)


def test_a_column_of_the_data_names_the_language() -> None:
    for language, expected in {
        "c": Status.FAIL,
        "C++": Status.PASS,
        "en": Status.PASS,
        None: Status.PASS,
    }.items():
        prompt = Prompt("p", "t", reference={"tests": TESTS}, meta={"language": language})
        GCC().check_prompt(prompt)
        assert GCC().check(prompt, Completion("p", 0, CPP)).status is expected


def test_a_task_in_cpp_compiles_untagged_c_as_cpp(check: Any) -> None:
    code = RIGHT.replace("int a, b;", "int a, b; bool ok = true; (void)ok;")
    assert check(f"```c\n{code}\n```", tests=TESTS).stage is Stage.INVALID
    assert check(f"```c\n{code}\n```", tests=TESTS, reference_language="c++").status is Status.PASS


def test_the_fence_in_the_task_language_is_preferred(check: Any) -> None:
    text = f"In C:\n```c\n{RIGHT}\n```\nIn C++:\n```cpp\n{CPP}\n```"
    assert check(text, tests=TESTS, reference_language="c").status is Status.PASS
    assert check(text, tests=TESTS).status is Status.PASS


def test_an_unknown_language_is_rejected() -> None:
    with pytest.raises(DataError, match="language must be 'c' or 'c\\+\\+'"):
        GCC().check_prompt(Prompt("p", "t", reference={"tests": TESTS, "language": "rust"}))


def test_keys_that_are_null_are_not_there() -> None:
    reference = {
        "tests": [{"stdin": None, "stdout": "7"}],
        "solution": None,
        "symbols": None,
        "language": None,
    }
    prompt = Prompt("p", "t", reference=reference)
    GCC().check_prompt(prompt)
    program = '#include <stdio.h>\nint main(void) { puts("7"); }'
    assert GCC().check(prompt, Completion("p", 0, program)).status is Status.PASS


def test_candidates_are_few_and_different() -> None:
    for text in (*FENCES.values(), *PIECES.values(), *SPREAD.values(), "", "```" * 9):
        found = candidates(text)
        assert 1 <= len(found) == len(set(found)) <= 4
