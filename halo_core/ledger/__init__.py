"""What a run leaves on disk, behind one package.

    run.yaml              resolved configuration; its presence makes the directory a run
    plugins.json          every driver and plugin: kind, name, distribution, version, options
    machine.json          versions, and the sandbox tier that held when the run began
    ledger.db             SQLite: prompts, completions, verdicts, rewards, selections, cycles, events
    cycles/003/adapter/   what training changed, loadable by PEFT

A batch is one transaction, synced, so a kill loses at most the batches in flight. Files are written beside,
synced and renamed; a row in the ledger then says that an adapter is whole, and another closes the cycle.
Completions are addressed by what they follow from (the round's recipe, prompt and index), verdicts by what
they depend on (prompt, text, the verifier's fingerprint).
"""

from pathlib import Path

from halo_core.errors import RunError
from halo_core.ledger.ledger import Ledger

__all__ = ["Ledger", "open_run"]


def open_run(directory: Path) -> Ledger:
    """Return the ledger of the run in `directory`. Raises a `RunError` when there is none."""
    ledger = Ledger(directory)
    if not ledger.exists:
        raise RunError(
            f"{directory} holds no run", hint="name the directory that halo run printed; halo runs lists them"
        )
    return ledger
