"""Make the pictures of the README and the quickstart, from the code and from a real run.

    python docs/make_pictures.py                    run the demo first, which takes some minutes
    python docs/make_pictures.py RUN                use this finished run
    python docs/make_pictures.py --real RUN RUN RUN
                                                    only real.svg, from the finished runs of `make real`

loop.svg      the steps of the loop with their flags and default drivers
curve.svg     the held-out rates of the run by cycle
report.png    the top of the run's report, photographed by Chromium
real.svg      the held-out rates of the runs of `make real` by cycle
"""

from __future__ import annotations

import argparse
import html
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from halo_core.config.kinds import KINDS
from halo_core.ledger.ledger import open_run
from halo_core.ledger.summary import summarise
from halo_core.report import write_report
from halo_core.report.charts import comparison
from halo_core.verification.verifiers import VerifierSet

PICTURES = Path(__file__).with_name("pictures")
DEMO = ("--verifier", "gcc", "--lr-policy", "exponential")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
REAL = ("Python functions", "word problems", "tool calls")
"""The runs of `make real`, in its order."""
STEPS = ("generate", "verify", "reward", "select", "train")
"""The hooks that a cycle calls one after the other."""
_DETAILS = {
    "generate": "N completions a prompt",
    "verify": "compile, run tests",
    "reward": "0 to 1",
    "select": "the best of each prompt",
    "train": "LoRA on the selected",
}
_BOX, _GAP, _TOP, _HEIGHT = 168, 26, 86, 92


def loop() -> str:
    """Return the drawing of the loop as SVG; the flags and the drivers are those of `KINDS`."""
    width = len(STEPS) * (_BOX + _GAP) + 2 * _GAP + _BOX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 268" font-family="system-ui, sans-serif" '
        'font-size="13" role="img" aria-label="The loop: generate, verify, reward, select, train, measure">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="268" rx="10"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" class="tip"/></marker></defs>',
    ]
    for number, hook in enumerate(STEPS):
        parts += _box(_GAP + number * (_BOX + _GAP), hook, _DETAILS[hook], *_driver(hook))
    last = _GAP + len(STEPS) * (_BOX + _GAP)
    parts += _box(last, "measure", "held-out prompts", "pass rate with interval", "")
    for number in range(len(STEPS)):
        x, y = _GAP + number * (_BOX + _GAP) + _BOX, _TOP + _HEIGHT // 2
        parts.append(f'<path class="line" d="M{x} {y}H{x + _GAP - 2}"/>')
    train = _GAP + STEPS.index("train") * (_BOX + _GAP) + _BOX // 2
    flag, name = _driver("lr_for_cycle")
    parts.append(f'<text x="{train}" y="26" text-anchor="middle" class="hook">lr_for_cycle</text>')
    parts.append(f'<text x="{train}" y="45" text-anchor="middle" class="soft">{flag} {name}</text>')
    parts.append(f'<path class="line" d="M{train} 52V{_TOP - 2}"/>')
    below, start = _TOP + _HEIGHT, _GAP + _BOX // 2
    end, middle = last + _BOX // 2, (last + _BOX + _GAP) // 2
    parts.append(f'<path class="line" d="M{end} {below}V226H{start}V{below + 2}"/>')
    parts.append(f'<text x="{middle}" y="219" text-anchor="middle" class="soft">next cycle: on_cycle_end, a row of the '
                 "table, the report, your plugins</text>")  # fmt: skip
    parts.append(f'<text x="{middle}" y="250" text-anchor="middle" class="soft">every step is a hook; while batch k is '
                 "verified, batch k + 1 is sampled</text>")  # fmt: skip
    return "\n".join([*parts, "</svg>\n"])


def _box(x: int, *lines: str) -> Iterator[str]:
    yield f'<rect class="box" x="{x}" y="{_TOP}" width="{_BOX}" height="{_HEIGHT}" rx="8"/>'
    for number, (line, kind) in enumerate(zip(lines, ("hook", "", "soft", "soft"), strict=True)):
        y = _TOP + 24 + 20 * number
        yield f'<text x="{x + _BOX // 2}" y="{y}" text-anchor="middle" class="{kind}">{html.escape(line)}</text>'


def _driver(hook: str) -> tuple[str, str]:
    """Return the flag of the driver behind a hook, and the default, or that of the demo if there is none."""
    kind = next(kind for kind in KINDS.values() if kind.hook == hook)
    flag = f"--{kind.name.replace('_', '-')}"
    return flag, DEMO[DEMO.index(flag) + 1] if flag in DEMO else kind.default


def curves(runs: Mapping[str, Path]) -> bytes:
    """Return the learning curves of runs, by the names that the legend gives them, as SVG."""
    found = [replace(summarise(open_run(run)), directory=Path(name)) for name, run in runs.items()]
    return comparison(found, "svg")


def photograph(run: Path, target: Path, *, width: int = 1100, height: int = 1250) -> None:
    """Write a picture of the top of the run's report. Raises a `SystemExit` if there is no Chromium."""
    from PIL import Image

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("Chromium is not installed: apt-get install chromium, or make servers")
    ledger = open_run(run)
    with tempfile.TemporaryDirectory() as directory:
        page, shot = Path(directory, "report.html"), Path(directory, "shot.png")
        write_report(ledger, page, extract=VerifierSet.of_run(ledger.config(), ledger.plugins()).extracted)
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
        ]
        flags += [f"--user-data-dir={directory}/profile", f"--window-size={width},{height}"]
        subprocess.run(
            [browser, *flags, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True
        )
        image = Image.open(shot).convert("RGB").quantize(64)
        image.save(target, optimize=True)


def main() -> None:
    """Make the pictures that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--real", type=Path, nargs=len(REAL))
    arguments = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    if arguments.real:
        (PICTURES / "real.svg").write_bytes(curves(dict(zip(REAL, arguments.real, strict=True))))
        return
    (PICTURES / "loop.svg").write_text(loop())
    with tempfile.TemporaryDirectory() as directory:
        run = arguments.run or Path(directory, "gcc-exponential-1")
        if not arguments.run:
            subprocess.run([sys.executable, "-m", "halo_core", "run", *DEMO, "-o", str(run)], check=True)
        (PICTURES / "curve.svg").write_bytes(curves({"halo run --verifier gcc --lr-policy exponential": run}))
        photograph(run, PICTURES / "report.png")


_STYLE = """
.page { fill: #ffffff; } .box { fill: #f3f6fb; stroke: #9aa9c0; } text { fill: #1d2530; }
.soft { fill: #5a6676; font-size: 12px; } .hook { font-weight: 700; font-family: ui-monospace, monospace; }
.line { fill: none; stroke: #5a6676; stroke-width: 1.5; marker-end: url(#tip); } .tip { fill: #5a6676; }
@media (prefers-color-scheme: dark) {
.page { fill: #11161d; } .box { fill: #1b2430; stroke: #52637a; } text { fill: #e4eaf2; } .soft { fill: #9fadbf; }
.line { stroke: #9fadbf; } .tip { fill: #9fadbf; }
}
"""

if __name__ == "__main__":
    main()
