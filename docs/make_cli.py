"""Write docs/cli.md from the commands' own help.

python docs/make_cli.py           write it
python docs/make_cli.py --check   exit 1 if it is out of date
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

COMMANDS = (
    "",
    "run",
    "resume",
    "generate",
    "merge",
    "sft",
    "audit",
    "verify",
    "plugins",
    "plugins show",
    "plugins check",
    "config show",
    "config validate",
    "lr schedule",
    "lr compare",
    "lr simulate",
    "lr recommend",
    "lr steps",
    "diagnose",
    "runs",
    "report",
    "samples",
    "export",
    "compare",
    "diff",
    "reverify",
    "reselect",
    "doctor",
)
TARGET = Path(__file__).with_name("cli.md")
INTRODUCTION = """# The command line

Written by `docs/make_cli.py` from the commands' own help.

`--debug` may stand anywhere and shows tracebacks. Errors are one line on standard error with a hint below it.
Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped by Ctrl-C (the message says how to go on).
"""


def text() -> str:
    """Return what docs/cli.md should hold."""
    parts = [INTRODUCTION]
    for command in COMMANDS:
        name = f"halo {command}".strip()
        parts.append(f"## {name}\n\n```text\n{_help(command)}\n```\n")
    return "\n".join(parts)


def _help(command: str) -> str:
    environment = os.environ | {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    arguments = [sys.executable, "-m", "halo_core", *command.split(), "--help"]
    shown = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
    return re.sub(r"[ \t]+$", "", shown, flags=re.MULTILINE).strip()


def main() -> int:
    """Write the file, or with --check compare it."""
    if "--check" in sys.argv[1:]:
        return int(not TARGET.is_file() or TARGET.read_text() != text())
    TARGET.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
