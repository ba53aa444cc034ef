"""`halo lr`: learning rates without a run. What one policy gives, several side by side or on a run's history."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_lr_policies.lr_command.start import recommend, steps

if TYPE_CHECKING:
    from halo_lr_policies.lr_command.dry_run import Course, Schedule

app = typer.Typer(
    help="Calculate learning rates: of a policy, of several, to start from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command()(recommend)
app.command()(steps)

Policies = Annotated[
    list[str] | None,
    typer.Argument(help='Policies, options after the name: "exponential decay=0.7". Default: all installed.'),
]
Shared = Annotated[
    list[str] | None,
    typer.Option("--lr-opt", "-L", metavar="KEY=VALUE", help="Option of every policy that has it."),
]
Cycles = Annotated[
    int | None, typer.Option("--cycles", "-n", min=1, help="How many; default those of --config, else 8.")
]
Passed = Annotated[
    str | None,
    typer.Option(help="Assume that these shares pass after cycles 0, 1, ...: 0.3,0.4,0.5. The last is held."),
]
Steps = Annotated[
    str | None,
    typer.Option(help="Assume so many optimizer steps in cycles 1, 2, ...: 16,20,22. The last is held."),
]
Heldout = Annotated[
    int | None, typer.Option(min=1, help="Assume so many held-out completions a cycle; default 512.")
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.png|svg", help="Draw the rates into a picture.")
]
Chart = Annotated[bool, typer.Option("--chart", help="Draw the rates here, as text.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write a .csv, .json or .yaml file, too.")
]
_CYCLES = 8
"""As many as the run had in which a decline was reported."""


@app.command()
def schedule(
    lr_policy: Annotated[str | None, typer.Option(help="Policy, by name or as ./file.py:Class.")] = None,
    lr_opt: Annotated[
        list[str] | None, typer.Option("--lr-opt", "-L", metavar="KEY=VALUE", help="Option of the policy.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file to take policy and cycles from.")
    ] = None,
    cycles: Cycles = None,
    passed: Passed = None,
    steps: Steps = None,
    heldout_samples: Heldout = None,
    plot: Plot = None,
    chart: Chart = False,
    output: Output = None,
) -> None:
    """Print the rate that a policy gives each cycle, and the policy as a configuration has it.

    A policy that reacts to measurements is shown assumed ones.
    """
    import yaml

    from halo_lr_policies.lr_command.dry_run import DEFAULT_LR, constant, dry_run
    from halo_lr_policies.lr_command.output import one, plain

    name, options, planned = _configured(config, lr_policy, lr_opt or [])
    course = _course(cycles or planned, passed, steps, heldout_samples)
    found = dry_run(name, options, course, cycles=cycles)
    baseline = constant(DEFAULT_LR, course)
    typer.echo(f"{one(found, course)}\n")
    typer.echo(f"summed rate: {found.relative(baseline):.2f} of that of a {baseline.label} in as many steps")
    _footer([found], course, baseline, plot, chart, output)
    written = plain([found], course, baseline)["policies"][0]["options"]
    block = {"lr_policy": {"name": name, **written}, "cycles": len(found.rates)}
    typer.echo(f"\n{yaml.safe_dump(block, sort_keys=False, allow_unicode=True)}", nl=False)


@app.command()
def compare(
    policies: Policies = None,
    lr_opt: Shared = None,
    cycles: Annotated[int | None, typer.Option("--cycles", "-n", min=1, help="How many; default 8.")] = None,
    passed: Passed = None,
    steps: Steps = None,
    heldout_samples: Heldout = None,
    plot: Plot = None,
    chart: Chart = False,
    output: Output = None,
) -> None:
    """Show several policies side by side: rates, and summed rates relative to a constant one.

    The sum is of learning rate x optimizer steps. A policy that lowers the rate also spends less, so a
    difference between two policies may be one of budget. All are shown the same measurements, assumed ones;
    those of a run are for simulate.
    """
    from halo_core.config.options import parse_assignments
    from halo_lr_policies.lr_command.dry_run import DEFAULT_LR, constant

    shared = parse_assignments(lr_opt or [], flag="-L")
    course = _course(cycles, passed, steps, heldout_samples)
    schedules, left_out = _schedules(policies or [], shared, course, cycles)
    baseline = constant(float(shared.get("base_lr", DEFAULT_LR)), course)
    _side_by_side(schedules, course, baseline, plot, chart, output)
    for reason in left_out:
        typer.echo(f"left out: {reason}", err=True)


@app.command()
def simulate(
    run: Annotated[Path, typer.Argument(help="A run directory with finished cycles.")],
    policies: Policies = None,
    lr_opt: Shared = None,
    cycles: Annotated[
        int | None, typer.Option("--cycles", "-n", min=1, help="Only the first so many; default: all.")
    ] = None,
    plot: Plot = None,
    chart: Chart = False,
    output: Output = None,
) -> None:
    """Replay policies against what a run measured, without a GPU: what each would have chosen, cycle by cycle.

    Summed rates are relative to those that the run was trained with, for the steps that it took. A policy
    that has `base_lr`, and is not told another, begins with the run's own rate of cycle 1. What would have
    become of the run at other rates is not known.
    """
    from halo_core.config.options import parse_assignments
    from halo_lr_policies.lr_command.dry_run import as_trained, recorded

    course = recorded(run)
    shared = parse_assignments(lr_opt or [], flag="-L")
    schedules, left_out = _schedules(
        policies or [], shared, course, cycles, assumed={"base_lr": course.reports[1].lr}
    )
    trained = as_trained(course, cycles=cycles)
    _side_by_side([trained, *schedules], course, trained, plot, chart, output)
    for reason in left_out:
        typer.echo(f"left out: {reason}", err=True)


def _configured(config: Path | None, name: str | None, options: Sequence[str]) -> tuple[str, Any, int | None]:
    """Return the policy's name and options and the number of cycles, the flags laid over the file."""
    from halo_core.config.layers import assign, load_yaml
    from halo_core.config.options import parse_assignments
    from halo_core.config.schema import read_config

    raw = load_yaml(config) if config else {}
    if name:
        assign(raw, "lr_policy", name)
    for key, value in parse_assignments(options, flag="-L").items():
        assign(raw, f"lr_policy.{key}", value)
    ours: dict[str, Any] = {key: raw[key] for key in ("lr_policy", "cycles") if key in raw}
    read = read_config({"verifier": ["any"]} | ours, where=str(config or "configuration"))
    policy = read.spec("lr_policy")
    return policy.name, policy.options, read.cycles if config else None


