"""Forbidden features."""

import shutil
from typing import Any

import pytest

from halo_core.config.options import build
from halo_core.errors import ConfigError, DataError
from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_gcc import GCC

READ = 'int main(void) { int a, b; scanf("%d %d", &a, &b); '
SOLUTION = f'#include <stdio.h>\n{READ}printf("%d\\n", a + b); return 0; }}'


def stage(text: str, **reference: Any) -> Stage:
    return GCC().check(Prompt("p7", "t", reference=reference), Completion("p7", 0, text)).stage


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("goto end; end:", True),
        ("go\\\nto end; end:", True),
        ("JUMP end; end:", True),
        ("int gotos = 0; (void)gotos;", False),
        ("/* goto */ // goto", False),
        ('puts("goto \\" goto");', False),
        ("int c = 'g'; (void)c; // '\n", False),
    ],
)
def test_forbidden_features(check: Any, code: str, forbidden: bool) -> None:
    program = "#include <stdio.h>\n#define JUMP go##to\n" + READ + f'{code}\nprintf("%d", a + b); }}'
    tests = [{"stdin": "3 4", "stdout": 'goto " goto\n7' if "puts" in code else "7"}]
    verdict = check(program, tests=tests, forbid=(r"\bgoto\b",))
    assert (verdict.stage is Stage.FLAWED) == forbidden, verdict.detail
    assert (verdict.status is Status.PASS) == (not forbidden), verdict.detail


def test_prompt_can_forbid_features_and_headers_are_not_searched() -> None:
    tests = [{"stdin": "3 4", "stdout": "7"}]
    assert stage(SOLUTION, tests=tests, forbid=["extern|typedef"]) is Stage.CORRECT
    assert stage(SOLUTION, tests=tests, forbid=["printf"]) is Stage.FLAWED
    assert stage(SOLUTION, tests=tests, forbid=[r"#\s*include\s*<stdio"]) is Stage.FLAWED


def test_invalid_takes_precedence_over_forbidden() -> None:
    assert stage("int main(void) { goto }", tests=[{"stdout": "1"}], forbid=["goto"]) is Stage.INVALID


def test_invalid_patterns_are_rejected() -> None:
    with pytest.raises(DataError, match="not a valid pattern"):
        GCC().check_prompt(Prompt("p7", "t", reference={"forbid": ["("]}))
    with pytest.raises(ConfigError, match="not a valid pattern"):
        build(GCC, {"forbid": r"(?=x)"}, where="verifier 'gcc'")
    assert build(GCC, {"forbid": r"\bgoto\b"}, where="verifier 'gcc'").forbid == (r"\bgoto\b",)


def test_no_pattern_backtracks() -> None:
    """Backtracking would take longer than the test's timeout."""
    code = "int main(void) { return 0; } // \nint " + "a" * 50_000 + ";"
    assert stage(code, tests=[{"stdout": "1"}], forbid=["(a+)+$", "(a|a)*b", "(.*)*x"]) is Stage.FLAWED


# Loops that the preprocessor makes

LOOPS = (r"\b(for|while|do|goto)\b",)
LOOP_TESTS = [{"stdin": "5", "stdout": "15"}, {"stdin": "10", "stdout": "55"}]
PASTE = "#include <stdio.h>\n#define P(a, b) a##b\n"
LOOP = (
    'int main(void) { int n, s = 0, i = 0; scanf("%d", &n); P(wh, ile) (i++ < n) s += i; printf("%d", s); }\n'
)
SELF = f"#ifndef S\n#define S\n{PASTE}INCLUDE\n#else\n{LOOP}#endif\n"
MADE = {
    "pasted": PASTE + LOOP,
    "pasted by a macro": PASTE + "#define W P(wh, ile)\n" + LOOP.replace("P(wh, ile)", "W"),
    "pasted unless the preprocessor's output is there": PASTE
    + '#if __has_include("preprocessed")\n#define W if\n#else\n#define W P(wh, ile)\n#endif\n'
    + LOOP.replace("P(wh, ile)", "W"),
    "behind a system header in the second pass": SELF.replace("INCLUDE", '#include "./main.c"').replace(
        "#else", "#else\n#pragma GCC system_header"
    ),
    "put into a system header": PASTE
    + 'int main(void) { int n, s = 0, i = 0; scanf("%d", &n);\n#define extern P(wh, ile) (i++ < n) s += i; extern\n'
    + '#include <alloca.h>\n#undef extern\nprintf("%d", s); return 0; }\n',
    "behind a line marker in a raw string": "```cpp\n#include <cstdio>\n#define P(a, b) a##b\nusing namespace std;\n"
    + f'const char *text = R"(\n# 1 "/usr/include/stdio.h" 3\n)";\n{LOOP}```',
    "in assembly": '#include <stdio.h>\nint main(void) { int n, s = 0; scanf("%d", &n);\n'
    + '__asm__ volatile("1: add %1, %0\\n dec %1\\n jnz 1b" : "+r"(s), "+r"(n)); printf("%d", s); return 0; }\n',
    "in assembly made by macros": '#include <stdio.h>\n#define P(a, b) a##b\n#define T "1: add %1, %0\\n"\n'
    + 'int main(void) { int n, s = 0; scanf("%d", &n);\n'
    + 'P(__as, m__)(T "dec %1\\n jnz 1b" : "+r"(s), "+r"(n)); printf("%d", s); return 0; }\n',
    **{
        f"in a second pass by {include!r}": SELF.replace("INCLUDE", include)
        for include in (
            '#include "./main.c"',
            "#include __FILE__",
            '#include ".//././main.c"',
            '#include_next "./main.c"',
            '%:include "./main.c"',
            '#include\v"./main.c"',
            '#\v\finclude "./main.c"',
            '#/**/include/**/"./main.c"',
            '#inc\\\nlude "./ma\\\nin.c"',
            '#define F "./main.c"\n#include F',
            "#define Q(x) #x\n#define F(x) Q(x)\n#include F(./main.c)",
        )
    },
}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", MADE)
def test_loop_that_the_preprocessor_makes(check: Any, name: str, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    free = check(MADE[name], tests=LOOP_TESTS, compiler=compiler)
    assert free.status is Status.PASS, f"no attack: {free.detail}"
    verdict = check(MADE[name], tests=LOOP_TESTS, compiler=compiler, forbid=LOOPS)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.FLAWED), verdict.detail


