"""One of several trainers with split weights, as a program of its own: `RANK SIZE ADDRESS FILE`.

FILE has the parts of the run, and tasks with the checkpoints that trainer 0 gets if it asks. Trainer 0 writes a list of
events for each task to FILE.out; an error is the last of its events.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

from halo_ray.training import Asked, TrainerWorker, Wanted


def main(rank: int, size: int, address: str, file: Path) -> None:
    parts, tasks = pickle.loads(file.read_bytes())
    worker = TrainerWorker(parts)
    worker.join(rank, size, address, False, True)
    found: list[list[Any]] = []
    for task, checkpoint in tasks:
        found.append([])
        try:
            if rank:
                worker.follow(task)
                continue
            for event in worker.lead(task):
                found[-1].append(event)
                if isinstance(event, Asked | Wanted):
                    worker.answer(checkpoint)
        except Exception as error:
            found[-1].append(error)
    if rank == 0:
        Path(f"{file}.out").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
