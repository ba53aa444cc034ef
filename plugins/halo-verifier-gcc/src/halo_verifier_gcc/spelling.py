"""Other spellings of the same C or C++ code, written in the usual one."""

from __future__ import annotations

import re

from halo_verifier_gcc.languages import Language

_DIGRAPHS = {"%:": "#", "??=": "#", "<%": "{", "%>": "}", "<:": "[", ":>": "]", "??<": "{", "??>": "}", "??(": "[",
             "??)": "]", "??'": "^", "??!": "|", "??-": "~", "??/": "\\"}  # fmt: skip
_DIGRAPH = re.compile(r"%:|\?\?[=<>()'!/-]|<%|%>|<:(?!:[^:>])|:>")
_OPERATORS = {"and": "&&", "or": "||", "not": "!", "xor": "^", "bitand": "&", "bitor": "|", "compl": "~",
              "and_eq": "&=", "or_eq": "|=", "xor_eq": "^=", "not_eq": "!="}  # fmt: skip
_OPERATOR = re.compile(rf"\b(?:{'|'.join(_OPERATORS)})\b")
_BUILTIN = re.compile(r"\b__builtin_+(\w+?)(?:_chk)?\b")
_KEYWORD = re.compile(
    r"\b__(asm|volatile|const|inline|restrict|signed|typeof|alignof|attribute|complex|real|imag|label|extension|thread|"
    r"auto_type|alignas|nullptr|decltype)(?:__)?\b"
)
_BLANKS = re.compile(r"(?<!\s)\s*(::|->|[.()\[\],;])\s*")
_OTHER_BLANK = re.compile(r"[^\S\n ]+")


def usual(code: str, language: Language) -> tuple[str, str]:
    """Return `code` without digraphs and GNU's spellings of keywords and library functions, with and without blanks.

    In C++, also without operators that are spelled as words. Only needless blanks beside punctuation are removed, and
    none that separate operators.
    """
    code = _DIGRAPH.sub(lambda found: _DIGRAPHS[found[0]], code)
    code = _KEYWORD.sub(r"\1", _BUILTIN.sub(r"\1", code))
    if language == "c++":
        code = _OPERATOR.sub(lambda found: _OPERATORS[found[0]], code)
    return code, _BLANKS.sub(r"\1", code)


def plain_blanks(code: str) -> str:
    r"""Return `code` with one space for each run of tabs, form feeds and vertical tabs: RE2's \s lacks the last."""
    return _OTHER_BLANK.sub(" ", code)
