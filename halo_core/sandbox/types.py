"""Limits and outcome of a run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Tier = Literal["strong", "standard", "weak", "none"]
Mode = Literal["auto", "strong", "standard", "weak", "none"]
LimitName = Literal["cpu", "wall", "memory", "file", "output", "processes"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of one run. The defaults suit small programs."""

    cpu_seconds: float = 2.0
    """CPU time in seconds, summed over all threads and processes of the run. This is the primary limit."""
    wall_seconds: float | None = None
    """Elapsed time in seconds, for runs that wait. None: 3 × `cpu_seconds` + 1."""
    memory_bytes: int = 512 << 20
    """Address space of each process in bytes; with delegated cgroups, also the total memory of all processes."""
    file_bytes: int = 16 << 20
    """Maximum size of a written file in bytes; all files together may have four times that."""
    processes: int = 1
    """Maximum number of processes and threads at once. 1: the program may neither fork nor start a thread."""
    stdout_bytes: int = 1 << 20
    """Maximum bytes of stdout; a program that writes more is ended."""
    stderr_bytes: int = 64 << 10
    """Bytes of stderr that are kept; the rest is dropped, and a program that writes over `file_bytes` is ended."""
    open_files: int = 64
    """Maximum number of open descriptors in each process."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not value > 0:
                raise ValueError(f"{each.name} must be positive, not {value}")

    @property
    def wall(self) -> float:
        """The effective wall clock limit in seconds."""
        return 3 * self.cpu_seconds + 1 if self.wall_seconds is None else self.wall_seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run."""

    exit_code: int | None
    """None if a signal ended the program."""
    signal: int | None
    """Number of the signal that ended the program; None if it exited."""
    stdout: bytes
    stderr: bytes
    stdout_truncated: bool
    stderr_truncated: bool
    cpu_seconds: float
    """User and system time of those processes of the run that were waited for."""
    wall_seconds: float
    peak_memory: int
    """Largest resident set of any process in bytes, including up to about 10 MB of the launcher's memory."""
    limit: LimitName | None
    """The limit that ended the run."""
    inconclusive: bool
    """The wall clock ran out while the run waited for a CPU, or the kernel or another program killed the run, even when
    it was repeated alone. The outcome is not evidence about the program."""
    tier: Tier
    """The level of isolation."""

    @property
    def ok(self) -> bool:
        """True if the program exited with 0 within its limits."""
        return self.exit_code == 0 and self.limit is None


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of `doctor`."""

    check: str
    """Name of the check."""
    holds: bool
    detail: str
    """The finding, or the remedy if the check does not hold."""
