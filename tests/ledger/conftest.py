from __future__ import annotations

from pathlib import Path

import pytest
from ledger_values import started

from halo_core.ledger.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return started(Ledger(tmp_path / "run"))
