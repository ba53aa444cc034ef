r"""Verifying programs in any language: find the program in a completion, build it, run it on tests.

    from halo_core import programs

    LUA = programs.Language("Lua", ("lua",), first_line=r"(?:local|function|for|while|io\.|print\()", code=r"\bend\b")
    code = programs.extract(answer, LUA)

`ProgramVerifier` is the whole verifier except for the language; the other names are its parts.
"""

from __future__ import annotations

from halo_core.programs.attacks import read_attacks
from halo_core.programs.building import Build, build, find_tool, tool_version
from halo_core.programs.comparing import same_tokens
from halo_core.programs.extraction import Candidate, candidates, extract
from halo_core.programs.judging import (
    ERROR_LINE,
    Command,
    Result,
    Runner,
    failure,
    first_error,
    interruption,
    judge,
    not_built,
    quoted,
    verdict,
)
from halo_core.programs.languages import C_TEXT, SHELL_TEXT, Language
from halo_core.programs.mutating import mutants
from halo_core.programs.reference import Reference, Test, read_reference
from halo_core.programs.verifier import ProgramVerifier

__all__ = [
    "C_TEXT",
    "ERROR_LINE",
    "SHELL_TEXT",
    "Build",
    "Candidate",
    "Command",
    "Language",
    "ProgramVerifier",
    "Reference",
    "Result",
    "Runner",
    "Test",
    "build",
    "candidates",
    "extract",
    "failure",
    "find_tool",
    "first_error",
    "interruption",
    "judge",
    "mutants",
    "not_built",
    "quoted",
    "read_attacks",
    "read_reference",
    "same_tokens",
    "tool_version",
    "verdict",
]
