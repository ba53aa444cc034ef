"""`halo audit`: is a verifier fit to be trained on?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.flags import takes_verifiers

if TYPE_CHECKING:
    from halo_core.progress import Progress
    from halo_core.types import Prompt
    from halo_core.verification.audit import Audit, Bounds, Finding
    from halo_core.verification.verifiers import VerifierSet

LIMIT = 50
MUTANTS = 3
Share = typer.Option(min=0.0, max=1.0)


@takes_verifiers
def audit(
    raw: dict[str, Any],
    limit: Annotated[int, typer.Option(min=0, help="Prompts to try, taken from all over; 0: all.")] = LIMIT,
    mutants: Annotated[
        int, typer.Option(min=0, help="Mutants of each prompt's reference at most.")
    ] = MUTANTS,
    show: Annotated[int, typer.Option(min=0, help="Offending cases to print.")] = 10,
    max_false_accepts: Annotated[float, Share] = 0.0,
    max_mutants: Annotated[float, Share] = 0.05,
    max_false_rejects: Annotated[float, Share] = 0.0,
    max_flaky: Annotated[float, Share] = 0.0,
    max_no_verdict: Annotated[float, Share] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Try a verifier on answers that are known to be right or wrong, twice; exit 1 when it errs.

    References must pass; mutants of them, empty, constant and copied answers must not, nor may the verifier's
    own collection of attacks get further than an honest wrong answer would. The second time everything is
    judged under load, and the verdicts must be the same. Without --data, the verifier's demo is tried.
    """
    from halo_core.builtin.console import ConsoleReport
    from halo_core.cli.verify import prompts_of, verifiers_of
    from halo_core.config.layers import normalise
    from halo_core.config.schema import read_config
    from halo_core.verification.audit import Bounds

    bounds = Bounds(max_false_accepts, max_mutants, max_false_rejects, max_flaky, max_no_verdict)
    config = read_config(normalise(raw))
    verifiers = verifiers_of(config)
    prompts = prompts_of(config, verifiers)
    found = conduct(
        verifiers, prompts, ConsoleReport(quiet=as_json), limit=limit, mutants=mutants, workers=config.workers
    )
    if as_json:
        typer.echo(json.dumps(_plain(found, bounds), indent=2))
    else:
        typer.echo(table(found, show))
    found.require(bounds)
    if not as_json:
        typer.echo("passed")


def conduct(
    verifiers: VerifierSet,
    prompts: list[Prompt],
    progress: Progress,
    *,
    limit: int = LIMIT,
    mutants: int = MUTANTS,
    workers: int | None = None,
) -> Audit:
    """Audit `verifiers` on at most `limit` of the prompts."""
    from halo_core.verification.audit import audit

    count = min(limit, len(prompts)) if limit else len(prompts)
    chosen = [prompts[number * len(prompts) // count] for number in range(count)]
    progress.note(
        f"audit    {', '.join(verifiers.by_name)}: {len(chosen)} of {len(prompts)} prompts, everything judged twice"
    )
    return audit(verifiers, chosen, mutants=mutants, workers=workers, progress=progress)


def table(found: Audit, show: int) -> str:
    """Return the counts, and the first `show` offending cases, for people."""
    from halo_core.verification.audit import KINDS

    lines = [
        f"{'':<10}{'cases':>6}  {'false accepts':>13}  {'false rejects':>13}  {'flaky':>5}  {'no verdict':>10}"
    ]
    for kind in KINDS:
        if not found.of(kind):
            continue
        accepts = found.count("false accept", kind) if kind != "reference" else "-"
        rejects = found.count("false reject", kind) if kind == "reference" else "-"
        flaky, none = found.count("flaky", kind), found.count("no verdict", kind)
        lines.append(f"{kind:<10}{found.of(kind):>6}  {accepts:>13}  {rejects:>13}  {flaky:>5}  {none:>10}")
    if found.unreferenced:
        lines.append(f"{found.unreferenced} prompts hold no reference: what is right was not tried on them")
    lines += [line for finding in found.findings[:show] for line in ("", *_told(finding))]
    if len(found.findings) > show:
        lines.append(f"\nand {len(found.findings) - show} more: --show {len(found.findings)}")
    return "\n".join(lines)


def _told(finding: Finding) -> list[str]:
    case = finding.case
    verdicts = (
        [finding.first] if finding.first.stage is finding.second.stage else [finding.first, finding.second]
    )
    said = ", then ".join(f"{v.status.value}/{v.stage.value}" for v in verdicts)
    detail = finding.first.detail.partition("\n")[0]
    text = [f"    {line}" for line in case.text.splitlines()[:12]]
    return [f"{finding.problem}: {case.kind} {case.name}: {said}: {detail}", *text]


def _plain(found: Audit, bounds: Bounds) -> dict[str, Any]:
    from dataclasses import asdict

    from halo_core.verification.audit import KINDS, PROBLEMS

    return {
        "passed": not found.failures(bounds),
        "failures": found.failures(bounds),
        "unreferenced": found.unreferenced,
        "kinds": {
            kind: {"cases": found.of(kind), **{problem: found.count(problem, kind) for problem in PROBLEMS}}
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
            for finding in found.findings
        ],
    }
