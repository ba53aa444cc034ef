"""Verdicts on correct, wrong, broken and hostile programs."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from busy import decided

from halo_core import sandbox
from halo_core.errors import DataError, PluginError, SandboxError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_gcc import GCC

SUM = '#include <stdio.h>\nint main(void) { int a, b; scanf("%d %d", &a, &b); BODY }\n'
RIGHT = SUM.replace("BODY", 'printf("%d\\n", a + b); return 0;')


def body(code: str) -> str:
    """Return a program that reads two integers and then runs `code`."""
    return SUM.replace("BODY", code)


def result(verdict: Verdict) -> tuple[Status, Stage]:
    return verdict.status, verdict.stage


# Stages


def test_right_program_passes(check: Any) -> None:
    verdict = check(RIGHT)
    assert result(verdict) == (Status.PASS, Stage.CORRECT)
    assert (verdict.score, verdict.warnings) == (1.0, 0)
    assert verdict.detail.splitlines() == ["3 of 3 tests passed", "test 1: ok", "test 2: ok", "test 3: ok"]
    assert verdict.cpu_seconds > 0
    assert verdict.wall_seconds > 0
    assert verdict.sandbox == sandbox.get().tier


@pytest.mark.parametrize("text", ["", "hello", "int main(void) { return 0 }", "int f(void) { return 0; }"])
def test_program_that_does_not_build_is_invalid(check: Any, text: str) -> None:
    verdict = check(text)
    assert result(verdict) == (Status.FAIL, Stage.INVALID)
    assert verdict.detail
    assert not verdict.valid


def test_detail_shows_the_first_error(check: Any) -> None:
    assert "main.c:2" in (detail := check("int y;\nint main(void) { return x; }").detail)
    assert "error:" in detail
    assert "undefined reference to `f'" in check("int f(void); int main(void) { return f(); }").detail


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ('printf("%d\\n", a + b); return 3;', "exit code 3"),
        ('printf("%d\\n", a + b); fflush(stdout); __builtin_trap();', "ended by signal"),
        ("int *p = 0; return *p;", "ended by signal 11"),
        ('for (;;) printf("0123456789");', "ran into the output limit"),
        ("for (;;) ;", "ran into the cpu limit"),
    ],
)
def test_unclean_exits_are_crashes(check: Any, code: str, reason: str) -> None:
    verdict = decided(lambda: check(body(code), cpu_seconds=0.3))
    assert result(verdict) == (Status.FAIL, Stage.CRASHED)
    assert verdict.score == 0.0
    assert reason in verdict.detail


def test_abort_after_correct_output_is_a_crash(check: Any) -> None:
    verdict = check("#include <stdlib.h>\n" + body('printf("%d\\n", a + b); fflush(stdout); abort();'))
    assert result(verdict) == (Status.FAIL, Stage.CRASHED)


def test_memory_is_limited(check: Any) -> None:
    code = body("char *p = malloc(200u << 20); if (!p) return 1; memset(p, 1, 200u << 20); "
                'printf("%d\\n", a + b);')  # fmt: skip
    code = "#include <stdlib.h>\n#include <string.h>\n" + code
    assert check(code).stage is Stage.CORRECT
    assert check(code, memory_mib=100).stage is Stage.CRASHED


def test_no_test_runs_after_a_limit(check: Any) -> None:
    verdict = decided(lambda: check(body("for (;;) ;"), cpu_seconds=0.2))
    assert verdict.detail.splitlines()[0] == "0 of 3 tests passed"
    assert len(verdict.detail.splitlines()) == 2


def test_wrong_output_is_wrong_and_scored_by_passed_tests(check: Any) -> None:
    verdict = check(body('printf("%d\\n", a < 0 ? 99 : a + b);'))
    assert result(verdict) == (Status.FAIL, Stage.WRONG)
    assert verdict.score == pytest.approx(2 / 3)
    assert r"test 2: expected '1\n', got '99\n'" in verdict.detail


def test_crash_takes_precedence_over_a_wrong_answer(check: Any) -> None:
    verdict = check(body('if (a == 0) return 1; printf("%d\\n", a < 0 ? 99 : a + b);'))
    assert verdict.stage is Stage.CRASHED
    assert verdict.score == pytest.approx(1 / 3)


@pytest.mark.parametrize("text", ["int main(){}", "int main(void) { return 0; }", body("return 0;")])
def test_program_that_prints_nothing_scores_zero(check: Any, text: str) -> None:
    verdict = check(text)
    assert result(verdict) == (Status.FAIL, Stage.FLAWED)
    assert verdict.score == 0.0


def test_without_tests_a_clean_program_is_untested(check: Any) -> None:
    assert result(check(RIGHT, tests=[])) == (Status.FAIL, Stage.UNTESTED)
    prompt = Prompt("p", "task")
    assert GCC().check(prompt, Completion("p", 0, RIGHT)).stage is Stage.UNTESTED


# Warnings


def test_warnings_are_counted_and_do_not_stop_the_tests(check: Any) -> None:
    verdict = check(body('int u; int v; printf("%d\\n", a + b);'))
    assert result(verdict) == (Status.PASS, Stage.CORRECT)
    assert verdict.warnings == 2


def test_without_tests_warnings_are_a_flaw(check: Any) -> None:
    verdict = check("int main(void) { int u; }", tests=[])
    assert result(verdict) == (Status.FAIL, Stage.FLAWED)
    assert verdict.warnings == 1


@pytest.mark.parametrize(
    "trick",
    [
        '#pragma GCC diagnostic ignored "-Wunused-variable"',
        '_Pragma("GCC diagnostic ignored \\"-Wunused-variable\\"")',
        '#define P(x) _Pragma(#x)\nP(GCC diagnostic ignored "-Wunused-variable")',
        "#define J(a, b) a##b\n#define S(x) #x\n#define E(x) S(x)\n"
        'J(_Pra, gma)(E(GCC J(diag, nostic) ignored "-Wunused-variable"))',
        '# 1 "main.h" 3',
        '#line 1 " main.h"',
        '#line 1 "<command-line>"',
    ],
)
def test_warnings_cannot_be_hidden(check: Any, trick: str) -> None:
    assert check(f"{trick}\nint main(void) {{ int u; return 0; }}").warnings >= 1


def test_flags_decide_which_warnings_count(check: Any) -> None:
    assert check(body('int u; printf("%d\\n", a + b);'), flags="-O0").warnings == 0
    assert check(RIGHT, flags="-Werror -Wall -Wextra").stage is Stage.CORRECT


# Languages and compilers


CPP = "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b << std::endl; }\n"
CPP17 = """#include <iostream>
#include <optional>
#include <string_view>
#include <tuple>
template <class T> auto twice(T n) { if constexpr (sizeof(T) > 1) return n + n; else return 0; }
inline constexpr std::string_view name = "sum";
int main() {
    std::tuple<int, int> both;
    auto& [a, b] = both;
    std::cin >> a >> b;
    if (std::optional<int> sum = a + b; sum && name.size() == 3) std::cout << twice(*sum) / 2 << std::endl;
}
"""
CPP20 = """#include <compare>
#include <concepts>
#include <iostream>
#include <numeric>
#include <span>
#include <vector>
template <std::integral T> T total(std::span<const T> all) { return std::accumulate(all.begin(), all.end(), T{}); }
struct Point { int x = 0, y = 0; auto operator<=>(const Point&) const = default; };
consteval int zero() { return 0; }
int main() {
    std::vector<int> all(2);
    for (int& each : all) std::cin >> each;
    if (Point{.x = 1} > Point{}) std::cout << total<int>(all) + zero() << std::endl;
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_cpp(check: Any) -> None:
    assert check(CPP).stage is Stage.CORRECT
    assert check(CPP, language="c").stage is Stage.INVALID


@pytest.mark.parametrize(
    ("compiler", "code", "standard", "too_old"),
    [
        ("gcc", CPP17, "c++17", "c++11"),
        ("gcc", CPP20, "c++20", "c++17"),
        ("clang", CPP17, "c++17", "c++11"),
        ("clang", CPP20, "c++20", "c++17"),
    ],
)
def test_cpp_standards(check: Any, compiler: str, code: str, standard: str, too_old: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    verdict = check(f"```cpp\n{code}```", compiler=compiler, standard=standard)
    assert (verdict.stage, verdict.warnings) == (Stage.CORRECT, 0), verdict.detail
    assert check(f"```cpp\n{code}```", compiler=compiler, standard=too_old).stage is Stage.INVALID


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_cpp_exceptions_and_warnings(check: Any, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    thrown = CPP.replace("std::cout", "int unused; if (a) throw 1; std::cout")
    verdict = check(thrown, compiler=compiler)
    assert result(verdict) == (Status.FAIL, Stage.CRASHED)
    assert verdict.warnings == 1
    assert "ended by signal 6" in verdict.detail


def test_standard_applies_only_to_its_language(check: Any) -> None:
    old = body('for (int i = 0; i < 1; i++) printf("%d\\n", a + b); return 0;')
    assert check(old).stage is Stage.CORRECT
    assert check(old, standard="c89").stage is Stage.INVALID
    assert check(old, standard="c++17").stage is Stage.CORRECT


@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang")
@pytest.mark.parametrize(
    ("text", "stage", "warnings"),
    [
        (body('int u; printf("%d\\n", a + b);'), Stage.CORRECT, 1),
        (body('printf("%d\\n", a - b);'), Stage.WRONG, 0),
        (body("return *(volatile int *)0;"), Stage.CRASHED, 0),
        ("int main(void) { return f(); }", Stage.INVALID, 0),
        ("int main(){}", Stage.FLAWED, 0),
    ],
)
def test_clang(check: Any, text: str, stage: Stage, warnings: int) -> None:
    verdict = check(text, compiler="clang")
    assert verdict.stage is stage
    if stage is not Stage.INVALID:
        assert verdict.warnings == warnings


@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang")
def test_preflight_accepts_clang() -> None:
    GCC(compiler="clang").preflight()
    GCC(compiler="clang", language="c++").preflight()
    assert "clang version" in GCC(compiler="clang").fingerprint()


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_c17(check: Any, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    code = '_Static_assert(sizeof(int) > 1, "int");\n#define ADD(a, b) _Generic((a), int: (a) + (b), default: 0)\n'
    code += body('printf("%d\\n", ADD(a, b)); return 0;')
    assert check(code, standard="c17", compiler=compiler).stage is Stage.CORRECT
    strict = {"flags": "-O0 -pedantic-errors", "compiler": compiler}
    assert check(code, standard="c99", **strict).stage is Stage.INVALID


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("declared", ["#include <math.h>", "double sqrt(double), cbrt(double);"])
def test_math_library_is_linked(check: Any, compiler: str, declared: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    code = f"{declared}\n" + body('printf("%.0f\\n", sqrt(a * a) + cbrt(b * b * b));')
    tests = [{"stdin": "3 4", "stdout": "7"}]
    assert check(code, tests=tests, compiler=compiler).stage is Stage.CORRECT


@pytest.mark.parametrize("flags", ["-O0", "-O0 -fuse-ld=bfd"])
def test_linkers_give_the_same_verdicts(check: Any, flags: str) -> None:
    missing = check("int f(void); int main(void) { return f(); }", flags=flags)
    assert missing.stage is Stage.INVALID
    assert "undefined reference to `f'" in missing.detail
    warned = check(
        '#include <stdio.h>\nint main(void) { char b[L_tmpnam]; puts(tmpnam(b) ? "7" : b); }', flags=flags
    )
    assert warned.warnings == 1


def test_tolerance(check: Any) -> None:
    third = [{"stdin": "1 3", "stdout": "0.3333333"}, {"stdin": "3 1", "stdout": "3"}]
    code = body('printf("%.4f\\n", (double) a / b);')
    assert check(code, tests=third).stage is Stage.WRONG
    assert check(code, tests=third, rtol=1e-3).stage is Stage.CORRECT


def test_every_repeat_must_pass(check: Any) -> None:
    code = """#include <stdio.h>
    int main(void) { FILE *f = fopen("/dev/urandom", "r"); puts(getc(f) % 2 ? "7" : "8"); return 0; }"""
    assert check(code, tests=[{"stdout": "7"}], repeats=30).stage is Stage.WRONG
    single, repeated = check(RIGHT), check(RIGHT, repeats=30)
    assert repeated.stage is Stage.CORRECT
    assert repeated.wall_seconds > single.wall_seconds
    assert len(repeated.detail.splitlines()) == 4


# Hostile programs


@pytest.mark.parametrize(
    "text",
    ['#include "/etc/passwd"\nint main(void) { return 0; }',
     'const char *const all = 0;\nasm(".incbin \\"/etc/passwd\\"");\nint main(void) { return 0; }',
     '#include "expected.txt"\nint main(void) { return 0; }'],
)  # fmt: skip
def test_compiler_does_not_read_files_for_the_program(check: Any, text: str) -> None:
    verdict = check(text)
    assert verdict.stage is Stage.INVALID
    assert "root" not in verdict.detail


def test_program_cannot_find_the_expected_output(check: Any) -> None:
    secret = "31337 4242"
    code = """#include <dirent.h>
    #include <stdio.h>
    int main(int argc, char **argv) {
        for (int i = 0; i < argc; i++) puts(argv[i]);
        DIR *here = opendir(".");
        for (struct dirent *file; here && (file = readdir(here)); ) {
            FILE *in = fopen(file->d_name, "r");
            for (int c; in && (c = getc(in)) != EOF; ) putchar(c);
        }
        puts("done");
        return 0;
    }"""
    verdict = check(code, tests=[{"stdin": "1", "stdout": secret}])
    assert verdict.stage is Stage.WRONG
    assert secret not in verdict.detail.partition("got ")[2]


def test_program_runs_in_a_directory_without_sources(check: Any) -> None:
    code = """#include <dirent.h>
    #include <stdio.h>
    int main(void) {
        DIR *here = opendir(".");
        for (struct dirent *file; (file = readdir(here)); ) if (file->d_name[0] != '.') puts(file->d_name);
        return 0;
    }"""
    assert check(code, tests=[{"stdout": "program"}]).stage is Stage.CORRECT


def test_compiler_bomb_is_a_failure(check: Any) -> None:
    levels = zip("ABCDEFG", "BCDEFGH", strict=True)
    bomb = f"#define A {'x ' * 10}\n" + "".join(f"#define {b} {f'{a} ' * 10}\n" for a, b in levels)
    verdict = decided(lambda: check(bomb + "int main(void) { H }", compile_cpu_seconds=0.5))
    assert result(verdict) == (Status.FAIL, Stage.INVALID)


def test_program_too_large_to_build_is_a_failure(check: Any) -> None:
    verdict = check("char all[1 << 30] = {1};\nint main(void) { return all[0]; }")
    assert result(verdict) == (Status.FAIL, Stage.INVALID)


# Broken tools


def test_missing_compiler_is_an_error_and_not_a_failure(check: Any) -> None:
    verdict = check(RIGHT, compiler="no-such-cc")
    assert verdict.status is Status.ERROR
    assert "no-such-cc" in verdict.detail


def test_broken_compiler_is_an_error_and_not_a_failure(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    true_run = sandbox.Workspace.run

    def broken(self: sandbox.Workspace, *args: Any, **options: Any) -> sandbox.Outcome:
        stderr = b"gcc: fatal error: cannot execute 'cc1': execvp: No such file or directory"
        return replace(true_run(self, *args, **options), exit_code=1, stderr=stderr)

    monkeypatch.setattr(sandbox.Workspace, "run", broken)
    verdict = check(RIGHT)
    assert verdict.status is Status.ERROR
    assert "cannot build a c program: gcc: fatal error: cannot execute 'cc1'" in verdict.detail


def test_killed_compiler_is_retried(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    true_run, calls = sandbox.Workspace.run, []

    def killed(self: sandbox.Workspace, *args: Any, **options: Any) -> sandbox.Outcome:
        calls.append(args)
        outcome = true_run(self, *args, **options)
        stderr = b"gcc: fatal error: Killed signal terminated program cc1"
        return replace(outcome, exit_code=1, stderr=stderr) if len(calls) == 1 else outcome

    monkeypatch.setattr(sandbox.Workspace, "run", killed)
    assert check(RIGHT).status is Status.PASS


def test_preflight_reports_a_missing_compiler() -> None:
    with pytest.raises(PluginError, match="no-such-cc") as caught:
        GCC(compiler="no-such-cc").preflight()
    assert "apt-get install gcc" in caught.value.hint


def test_preflight_reports_a_compiler_that_cannot_build() -> None:
    with pytest.raises(PluginError, match="cannot build a c program"):
        GCC(flags="-no-such-flag").preflight()


def test_preflight_accepts_this_machine() -> None:
    GCC().preflight()


def test_broken_sandbox_is_an_error(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise SandboxError("no sandbox today")

    monkeypatch.setattr(sandbox, "get", broken)
    verdict = check(RIGHT)
    assert verdict.status is Status.ERROR
    assert "no sandbox today" in verdict.detail


@pytest.mark.parametrize("at", [0, 1])
def test_wall_clock_limit_is_inconclusive(check: Any, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    true_run, calls = sandbox.Workspace.run, []

    def slow(self: sandbox.Workspace, *args: Any, **options: Any) -> sandbox.Outcome:
        calls.append(args)
        outcome = true_run(self, *args, **options)
        if len(calls) != at + 1:
            return outcome
        return replace(outcome, exit_code=None, signal=9, limit="wall", inconclusive=True)

    monkeypatch.setattr(sandbox.Workspace, "run", slow)
    assert check(RIGHT).status is Status.INCONCLUSIVE


def test_fingerprint_depends_on_options_and_compiler() -> None:
    assert GCC().fingerprint() == GCC().fingerprint()
    assert "gcc" in GCC().fingerprint()
    assert len({GCC().fingerprint(), GCC(flags="-O2").fingerprint(), GCC(compiler="nope").fingerprint()}) == 3


def test_recorded_fingerprints_lack_only_the_removed_option() -> None:
    """`removed_options` accounts for the removed option `once`; `thought_tags` is new."""
    recorded = (
        "GCC(language='auto', compiler='gcc', standard='', flags='-O0 -Wall -Wextra', forbid=(), rtol=0.0, atol=0.0, "
        "repeats=1, cpu_seconds=1.0, memory_mib=256, output_kib=256, compile_cpu_seconds=10.0, "
        "compile_memory_mib=1024, precompile=True, once=True, check_solutions=False) "
    )
    (option,) = (f"{name}={value}, " for name, value in GCC.removed_options.items())
    new = "check_solutions=False, thought_tags=('think', 'thinking')) "
    assert (
        GCC().fingerprint().startswith(recorded.replace(option, "").replace("check_solutions=False) ", new))
    )


# Prompts


@pytest.mark.parametrize(
    "reference",
    [
        {"test": []},
        {"tests": "1"},
        {"tests": ["1"]},
        {"tests": [{"stdin": "1"}]},
        {"tests": [{"stdin": "1", "stdout": " \n"}]},
        {"tests": [{"stdin": "1", "stdout": 1}]},
        {"tests": [{"stdin": 1, "stdout": "1"}]},
        {"tests": [{"input": "1", "stdout": "1"}]},
    ],
)
def test_unusable_references_are_rejected(reference: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="p7") as caught:
        GCC().check_prompt(Prompt("p7", "task", reference=reference))
    assert caught.value.hint


def test_usable_references_are_accepted() -> None:
    for reference in ({}, {"tests": []}, {"tests": [{"stdout": "1"}]}):
        GCC().check_prompt(Prompt("p", "task", reference=json.loads(json.dumps(reference))))


# Threads


def test_verdicts_are_the_same_in_parallel() -> None:
    programs = [RIGHT, "int main(){}", "int main(", body("return 3;"), body('printf("%d", a - b);')] * 4
    prompt = Prompt("p", "t", reference={"tests": [{"stdin": "3 4", "stdout": "7"}]})
    completions = [Completion("p", n, text) for n, text in enumerate(programs)]

    def judge(completion: Completion) -> tuple[object, ...]:
        verdict = GCC().check(prompt, completion)
        return verdict.status, verdict.stage, verdict.score, verdict.warnings, verdict.detail

    serial = [judge(completion) for completion in completions]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(judge, completions)) == serial


WRITES = """#include <stdio.h>
int main(void) {
    int n = 0, old = 0;
    scanf("%d", &n);
    FILE *file = fopen("out.txt", "r");
    if (file) { fscanf(file, "%d", &old); fclose(file); }
    file = fopen("out.txt", "w");
    if (!file) { puts("read-only"); return 0; }
    fprintf(file, "%d", n);
    fclose(file);
    printf("%d\\n", old);
    return 0;
}
"""


def test_a_task_may_let_programs_write_files(check: Any) -> None:
    tests = [{"stdin": "1", "stdout": "0"}, {"stdin": "2", "stdout": "0"}]
    assert check(WRITES, tests=tests, writable=True, repeats=2).status is Status.PASS
    assert check(WRITES, tests=tests).stage is Stage.WRONG


def test_the_outputs_of_a_solution_that_writes_files() -> None:
    tests = [{"stdin": "1", "stdout": "0"}]
    solution = WRITES.replace("old);", "old + n);")
    reference = {"solution": solution, "inputs": ["3", "4"], "writable": True}
    GCC().check_prompt(Prompt("p", "task", reference=reference))
    with pytest.raises(DataError, match="writable must be true or false"):
        GCC().check_prompt(Prompt("p", "task", reference={"tests": tests, "writable": "yes"}))
