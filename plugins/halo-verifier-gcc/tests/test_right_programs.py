"""Right programs in many styles, from C90 to C++20: each is accepted bare, fenced and between prose."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from halo_core.types import Status

TEXT = Path(__file__).with_name("right_programs.txt").read_text(encoding="utf-8")
_, *PARTS = re.split(r"^==== (\S+): (.+)\n", TEXT, flags=re.MULTILINE)
PROGRAMS = {
    name: (standard, code) for standard, name, code in zip(PARTS[::3], PARTS[1::3], PARTS[2::3], strict=True)
}
FORMS = {
    "bare": "CODE",
    "fenced": "Here it is:\n\n```\nCODE\n```\nIt prints, for example:\n```\n3 4\n7\n```\nDone.",
    "between prose": "Here is the program:\n\nCODE\n\nIt prints the sum of two numbers, as `int main()` shows.",
}
TESTS = [{"stdin": "3 4\n", "stdout": "7\n"}, {"stdin": "-1 1\n", "stdout": "0\n"}]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_right_program_is_accepted(check: Any, name: str, form: str) -> None:
    standard, code = PROGRAMS[name]
    if "++" in standard and shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler")
    options = {} if standard == "c90" else {"standard": standard}
    verdict = check(FORMS[form].replace("CODE", code.strip()), tests=TESTS, **options)
    assert verdict.status is Status.PASS, verdict.detail


def test_the_collection_is_large() -> None:
    assert len(PROGRAMS) >= 50
    assert {standard for standard, _ in PROGRAMS.values()} >= {
        "c90",
        "c99",
        "c11",
        "c17",
        "c2x",
        "c++11",
        "c++20",
    }
