"""Mutants of a prompt's solution. They should fail; if one passes, its prompt has too few tests."""

from __future__ import annotations

from halo_core import programs
from halo_verifier_gcc import lexer
from halo_verifier_gcc.extraction import extract
from halo_verifier_gcc.oracles import Task


def generate(task: Task) -> list[str]:
    """Return the mutants of the task's solution, the same on each call; an empty list without a solution."""
    if not task.reference.solution:
        return []
    code = extract(task.reference.solution, functions=task.reference.functions).code
    return list(dict.fromkeys([*programs.mutants(code, lexer.masked(code)), *_constant_program(task)]))


def _constant_program(task: Task) -> list[str]:
    """Return a program that ignores its input and prints the first test's expected output."""
    if task.harness or not task.tests:
        return []
    output = "".join(f"\\{byte:03o}" for byte in task.tests[0].stdout)
    return [f'#include <stdio.h>\nint main(void) {{ fputs("{output}", stdout); return 0; }}\n']
