"""`halo lr`: learning rates without a run. What a policy would give, several side by side, where to start."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from halo_core.lr.dryrun import Course, Schedule

lr_app = typer.Typer(
    help="Calculate learning rates: of a policy, of several, to start from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Cycles = Annotated[
    int | None, typer.Option("--cycles", "-n", min=1, help="How many; default those of --run, else 8.")
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
Recorded = Annotated[
    Path | None, typer.Option("--run", help="Take what this run measured instead of assuming anything.")
]
Plot = Annotated[bool, typer.Option("--plot", help="Draw the rates as text.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write a .csv, .json, .yaml, .png or .svg file, too.")
]
_CYCLES = 8
"""As many as the run had in which a decline was reported."""


@lr_app.command()
def show(
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
    run: Recorded = None,
    plot: Plot = False,
    output: Output = None,
) -> None:
    """Show the rate of each cycle that a policy would give, without a run.

    A policy that reacts to measurements is shown assumed ones, or with --run those of another run.
    """
    import yaml

    from halo_core.lr import spell
    from halo_core.lr.dryrun import DEFAULT_LR, dry_run
    from halo_core.lr.output import chart, one, plain

    name, options, planned = _configured(config, lr_policy, lr_opt or [])
    course = _course(cycles or (None if run else planned), passed, steps, heldout_samples, run)
    schedule = dry_run(name, options, course, cycles=cycles)
    typer.echo(f"{one(schedule, course)}\n")
    typer.echo(
        f"summed rate: {schedule.relative(DEFAULT_LR):.2f} of that of a constant {spell(DEFAULT_LR)} in as many steps"
    )
    _footer([schedule], course, DEFAULT_LR, chart if plot else None, output)
    written = plain([schedule], course, DEFAULT_LR)["policies"][0]["options"]
    block = {"lr_policy": {"name": name, **written}, "cycles": len(schedule.rates)}
    typer.echo(f"\n{yaml.safe_dump(block, sort_keys=False, allow_unicode=True)}", nl=False)


@lr_app.command()
def compare(
    policies: Annotated[
        list[str] | None,
        typer.Argument(
            help='Policies, options after the name: "exponential decay=0.7". Default: all installed.'
        ),
    ] = None,
    lr_opt: Annotated[
        list[str] | None,
        typer.Option("--lr-opt", "-L", metavar="KEY=VALUE", help="Option of every policy that has it."),
    ] = None,
    cycles: Cycles = None,
    passed: Passed = None,
    steps: Steps = None,
    heldout_samples: Heldout = None,
    run: Recorded = None,
    plot: Plot = False,
    output: Output = None,
) -> None:
    """Show several policies side by side: rates, and summed rates relative to a constant one.

    The sum is of learning rate x optimizer steps. A policy that lowers the rate also spends less, so a
    difference between two policies may be one of budget. All are shown the same measurements.
    """
    from halo_core.lr import spell
    from halo_core.lr.dryrun import DEFAULT_LR
    from halo_core.lr.output import chart, side_by_side
    from halo_core.options import parse_assignments

    shared = parse_assignments(lr_opt or [], flag="-L")
    course = _course(cycles, passed, steps, heldout_samples, run)
    schedules, left_out = _schedules(policies or [], shared, course, cycles)
    base_lr = float(shared.get("base_lr", DEFAULT_LR))
    typer.echo(f"{side_by_side(schedules, course, base_lr)}\n")
    typer.echo(f"sum: learning rate x optimizer steps; relative: to that of a constant {spell(base_lr)}")
    _footer(schedules, course, base_lr, chart if plot else None, output)
    for reason in left_out:
        typer.echo(f"left out: {reason}", err=True)


@lr_app.command()
def recommend(
    method: Annotated[
        str | None, typer.Argument(help="sft, raft, dpo, grpo or ppo; default: a table of all.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train every weight instead of a LoRA adapter.")
    ] = False,
    size: Annotated[str | None, typer.Option(help="Parameters of the model, as 7B or 350M.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences per optimizer step.")] = 32,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapter.")] = 16,
    alpha: Annotated[float, typer.Option(min=0.001, help="Alpha of the adapter.")] = 32.0,
    samples: Annotated[int | None, typer.Option(min=1, help="Sequences to train on in a cycle.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Recommend a learning rate to start from, with range, confidence and sources.

    Says where published practice and the notes that halo grew out of disagree. A starting point for trying
    three rates or more, not an answer.
    """
    from halo_core.lr.output import advice, overview
    from halo_core.lr.recommend import METHODS, read_size, recommend

    found = [
        recommend(
            each,
            full=whole,
            size=read_size(size) if size else None,
            batch=batch,
            rank=rank,
            alpha=alpha,
            samples=samples,
            epochs=epochs,
        )
        for each in ([method] if method else METHODS)
        for whole in ([full] if method else [True, False])
    ]
    if as_json:
        rows = [asdict(each) | {"lr_sum": each.lr_sum} for each in found]
        typer.echo(json.dumps(rows[0] if method else rows, indent=2))
    elif method:
        typer.echo(advice(found[0]))
    else:
        typer.echo(overview(found))


def _configured(config: Path | None, name: str | None, options: Sequence[str]) -> tuple[str, Any, int | None]:
    """Return the policy's name and options and the number of cycles, the flags laid over the file."""
    from halo_core.config import assign, load_yaml, read_config
    from halo_core.options import parse_assignments

    raw = load_yaml(config) if config else {}
    if name:
        assign(raw, "lr_policy", name)
    for key, value in parse_assignments(options, flag="-L").items():
        assign(raw, f"lr_policy.{key}", value)
    ours: dict[str, Any] = {key: raw[key] for key in ("lr_policy", "cycles") if key in raw}
    read = read_config({"verifier": ["any"]} | ours, where=str(config or "configuration"))
    return read.lr_policy.name, read.lr_policy.options, read.cycles if config else None


def _course(
    cycles: int | None, passed: str | None, steps: str | None, heldout: int | None, run: Path | None
) -> Course:
    from halo_core.errors import ConfigError
    from halo_core.lr.dryrun import HELDOUT, assumed, recorded

    if run is None:
        shares = _numbers(passed, float, "--passed", "shares between 0 and 1", 0, 1)
        counts = _numbers(steps, int, "--steps", "positive numbers of steps", 1, 10**9)
        return assumed(cycles or _CYCLES, passed=shares, steps=counts, heldout=heldout or HELDOUT)
    if passed or steps or heldout:
        raise ConfigError("--run says what was measured; --passed, --steps and --heldout-samples assume it")
    return recorded(run)


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
    texts: Sequence[str], shared: dict[str, Any], course: Course, cycles: int | None
) -> tuple[list[Schedule], list[str]]:
    """Run the policies that `texts` name, or all that are installed; say why some of those were left out."""
    from halo_core.discovery import available
    from halo_core.errors import ConfigError, HaloError
    from halo_core.lr.dryrun import dry_run, read_policy, takes

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
            common = {key: value for key, value in shared.items() if takes(name, key)}
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


def _footer(
    schedules: Sequence[Schedule],
    course: Course,
    base_lr: float,
    chart: Callable[[Sequence[Schedule]], str] | None,
    output: Path | None,
) -> None:
    from halo_core.lr.output import save

    typer.echo(textwrap.fill(f"measurements: {course.origin}", 110))
    if chart:
        typer.echo(f"\n{chart(schedules)}")
    if output:
        save(output, schedules, course, base_lr)
        typer.echo(f"wrote {output}")
