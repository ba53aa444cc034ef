"""Rust as extraction sees it."""

from halo_core.programs import Language

_TEXT = r"""//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)|b?r(?P<hashes>\#{1,16})"(?s:.*?)(?:"(?P=hashes)|\Z)|b?r"[^"]*"?|
"(?:\\(?s:.)|[^"\\])*"?|'(?:\\[^\n]{1,10}?|[^'\\\n])'"""
"""Comments, strings and characters. A quote that starts a lifetime starts no literal."""

RUST = Language(
    name="Rust",
    tags=("rust", "rs"),
    first_line=(
        r"(?:use\s+[\w:]|(?:pub(?:\([^)\n]*\))?\s+)?(?:(?:async|const|unsafe|extern)\s+)*"
        r"(?:fn|struct|enum|trait|mod|type|static|union)\s+\w+\s*[<({:;=]|impl\b[^.\n]*(?:\{|$)|const\s+\w+\s*:|"
        r"#!?\[|//|/\*|macro_rules!|extern\s+crate\b)"
    ),
    entry=r"\bfn\s+main\s*\(",
    definition=r"\b(?:fn|struct|enum|trait|union|macro_rules!)\s+(\w+)",
    text=_TEXT.replace("\n", ""),
)
