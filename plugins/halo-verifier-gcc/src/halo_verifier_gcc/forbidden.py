"""Forbidden features, given as patterns that a program's code must not match.

The patterns use RE2's syntax: no backreferences and no lookaround, so a search takes time linear in the text for
any pattern and any text. They are searched in the program's own code without comments and the contents of
literals: in the source, so that directives can be forbidden; in the preprocessor's output, so that macros cannot hide
anything; and in both with usual spellings only, so that a digraph, for example, makes no difference. The verifier also
searches the symbols of a program that names functions in strings.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import re2  # type: ignore[import-untyped]

from halo_verifier_gcc import headers, lexer, spelling
from halo_verifier_gcc.languages import Language
from halo_verifier_gcc.preprocessed import Preprocessed
from halo_verifier_gcc.source import Source, has_line_directive

_MAX_CHARACTERS = 1 << 20
"""Limit on a program's preprocessed code: one line of macros can expand to a billion characters."""
_BY_NAME = re.compile(
    r"\b(?:dlsym|dlvsym|dlfunc|dlopen|dlmopen|dl_iterate_phdr|_dl_sym|__libc_dl\w+|_r_debug|_DYNAMIC)\b"
)
"""Functions and data that find other functions at run time."""
_ASM = re.compile(r"\b(?:asm|__asm|__asm__)\b(?!\s*[=,;)\]])")
_HARMLESS_ASM = re.compile(
    r'\b(?:asm|__asm|__asm__)\b\s*(?:(?:__)?(?:volatile|inline)(?:__)?\s*)*\(\s*"(?:_word|_asm)?"\s*[:)]',
    re.ASCII,
)
"""An assembler name of a declaration, an empty statement, or plain calculations."""
_OPERAND = r"(?:%{1,2}(?!e?[sb]pl?\b|r[sbi]p\b)[a-z]\w*|%[a-z]?\d|%[a-z]?\[\w+\]|\$-?(?:0x)?[0-9a-fA-F]+)"
_CALCULATION = re.compile(
    r"\"(?:(?:\s|;|\\[nt])*(?:(?:add|sub|adc|sbb|i?mul|neg|not|and|or|xor|sh[lr]|sa[lr]|ro[lr]|mov|inc|dec|xchg|bswap|popcnt|bs[fr]|lzcnt"
    r"|tzcnt|cmp|test|set[a-z]{1,2}|cmov[a-z]{1,2}|movz[bw]|movs[bw])[bwlq]?"
    rf"[ ]+{_OPERAND}(?:\s*,\s*{_OPERAND}){{0,2}}|nop|cltd|cqto|cdq|cqo|cltq)\s*(?=;|\\n|\"))+(?:\s|;|\\[nt])*\"",
    re.ASCII,
)
"""Assembly of instructions that only calculate in registers: they neither jump nor name anything."""
_ATTRIBUTE = re.compile(r"\b__attribute(?:__)?\b|\[\s*\[|\b__declspec\b")
_NAMED = re.compile(r"\b(?:__)?(?:alias|weakref|ifunc|section|symver)(?:__)?\s*\(")
"""Attributes that take the name of a function or a section."""
_HARMLESS_NAMED = re.compile(rf'{_NAMED.pattern}\s*"(?:_word)?"\s*\)')
"""An attribute whose string cannot contain assembly."""
_IDENT = re.compile(r'^[^\S\n]*#\s*(?:ident|sccs)\b[^\n]*"\?"', re.MULTILINE)
"""A directive whose string can contain assembly."""
_WORD = re.compile(r'"[\w.$@]+"', re.ASCII)
_NAMING_PRAGMA = re.compile(r"^[^\S\n]*#\s*pragma\s+(?:weak|redefine_extname)\b", re.MULTILINE)
_DEFINE = re.compile(r"^[^\S\n]*#[^\S\n]*define[^\S\n]+(\w+)(.*)$", re.MULTILINE)
_HARMLESS_BODY = re.compile(r"(?:[^\S\n]+[\d.][\w.]*)?\s*")
_MANGLED = re.compile(r"\d+")


