"""Extraction of the query from a completion. Takes time linear in the text's length; accepts any text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from halo_verifier_sql.statements import (
    ENDING,
    KEYWORDS,
    QUERY,
    SECOND_QUERY,
    STATEMENT,
    first_semicolon,
    is_clause,
    is_prose,
)

_FENCE = re.compile(
    r"(?P<line>^[ \t]*(?:(?:[-*+>]|\d{1,3}[.)])[ \t]+){0,3})?(?P<run>`{3,}|~{3,})", re.MULTILINE
)
_QUOTED_FENCE = re.compile(r"^[ ]{0,3}>[ ]?(?:`{3}|~{3})", re.MULTILINE)
_QUOTE = re.compile(r"^[ ]{0,3}>[ ]?", re.MULTILINE)
"""The mark of a line that Markdown quotes."""
_INFO = re.compile(rf"[ \t]*(?:[\w+#.-]{{1,20}}[ \t]+)?(?=\(?\s{{0,20}}+{QUERY})", re.IGNORECASE)
"""The beginning of a fence line on which the query itself starts."""
_TAG = re.compile(r"[ \t]*[\w+#.-]{1,20}[ \t]*(?:\n|$)")
_TAG_OR_NOTHING = re.compile(r"[ \t]*[\w+#.-]{0,20}[ \t]*(?:\n|$)")
_SPAN = re.compile(rf"`(\s{{0,20}}\(?\s{{0,20}}{QUERY}[^`\n]*)`", re.IGNORECASE)
_INLINE = re.compile(r"`[^`\n]*`")
_BLANK = re.compile(r"\n[ \t\r]*\n\s*")
_SPACE = re.compile(r"\s*")
_SENTENCE = re.compile(
    rf"(?<![,(=<>+*/-])\n(?=(?!(?:{'|'.join(sorted(KEYWORDS))})\b)(?-i:[A-Z][a-z]*)\b)", re.IGNORECASE
)
"""A line end after which a sentence may follow without a blank line."""
_LEAD = re.compile(r"(?:\s|--[^\n]*+(?:\n|$)|/\*(?:[^*]|\*(?!/))*+\*/|\()*+(\w*)")
_MAYBE_PROSE = re.compile(r"\s*with\b", re.IGNORECASE)
"""A word that can start a query but more often starts an English sentence."""
_QUERY_WORDS = frozenset({"select", "with", "values"})


def extract(text: str) -> str | None:
    """Return the query in `text`, or None if it contains no query.

    Of several fenced blocks, return the last one that starts like SQL, so that a correction replaces the first
    attempt; a fence that was opened in the prompt, or never closed, also works. Without fences, return the text
    from the first line that starts a statement, without prose after a blank line; failing that, the last
    `inline code` that starts a query. Prose and empty statements after the first semicolon are dropped, but if
    another statement follows it is returned too, so that the verifier sees it.
    """
    if _QUOTED_FENCE.search(text):
        text = _QUOTE.sub("", text)
    outside, inside = _pieces(text)
    fenced = [piece for piece in inside if _find(piece) is not None or is_query(piece)]
    if fenced:
        return _without_rest(fenced[-1].strip())
    bare, found = next(
        ((piece, found) for piece in outside if (found := _find(piece)) is not None), (text, None)
    )
    if found is not None:
        whole = ENDING.search(bare, 0, found.start())  # keep a preceding statement of any kind
        return _without_prose(bare[0 if whole else found.end() :].strip())
    if inline := _SPAN.findall(bare):
        return str(inline[-1]).strip()
    return _without_rest(bare.strip()) if is_query(bare) and not _MAYBE_PROSE.match(bare) else None


def is_query(sql: str) -> bool:
    """Return True if the first word of `sql`, after comments and parentheses, can start a query."""
    found = _LEAD.match(sql)
    return found is not None and found[1].lower() in _QUERY_WORDS


def _find(text: str) -> re.Match[str] | None:
    """Return the first line that starts a statement and does not read like an English sentence.

    A line that starts with a word in capitals is not a sentence.
    """
    for found in STATEMENT.finditer(text):
        start = _SPACE.match(text, found.end()).end()  # type: ignore[union-attr]
        if text[start : start + 4].isupper() or not is_prose(text, start):
            return found
    return None


def _without_prose(text: str) -> str:
    """Cut `text` after the query it starts with, unless the rest contains another statement."""
    blank = None
    if "\n" in text:
        blank = next((each for each in _BLANK.finditer(text) if not is_clause(text, each.end())), None)
        sentence = next((each for each in _SENTENCE.finditer(text) if is_prose(text, each.end())), None)
        in_string = sentence and text.count("'", 0, sentence.start()) % 2
        if sentence and not in_string and (blank is None or sentence.start() < blank.start()):
            blank = sentence
    end = first_semicolon(text)
    if blank is None or (end is not None and end <= blank.start()):
        return _without_rest(text)
    rest = text[blank.start() :]
    return text if _find(rest) or ENDING.search(rest) else text[: blank.start()].strip()


def _without_rest(text: str) -> str:
    """Cut `text` after its first semicolon, unless the rest contains another statement."""
    end = first_semicolon(text)
    if end is None:
        return text
    rest = text[end:].lstrip("; \t\r\n")
    if _find(rest) or ENDING.search(rest) or _has_query(text[end:].partition("\n")[0]):
        return text
    return text[:end].strip()


def _has_query(line: str) -> bool:
    """Return True if there is a query within a line of prose."""
    plain = _INLINE.sub("", line)
    return any(not is_prose(plain, found.start()) for found in SECOND_QUERY.finditer(plain))


def _pieces(text: str) -> tuple[list[str], list[str]]:
    """Split `text` at fences into the pieces outside and the pieces inside of them."""
    if "```" not in text and "~~~" not in text:
        return [text], []
    pieces: tuple[list[str], list[str]] = ([], [])
    start, is_inside = 0, False
    for end, begin, stays_inside in _fences(text):
        pieces[is_inside].append(text[start:end])
        start, is_inside = begin, stays_inside
    pieces[is_inside].append(text[start:])
    return pieces


def _fences(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield for each fence where the piece before it ends, where the next one starts, and if that is inside.

    A fence opens at the start of a line, or where a line ends with it or a query follows it. A closing fence may
    be glued to the last line of the block.
    """
    is_inside, start = False, 0
    for fence in _FENCE.finditer(text):
        if fence.start("run") < start:
            continue
        starts_line = fence["line"] is not None
        if not starts_line and fence["run"][0] == "~":
            continue
        query = _INFO.match(text, fence.end())
        if is_inside:
            reopens = starts_line and (query is not None or _TAG.match(text, fence.end()) is not None)
        else:
            reopens = starts_line or query is not None or _TAG_OR_NOTHING.match(text, fence.end()) is not None
            if not reopens:
                continue
        is_inside = reopens
        start = _content_start(text, fence.end(), query) if reopens or starts_line else fence.end()
        yield fence.start() if starts_line else fence.start("run"), start, is_inside


def _content_start(text: str, end: int, query: re.Match[str] | None) -> int:
    """Return where the content after a fence line starts: at its query if there is one, else on the next line."""
    if query is not None:
        return query.end()
    newline = text.find("\n", end)
    return len(text) if newline < 0 else newline
