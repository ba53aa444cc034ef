"""The output head of a model, apart from the rest of it: logits of a few tokens at a time.

The logits [N, V] of a batch often need more memory than everything else: 5 GB in float32 for 8,192 tokens of a
vocabulary of 152,000. `token_scores` computes those of a chunk of tokens, takes their log-probabilities and drops
them. Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

_CHUNK = {"cpu": 2**21}
"""Logits in a chunk, by kind of device."""
_LARGE_CHUNK = 2**26
"""The same on other devices: 256 MiB in float32."""
_FACTORS = ("logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier")
_BOUNDS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap", "softcap")
"""Fields of configurations by which some architectures change the logits after the head."""
_ROUNDING = {torch.float32: 1e-5}
"""Largest difference of logits that counts as rounding, as a share of the largest, by precision."""
_COARSE_ROUNDING = 0.02
"""The same for precisions of 16 bits."""
FAILURES = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""Errors of a forward pass that an architecture does not support."""

Finish = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a causal language model, and what the model does to the head's output."""

    module: Any
    finish: Finish
    """Makes the model's logits [N, V] from the output of `module`, elementwise."""

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the model's logits [N, V] for hidden states [N, D], in float32."""
        return self.finish(self.module(hidden)).float()

    def is_frozen(self) -> bool:
        """Return whether the head has no trainable weights, and so no dropout either."""
        return not any(weight.requires_grad for weight in self.module.parameters())

    def hidden(self, model: Any, **inputs: Any) -> torch.Tensor:
        """Return what reaches the head, [B, T, D], without computing the head."""
        found: list[torch.Tensor] = []

        def take(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            found.append(args[0])
            return (args[0].flatten(0, 1)[:0], *args[1:])

        hook = self.module.register_forward_pre_hook(take)
        try:
            model(**inputs, use_cache=False)
        finally:
            hook.remove()
        (states,) = found
        return states


def head_of(model: Any) -> Head | None:
    """Return the head of `model`, or None if its logits cannot be computed apart from the rest.

    On a few tokens, without dropout, the head must give the logits that the model gives.
    """
    module = model.get_output_embeddings()
    if module is None:
        return None
    rows = int(model.get_input_embeddings().weight.shape[0])
    ids = torch.arange(1, 5, device=model.device)[None] % rows
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits.float().flatten(0, 1)
            hidden = Head(module, _unchanged).hidden(model, input_ids=ids).flatten(0, 1)
            heads = [Head(module, finish) for finish in _finishes(model.config.get_text_config())]
            errors = [float((head.logits(hidden) - logits).abs().max()) for head in heads]
    except FAILURES:
        return None
    finally:
        model.train(training)
    best = min(range(len(heads)), key=errors.__getitem__)
    rounding = _ROUNDING.get(logits_precision(model), _COARSE_ROUNDING)
    return heads[best] if errors[best] <= rounding * float(logits.abs().max()) else None


def logits_precision(model: Any) -> torch.dtype:
    """Return the precision in which `model` computes here, with autocast considered."""
    kind = model.device.type
    found: torch.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype
    return found


def _finishes(config: Any) -> Iterator[Finish]:
    """Yield what architectures do to the output of their heads, with the numbers of `config`."""
    factors = [value for name in _FACTORS if (value := getattr(config, name, None))]
    bounds = [value for name in _BOUNDS if (value := getattr(config, name, None))]
    scales: list[Finish] = [_unchanged]
    scales += [partial(torch.mul, other=value) for value in factors]
    scales += [partial(torch.div, other=value) for value in factors]
    for scale in scales:
        for bound in bounds:
            yield partial(_bounded, scale=scale, bound=bound)
        yield scale


def _unchanged(logits: torch.Tensor) -> torch.Tensor:
    return logits


def _bounded(logits: torch.Tensor, scale: Finish, bound: float) -> torch.Tensor:
    return torch.tanh(scale(logits) / bound) * bound


def token_scores(
    head: Head, hidden: torch.Tensor, targets: torch.Tensor, *, entropies: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return log p [N] of each of `targets` [N] after `hidden` [N, D], and the entropy [N] of each prediction.

    Differentiable in `hidden` and in the weights of the head. The logits of a chunk of tokens exist at a time.
    If the head is frozen, the forward pass keeps d log p / d hidden, [N, D], and the backward pass computes no logits;
    otherwise, and for entropies, it computes them again.
    """
    size = max(_CHUNK.get(hidden.device.type, _LARGE_CHUNK) // _vocabulary(head), 16)
    if torch.is_grad_enabled() and head.is_frozen() and hidden.requires_grad and not entropies:
        logprobs: torch.Tensor = _WithSlopes.apply(hidden, targets, head, size)  # type: ignore[no-untyped-call]
        return logprobs, None
    scores: Any = partial(_scores, head, entropies=entropies)
    if torch.is_grad_enabled():
        scores = partial(checkpoint, scores, use_reentrant=False)
    parts = [
        scores(*part) for part in zip(torch.split(hidden, size), torch.split(targets, size), strict=True)
    ]
    if not parts:
        parts = [_scores(head, hidden, targets, entropies=entropies)]
    return (
        torch.cat([logprobs for logprobs, _ in parts]),
        torch.cat([found for _, found in parts]) if entropies else None,
    )


def _scores(
    head: Head, hidden: torch.Tensor, targets: torch.Tensor, *, entropies: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    return scores_of(head.logits(hidden), targets, entropies=entropies)


def scores_of(
    logits: torch.Tensor, targets: torch.Tensor, *, entropies: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return log p [N] of each of `targets` [N] under `logits` [N, V], and the entropy [N] of each row if asked for."""
    if not entropies:
        return -functional.cross_entropy(logits, targets, reduction="none"), None
    logprobs = logits.log_softmax(-1)
    return logprobs.gather(1, targets[:, None]).squeeze(1), -(logprobs.exp() * logprobs).sum(-1)


class _WithSlopes(torch.autograd.Function):
    """log p of each token, with its derivative by the hidden state kept instead of the logits."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, targets: torch.Tensor, head: Head, size: int) -> torch.Tensor:
        slopes = torch.empty_like(hidden)
        logprobs = torch.empty(len(hidden), device=hidden.device)
        for start in range(0, len(hidden), size):
            part = slice(start, start + size)
            with torch.enable_grad():
                states = hidden[part].detach().requires_grad_()
                found, _ = _scores(head, states, targets[part])
                (slopes[part],) = torch.autograd.grad(found.sum(), states)
            logprobs[part] = found.detach()
        ctx.save_for_backward(slopes)
        return logprobs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return (slopes * gradient[:, None]).to(slopes.dtype), None, None, None


def _vocabulary(head: Head) -> int:
    weight = next((w for w in head.module.parameters() if w.dim() == 2), None)
    return max(weight.shape) if weight is not None else 2**15
