"""Reward functions for TRL's trainers (GRPO, RLOO, ...) from a verifier and a reward of halo.

    trainer = GRPOTrainer(model, reward_funcs=reward_func("gcc"), train_dataset=dataset, args=args)

The dataset's column `reference` has the verifier's data. A completion whose verdict is not conclusive (the verifier
failed, the machine was too busy) gets None, which TRL excludes from the group's baseline and from the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo_core.errors import DataError
from halo_core.interop.scoring import DriverLike, Scorer
from halo_core.sandbox import Mode
from halo_core.types import Status

__all__ = ["reward_func"]


class RewardFunction:
    """A reward function for TRL's trainers, made by `reward_func`. Can be pickled."""

    def __init__(self, scorer: Scorer, columns: str | tuple[str, ...]) -> None:
        self._scorer = scorer
        self._columns = columns
        self.__name__ = scorer.name
        """The name of the reward in TRL's metrics."""

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        log_metric: Any = None,
        **columns: Any,
    ) -> list[float | None]:
        """Return the reward of each completion; None if its verdict is not conclusive.

        TRL passes `log_metric`, which gets the share of passes among the conclusive verdicts.
        """
        references = self._references(columns, len(prompts))
        scored = self._scorer.score(prompts, completions, references, completion_ids)
        passes = [verdict.status is Status.PASS for reward, verdict in scored if reward is not None]
        if log_metric is not None and passes:
            log_metric(f"{self.__name__}/passed", sum(passes) / len(passes))
        return [reward for reward, _ in scored]

    def __reduce__(self) -> tuple[Any, ...]:
        scorer = self._scorer
        arguments = (scorer.verifier, scorer.reward, scorer.sandbox, scorer.max_error_rate, scorer.workers)
        return _unpickled, (arguments, self._columns)

    def _references(self, columns: dict[str, Any], count: int) -> Sequence[Any]:
        wanted = [self._columns] if isinstance(self._columns, str) else list(self._columns)
        for name in wanted:
            if name not in columns:
                raise DataError(
                    f"the dataset has no column {name!r} for the verifier's reference",
                    hint="add it, or name the columns with the data: reward_func(..., reference=('tests',))",
                )
        if isinstance(self._columns, str):
            return list(columns[self._columns])
        return [{name: columns[name][row] for name in wanted} for row in range(count)]


def _unpickled(arguments: tuple[Any, ...], columns: str | tuple[str, ...]) -> RewardFunction:
    return RewardFunction(Scorer(*arguments), columns)


def reward_func(
    verifier: DriverLike,
    *,
    reward: DriverLike = "graduated",
    reference: str | Sequence[str] = "reference",
    sandbox: Mode = "auto",
    max_error_rate: float = 0.05,
    workers: int | None = None,
    **options: Any,
) -> RewardFunction:
    """Return a reward function that verifies with `verifier` and rewards with `reward`.

    Both are names as on halo's command line, or mappings of `name` and options; `options` are the verifier's.
    `reference` names the column of the prompts' references, mappings or JSON text; a sequence names columns that
    become the reference's keys. The function raises a `VerifierError` if more than `max_error_rate` of the verdicts
    are errors, and a `DataError` for a reference that the verifier rejects.

    Raises a `PluginError` if something is not installed or does not work, and a `ConfigError` for an invalid option.
    """
    spec = {"name": verifier} if isinstance(verifier, str) else dict(verifier)
    scorer = Scorer({**spec, **options}, reward, sandbox, max_error_rate, workers)
    scorer.prepare()
    return RewardFunction(scorer, reference if isinstance(reference, str) else tuple(reference))
