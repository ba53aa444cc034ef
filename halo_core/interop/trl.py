"""Reward functions for TRL's trainers (GRPO, RLOO, ...) from a verifier and a reward of halo.

    trainer = GRPOTrainer(model, reward_funcs=reward_func("gcc"), train_dataset=dataset, args=args)

The dataset's column `reference` holds what the verifier judges by. A completion without a verdict (the verifier
broke, the machine was too busy) gets None, which TRL leaves out of the group's baseline and of the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo_core.errors import DataError
from halo_core.interop.scoring import Named, Scorer
from halo_core.sandbox import Mode
from halo_core.types import Status


class RewardFunction:
    """A callable as TRL's trainers take it; made by `reward_func`. Can be pickled."""

    def __init__(self, scorer: Scorer, columns: str | tuple[str, ...]) -> None:
        self._scorer = scorer
        self._columns = columns
        self.__name__ = scorer.name
        """By which TRL names the reward in its metrics."""

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        log_metric: Any = None,
        **columns: Any,
    ) -> list[float | None]:
        """Return the reward of each completion; None for one without a verdict.

        `log_metric` is TRL's; it gets the share that passed of those with a verdict.
        """
        references = self._references(columns, len(prompts))
        scored = self._scorer.score(prompts, completions, references, completion_ids)
        judged = [verdict.status is Status.PASS for reward, verdict in scored if reward is not None]
        if log_metric is not None and judged:
            log_metric(f"{self.__name__}/passed", sum(judged) / len(judged))
        return [reward for reward, _ in scored]

    def __reduce__(self) -> tuple[Any, ...]:
        scorer = self._scorer
        made = Scorer, (scorer.verifier, scorer.reward, scorer.sandbox, scorer.max_error_rate, scorer.workers)
        return _restored, (*made, self._columns)

    def _references(self, columns: dict[str, Any], count: int) -> Sequence[Any]:
        wanted = [self._columns] if isinstance(self._columns, str) else list(self._columns)
        for name in wanted:
            if name not in columns:
                raise DataError(
                    f"the dataset has no column {name!r} for the verifier to judge by",
                    hint="add it, or say which columns hold the data: reward_func(..., reference=('tests',))",
                )
        if isinstance(self._columns, str):
            return list(columns[self._columns])
        return [{name: columns[name][row] for name in wanted} for row in range(count)]


def _restored(
    make: type[Scorer], arguments: tuple[Any, ...], columns: str | tuple[str, ...]
) -> RewardFunction:
    return RewardFunction(make(*arguments), columns)


def reward_func(
    verifier: Named,
    *,
    reward: Named = "graduated",
    reference: str | Sequence[str] = "reference",
    sandbox: Mode = "auto",
    max_error_rate: float = 0.05,
    workers: int | None = None,
    **options: Any,
) -> RewardFunction:
    """Return a reward function that judges by `verifier` and pays by `reward`.

    Both are names as on halo's command line, or mappings of a name with options; `options` are the
    verifier's. `reference` is the column that holds each prompt's reference, as a mapping or as JSON text;
    a sequence names columns that are the reference's keys. When more than `max_error_rate` of the verdicts
    are errors, the function raises a `VerifierError`, and so does a reference that the verifier cannot judge
    by (`DataError`).

    Raises a `PluginError` for what is not installed or does not work, a `ConfigError` for a wrong option.
    """
    named = {"name": verifier} if isinstance(verifier, str) else dict(verifier)
    scorer = Scorer({**named, **options}, reward, sandbox, max_error_rate, workers)
    scorer.prepare()
    return RewardFunction(scorer, reference if isinstance(reference, str) else tuple(reference))
