"""The name of a model, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.config.model import ModelConfig
from halo_core.errors import ModelError
from halo_core.model.loading import model_source


def test_a_run_named_as_a_model_is_answered_with_its_merge(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "run.yaml").write_text("")
    with pytest.raises(ModelError, match="is a run, not a model") as caught:
        model_source(ModelConfig(name=str(tmp_path / "first")))
    assert f"merge {tmp_path / 'first'} first-model" in caught.value.hint
