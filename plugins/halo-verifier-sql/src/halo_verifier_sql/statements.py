"""Recognition of SQL statements in text, as opposed to English sentences that begin with the same words."""

from __future__ import annotations

import re

_NAME = r"[\w\"`.\[\]]{1,80}"
_END = r"[ \t]*(?:;|\n|$)"
QUERY = (
    r"(?:SELECT\b|VALUES\s{0,20}\("
    rf"|WITH\s{{1,20}}(?:RECURSIVE\s{{1,20}})?{_NAME}\s{{0,20}}(?:\([^()]{{0,300}}\)\s{{0,20}})?"
    r"AS\s{0,20}(?:(?:NOT\s{1,20})?MATERIALIZED\s{0,20})?\()"
)
"""The beginning of a query."""
_OBJECT = (
    r"(?:(?:OR\s+REPLACE|UNIQUE|TEMP|TEMPORARY|GLOBAL|LOCAL|UNLOGGED|VIRTUAL|EXTERNAL|MATERIALIZED|RECURSIVE)\s+){0,3}"
    r"(?:TABLE|VIEW|INDEX|TRIGGER|DATABASE|SCHEMA|SEQUENCE|FUNCTION|PROCEDURE|MACRO|TYPE|ROLE|USER|EXTENSION|SECRET"
    rf"|AGGREGATE|DOMAIN|SYSTEM)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?{_NAME}"
)
_OTHER = (
    rf"(?:(?:INSERT|REPLACE)\s+(?:OR\s+\w+\s+)?INTO\s+{_NAME}\s*(?:\(|VALUES\b|SELECT\b|DEFAULT\b|WITH\b|AS\b)"
    rf"|UPDATE\s+(?:OR\s+\w+\s+)?{_NAME}(?:\s+(?:AS\s+)?\w+)?\s+SET\s"
    rf"|DELETE\s+FROM\s+{_NAME}(?:\s+(?:AS\s+)?\w+)?(?:{_END}|\s+(?:WHERE|USING|RETURNING)\b)"
    rf"|MERGE\s+INTO\s+{_NAME}(?:\s+(?:AS\s+)?\w+)?\s+USING\b"
    rf"|(?:CREATE|DROP|ALTER)\s+{_OBJECT}"
    rf"|ATTACH\s+(?:DATABASE\s+)?(?:'|{_NAME}\s+AS\b)|DETACH\s+(?:DATABASE\s+)?{_NAME}{_END}|PRAGMA\s+{_NAME}"
    rf"|(?:VACUUM|ANALYZE|REINDEX|CHECKPOINT)(?:\s+{_NAME})?{_END}|VACUUM\s+INTO\s+'"
    rf"|TRUNCATE\s+TABLE\s+{_NAME}|(?:TRUNCATE|USE|RESET|LOAD|INSTALL|DESCRIBE|DEALLOCATE)\s+{_NAME}{_END}"
    rf"|(?:LOAD|INSTALL)\s+'|COPY\s+(?:{_NAME}|\([^()]{{0,300}}\))\s+(?:\([^()]{{0,300}}\)\s+)?(?:TO|FROM)\s"
    rf"|CALL\s+{_NAME}\s*\(|DO\s+(?:LANGUAGE\s+\w+\s+)?(?:\$|')|LOCK\s+TABLE\s|EXPORT\s+DATABASE\s|IMPORT\s+DATABASE\s"
    rf"|(?:BEGIN|COMMIT|ROLLBACK|END|ABORT|START)(?:\s+(?:TRANSACTION|WORK|DEFERRED|IMMEDIATE|EXCLUSIVE)){{0,2}}{_END}"
    rf"|(?:SAVEPOINT|RELEASE|ROLLBACK\s+TO)\s+(?:SAVEPOINT\s+)?{_NAME}{_END}"
    r"|EXPLAIN\s+(?:QUERY\s+PLAN\s+|ANALY[SZ]E\s+|VERBOSE\s+|\([^()]{0,100}\)\s*){0,3}(?:SELECT|WITH|VALUES|INSERT|UPDATE|DELETE)\b"
    r"|(?:GRANT|REVOKE)\s+\w+(?:\s*,\s*\w+){0,8}\s+ON\s"
    r"|SET\s+(?:(?:LOCAL|SESSION|GLOBAL)\s+)?[\w.]+\s*(?:=|TO\b)|SET\s+(?:LOCAL\s+|SESSION\s+)?ROLE\b)"
)
_LABEL = r"(?:\*{0,2}[A-Za-z][\w ]{0,30}:\*{0,2}[ \t]*)?"
STATEMENT = re.compile(rf"^[ \t]*+{_LABEL}(?=\(?\s{{0,20}}+{QUERY}|{_OTHER})", re.MULTILINE | re.IGNORECASE)
"""The beginning of a line that starts a statement; also of sentences, see `is_prose`."""
SECOND_QUERY = re.compile(r"\bSELECT\b(?=[^;]{0,300}?\bFROM\b|\s{1,20}[\d'*(])", re.IGNORECASE)
"""A query, anywhere in a line."""
ENDING = re.compile(r";[ \t]*(?:--[^\n]*)?(?:\n|$)")
_CLAUSE = re.compile(
    r"(?:FROM|WHERE|GROUP|ORDER|HAVING|LIMIT|OFFSET|WINDOW|UNION|EXCEPT|INTERSECT|SELECT|VALUES|ON|AND|OR"
    r"|(?:NATURAL|LEFT|RIGHT|FULL|INNER|OUTER|CROSS)?\s*JOIN)\b|[(),]|--|/\*",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"'[^']*+(?:'|\Z)|\"[^\"]*+(?:\"|\Z)|--[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)|\$(\w{0,20})\$|;",
    re.DOTALL,
)
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|\[[^\]\n]*\]|`[^`\n]*`|--.*")
KEYWORDS = frozenset(
    """
    from as distinct all case when then else end and or not in is null like ilike glob between join left right inner
    outer full cross natural on using where group by order having limit offset union except intersect select over
    partition rows range asc desc nulls first last filter cast collate exists with recursive values interval date
    timestamp time current preceding following unbounded row escape fetch next only lateral within materialized any
    some window for at zone similar to set update delete insert into table view create drop alter qualify true false
    """.split()  # noqa: SIM905 - more readable than a list
)
"""Words of SQL."""
_WORDS = re.compile(r"(?<![\w.'\"])[A-Za-z][\w'-]*+(?:[ \t]++[A-Za-z][\w'-]*+){3,}+")
_PROSE_WORDS = 4
"""Words in a row of which none is a keyword that make a sentence: an expression with its alias has two."""
_MAX_LINE = 400
"""Characters of a line that are examined."""


def is_prose(text: str, start: int) -> bool:
    """Return True if the line from `start` on reads like an English sentence instead of SQL."""
    newline = text.find("\n", start, start + _MAX_LINE)
    line = text[start : newline if newline >= 0 else start + _MAX_LINE]
    line = _QUOTED.sub("''", line).partition(";")[0].rstrip(" \t\r*_")
    return _ends_sentence(line) or any(map(_is_sentence, _WORDS.findall(line)))


def _ends_sentence(line: str) -> bool:
    """Return True if a line ends like a sentence; a digit with a point is a number."""
    number = line.endswith(".") and line[-2:-1].isdigit()
    return line.endswith((".", ":", "!", "?")) and not number and len(line) > 1


def _is_sentence(words: str) -> bool:
    """Return True if some words in a row include no keyword."""
    row = 0
    for word in words.lower().split():
        row = 0 if word in KEYWORDS else row + 1
        if row == _PROSE_WORDS:
            return True
    return False


def is_clause(text: str, start: int) -> bool:
    """Return True if the text from `start` on continues a query."""
    return _CLAUSE.match(text, start) is not None and not is_prose(text, start)


def first_semicolon(text: str) -> int | None:
    """Return the position after the first semicolon that is not part of a string, name or comment."""
    if ";" not in text:
        return None
    for token in _TOKEN.finditer(text):
        if token[0] == ";":
            return token.end()
        if token[1] is not None:
            return None  # a dollar-quoted string; all of it counts
    return None
