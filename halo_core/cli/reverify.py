"""`halo reverify` and `halo reselect`: other verifiers, rewards and selectors on what a run sampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.filters import Directory

if TYPE_CHECKING:
    from halo_core.config.schema import RunConfig

Options = list[str] | None


def reverify(
    directory: Directory,
    verifier: Annotated[
        Options,
        typer.Option(
            "--verifier",
            "-v",
            metavar="NAME",
            help="What verifiers; default: the run's own, as they are now.",
        ),
    ] = None,
    verifier_opt: Annotated[
        Options, typer.Option("--verifier-opt", "-V", help="Option of the verifier.", metavar="KEY=VALUE")
    ] = None,
    sandbox: Annotated[
        str | None,
        typer.Option(metavar="TIER", help="auto, strong, standard, weak or none; default: as the run's."),
    ] = None,
) -> None:
    """Judge a run's completions again where the verifier, its options or its tools have changed.

    No model is needed. Verdicts are kept by text, prompt and the verifier's fingerprint: what is known is not
    judged again, and the verdicts that the run trained by stay as they were.
    """
    from halo_core.builtin.console import ConsoleReport
    from halo_core.config.layers import assign, normalise
    from halo_core.config.schema import read_config
    from halo_core.ledger.ledger import open_run
    from halo_core.verification.errors import ErrorBudget
    from halo_core.verification.reverify import reverify as verify_again
    from halo_core.verification.verifiers import VerifierSet, verification_threads

    ledger = open_run(directory)
    raw = normalise(ledger.config())
    if verifier:
        assign(raw, "verifier", verifier)
    _assign(raw, "verifier", verifier_opt, "-V")
    if sandbox:
        raw["sandbox"] = sandbox
    config = read_config(raw)
    verifiers = VerifierSet.load(config.specs("verifier"))

    def pool() -> Any:  # only when there is something to judge is the sandbox started
        verifiers.preflight(config.sandbox)
        return verification_threads(config.workers)

    done = verify_again(ledger, verifiers, pool, ConsoleReport())
    typer.echo(
        f"{done.unchanged} completions judged alike before, {done.cached} known from an earlier reverify"
    )
    typer.echo(f"{done.verified} judged now; the verifier was asked {done.calls} times, equal texts once")
    for (before, after), count in done.changes.most_common():
        typer.echo(f"  {before:>12} > {after:<12} {count}")
    if done.verified + done.cached and not done.changes:
        typer.echo("no verdict changed")
    elif done.changes:
        total, (was, now) = done.unchanged + done.cached + done.verified, done.passed
        typer.echo(f"passed: {was} before, {now} now, of {total}")
    budget = ErrorBudget(config.max_error_rate)
    budget.count(done.cached + done.verified, done.errors, done.error)
    budget.close()


def reselect(
    directory: Directory,
    selector: Annotated[
        str | None, typer.Option(metavar="NAME", help="What chooses the samples; default: the run's.")
    ] = None,
    reward: Annotated[str | None, typer.Option(metavar="NAME", help="What pays; default: the run's.")] = None,
    selector_opt: Annotated[
        Options, typer.Option("--selector-opt", "-S", help="Option of the selector.", metavar="KEY=VALUE")
    ] = None,
    reward_opt: Annotated[
        Options, typer.Option("--reward-opt", "-R", help="Option of the reward.", metavar="KEY=VALUE")
    ] = None,
) -> None:
    """Say what a run would have trained on with another selector or reward: counts, and overlap with what it did.

    No model and no verifier is needed. Later cycles are those that the run sampled, from the weights that its
    own choice led to. Hook plugins are not asked. Completions that are the same tokens count once; overlap is
    what both chose over what either did. Among equal rewards chance decides.
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
        _assign(raw, key, options, flag)
        _hold(raw, key, name, options)
    config = read_config(raw)
    pay, choose = _at_cycles(config, "reward"), _at_cycles(config, "selector")
    found = select_again(ledger, lambda cycle: (pay(cycle), choose(cycle)), seed=config.seed)
    head = (
        "cycle",
        "samples",
        "reward",
        "chosen then",
        "chosen now",
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
    typer.echo(table([head, *rows], left=0))


def _hold(raw: dict[str, Any], kind: str, name: str | None, options: Options) -> None:
    """What was asked for holds in every cycle, whatever the run had in each."""
    changing = raw.get("per_cycle", {}).get(kind, {})
    for option in list(changing) if name else [text.partition("=")[0] for text in options or ()]:
        changing.pop(option, None)


def _at_cycles(config: RunConfig, kind: str) -> Callable[[int], Any]:
    """Return what gives the driver of `kind` as it is in a cycle; no other driver of the run need be installed."""
    from halo_core.config.kinds import KINDS
    from halo_core.config.options import build
    from halo_core.plugin.discovery import check_class, load

    spec = getattr(config, kind)
    made = check_class(load(kind, spec.name), KINDS[kind].load_interface())

    def at(cycle: int) -> Any:
        changes = {
            option: values[min(cycle, len(values)) - 1]
            for option, values in config.per_cycle.get(kind, {}).items()
        }
        return build(made, {**spec.options, **changes}, where=f"{kind} {spec.name!r}")

    return at


def _assign(raw: dict[str, Any], path: str, options: Options, flag: str) -> None:
    from halo_core.config.layers import assign
    from halo_core.config.options import parse_assignments

    for key, value in parse_assignments(options or (), flag=flag).items():
        assign(raw, f"{path}.{key}", value)
