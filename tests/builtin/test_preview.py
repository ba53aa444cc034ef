"""The look at the model before it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from halo_core.builtin.preview import Preview
from halo_core.diagnosis.readiness import Selection
from halo_core.loop import run_cycles
from halo_core.progress import Advance, Progress
from halo_core.testing import fake_run
from halo_core.types import Completion, Prompt


class Lines(Progress):
    """Keeps the lines, and marks each stage."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        self.lines.append(f"[{name}]")
        with super().stage(name, total, unit) as advance:
            yield advance


def previewed(
    directory: Path, extract: Callable[[Prompt, Completion], str], **settings: Any
) -> Sequence[str]:
    report = Lines()
    run, hooks = fake_run(directory, progress=report, **settings)
    hooks.register(Preview(extract), name="preview")
    run_cycles(run, hooks)
    return report.lines


def test_samples_and_outlook_come_before_training(tmp_path: Path) -> None:
    lines = previewed(tmp_path / "run", lambda prompt, completion: "")
    before = lines[lines.index("[cycle 0 held-out]") + 1 : lines.index("[cycle 1 sample]")]
    titles = [line for line in before if line.startswith("sample")]
    assert [title.partition(": ")[2] for title in titles] == ["pass, correct", "fail, wrong"]
    assert any(line.startswith("         | right ") for line in before)
    assert before[-1].startswith("outlook  ")
    assert not any(line.startswith("sample ") for line in lines[lines.index("[cycle 1 sample]") :])


def test_the_outlook_counts_what_the_selector_would_choose(tmp_path: Path) -> None:
    report = Lines()
    run, hooks = fake_run(tmp_path, progress=report, cycles=1)
    preview = Preview(lambda prompt, completion: "", lambda samples: Selection(len(samples), 3))
    hooks.register(preview, name="preview")
    run_cycles(run, hooks)
    (line,) = [line for line in report.lines if "the selector would choose" in line]
    assert "the selector would choose 32 completions of 3 prompts" in line


def test_verified_part_is_shown_shortened_and_without_control_characters(tmp_path: Path) -> None:
    text = "\n".join([f"line {number}" for number in range(20)] + ["x"])
    lines = previewed(tmp_path / "run", lambda prompt, completion: "\x1b[31m" + "y" * 300 + "\n" + text)
    shown = [line for line in lines if line.startswith("         | ")]
    assert shown[0].startswith("         | \ufffd[31myyy")
    assert max(map(len, shown)) <= 120
    assert shown[6] == "         | ... 16 more"


def test_without_held_out_prompts_nothing_is_shown(tmp_path: Path) -> None:
    assert not any("outlook" in line for line in previewed(tmp_path / "run", lambda p, c: "", heldout=0))
