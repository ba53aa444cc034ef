"""`halo reverify` and `halo reselect`: apply other verifiers, rewards and selectors to the samples of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.output import print_json
from halo_core.cli.signatures import AsJSON, RunDirectory, SandboxTier

if TYPE_CHECKING:
    from halo_core.config.schema import RunConfig
    from halo_core.ledger.ledger import Ledger
    from halo_core.run.dispatch import Drivers
    from halo_core.verification.reverify import Reverified

Options = list[str] | None


def reverify(
    directory: RunDirectory,
    verifier: Annotated[
        Options,
        typer.Option(
            "--verifier",
            "-v",
            metavar="VERIFIER",
            help="Verifier driver; repeatable. Default: the verifiers of the run.",
        ),
    ] = None,
    verifier_opt: Annotated[
        Options,
        typer.Option("--verifier-opt", "-V", metavar="KEY=VALUE", help="Option of --verifier; repeatable."),
    ] = None,
    sandbox: Annotated[
        SandboxTier | None,
        typer.Option(help="Containment of untrusted code; default: as configured in the run."),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Re-verify a run's completions with changed verifiers.

    Verdicts are stored by text, prompt and the verifier's fingerprint, which contains its options and the versions of
    its tools. Only completions without a verdict for the current fingerprint are verified. The verdicts that the run
    trained with do not change. No model is needed.
    """
    from halo_core.builtin.console import ConsoleReport
    from halo_core.config.layers import assign, normalise
    from halo_core.config.schema import read_config
    from halo_core.ledger.ledger import open_run
    from halo_core.plugin.discovery import origins_of
    from halo_core.verification.errors import ErrorBudget
    from halo_core.verification.reverify import reverify as verify_again
    from halo_core.verification.verifiers import VerifierSet, verification_threads

    ledger = open_run(directory)
    raw = normalise(ledger.config())
    if verifier:
        assign(raw, "verifier", verifier)
    _assign_options(raw, "verifier", verifier_opt, "-V")
    if sandbox:
        raw["sandbox"] = sandbox
    config = read_config(raw)
    verifiers = VerifierSet.load(config.specs("verifier"), origins_of(ledger.plugins()))

    def pool() -> Any:  # called only if something must be verified: it starts the sandbox
        verifiers.preflight(config.sandbox)
        return verification_threads(config.workers)

    done = verify_again(ledger, verifiers, pool, ConsoleReport(quiet=as_json))
    if as_json:
        changes = [{"before": old, "after": new, "completions": n} for (old, new), n in done.changes.items()]
        print_json(asdict(done) | {"changes": changes})
    else:
        _print(done)
    budget = ErrorBudget(config.max_error_rate)
    budget.count(done.cached + done.verified, done.errors, done.error)
    budget.close()


def _print(done: Reverified) -> None:
    typer.echo(
        f"{done.unchanged} completions with current verdicts, {done.cached} with verdicts of an earlier reverify"
    )
    typer.echo(f"{done.verified} verified now in {done.calls} calls: equal texts are verified once")
    for (before, after), count in done.changes.most_common():
        typer.echo(f"  {before:>12} > {after:<12} {count}")
    if done.verified + done.cached and not done.changes:
        typer.echo("no verdict changed")
    elif done.changes:
        total, (was, now) = done.unchanged + done.cached + done.verified, done.passed
        typer.echo(f"passed: {was} before, {now} now, of {total}")


def reselect(
    directory: RunDirectory,
    selector: Annotated[
        str | None,
        typer.Option(metavar="SELECTOR", help="Selector driver. Default: the selector of the run."),
    ] = None,
    reward: Annotated[
        str | None, typer.Option(metavar="REWARD", help="Reward driver. Default: the reward of the run.")
    ] = None,
    selector_opt: Annotated[
        Options,
        typer.Option("--selector-opt", "-S", metavar="KEY=VALUE", help="Option of --selector; repeatable."),
    ] = None,
    reward_opt: Annotated[
        Options,
        typer.Option("--reward-opt", "-R", metavar="KEY=VALUE", help="Option of --reward; repeatable."),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Select again with another selector or reward, and compare.

    Prints for each cycle how many completions the run selected, how many it would select now, and the overlap: the
    share of the completions selected either time that were selected both times. Completions with equal tokens count
    once, and ties of rewards are broken at random. All cycles use the samples of the run, although another choice
    would have led to other weights and samples. Hook plugins are not called. No model and no verifier is needed.
    """
    from halo_core.config.layers import assign, normalise
    from halo_core.config.schema import read_config
    from halo_core.ledger.ledger import open_run
    from halo_core.run.reselect import reselect as select_again
    from halo_core.tables import table

    ledger = open_run(directory)
    raw = normalise(ledger.config())
    for key, name, options, flag in (
        ("selector", selector, selector_opt, "-S"),
        ("reward", reward, reward_opt, "-R"),
    ):
        if name:
            assign(raw, key, name)
        _assign_options(raw, key, options, flag)
        _drop_per_cycle(raw, key, name, options)
    config = read_config(raw)
    found = list(select_again(ledger, _drivers(config, ledger, "reward", "selector"), seed=config.seed))
    if as_json:
        print_json([asdict(row) | {"overlap": row.overlap} for row in found])
        return
    header = (
        "cycle",
        "samples",
        "reward",
        "selected then",
        "selected now",
        "shared",
        "overlap",
        "prompts then",
        "prompts now",
    )
    rows = [
        (
            *(f"{row.cycle}", f"{row.samples}", f"{row.reward_mean:.3f}", f"{row.before}", f"{row.after}"),
            *(f"{row.both}", f"{row.overlap:.0%}", f"{row.prompts_before}", f"{row.prompts_after}"),
        )
        for row in found
    ]
    typer.echo(table([header, *rows], left=0))


def _drop_per_cycle(raw: dict[str, Any], kind: str, name: str | None, options: Options) -> None:
    """Remove the per-cycle values of the given options, so that the given ones hold in every cycle."""
    changing = raw.get("per_cycle", {}).get(kind, {})
    for option in list(changing) if name else [text.partition("=")[0] for text in options or ()]:
        changing.pop(option, None)


def _drivers(config: RunConfig, ledger: Ledger, *kinds: str) -> Drivers:
    """Return the drivers of `kinds`. The other drivers of the run need not be installed."""
    from halo_core.plugin.discovery import origins_of
    from halo_core.plugin.loading import load_driver
    from halo_core.run.dispatch import Drivers
    from halo_core.run.turns import load_turns
    from halo_core.verification.verifiers import VerifierSet

    built, sources = {}, {}
    for kind in kinds:
        built[kind], sources[kind] = load_driver(kind, config.spec(kind), origins_of(ledger.plugins()))
    per_cycle = {kind: values for kind, values in config.per_cycle.items() if kind in kinds}
    turns = load_turns(per_cycle, built, sources, origins_of(ledger.plugins()))
    return Drivers(VerifierSet({}), built, sources, per_cycle, turns)


def _assign_options(raw: dict[str, Any], path: str, options: Options, flag: str) -> None:
    from halo_core.config.layers import assign
    from halo_core.config.options import parse_assignments

    for key, value in parse_assignments(options or (), flag=flag).items():
        assign(raw, f"{path}.{key}", value)