# Functions under other names

SORT_TESTS = [{"stdin": "3 3 1 2", "stdout": "1 2 3"}, {"stdin": "2 9 4", "stdout": "4 9"}]
TYPE = "(void *, unsigned long, unsigned long, int (*)(const void *, const void *))"
SORT = """#include <stdio.h>
DECLARATION
static int c(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void) {
    int n, a[9];
    scanf("%d", &n);
    for (int i = 0; i < n; i++) scanf("%d", a + i);
    CALL(a, n, sizeof *a, c);
    for (int i = 0; i < n; i++) printf("%d ", a[i]);
    return 0;
}
"""
FIND = f'((void (*){TYPE})find(0, "qs" "ort"))'
HIDDEN = {
    "an assembler name": (f'void mine{TYPE} __asm__("qsort");', "mine"),
    "an assembler name in two strings": (f'void mine{TYPE} __asm__("qs" "ort");', "mine"),
    "an assembler name with an escape": (f'void mine{TYPE} __asm__("\\x71sort");', "mine"),
    "an assembler name made by macros": (
        f"#define A(x) __asm__(#x)\n#define B(x, y) A(x##y)\nvoid mine{TYPE} B(qs, ort);",
        "mine",
    ),
    "a pasted keyword": (f'#define Q(a, b) a##b\nvoid mine{TYPE} Q(__as, m__)("qsort");', "mine"),
    "a weak reference": (f'static void mine{TYPE} __attribute__((weakref("qsort")));', "mine"),
    "a weak reference in parentheses": (
        f'static void mine{TYPE} __attribute__((weakref(("qsort"))));',
        "mine",
    ),
    "a weak reference to an alias": (
        f'static void mine{TYPE} __attribute__((weakref, alias("qsort")));',
        "mine",
    ),
    "a pragma": (f"#pragma redefine_extname mine qsort\nvoid mine{TYPE};", "mine"),
    "assembly": (f'__asm__(".globl mine\\n.set mine, qsort");\nvoid mine{TYPE};', "mine"),
    "assembly in a section's name": (
        f'__attribute__((section(".text\\n.globl mine\\nmine: jmp qsort #"))) int x = 1;\nvoid mine{TYPE};',
        "mine",
    ),
    "assembly in an identification": (
        f'#ident "x\\"\\n.globl mine\\nmine: jmp qsort\\n.ident \\"y"\nvoid mine{TYPE};',
        "mine",
    ),
    "the dynamic linker": ("void *dlsym(void *, const char *);\n#define find dlsym", FIND),
    "the dynamic linker under another name": ('void *find(void *, const char *) __asm__("dlsym");', FIND),
    "the dynamic linker, pasted": (
        "#define Q(a, b) a##b\n#define find Q(dl, sym)\nvoid *find(void *, const char *);",
        FIND,
    ),
    "token pasting": (f"#define Q(a, b) a##b\nvoid Q(qs, ort){TYPE};", "Q(qs, ort)"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_function_under_another_name(check: Any, name: str) -> None:
    declaration, call = HIDDEN[name]
    code = SORT.replace("DECLARATION", declaration).replace("CALL", call)
    free = check(code, tests=SORT_TESTS)
    if free.stage is not Stage.INVALID:  # some need GNU as and x86-64
        assert free.status is Status.PASS, f"no attack: {free.detail}"
    verdict = check(code, tests=SORT_TESTS, forbid=(r"\bqsort\b",))
    assert verdict.status is Status.FAIL
    assert verdict.stage in (Stage.FLAWED, free.stage), verdict.detail


# Headers and code in another spelling

INCLUDES = {
    "plain": "#include <algorithm>",
    "quoted": '#include "algorithm"',
    "a macro": "#define X <algorithm>\n#include X",
    "pasted": "#define J(a, b) <a##b>\n#include J(algo, rithm)",
    "a digraph": "%:include <algorithm>",
    "#import": "#import <algorithm>",
    "#include_next": "#include_next <algorithm>",
    "a relative path": "#include <../c++/../bits/../algorithm>",
    "a path with a dot": "#include <./algorithm>",
    "a vertical tab": "#include\v<algorithm>",
    "a vertical tab before": "#\vinclude <algorithm>",
    "comments": "#/* */include/**/<algorithm>",
    "spliced lines": "#inc\\\nlude <algor\\\nithm>",
    "an internal header": "#include <bits/stl_algo.h>",
    "all headers": "#include <bits/stdc++.h>",
    "after a header that has it": "#include <regex>\n#define X <algorithm>\n#include X",
}
INCLUDING = """#include <iostream>
INCLUDE
int main() { int a[2]; std::cin >> a[0] >> a[1]; std::cout << a[0] + a[1]; }
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("name", INCLUDES)
def test_header_in_another_spelling(check: Any, name: str) -> None:
    code = f"```cpp\n{INCLUDING.replace('INCLUDE', INCLUDES[name])}```"
    verdict = check(code, tests=[{"stdin": "3 4", "stdout": "7"}], forbid=(r"#\s*include\s*<algorithm>",))
    missing = (
        name == "a relative path" and verdict.stage is Stage.INVALID
    )  # the directory does not exist here
    assert verdict.status is Status.FAIL
    assert verdict.stage is Stage.FLAWED or missing, verdict.detail


@pytest.mark.parametrize(
    ("code", "pattern"),
    [
        ("int c<:1:> = {0}; (void)c;", r"\["),
        ("if (a) <% a = a; %>", r"if \(a\) \{"),
        ("a = __builtin_abs(a);", r"\babs\b"),
        ("__typeof__(a) c = a; (void)c;", r"\btypeof\b"),
        ("{ __volatile__ int c = a; (void)c; }", r"\bvolatile\b"),
        ("a = abs /* x */ (a);", r"abs\("),
        ("a = abs\n(a);", r"abs\("),
        ("a = abs\v(a);", r"abs\s*\("),
    ],
)
def test_code_in_another_spelling(check: Any, code: str, pattern: str) -> None:
    program = "#include <stdio.h>\n#include <stdlib.h>\n" + READ + f'{code}\nprintf("%d", a + b); }}'
    tests = [{"stdin": "3 4", "stdout": "7"}]
    assert check(program, tests=tests).status is Status.PASS
    assert check(program, tests=tests, forbid=(pattern,)).stage is Stage.FLAWED


@pytest.mark.parametrize(
    ("code", "pattern"),
    [
        ("a = (a xor b) + 2 * (a bitand b); b = 0;", r"\^"),
        ("std :: swap(a, b);", "std::swap"),
        ("std::/**/swap(a, b);", "std::swap"),
        ("std::\nswap(a, b);", "std::swap"),
    ],
)
def test_cpp_in_another_spelling(check: Any, code: str, pattern: str) -> None:
    head = "#include <cstdio>\n#include <utility>\nusing std::scanf;\n"
    program = f'```cpp\n{head}{READ}{code}\nstd::printf("%d", a + b); }}\n```'
    tests = [{"stdin": "3 4", "stdout": "7"}]
    assert check(program, tests=tests).status is Status.PASS
    assert check(program, tests=tests, forbid=(pattern,)).stage is Stage.FLAWED


def test_functions_that_see_how_they_are_compiled(check: Any) -> None:
    """A library is searched as it is compiled: position-independent, and beside the list of its exports."""
    harness = (
        '#include <stdio.h>\nint sum(int);\nint main(void) { int n; scanf("%d", &n); printf("%d", sum(n)); }'
    )
    for condition in ("!defined __PIE__", '__has_include("exports.map")', "__PIC__ == 2 && !defined __pie__"):
        code = f"#define P(a, b) a##b\n#if {condition}\n#define W P(wh, ile)\n#else\n#define W if\n#endif\n"
        code += "int sum(int n) { int s = 0, i = 0; W (i++ < n) s += i; return s; }"
        task = {"harness": harness, "symbols": ["sum"], "tests": LOOP_TESTS}
        assert check(code, **task).status is Status.PASS
        assert check(code, **task, forbid=LOOPS).stage is Stage.FLAWED


@pytest.mark.parametrize(
    "template",
    [
        "jmp 1f; 1:",
        "addl $0, %0; call qsort",
        "addl $0, %0\\n call *%1",
        "movq $qsort, %%rax",
        "movl qsort, %%eax",
        "movq qsort(%%rip), %%rax",
        "movq %1, (%%rsp)",
        "movq %%rsp, %%rax",
        "addq $8, %%rsp",
        "pushq %1; ret",
        "1: decl %0; jnz 1b",
        ".set mine, qsort",
        "addl $0, %0; .globl mine",
        "leaq qsort, %%rax",
        "addl $0, %0 # a comment\\n jmp 1f",
    ],
)
def test_assembly_that_jumps_or_names_something_is_forbidden(check: Any, template: str) -> None:
    program = f'#include <stdio.h>\n{READ}asm("{template}" : "+r"(a) : "r"(b)); printf("%d", a + b); }}'
    verdict = check(program, tests=[{"stdin": "3 4", "stdout": "7"}], forbid=(r"\bgoto\b",))
    assert verdict.status is Status.FAIL
    assert "assembly" in verdict.detail or verdict.stage is Stage.INVALID


# Right programs


@pytest.mark.parametrize(
    ("code", "patterns"),
    [
        ('printf("sum\\n"); printf("\\n");', [r"\bputs\b", r"\bputchar\b"]),  # the compiler calls them
        ('const char *text = "asm(1) section(2)"; (void)text;', [r"\bgoto\b"]),
        ("int c[300] = {0}, d[300]; memcpy(d, c, sizeof c); (void)d;", [r"\bmemset\b", r"\bmemmove\b"]),
        ('asm volatile("" ::: "memory");', [r"\bgoto\b"]),
        ('asm("addl $0, %0" : "+r"(a));', [r"\bgoto\b", r"\bqsort\b"]),
        ('__asm__ volatile("incl %0; decl %0" : "+r"(a));', [r"\bfor\b"]),
        ('asm("movl %1, %%eax\\n\\taddl %%eax, %0" : "+r"(a) : "r"(0) : "eax");', [r"\bqsort\b"]),
        ('asm("xorl %[m], %[n]" : [n] "+r"(a) : [m] "r"(0));', [r"\bwhile\b"]),
        ('asm("nop");', [r"\bgoto\b"]),
        ("int x __attribute__((unused)) = 0;", [r"\bqsort\b", "start", "main_"]),
        ("assert(a == a); errno = 0; a = isdigit('1') ? a : 0;", [r"\bgoto\b", r"\bqsort\b"]),
        ("int section = 0, alias = 0; (void)section; (void)alias;", [r"\bgoto\b"]),
    ],
)
def test_right_program_is_not_forbidden(check: Any, code: str, patterns: list[str]) -> None:
    headers = "".join(f"#include <{name}.h>\n" for name in ("assert", "ctype", "errno", "stdio", "string"))
    program = "#define _GNU_SOURCE\n#define SIZE 10\n" + headers + READ + f'{code} printf("%d", a + b); }}'
    expected = "sum\n\n7" if "sum" in code else "7"
    verdict = check(program, tests=[{"stdin": "3 4", "stdout": expected}], forbid=tuple(patterns))
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    "head",
    [
        "#include <iostream>\n#include <string>\n#include <vector>\n",
        "#include <bits/stdc++.h>\n#define rep(i, n) for (int i = 0; i < n; i++)\n#define all(v) v.begin(), v.end()\n",
        "#define rep(i, n) for (int i = 0; i < n; i++)\n#define ll long long\n#include <iostream>\n#include <string>\n",
        '#pragma GCC optimize("O2")\n#include <iostream>\n#include <string>\n',
    ],
)
def test_right_cpp_program_is_not_forbidden(check: Any, head: str) -> None:
    code = f'```cpp\n{head}using namespace std;\n[[maybe_unused]] static string name = "x";\n'
    code += "int main() { int a, b; cin >> a >> b; cout << a + b << endl; }\n```"
    words = ["strlen", "memcpy", "goto", "new", "sort", "clear", "throw", "qsort", "algorithm"]
    forbid = tuple(rf"\b{word}\b" for word in words)
    verdict = check(code, tests=[{"stdin": "3 4", "stdout": "7"}], forbid=forbid)
    assert verdict.status is Status.PASS, verdict.detail
