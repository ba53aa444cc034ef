"""No stilted phrase in code or documentation; see `language.py`."""

from __future__ import annotations

from pathlib import Path

import language
import pytest

ROOT = Path(__file__).parents[1]


def test_no_banned_phrase_is_left() -> None:
    found = [f"{path}:{line}: {phrase}" for path, line, phrase in language.found_in(ROOT)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "text", "phrase"),
    [
        ("a.md", "The run is gone on with.", "gone on with"),
        ("a.yaml", "# so many cycles", "so many"),
        ("a.py", '"""What judges."""\n', 'docstring begins with "What"'),
        ("a.py", 'raise ValueError(f"mend the {tool} first")\n', "mend"),
        ("a.py", "x = 1  # begun anew\n", "begun"),
    ],
)
def test_phrases_are_found_in_prose_docstrings_messages_and_comments(
    tmp_path: Path, name: str, text: str, phrase: str
) -> None:
    (tmp_path / name).write_text(text)
    assert phrase in [found for *_, found in language.found_in(tmp_path)]


def test_code_and_data_are_not_prose(tmp_path: Path) -> None:
    (tmp_path / "attacks.md").write_text("# Forged\n```python\nsay = 1\n```\n")
    (tmp_path / "halo_verifier_gcc_demo").mkdir()
    (tmp_path / "halo_verifier_gcc_demo" / "parts.py").write_text('TASK = "Print what is no vowel."\n')
    (tmp_path / "b.py").write_text('paid = {"say": "mend"}\n')
    assert list(language.found_in(tmp_path)) == []
