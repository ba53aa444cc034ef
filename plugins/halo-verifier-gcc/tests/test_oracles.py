"""Tests computed by a solution, for given inputs and for generated ones."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from halo_core import sandbox
from halo_core.errors import DataError
from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_gcc import GCC

READ = '#include <stdio.h>\nint main(void) { int a, b; scanf("%d %d", &a, &b); '
SOLUTION = READ + 'printf("%d\\n", a + b); return 0; }'
WRONG = READ + 'printf("%d\\n", a - b); return 0; }'
GENERATOR = """#include <stdio.h>
#include <stdlib.h>
int main(void) {
    int seed;
    scanf("%d", &seed);
    srand(seed);
    printf("%d %d\\n", rand() % 100, rand() % 100);
    return 0;
}
"""


def make_prompt(**reference: Any) -> Prompt:
    return Prompt("p7", "t", reference=json.loads(json.dumps(reference)))


def stage(text: str, **reference: Any) -> Stage:
    return GCC().check(make_prompt(**reference), Completion("p7", 0, text)).stage


def test_solution_computes_expected_outputs() -> None:
    reference = {"solution": SOLUTION, "inputs": ["3 4", "5 -5"]}
    GCC().check_prompt(make_prompt(**reference))
    assert stage(SOLUTION, **reference) is Stage.CORRECT
    assert stage(WRONG, **reference) is Stage.WRONG
    hard_coded = READ + 'printf("%d", a == 3 ? 7 : 1); return 0; }'
    assert stage(hard_coded, **reference) is Stage.WRONG


def test_generator_provides_inputs() -> None:
    reference = {"solution": SOLUTION, "generator": GENERATOR, "random_tests": 5}
    verdict = GCC().check(make_prompt(**reference), Completion("p7", 0, WRONG))
    assert verdict.stage is Stage.WRONG
    assert len(verdict.detail.splitlines()) == 6
    assert stage(SOLUTION, **reference) is Stage.CORRECT


def test_listed_tests_count_too() -> None:
    reference = {"tests": [{"stdin": "1 1", "stdout": "2"}], "solution": SOLUTION, "inputs": ["3 4"]}
    assert stage(READ + 'printf("%d", a == 1 ? 0 : a + b); return 0; }', **reference) is Stage.WRONG


def test_solution_can_be_cpp() -> None:
    cpp = "```cpp\n#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }\n```"
    assert stage(SOLUTION, solution=cpp, inputs=["3 4", "1 1"]) is Stage.CORRECT


def test_function_can_have_a_solution() -> None:
    reference = {
        "harness": "#include <stdio.h>\nint half(int);\n"
        'int main(void) { int n; scanf("%d", &n); printf("%d", half(n)); }',
        "symbols": ["half"],
        "solution": "int half(int n) { return n / 2; }",
        "inputs": ["8", "15"],
    }
    assert stage("int half(int n) { return n >> 1; }", **reference) is Stage.CORRECT
    assert stage("int half(int n) { return n - 4; }", **reference) is Stage.WRONG
    assert GCC().mutants(make_prompt(**reference))


def test_expected_outputs_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    true_run, runs = sandbox.Workspace.run, []

    def counting(self: sandbox.Workspace, *args: Any, **options: Any) -> sandbox.Outcome:
        runs.append(args)
        return true_run(self, *args, **options)

    monkeypatch.setattr(sandbox.Workspace, "run", counting)
    prompt = make_prompt(solution=SOLUTION + "// once", inputs=["3 4", "1 1"])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(GCC().check_prompt, [prompt] * 8))
    assert len(runs) == 1 + 2 * 2  # compile; each input twice


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({"solution": "int main(void) { return 0 }", "inputs": ["1"]}, "solution does not compile: .*error"),
        ({"solution": WRONG, "inputs": ["1 2"], "tests": [{"stdin": "3 4", "stdout": "7"}]},
         "solution does not pass test 1: expected '7'"),
        ({"solution": READ + "return 1; }", "inputs": ["1 2"]}, "solution fails on input '1 2': exit code 1"),
        ({"solution": READ + "return 0; }", "inputs": ["1 2"]}, "solution fails on input '1 2': prints nothing"),
        ({"solution": SOLUTION, "inputs": ["1 2", "2 1"]}, "same for every input"),
        ({"solution": SOLUTION, "inputs": ["1 2"]}, "same for every input"),
        ({"solution": '#include <stdio.h>\n#include <time.h>\nint main(void) { struct timespec t; '
                      'clock_gettime(CLOCK_REALTIME, &t); printf("%ld", t.tv_nsec); }', "inputs": ["1", "2"]},
         "contradicts itself"),
        ({"inputs": ["1"]}, "need a solution"),
        ({"generator": GENERATOR, "solution": SOLUTION}, "need each other"),
        ({"random_tests": 3, "solution": SOLUTION}, "need each other"),
        ({"generator": GENERATOR, "random_tests": -1, "solution": SOLUTION}, "an integer from 0"),
        ({"generator": GENERATOR, "random_tests": True, "solution": SOLUTION}, "an integer from 0"),
        ({"generator": "int main(", "random_tests": 2, "solution": SOLUTION}, "generator does not compile"),
        ({"generator": '#include <stdio.h>\nint main(void) { puts("1 2"); }', "random_tests": 2,
          "solution": SOLUTION}, "same input for every seed"),
        ({"solution": ""}, "text of a program"),
        ({"inputs": "1"}, "list of strings"),
        ({"solutions": "x"}, "did you mean 'solution'"),
    ],
)  # fmt: skip
def test_unusable_oracles_are_rejected(reference: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        GCC().check_prompt(make_prompt(**reference))
    assert "p7" in str(caught.value)


def test_solution_of_a_prompt_with_tests_is_checked_on_request() -> None:
    wrong = make_prompt(solution=WRONG, tests=[{"stdin": "3 4", "stdout": "7"}])
    GCC().check_prompt(wrong)
    with pytest.raises(DataError, match="does not pass test 1"):
        GCC(check_solutions=True).check_prompt(wrong)


def test_references_pass_and_mutants_do_not() -> None:
    verifier = GCC()
    loop = '#include <stdio.h>\nint main(void) {\n    int n, s = 0;\n    scanf("%d", &n);\n'
    loop += '    for (int i = 1; i <= n; i++)\n        s += i;\n    printf("%d\\n", s);\n    return 0;\n}\n'
    prompt = make_prompt(solution=loop, inputs=["3", "10"])
    for text in verifier.references(prompt):
        assert verifier.check(prompt, Completion("p7", 0, text)).status is Status.PASS
    mutants = verifier.mutants(prompt)
    assert mutants == verifier.mutants(prompt)
    assert loop not in mutants
    for expected in ("i < n", "i > n", "s -= i", "s = 07", "i = 17", "\\066\\012"):
        assert any(expected in mutant for mutant in mutants), expected
    for mutant in mutants:
        assert verifier.check(prompt, Completion("p7", 0, mutant)).status is not Status.PASS, mutant


def test_prompt_without_solution_has_no_references_or_mutants() -> None:
    bare = make_prompt(tests=[{"stdin": "3 4", "stdout": "7"}])
    assert (GCC().references(bare), GCC().mutants(bare)) == ((), [])
