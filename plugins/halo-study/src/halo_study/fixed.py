"""The study before its first run, stored so that a report can tell what was fixed in advance."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import yaml

from halo_core.files import reading, write
from halo_study.study import Study, dump

FIXED = "fixed.yaml"


def fix(study: Study, output: Path, *, renew: bool = False) -> None:
    """Store the study, unless it is stored; `renew` replaces what is stored."""
    path = output / FIXED
    if renew or not path.exists():
        today = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
        write(path, f"# The study before its first run, {today}.\n{dump(study.model_dump(mode='json'))}")


def read_fixed(output: Path) -> Study | None:
    """Return the study before its first run; None if it was not stored. Raises a `RunError` if it is damaged."""
    path = output / FIXED
    if not path.exists():
        return None
    with reading(path):
        return Study.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