def problem(pattern: str) -> str:
    """Return the reason why `pattern` is invalid, or an empty string."""
    try:
        _compiled(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        return reason.decode() if isinstance(reason, bytes) else str(reason)
    return ""


def in_source(patterns: Iterable[str], source: Source) -> str:
    """Return a description of the first forbidden feature in the source, or an empty string.

    A directive that sets the file name or line number is always forbidden: with one, the preprocessor's output
    does not show which code is the program's own and which a header's.
    """
    if has_line_directive(source.code):
        return "a directive that sets the file name or line number"
    return _first_match(patterns, _readings(source.code, source.language, spliced=True))


def in_preprocessed(
    patterns: Iterable[str], code: Preprocessed, directories: tuple[str, ...], language: Language
) -> str:
    """Return a description of the first forbidden feature in a program after preprocessing, or an empty string.

    `directories` are those of the system's headers. Whatever cannot be searched is forbidden, too: files that are not
    headers, assembly, and functions found by name at run time.
    """
    if code.alien:
        return f"a file that is not a header: {code.alien[:80]!r}"
    if len(code.own) > _MAX_CHARACTERS:
        return "more code than can be searched"
    if found := _unsearchable(code.own):
        return found
    names = headers.usual_names(headers.directives(code.own), directories)
    directives = [pattern for pattern in patterns if _is_of_directives(pattern, names)]
    return _first_match(patterns, _readings(code.own, language)) or _first_match(directives, _includes(names))


def in_symbols(patterns: Iterable[str], symbols: Iterable[str]) -> str:
    """Return a description of the first forbidden name among `symbols`, or an empty string."""
    patterns = tuple(patterns)
    for symbol in sorted(symbols):
        name = symbol.partition("@")[0]
        if found := _first_match(patterns, [symbol, name, *_parts(name)]):
            return found
        if _BY_NAME.fullmatch(name):
            return f"a function found by name at run time: {name}"
    return ""


def names_functions_in_strings(own: str) -> bool:
    """Return True if preprocessed code names functions where the patterns do not see them, so that symbols must do."""
    texts = _with_words(own)
    return any(_ASM.search(text) or _NAMED.search(text) or _NAMING_PRAGMA.search(text) for text in texts)


def pristine(source: Source, code: Preprocessed, directories: tuple[str, ...]) -> Source | None:
    """Return a program that includes the same system headers without the macros of `source`.

    Returns None if no macro of `source` could put code into a header. Such a macro has a body other than a number and
    stands before an include, or the program includes itself.
    """
    text = "\n".join(
        spelling.usual(text, source.language)[0]
        for spliced in lexer.spliced_variants(spelling.plain_blanks(source.code))
        for text in lexer.without_comments(spliced)
    )
    first = _DEFINE.search(text)
    defines = _DEFINE.findall(text)
    if first is None or all(_HARMLESS_BODY.fullmatch(body) for _, body in defines):
        return None
    names = headers.directives(code.own)
    included = [name for name in names if headers.find(name, directories)]
    if len(included) == len(names) and not headers.directives(text[first.end() :]):
        return None
    harmless = [f"#define {name}{body}" for name, body in defines if _HARMLESS_BODY.fullmatch(body)]
    lines = [*harmless, *(f"#include <{name}>" for name in included), ""]
    return Source("\n".join(lines), source.language)


def in_headers(patterns: Iterable[str], code: Preprocessed, original: Preprocessed) -> str:
    """Return a description of a forbidden feature that `code` has in system headers and `original` lacks."""
    actual, before = _without_words(code.system), _without_words(original.system)
    for pattern in (*map(_compiled, patterns), _BY_NAME, _ASM, _NAMED):
        if added := Counter(_matches(pattern, actual)) - Counter(_matches(pattern, before)):
            return f"{next(iter(added))[:80]!r}, put into a header"
    return ""


def _includes(names: Iterable[str]) -> list[str]:
    return [f"#include <{name}>" for name in names]


def _is_of_directives(pattern: str, names: Iterable[str]) -> bool:
    """Return True if `pattern` matches an include, rather than a word that is also a header's name, such as `new`."""
    found = (_compiled(pattern).search(line) for line in _includes(names))
    return any(match and ("<" in match[0] or "include" in match[0]) for match in found)


def _matches(pattern: Any, text: str) -> Iterator[str]:
    return (found[0] for found in pattern.finditer(text))


def _unsearchable(own: str) -> str:
    """Return a description of code that hides what it does from any search, or an empty string."""
    for text in _with_words(own):
        if len(_ASM.findall(text)) > len(_HARMLESS_ASM.findall(text)):
            return "assembly, which cannot be searched"
        if _IDENT.search(text):
            return "an #ident directive, which can contain assembly"
        if _ATTRIBUTE.search(text) and len(_NAMED.findall(text)) > len(_HARMLESS_NAMED.findall(text)):
            return "a name that cannot be searched"
        if found := _BY_NAME.search(text):
            return f"a function found by name at run time: {found[0]}"
    return ""


def _with_words(code: str) -> set[str]:
    r"""Return the readings of `code` without comments, with `"_word"`, `"_text"`, `""` or `"?"` for each literal.

    A `"_text"` has no escapes.
    """
    return lexer.readings(code, _shortened)


def _without_words(code: str) -> str:
    return lexer.MODERN.sub(_shortened, code)


def _shortened(found: re.Match[str]) -> str:
    groups = found.groupdict()
    if groups["comment"]:
        return " "
    if not any(groups.values()):
        return found[0]
    if found[0] == '""':
        return '""'
    if _WORD.fullmatch(found[0]):
        return '"_word"'
    if _CALCULATION.fullmatch(found[0]):
        return '"_asm"'
    return '"?"' if "\\" in found[0] or groups.get("raw") else '"_text"'


def _readings(code: str, language: Language, *, spliced: bool = False) -> list[str]:
    """Return what a pattern is searched in: `code` without comments and literals, as written and spelled as usual."""
    code = spelling.plain_blanks(code)
    variants = lexer.spliced_variants(code) if spliced else {code}
    readings = {text for each in variants for text in lexer.without_comments_and_literals(each)}
    return [*readings, *(usual for text in readings for usual in spelling.usual(text, language))]


def _parts(symbol: str) -> Iterator[str]:
    """Yield the names within a symbol that C++ has mangled: `std` and `sort` are not among those of `sort`."""
    if not symbol.startswith("_Z"):
        return
    position = 0
    while found := _MANGLED.search(symbol, position):
        end = found.end() + min(int(found[0][:6]), len(symbol))
        yield symbol[found.end() : end]
        position = end


def _first_match(patterns: Iterable[str], texts: Iterable[str]) -> str:
    patterns = tuple(patterns)
    for text in texts:
        for pattern in patterns:
            if match := _compiled(pattern).search(text):
                return f"{match[0][:80]!r} ({pattern})"
    return ""


@functools.lru_cache(256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)
