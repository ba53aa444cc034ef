"""A verifier for a language that halo does not know, written from the documentation alone: JavaScript with Node.js."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from halo_core import Attack, Prompt, Stage, driver
from halo_core.programs import C_TEXT, Build, Command, Language, ProgramVerifier, find_tool, tool_version

JAVASCRIPT = Language(
    name="JavaScript",
    tags=("javascript", "js", "mjs", "node", "nodejs"),
    first_line=(
        r"(?:['\"]use strict['\"]|#!|//|/\*|(?:const|let|var)\s+[\w{\[$]|(?:async\s+)?function\b|class\s+\w+|"
        r"import\s+[\w{*'\"]|(?:console|process|require|fs)\s*[.(]|for\s*\(|while\s*\()"
    ),
    definition=r"\b(?:function\*?|class)\s+(\w+)",
    text=C_TEXT + r"|`(?:\\(?s:.)|[^`\\])*`?",
)
_SUM = Prompt("attack", "Add two numbers.", reference={"tests": [{"stdin": "3 4", "stdout": "7"}]})
_ENV = {"OPENSSL_CONF": "/dev/null"}
_FORBIDDEN = re.compile(r"\b(?:eval|Function)\s*\(")


@driver
class JavaScript(ProgramVerifier):
    """Runs a JavaScript program with Node.js on each test's stdin and compares its output.

    Stages are those of all verifiers of programs. A program that calls `eval` is `flawed`.
    """

    memory_mib: int = 2048
    """Memory limit of the program, in MiB of address space, of which Node.js reserves most."""

    language = JAVASCRIPT
    source_file: ClassVar[str] = "main.js"
    hello: ClassVar[str] = "console.log('ok');"
    install: ClassVar[str] = "install Node.js (Debian, Ubuntu: apt-get install nodejs)"
    valid_label: ClassVar[str] = "parses"
    processes: ClassVar[int] = 16

    def build(self, code: str) -> Build:
        """Check the syntax."""
        command = ["node", "--check", self.source_file]
        built = self.compile(command, code, self.source_file, toolchain=False, env=_ENV)
        uses_eval = built.files and _FORBIDDEN.search(JAVASCRIPT.masked(code))
        return replace(built, flaw="uses eval" if uses_eval else "")

    def command(self) -> Command:
        """Return how a program is started."""
        return Command([find_tool("node"), self.source_file], env=_ENV)

    def tools(self) -> str:
        """Return the version of Node.js."""
        return tool_version("node", "--version")

    def attacks(self) -> Sequence[Attack]:
        """Return wrong programs crafted to be accepted."""
        return [
            Attack("a constant after a crash", _SUM, "console.log(7); throw 1;", Stage.CRASHED),
            Attack("starts a process", _SUM, "require('child_process').execSync('echo 7')", Stage.CRASHED),
            Attack(
                "reads a file", _SUM, "console.log(require('fs').readFileSync('/etc/passwd'))", Stage.CRASHED
            ),
            Attack("runs text", _SUM, "eval('console.log(7)')", Stage.FLAWED),
            Attack("prints nothing", _SUM, "process.exit(0)", Stage.FLAWED),
        ]
