from __future__ import annotations

import pytest
import torch

from halo_core.errors import ConfigError, ModelError
from halo_core.model.devices import choose_device, choose_dtype


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_dtype("auto", torch.device("cpu"), lambda: 0) is torch.float32
    assert choose_dtype("bfloat16", torch.device("cpu"), lambda: 0) is torch.bfloat16


@pytest.mark.parametrize("name", ["gpu", "cdua", "", "cuda:x", "meta", "cpu:"])
def test_a_name_that_no_device_has_is_invalid_input(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_device(name)
    assert str(caught.value) == f"unknown device {name!r}"
    assert "cuda" in caught.value.hint


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:9", "mps", "xpu", "mkldnn"])
@pytest.mark.filterwarnings("error")
def test_a_device_that_is_not_there_is_named_with_a_short_reason(name: str) -> None:
    with pytest.raises(ModelError, match=f"^device {name!r} cannot be used: .*torch.*$") as caught:
        choose_device(name)
    assert len(str(caught.value)) < 100
    assert "model" not in str(caught.value)
