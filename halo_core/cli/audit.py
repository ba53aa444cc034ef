"""`halo audit`: test a verifier before training with its verdicts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.flags import takes_verifiers
from halo_core.tables import count

if TYPE_CHECKING:
    from halo_core.progress import Progress
    from halo_core.types import Prompt
    from halo_core.verification.audit import Audit, Bounds, Finding
    from halo_core.verification.verifiers import VerifierSet

LIMIT = 50
MUTANTS = 3


def _bound(problem: str) -> Any:
    return typer.Option(min=0.0, max=1.0, metavar="SHARE", help=f"Maximum tolerated rate of {problem}.")


@takes_verifiers
def audit(
    raw: dict[str, Any],
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Maximum prompts, evenly spaced; 0: all.")
    ] = LIMIT,
    mutants: Annotated[
        int, typer.Option(min=0, metavar="N", help="Maximum mutants of each prompt's reference.")
    ] = MUTANTS,
    show: Annotated[int, typer.Option(min=0, metavar="N", help="Maximum findings to print.")] = 10,
    max_false_accepts: Annotated[float, _bound("accepted wrong answers, without mutants")] = 0.0,
    max_mutants: Annotated[float, _bound("accepted mutants")] = 0.05,
    max_false_rejects: Annotated[float, _bound("rejected references")] = 0.0,
    max_flaky: Annotated[float, _bound("verdicts that do not repeat")] = 0.0,
    max_no_verdict: Annotated[float, _bound("errors and inconclusive verdicts")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Test a verifier on answers that are known to be right or wrong.

    References must pass. Mutants of them and empty, constant and copied answers must not pass, and the verifier's own
    attacks must not get further than an honest wrong answer. All answers are verified twice, the second time under
    load, and the verdicts must repeat. Without a sandbox that confines them, the attacks are left out. Without --data,
    the prompts of the verifier's demo are used. Exits with 1 if the verifier fails.
    """
    from halo_core.builtin.console import ConsoleReport
    from halo_core.cli.verify import load_all_prompts, load_verifiers
    from halo_core.config.layers import normalise
    from halo_core.config.schema import read_config
    from halo_core.verification.audit import Bounds

    bounds = Bounds(max_false_accepts, max_mutants, max_false_rejects, max_flaky, max_no_verdict)
    config = read_config(normalise(raw))
    verifiers = load_verifiers(config)
    prompts = load_all_prompts(config, verifiers)
    result = run_audit(
        verifiers, prompts, ConsoleReport(quiet=as_json), limit=limit, mutants=mutants, workers=config.workers
    )
    if as_json:
        typer.echo(json.dumps(_as_json(result, bounds), indent=2))
    else:
        typer.echo(audit_table(result, show))
    result.require(bounds)
    if not as_json:
        typer.echo("passed")


def run_audit(
    verifiers: VerifierSet,
    prompts: list[Prompt],
    progress: Progress,
    *,
    limit: int = LIMIT,
    mutants: int = MUTANTS,
    workers: int | None = None,
) -> Audit:
    """Audit `verifiers` on at most `limit` of the prompts; 0: all."""
    from halo_core.verification.audit import audit as audit_verifiers

    size = min(limit, len(prompts)) if limit else len(prompts)
    chosen = [prompts[number * len(prompts) // size] for number in range(size)]
    names = ", ".join(verifiers.by_name)
    progress.note(f"audit    {names}: {size} of {count(len(prompts), 'prompt')}, everything verified twice")
    return audit_verifiers(verifiers, chosen, mutants=mutants, workers=workers, progress=progress)


def audit_table(result: Audit, show: int) -> str:
    """Return the counts and the first `show` findings as text."""
    from halo_core.verification.audit import KINDS

    lines = [
        f"{'':<10}{'cases':>6}  {'false accepts':>13}  {'false rejects':>13}  {'flaky':>5}  {'no verdict':>10}"
    ]
    for kind in KINDS:
        if not result.cases_of(kind):
            continue
        accepts = result.count("false accept", kind) if kind != "reference" else "-"
        rejects = result.count("false reject", kind) if kind == "reference" else "-"
        flaky, missing = result.count("flaky", kind), result.count("no verdict", kind)
        lines.append(
            f"{kind:<10}{result.cases_of(kind):>6}  {accepts:>13}  {rejects:>13}  {flaky:>5}  {missing:>10}"
        )
    if result.unreferenced:
        without = count(result.unreferenced, "prompt")
        lines.append(f"{without} without a reference: no right answer to them was verified")
    if result.left_out:
        lines.append(
            f"{count(result.left_out, 'attack')} left out: no sandbox of tier standard or strong confines them"
        )
    lines += _strength_lines(result, show)
    lines += [line for finding in result.findings[:show] for line in ("", *_finding_lines(finding))]
    if len(result.findings) > show:
        lines.append(f"\nand {len(result.findings) - show} more: --show {len(result.findings)}")
    return "\n".join(lines)


def _strength_lines(result: Audit, show: int) -> list[str]:
    """Return how many mutants are told apart by all prompts, and by each of the `show` weakest."""
    if not result.strengths:
        return []
    found, tried = (
        sum(getattr(each, name) for each in result.strengths) for name in ("told_apart", "mutants")
    )
    lines = [
        f"{found} of {tried} mutants of the references are told apart by the prompts' own checks; the weakest prompts:"
    ]
    lines += [f"    {each.prompt}: {each.told_apart} of {each.mutants}" for each in result.strengths[:show]]
    return lines


def _finding_lines(finding: Finding) -> list[str]:
    case = finding.case
    verdicts = (
        [finding.first] if finding.first.stage is finding.second.stage else [finding.first, finding.second]
    )
    outcome = ", then ".join(f"{v.status.value}/{v.stage.value}" for v in verdicts)
    detail = finding.first.detail.partition("\n")[0]
    text = [f"    {line}" for line in case.text.splitlines()[:12]]
    return [f"{finding.problem}: {case.kind} {case.name}: {outcome}: {detail}", *text]


def _as_json(result: Audit, bounds: Bounds) -> dict[str, Any]:
    from dataclasses import asdict

    from halo_core.verification.audit import KINDS, PROBLEMS

    return {
        "passed": not result.failures(bounds),
        "failures": result.failures(bounds),
        "unreferenced": result.unreferenced,
        "attacks_left_out": result.left_out,
        "strengths": [asdict(each) for each in result.strengths],
        "kinds": {
            kind: {
                "cases": result.cases_of(kind),
                **{problem: result.count(problem, kind) for problem in PROBLEMS},
            }
            for kind in KINDS
        },
        "findings": [
            {
                "problem": finding.problem,
                "kind": finding.case.kind,
                "name": finding.case.name,
                "prompt": finding.case.prompt.id,
                "text": finding.case.text,
                "verdicts": [asdict(finding.first), asdict(finding.second)],
            }
            for finding in result.findings
        ],
    }
