"""Drawing the next token of each row from the logits of a model.

It imports torch, so it is imported only where sampling starts.

With a real vocabulary a careless draw costs more than the forward pass of a small model. Here top_p needs no sorting,
one uniform number per row replaces noise for each token, and on a CPU a few rows at a time go through all steps, so
that their numbers stay in the cache. `benchmarks/bench_draw.py` measures the CPU time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

_BLOCK = 128
"""Tokens in a block: the vocabulary is searched block by block. Divides most vocabularies."""
_SAFE = 1 - 1e-5
"""Factor below which a block's largest weight may lie through rounding alone."""
_CACHED = 1 << 20
"""Logits that are processed at a time on a CPU."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Distribution that the next token is drawn from.

    The model's probabilities at a temperature are restricted three times, and scaled to the sum 1 each time: to the
    `top_k` likeliest tokens; to the nucleus, the fewest likeliest tokens whose probabilities reach the sum `top_p`
    (Holtzman et al. 2019, arXiv 1904.09751); to the tokens whose probability is at least `min_p` times the highest one
    (Nguyen et al. 2024, arXiv 2407.01082). Tokens exactly as likely as the last one of a set belong to the set.
    """

    temperature: float = 1.0
    """Logits are divided by it. 0: always the likeliest token."""
    top_p: float = 1.0
    """1: no restriction."""
    top_k: int = 0
    """0: no restriction."""
    min_p: float = 0.0
    """0: no restriction."""

    def draw(self, logits: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a token for each row of `logits` [R, V]; return the tokens [R] and the log p [R] of each.

        log p is in nats and float32, at temperature 1 and without restrictions: the model's own. It is not finite if
        the row's logits are not.
        """
        rows, vocabulary = logits.shape
        at_once = max(1, _CACHED // vocabulary) if logits.device.type == "cpu" else rows
        parts = [self._draw(part.float(), generator) for part in torch.split(logits, at_once)]
        tokens, logprobs = zip(*parts, strict=True)
        return torch.cat(tokens), torch.cat(logprobs)

    def _draw(self, logits: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        logits = _whole_blocks(logits)
        peaks = _blocks(logits).amax(-1)
        top = peaks.amax(-1, keepdim=True)
        logits = logits - top
        if self.temperature == 0:
            tokens = logits.argmax(-1)
        else:
            weights, peaks = ((each / self.temperature).exp_() for each in (logits, peaks - top))
            tokens = self._tokens(weights, peaks, generator)
        chosen = logits.gather(1, tokens[:, None]).squeeze(1)
        return tokens, chosen - logits.exp_().sum(-1).log()

    def _tokens(self, weights: torch.Tensor, peaks: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draw a token for each row of `weights` [R, V], of which the largest is 1; `peaks` has each block's largest.

        A token is in the nucleus if all likelier tokens together have less than the share top_p. So a token is drawn
        from all of them, and where it is outside the nucleus, again from the likelier ones. Every draw is from a set
        that contains the nucleus, hence the accepted tokens have the nucleus's own distribution. Likelier tokens are
        only looked for in blocks whose largest weight is above that of the token.
        """
        if 0 < self.top_k < weights.shape[-1]:
            weights = _at_least(weights, weights.topk(self.top_k).values[:, -1:])
        sums = _block_sums(weights)
        enough = self.top_p * sums.sum(-1)
        if self.min_p > 0:
            weights = _at_least(weights, self.min_p)
            sums = _block_sums(weights)
        rows = torch.arange(len(weights), device=weights.device)
        tokens = torch.empty_like(rows)
        while len(rows):
            drawn = _pick(weights, sums, generator)
            tokens[rows] = drawn
            if self.top_p >= 1:
                break
            chosen = weights.gather(1, drawn[:, None])
            outside = _likelier(weights, peaks, chosen) >= enough
            rows, enough, peaks = rows[outside], enough[outside], peaks[outside]
            weights = weights[outside]
            weights = weights * (weights > chosen[outside])
            sums = _block_sums(weights)
        return tokens


def _whole_blocks(logits: torch.Tensor) -> torch.Tensor:
    """Fill the last block of `logits` [R, V] with tokens that are impossible."""
    missing = -logits.shape[-1] % _BLOCK
    return functional.pad(logits, (0, missing), value=float("-inf")) if missing else logits


def _blocks(values: torch.Tensor) -> torch.Tensor:
<<<<<<< HEAD
    """Return `values` [R, V], V a multiple of the block's size, by block."""
    return values.view(len(values), -1, _BLOCK)
=======
    """Return `values` [R, V] as [R, V / `_BLOCK`, `_BLOCK`]."""
    rows, vocabulary = values.shape
    return values.reshape(rows, vocabulary // _BLOCK, _BLOCK)
>>>>>>> wt-speed


def _block_sums(weights: torch.Tensor) -> torch.Tensor:
    return _blocks(weights).sum(-1)


def _likelier(weights: torch.Tensor, peaks: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return the sum [R] of the weights that are above `chosen` [R, 1]."""
    rows, blocks = (peaks > chosen * _SAFE).nonzero(as_tuple=True)
    found = _blocks(weights)[rows, blocks]
    found = (found * (found > chosen[rows])).sum(-1)
    return torch.zeros_like(chosen[:, 0]).index_add_(0, rows, found)


def _at_least(weights: torch.Tensor, least: torch.Tensor | float) -> torch.Tensor:
    return weights * (weights >= least)


def _pick(weights: torch.Tensor, sums: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return an index [R] for each row of `weights` [R, V] >= 0, with probabilities proportional to the weights.

    Inverts the cumulative sum in two steps, of blocks, whose `sums` are given, and within one block, in float64.
    """
    totals = sums.double().cumsum(-1)
    point = torch.rand(len(weights), 1, generator=generator, device=weights.device, dtype=torch.float64)
    block, rest = _position(totals, point * totals[:, -1:])
    blocks = _blocks(weights)
    inner = blocks.gather(1, block[:, :, None].expand(-1, 1, _BLOCK)).squeeze(1).double().cumsum(-1)
    return (block * _BLOCK + _position(inner, rest)[0]).squeeze(1)


def _position(sums: torch.Tensor, point: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each row the first index [R, 1] whose cumulative sum exceeds `point`, and the rest within it.

    A point that rounding has put at the end or behind it counts as just before the end.
    """
    point = torch.minimum(point, sums[:, -1:] * (1 - 1e-12))
    index = (sums <= point).sum(-1, keepdim=True)
    before = functional.pad(sums, (1, 0)).gather(1, index)
    return index, point - before
