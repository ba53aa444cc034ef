"""Mathematics, for verifier `sympy`."""

from __future__ import annotations

from typing import Any

from halo_core.data.recipes.reading import Row, identity, text_of
from halo_core.errors import DataError

_ASK = "\n\nReason step by step, and give the final answer within \\boxed{}."


def gsm8k(row: Row, place: str, databases: str) -> dict[str, Any]:
    """GSM8K: `question`, and an `answer` that ends with `#### 42`."""
    _, mark, answer = text_of(row, place, "answer").rpartition("####")
    if not mark:
        raise DataError(f"{place}: the answer has no '####'", hint="is this data set GSM8K?")
    return {"prompt": text_of(row, place, "question") + _ASK, "reference": {"answer": answer.strip()}}


def math(row: Row, place: str, databases: str) -> dict[str, Any]:
    r"""MATH: `problem`, and `answer` or a `solution` whose last `\boxed{...}` is the answer."""
    answer = row.get("answer")
    if not isinstance(answer, str) or not answer.strip():
        answer = boxed(text_of(row, place, "solution"))
    if answer is None:
        raise DataError(f"{place}: the solution has no \\boxed{{...}}", hint="is this data set MATH?")
    prompt = {
        "prompt": text_of(row, place, "problem", "question") + _ASK,
        "reference": {"answer": answer.strip()},
    }
    return {**prompt, **identity(row, "unique_id")}


def boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` or `\fbox{...}`, braces balanced; None if there is none."""
    place = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    start = text.find("{", place)
    if place < 0 or start < 0:
        return None
    depth = 0
    for end in range(start, len(text)):
        escaped = end and text[end - 1] == "\\"
        depth += 0 if escaped else {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[start + 1 : end]
    return None
