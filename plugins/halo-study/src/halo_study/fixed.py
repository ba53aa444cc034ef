"""The study before its first run, stored so that a report can tell what was fixed in advance."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from halo_core.files import reading, write
from halo_study.study import Study, dump

FIXED = "fixed.yaml"


def fix(study: Study, output: Path) -> None:
    """Store the study, unless it was stored before an earlier run."""
    path = output / FIXED
    if not path.exists():
        today = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
        write(path, f"# The study before its first run, {today}.\n{dump(study.model_dump(mode='json'))}")


def read_fixed(output: Path) -> dict[str, Any] | None:
    """Return the study before its first run; None if it was not stored."""
    path = output / FIXED
    if not path.exists():
        return None
    with reading(path):
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        return dict(loaded)
