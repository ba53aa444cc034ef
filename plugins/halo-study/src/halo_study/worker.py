"""A process that trains one run after another: it reads a job per line from its input and answers with a line.

Importing torch takes seconds, so a worker is kept for many runs. It dies with the process that started it. A run that
was killed is resumed by the worker that gets it next.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def work(config: dict[str, Any], directory: Path) -> dict[str, str]:
    """Run or resume a run. Returns its status: finished; failed, if training failed; error, for anything else.

    Training that fails is a result of the settings. That the memory was too small is not.
    """
    from halo_core import HaloError, OutOfMemoryError, Plan, TrainingError, run_cycles

    try:
        plan = Plan.from_raw(config)
        with plan.open(directory) as (run, hooks):
            run_cycles(run, hooks)
    except OutOfMemoryError as error:
        return {"status": "error", "message": str(error), "hint": error.hint}
    except TrainingError as error:
        return {"status": "failed", "message": str(error)}
    except HaloError as error:
        return {"status": "error", "message": str(error), "hint": error.hint}
    except Exception as error:
        import traceback

        traceback.print_exc()
        return {"status": "error", "message": f"{type(error).__name__}: {error}", "hint": ""}
    return {"status": "finished", "message": ""}


def main() -> None:
    """Serve until the input ends."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints goes to the log
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(work(job["config"], Path(job["directory"]))), file=answers, flush=True)


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, however that ends."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent == 1 or os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
