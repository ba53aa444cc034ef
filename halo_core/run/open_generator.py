"""A generator in use: opened once, told of weights before it samples with them, and closed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from halo_core.drivers.base import Generator
from halo_core.model.contexts import Actor, SamplingContext, Weights, ignore_tokens
from halo_core.types import Completion, SamplingRequest


class OpenGenerator:
    """Calls the methods of a generator in the order that `drivers.base.Generator` documents.

    with closing(OpenGenerator(generator, actor)) as opened:
        for batch in opened.generate(request): ...
    """

    def __init__(
        self,
        generator: Generator,
        actor: Actor,
        directory: Path | None = None,
        progress: Callable[[float, int], None] = ignore_tokens,
    ) -> None:
        self._generator = generator
        self._context = SamplingContext(
            actor=actor, directory=directory and directory.resolve(), progress=progress
        )
        self._is_open = False
        self._weights: Weights | None = None
        """The weights that the generator was told of last."""
        self._batches: Iterator[Sequence[Completion]] = iter(())

    def generate(
        self, request: SamplingRequest, options: Generator | None = None
    ) -> Iterator[Sequence[Completion]]:
        """Yield the batches of `request`; `options` is the generator with the options of its cycle, if they differ."""
        if not self._is_open:
            self._context = replace(self._context, session=self._generator.open(self._context))
            self._is_open = True
        weights = weights_of(request)
        if weights != self._weights:
            self._weights = None
            self._generator.weights_changed(weights, self._context)
            self._weights = weights
        self._batches = iter((options or self._generator).generate(request, self._context))
        yield from self._batches

    def close(self) -> None:
        """Close the generator if it is open; later calls do nothing."""
        if not self._is_open:
            return
        self._is_open, self._weights = False, None
        try:
            getattr(self._batches, "close", nullcontext)()
        finally:
            self._generator.close(self._context)
            self._context = replace(self._context, session=None)


def weights_of(request: SamplingRequest) -> Weights:
    """Return the weights that `request` names."""
    directory = request.adapter and request.adapter.resolve()
    return Weights(directory=directory, hash=request.weights_hash)
