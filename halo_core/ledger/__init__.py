"""A run's directory on disk.

    run.yaml              resolved configuration; its presence makes the directory a run
    plugins.json          every driver and plugin: kind, name, distribution, version, options
    machine.json          versions, and the sandbox tier at the start of the run
    ledger.db             SQLite: prompts, completions, verdicts, rewards, selections, cycles, events
    cycles/003/adapter/   the weights that training changed, loadable by PEFT

Each batch is one transaction, synced, so a kill loses at most the batches in flight. Files are written to a temporary
name, synced and renamed. A row in the ledger then records that an adapter is complete; another closes the cycle.
Completions are stored with a hash of their inputs (`rounds.request_hash`), verdicts under a key of their inputs
(prompt, text, the verifier's fingerprint).
"""
