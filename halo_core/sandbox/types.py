"""What a run is given and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Tier = Literal["strong", "standard", "weak", "none"]
Mode = Literal["auto", "strong", "standard", "weak", "none"]
LimitName = Literal["cpu", "wall", "memory", "file", "output", "processes"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. The defaults suit small programs."""

    cpu_seconds: float = 2.0
    """CPU time in seconds, all threads and processes of the run together. This is what decides."""
    wall_seconds: float | None = None
    """Elapsed time in seconds, the backstop for a run that waits. None: 3 × `cpu_seconds` + 1."""
    memory_bytes: int = 512 << 20
    """Address space of each process in bytes; where cgroups are delegated, the memory of all of them."""
    file_bytes: int = 16 << 20
    """Largest file that may be written, in bytes; all files together may have four times that."""
    processes: int = 1
    """Processes and threads alive at once. 1: the program may neither fork nor start a thread."""
    stdout_bytes: int = 1 << 20
    """Bytes of stdout that are kept; a program that writes more is ended."""
    stderr_bytes: int = 64 << 10
    """Bytes of stderr that are kept; what is written beyond is dropped, up to `file_bytes` in all."""
    open_files: int = 64
    """Descriptors open at once in each process."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not value > 0:
                raise ValueError(f"{each.name} must be positive, not {value}")

    @property
    def wall(self) -> float:
        """The wall clock limit in force, in seconds."""
        return 3 * self.cpu_seconds + 1 if self.wall_seconds is None else self.wall_seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    exit_code: int | None
    """None when ended by a signal."""
    signal: int | None
    """Number of the signal that ended it; None when it exited."""
    stdout: bytes
    stderr: bytes
    stdout_truncated: bool
    stderr_truncated: bool
    cpu_seconds: float
    """User and system time of the run's processes that were waited for."""
    wall_seconds: float
    peak_memory: int
    """Largest resident set of any one process, in bytes; about 10 MB of it may be the launcher's own."""
    limit: LimitName | None
    """Which limit ended it."""
    inconclusive: bool
    """The wall clock ran out while the machine kept the run waiting for a CPU, even when it was tried again
    alone. Says nothing about the program."""
    tier: Tier
    """The protection under which it ran."""

    @property
    def ok(self) -> bool:
        """Whether it exited with 0 within its limits."""
        return self.exit_code == 0 and self.limit is None


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of `doctor`."""

    check: str
    """What was looked at."""
    holds: bool
    detail: str
    """What was found, or what to do where it does not hold."""
