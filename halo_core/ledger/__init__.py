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

from halo_core.ledger.ledger import Ledger

__all__ = ["Ledger"]
