"""Drawing tokens: the distribution equals its definition, also with a real vocabulary and with ties."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from halo_core.model.drawing import Sampling

LOGITS = torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03]).log()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def token_shares(logits: torch.Tensor, count: int = 20_000, **options: Any) -> torch.Tensor:
    """Return the share of each token over many draws."""
    tokens, _ = Sampling(**options).draw(logits.expand(count, -1), generator())
    return torch.bincount(tokens, minlength=logits.shape[-1]) / count


def by_definition(
    logits: torch.Tensor, temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0, min_p: float = 0.0
) -> torch.Tensor:
    """Return the probabilities [V], computed by sorting the vocabulary, in float64."""
    p = (logits.double() / temperature).softmax(-1)
    if top_k:
        p[p.argsort(descending=True)[top_k:]] = 0
        p /= p.sum()
    if top_p < 1:
        order = p.argsort(descending=True)
        count = 1 + int((p[order].cumsum(-1) < top_p).sum())
        p[order[count:]] = 0
        p /= p.sum()
    p[p < min_p * p.max()] = 0
    return p / p.sum()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [0.5, 0.25, 0.15, 0.07, 0.03]),
        ({"temperature": 0.0}, [1, 0, 0, 0, 0]),
        ({"temperature": 0.5}, [0.7285, 0.1821, 0.0656, 0.0143, 0.0026]),
        ({"temperature": 2.0}, [0.3467, 0.2452, 0.1899, 0.1297, 0.0849]),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0, 0, 0]),
        ({"top_k": 99}, [0.5, 0.25, 0.15, 0.07, 0.03]),
        ({"top_p": 0.7}, [2 / 3, 1 / 3, 0, 0, 0]),
        ({"top_p": 0.8}, [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0, 0]),
        ({"top_p": 1e-6}, [1, 0, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.8}, [2 / 3, 1 / 3, 0, 0, 0]),  # two of the three reach 0.8
        ({"temperature": 0.5, "top_p": 0.9}, [0.8, 0.2, 0, 0, 0]),
        ({"min_p": 0.2}, [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0, 0]),
        ({"min_p": 0.6}, [1, 0, 0, 0, 0]),
        ({"min_p": 0.2, "top_p": 0.7}, [2 / 3, 1 / 3, 0, 0, 0]),
        ({"min_p": 0.4, "top_p": 0.8}, [2 / 3, 1 / 3, 0, 0, 0]),
    ],
)
def test_the_distribution_of_five_tokens(options: dict[str, Any], wanted: list[float]) -> None:
    got = token_shares(LOGITS, **options)
    assert torch.allclose(got, torch.tensor(wanted, dtype=torch.float32), atol=0.012)
    assert ((got == 0) | (torch.tensor(wanted) > 0)).all(), "no other token is ever drawn"


@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0, 12.0])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_p": 0.95},
        {"top_p": 0.5},
        {"top_p": 0.05},
        {"top_k": 7},
        {"min_p": 0.1},
        {"temperature": 0.7, "top_k": 50, "top_p": 0.9, "min_p": 0.05},
    ],
    ids=str,
)
def test_the_distribution_of_a_vocabulary(options: dict[str, Any], spread: float) -> None:
    """A chi-squared test against the definition; the vocabulary does not fill its last block."""
    vocabulary, count = 601, 40_000
    logits = torch.randn(vocabulary, generator=generator(1)) * spread
    logits += torch.randperm(vocabulary, generator=generator(2)) * 1e-4  # no ties
    tokens, _ = Sampling(**options).draw(logits.expand(count, -1), generator(3))
    wanted, got = by_definition(logits, **options) * count, torch.bincount(tokens, minlength=vocabulary)
    assert not got[wanted == 0].any(), "no token outside the set is ever drawn"
    common = wanted >= 5
    cells = torch.cat([wanted[common], wanted[~common].sum()[None]])
    found = torch.cat([got[common], got[~common].sum()[None]])
    cells, found = cells[cells > 0], found[cells > 0]
    statistic, freedom = float(((found - cells) ** 2 / cells).sum()), len(cells) - 1
    if cells[-1] < 5:  # a rare rest follows no chi-squared distribution
        statistic -= float((found[-1] - cells[-1]) ** 2 / cells[-1])
    assert statistic < freedom + 5 * math.sqrt(2 * max(freedom, 1)) + 10


def test_tokens_as_likely_as_the_last_one_belong_to_the_nucleus() -> None:
    logits = torch.tensor([0.4, 0.2, 0.2, 0.2]).log().bfloat16()
    shares = token_shares(logits, top_p=0.5)
    assert torch.allclose(shares, torch.tensor([0.4, 0.2, 0.2, 0.2]), atol=0.012)
    assert (token_shares(logits, top_k=2) > 0).all()


def test_logprobs_are_the_models_own() -> None:
    logits = torch.randn(50, 601, generator=generator()) * 4
    for sampling in (Sampling(), Sampling(0.3, top_p=0.5), Sampling(0.0), Sampling(top_k=3)):
        tokens, logprobs = sampling.draw(logits, generator())
        wanted = logits.double().log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)
        assert torch.allclose(logprobs.double(), wanted, atol=1e-5)


def test_rows_of_a_large_vocabulary_are_drawn_in_parts() -> None:
    """Each row has one likely token; parts of the rows are joined in order."""
    logits = torch.zeros(40, 151_936)
    likely = torch.arange(40) * 3797
    logits[torch.arange(40), likely] = 40
    for sampling in (Sampling(), Sampling(top_p=0.95), Sampling(0.0)):
        assert torch.equal(sampling.draw(logits, generator())[0], likely)


def test_impossible_tokens_are_never_drawn() -> None:
    logits = torch.full((2000, 601), float("-inf"))
    logits[:, 600] = 0
    logits[:, 255:257] = -1
    assert set(Sampling().draw(logits, generator())[0].tolist()) == {255, 256, 600}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "options", [{}, {"top_p": 0.9}, {"temperature": 0.0}, {"top_k": 2, "min_p": 0.1}], ids=str
)
def test_logits_that_are_not_finite_have_no_finite_logprob(value: float, options: dict[str, Any]) -> None:
    logits = torch.zeros(3, 10)
    logits[1, 4] = value
    finite = Sampling(**options).draw(logits, generator())[1].isfinite().tolist()
    assert finite == [True, False, True]


def test_the_same_generator_draws_the_same_tokens() -> None:
    logits = torch.randn(64, 1000, generator=generator())
    first, second = (Sampling(0.8, 0.95).draw(logits, generator(7))[0] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, Sampling(0.8, 0.95).draw(logits, generator(8))[0])


@pytest.mark.parametrize("temperature", [0.3, 0.7, 3.0, 5.0])
def test_the_likeliest_token_is_always_allowed(temperature: float) -> None:
    """Dividing by the temperature rounds; the weight of the likeliest token must not."""
    logits = torch.randn(500, 300, generator=generator()) * 7 + 11
    best = logits.argmax(-1)
    for options in ({"min_p": 1.0}, {"top_p": 1e-6}, {"top_k": 1}):
        assert torch.equal(Sampling(temperature, **options).draw(logits, generator())[0], best)
