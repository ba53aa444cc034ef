"""Attention of the newest token: packing the heads that share keys changes nothing but the time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from halo_core.model.attention import packed_heads


def attend(query: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor | None = None, **options: Any) -> Any:
    module = SimpleNamespace(num_key_value_groups=query.shape[1] // keys.shape[1], is_causal=True)
    return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, keys, keys, mask, scaling=0.3, **options)[0]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the queries that torch's attention gets."""
    shapes: list[tuple[int, ...]] = []
    plain = functional.scaled_dot_product_attention

    def spied(query: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        shapes.append(tuple(query.shape))
        return plain(query, *args, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", spied)
    return shapes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_packed_heads_attend_as_they_do_apart(calls: list[tuple[int, ...]], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    query, keys = torch.randn(5, 6, 1, 8, dtype=dtype), torch.randn(5, 2, 11, 8, dtype=dtype)
    wanted = attend(query, keys)
    with packed_heads():
        found = attend(query, keys)
    assert calls == [(5, 6, 1, 8), (5, 2, 3, 8)]
    assert found.shape == wanted.shape == (5, 1, 6, 8)
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("query", "keys", "mask"),
    [
        pytest.param(torch.zeros(2, 6, 1, 8), torch.zeros(2, 2, 4, 8), None, id="float32"),
        pytest.param(torch.zeros(2, 6, 4, 8).half(), torch.zeros(2, 2, 4, 8).half(), None, id="a prompt"),
        pytest.param(torch.zeros(2, 2, 1, 8).half(), torch.zeros(2, 2, 4, 8).half(), None, id="own keys"),
        pytest.param(
            torch.ones(2, 6, 1, 8).half(),
            torch.arange(128).flip(0).reshape(2, 2, 4, 8).half(),
            torch.tensor([[[[False, True, True, True]]]]).expand(2, 1, 1, 4),
            id="a mask, with which transformers packs itself",
        ),
    ],
)
def test_everything_else_is_as_before(
    calls: list[tuple[int, ...]], query: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor | None
) -> None:
    wanted = attend(query, keys, mask)
    with packed_heads():
        assert torch.equal(attend(query, keys, mask), wanted)
    assert calls[0] == calls[1]


@pytest.mark.parametrize("own", [False, True], ids=["of transformers", "of the user"])
def test_the_attention_from_before_comes_back(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if own:
        monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", lambda *args, **options: None)
    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    first, second = packed_heads(), packed_heads()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is not before
    second.__exit__(None, None, None)
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before
