"""Extraction of the query from a completion. Takes time linear in the text's length; accepts any text."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*(?:```+|~~~+)[ \t]*([^\s`]*)[^\n]*$", re.MULTILINE)
_QUERY = r"(?:SELECT|VALUES|WITH\s+(?:RECURSIVE\s+)?[\w\"`\[\]]{1,80}\s*(?:\(|AS\b))"
_OTHER = (
    r"(?:(?:INSERT|REPLACE)\s+(?:OR\s+\w+\s+)?INTO|UPDATE\s+[\w\".]{1,80}\s+SET|DELETE\s+FROM|MERGE\s+INTO"
    r"|(?:CREATE|DROP|ALTER)\s+\w+|(?:ATTACH|DETACH|PRAGMA|VACUUM|ANALYZE|REINDEX|TRUNCATE|COPY|CALL|LOAD|INSTALL|RESET|LOCK|USE|DO)\s"
    r"|BEGIN\b|COMMIT\b|ROLLBACK\b|SAVEPOINT\b|EXPLAIN\s|GRANT\s|REVOKE\s|SET\s+\w+\s*(?:=|TO\b))"
)
_LABEL = r"(?:[A-Za-z][\w ]{0,30}:[ \t]*)?"
_STATEMENT = re.compile(rf"^[ \t]*{_LABEL}(?=\(?\s{{0,20}}{_QUERY}\b|{_OTHER})", re.MULTILINE | re.IGNORECASE)
_SPAN = re.compile(rf"`(\s{{0,20}}\(?\s{{0,20}}{_QUERY}\b[^`\n]*)`", re.IGNORECASE)
_ENDING = re.compile(r";[ \t]*(?:--[^\n]*)?(?:\n|$)")
_BLANK = re.compile(r"\n[ \t\r]*\n\s*")
_CLAUSE = re.compile(
    r"(?:FROM|WHERE|GROUP|ORDER|HAVING|LIMIT|OFFSET|WINDOW|UNION|EXCEPT|INTERSECT|SELECT|VALUES|ON|AND|OR"
    r"|(?:NATURAL|LEFT|RIGHT|FULL|INNER|OUTER|CROSS)?\s*JOIN)\b|[(),]|--|/\*",
    re.IGNORECASE,
)
_LEAD = re.compile(r"(?:\s|--[^\n]*+(?:\n|$)|/\*(?:[^*]|\*(?!/))*+\*/|\()*+(\w*)")
_MAYBE_PROSE = re.compile(r"\s*with\b", re.IGNORECASE)
"""A word that can start a query but more often starts an English sentence."""
_QUERY_WORDS = frozenset({"select", "with", "values"})


def extract(text: str) -> str | None:
    """Return the query in `text`, or None if it contains no query.

    Of several fenced blocks, return the last one that starts like SQL, so that a correction replaces the first
    attempt; a fence that was opened in the prompt, or never closed, also works. A block is returned whole, so
    that the verifier sees a second statement in it. Without fences, return the text from the first line that
    starts a statement, without prose after its semicolon or a blank line; failing that, the last `inline code`
    that starts a query.
    """
    pieces = _pieces(text)
    fenced = [piece for _, piece in pieces[1::2] if _STATEMENT.search(piece) or is_query(piece)]
    if fenced:
        return fenced[-1].strip()
    bare = next((piece for _, piece in pieces[::2] if _STATEMENT.search(piece)), text)
    if found := _STATEMENT.search(bare):
        whole = _ENDING.search(bare, 0, found.start())  # keep a preceding statement of any kind
        return _without_prose(bare[0 if whole else found.end() :].strip())
    return bare.strip() if is_query(bare) and not _MAYBE_PROSE.match(bare) else _inline(bare)


def is_query(sql: str) -> bool:
    """Return True if the first word of `sql`, after comments and parentheses, can start a query."""
    found = _LEAD.match(sql)
    return found is not None and found[1].lower() in _QUERY_WORDS


def _inline(text: str) -> str | None:
    spans = _SPAN.findall(text)
    return spans[-1].strip() if spans else None


def _without_prose(text: str) -> str:
    """Cut `text` after the query it starts with, unless the rest contains another statement."""
    cuts = [match.end() for match in _ENDING.finditer(text)][:1]
    cuts += [blank.start() for blank in _BLANK.finditer(text) if not _CLAUSE.match(text, blank.end())][:1]
    if not cuts or _STATEMENT.search(text, min(cuts)) or _ENDING.search(text, min(cuts)):
        return text
    return text[: min(cuts)].strip()


def _pieces(text: str) -> list[tuple[str, str]]:
    """Split `text` at fence lines into (tag, piece): pieces outside a fence at even indexes, inside at odd ones."""
    pieces, start, tag = [], 0, ""
    for fence in _FENCE.finditer(text):
        pieces.append((tag, text[start : fence.start()]))
        start, tag = fence.end(), fence[1]
    return [*pieces, (tag, text[start:])]
