"""A language as extraction sees it: its tags, what its programs look like, and what is not code in them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

C_TEXT = r"""//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?"""
"""Comments and literals of languages in the style of C."""
SHELL_TEXT = r"""\#[^\n]*|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?"""
"""Comments and literals of languages whose comments start with `#`."""

_OTHERS = """
asm assembly awk bash bat c c++ cc clojure cmake cmd cpp cs csharp css csv cxx d dart diff dockerfile elixir erlang f#
fortran go golang haskell html ini java javascript js json jsx julia kotlin kt latex log lua make makefile markdown math
md mermaid mjs nasm nim nix node objc objective-c ocaml pascal patch perl php pl powershell ps1 py python python3 r
racket rb rs ruby rust scala scheme sql swift tcl tex toml ts tsx typescript vb verilog xml yaml yml zig
"""
_SHELLS = "c# console fish sh shell shell-session session zsh"
_FOREIGN = frozenset(f"{_OTHERS} {_SHELLS}".split())
_PLAIN = frozenset(
    [
        "algorithm",
        "example",
        "in",
        "input",
        "none",
        "out",
        "output",
        "plain",
        "plaintext",
        "pseudo",
        "pseudocode",
        "result",
        "stderr",
        "stdin",
        "stdout",
        "terminal",
        "text",
        "txt",
    ]
)
_DOTS = r"(?:\.\.\.|…)"
_ELLIPSIS_LINE = re.compile(rf"(?:[{{}};]|^)\s*{_DOTS}\s*(?:[}};]|$)", re.MULTILINE)
_ELLIPSIS_BODY = re.compile(rf"\{{\s*(?:(?://|\#|/\*)[^\n]*{_DOTS}[^\n]*\s*)+\}}")
_SENTENCE = re.compile(r"[^\w\s]*\s*(?:\d+[.)]\s+)?[A-Z]\S*\s.*[.!?:)]\W*$")
_NOT_NEWLINE = re.compile(r"[^\n]")


@dataclass(frozen=True, slots=True)
class Language:
    """How a program of one language is recognized in a completion.

    Patterns are regular expressions of Python's `re`, and must take linear time. Where patterns are not enough,
    subclass it and override methods.
    """

    name: str
    """As people write it: "Rust"."""
    tags: tuple[str, ...]
    """Tags of Markdown fences that name the language, in lower case."""
    first_line: str
    """Matches the beginning of a line, without its indentation, with which a program may start, and no line of
    prose."""
    entry: str = ""
    r"""Found in every whole program, outside comments and literals: `\bfn\s+main\b`. Empty: any code is a program, as
    in scripting languages."""
    definition: str = ""
    r"""Matches a definition, with the name in its only group: `\bfn\s+(\w+)`. A fence that defines something again is
    another version of the program. Empty: fences are never joined."""
    code: str = r"[;{}]"
    """Found in code and hardly in prose, besides the first lines."""
    text: str = C_TEXT
    """Matches a comment or a literal."""

    def is_own(self, tag: str) -> bool:
        """Return True if a fence's `tag` names this language, or a file of it, such as `main.rs`."""
        return tag in self.tags or ("." in tag and tag.rpartition(".")[2] in self.tags)

    def is_foreign(self, tag: str) -> bool:
        """Return True for the tag of another language."""
        return tag in _FOREIGN and not self.is_own(tag)

    def is_plain(self, tag: str) -> bool:
        """Return True for the tag of a text, such as a program's output."""
        return tag in _PLAIN

    def is_known(self, tag: str) -> bool:
        """Return True if `tag` can only be the tag of a fence, and not the start of a sentence."""
        return self.is_own(tag) or self.is_foreign(tag) or self.is_plain(tag)

    def prefers(self, tag: str) -> bool:
        """Return False if a fence with `tag` is less likely to hold the program than one without a tag."""
        return not self.is_plain(tag)

    def starts_program(self, line: str) -> bool:
        """Return True if a program may start with `line`."""
        return bool(_compiled(self.first_line).match(line.lstrip(" \t")))

    def has_code(self, text: str) -> bool:
        """Return True if there is code in `text`."""
        if _compiled(self.code, re.MULTILINE).search(text):
            return True
        return any(self.starts_program(line) for line in text.split("\n"))

    def is_program(self, text: str) -> bool:
        """Return True if `text` holds a whole program, or the main part of one."""
        return bool(_compiled(self.entry).search(self.masked(text))) if self.entry else self.has_code(text)

    def is_other_program(self, text: str) -> bool:
        """Return True if `text` is a program of its own, and so does not complete another one."""
        return bool(self.entry) and self.is_program(text)

    def is_excerpt(self, text: str, *, entry_only: bool = False) -> bool:
        """Return True if dots stand for code that was left out; with `entry_only`, of the entry point."""
        return bool(_ELLIPSIS_LINE.search(self.masked(text)) or _ELLIPSIS_BODY.search(text))

    def names(self, code: str) -> set[str]:
        """Return the names that `code` defines."""
        return set(_compiled(self.definition).findall(self.masked(code))) if self.definition else set()

    def masked(self, code: str) -> str:
        """Return `code` with blanks for comments and literals; the rest keeps its position."""
        return _compiled(self.text).sub(lambda found: _NOT_NEWLINE.sub(" ", found[0]), code)

    def ends_in_text(self, code: str) -> bool:
        """Return True if `code` ends within a comment or a literal."""
        return not self.masked(code + "\0").endswith("\0")

    def is_prose(self, text: str) -> bool:
        """Return True if no part of `text` is code."""
        return not self.has_code(text)

    def code_end(self, text: str) -> int:
        """Return the number of the first line after the last line of code in `text`."""
        code = _compiled(self.code)
        end = 0
        for number, line in enumerate(text.split("\n"), 1):
            indented = line[:1] in (" ", "\t") and not line.isspace()
            if not _SENTENCE.match(line) and (indented or code.search(line) or self.starts_program(line)):
                end = number
        return end

    def join(self, parts: Iterable[str]) -> str:
        """Return one program made of the `parts` that a completion gives in separate fences."""
        return "\n".join(parts)


@functools.lru_cache(256)
def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, flags)