def _course(cycles: int | None, passed: str | None, steps: str | None, heldout: int | None) -> Course:
    from halo_lr_policies.lr_command.dry_run import HELDOUT, assumed

    shares = _numbers(passed, float, "--passed", "shares between 0 and 1", 0, 1)
    counts = _numbers(steps, int, "--steps", "positive numbers of steps", 1, 10**9)
    return assumed(cycles or _CYCLES, passed=shares, steps=counts, heldout=heldout or HELDOUT)


def _numbers(
    text: str | None, kind: Callable[[str], Any], flag: str, wanted: str, low: float, high: float
) -> list[Any]:
    from halo_core.errors import ConfigError

    if text is None:
        return []
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(low <= number <= high for number in numbers):
        raise ConfigError(f"{flag} {text!r}: {wanted} are wanted, with commas between them")
    return numbers


def _schedules(
    texts: Sequence[str],
    shared: Mapping[str, Any],
    course: Course,
    cycles: int | None,
    *,
    assumed: Mapping[str, Any] | None = None,
) -> tuple[list[Schedule], list[str]]:
    """Run the policies that `texts` name, or all that are installed; say why some of those were left out.

    Those that have one of the options in `shared` get it, and failing that those in `assumed`.
    """
    from halo_core.errors import ConfigError, HaloError
    from halo_core.plugin.discovery import available
    from halo_lr_policies.lr_command.dry_run import dry_run, read_policy, takes

    sources = [] if texts else sorted(available("lr_policy"), key=lambda source: source.name != "constant")
    names = [source.name for source in sources]
    wanted = list(texts) or [
        source.name if names.count(source.name) == 1 else f"{source.distribution}:{source.name}"
        for source in sources
    ]
    used: set[str] = set()
    schedules, left_out = [], []
    for text in wanted:
        try:
            name, options = read_policy(text)
            common = {key: value for key, value in {**(assumed or {}), **shared}.items() if takes(name, key)}
            schedules.append(dry_run(name, {**common, **options}, course, cycles=cycles, label=text))
            used |= common.keys()
        except HaloError as error:
            if texts:
                raise
            left_out.append(f"{text}: {error}")
    if not schedules:
        raise ConfigError("no LR policy can be shown", hint="pip install halo-lr-policies")
    for key in shared.keys() - used:
        raise ConfigError(f"-L {key}: none of these policies has that option")
    return schedules, left_out


def _side_by_side(
    schedules: Sequence[Schedule],
    course: Course,
    baseline: Schedule,
    plot: Path | None,
    chart: bool,
    output: Path | None,
) -> None:
    from halo_lr_policies.lr_command.output import side_by_side

    typer.echo(f"{side_by_side(schedules, course, baseline)}\n")
    what = "the rates it was trained with" if baseline in schedules else f"a {baseline.label}"
    typer.echo(f"sum: learning rate x optimizer steps; relative: to that of {what}")
    _footer(schedules, course, baseline, plot, chart, output)


def _footer(
    schedules: Sequence[Schedule],
    course: Course,
    baseline: Schedule,
    plot: Path | None,
    chart: bool,
    output: Path | None,
) -> None:
    from halo_lr_policies.lr_command import output as out

    typer.echo(textwrap.fill(f"measurements: {course.origin}", 110))
    if chart:
        typer.echo(f"\n{out.chart(schedules)}")
    writers = ((output, out.save), (plot, out.draw))
    for path, write in writers:
        if path:
            write(path, schedules, course, baseline)
            typer.echo(f"wrote {path}")
