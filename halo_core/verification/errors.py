"""The error budget: a verifier that keeps failing must stop the work, not teach the model."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from halo_core.errors import VerifierError
from halo_core.types import Status, Verdict

_ENOUGH = 16
"""Number of errors from which their share is checked while verdicts are still coming in."""


class ErrorBudget:
    """Counts verdicts of error; raises a `VerifierError` when their share exceeds `limit`. Thread-safe."""

    def __init__(self, limit: float, verdicts: Sequence[Verdict] = ()) -> None:
        self._limit = limit
        self._seen = self._errors = 0
        self._last = ""
        self._lock = threading.Lock()
        self._count_verdicts(verdicts)

    @property
    def exceeded(self) -> bool:
        """True if the share of errors is above the limit."""
        return self._errors > self._limit * self._seen

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Count `verdicts`; raise if enough of them are errors to trust their share."""
        before = self._errors
        self._count_verdicts(verdicts)
        if self._errors > before and self._errors >= _ENOUGH:
            self.close()

    def count(self, seen: int, errors: int, last: str) -> None:
        """Count `seen` verdicts, `errors` of which are errors; `last` is the detail of one."""
        with self._lock:
            self._seen += seen
            self._errors += errors
            self._last = last or self._last

    def close(self) -> None:
        """Raise if the share of errors is above the limit, however few there are."""
        if self.exceeded:
            raise VerifierError(
                f"{self._errors} of {self._seen} verdicts are errors, more than max_error_rate "
                f"{self._limit:g}; the last: {self._last or 'no detail'}",
                hint="fix the verifier or its tools (halo plugins check), then resume",
            )

    def _count_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        errors = [verdict for verdict in verdicts if verdict.status is Status.ERROR]
        self.count(len(verdicts), len(errors), errors[-1].detail if errors else "")
