"""The language of a program: named by the task, by the fence's tag, or else found in the code."""

from __future__ import annotations

import re
from typing import Literal

from halo_verifier_gcc import definitions, lexer

Language = Literal["c", "c++"]

_NAMES: dict[str, Language] = {"c": "c", "c++": "c++", "cpp": "c++", "cxx": "c++", "cplusplus": "c++"}
_C_TAG = re.compile(r"c|h|(?:iso-?)?c\d\w|gnu\d\w|ansi-?c|c-?lang|clang|gcc|[\w./-]+\.[ch]")
_CPP_TAG = re.compile(
    r"(?:c\+\+|cpp|cxx|cc|hpp|hxx|g\+\+|cplusplus|gnu\+\+)\d*\w?|[\w./-]+\.(?:cpp|cc|cxx|hpp|hxx)"
)
FIRST_LINE = (
    r"(?:(?:\#|%:|\?\?=)[ \t]*(?:include|import|define|undef|if|ifdef|ifndef|pragma|error)\b|//|/\*|\[\[|"
    r"(?:typedef|struct|union|enum|static|extern|const|volatile|register|unsigned|signed|int|long|short|char|float|double|"
    r"void|bool|_Bool|_Noreturn|_Static_assert|size_t|\w+_t|auto|inline|template|using|namespace|class|constexpr|"
    r"consteval|export|import|__attribute__|__extension__|asm|__asm__|std::\w+|main)\b"
    r"(?=.*[;{}()>,=*\\]\s*$|\s*\w*\s*$))"
)
"""A line with which a program may start."""

_CPP_HEADER = re.compile(r"^[ \t]*(?:#|%:)[ \t]*(?:include|import)[ \t]*<[\w/]+(?:\+\+\.h)?>", re.MULTILINE)
_CPP_CODE = re.compile(
    r"""\bstd\s*::|\busing\s+(?:namespace\b|\w+\s*=)|\btemplate\s*<|\bnamespace\s*(?:\w+\s*)?\{|
    \b(?:class|enum\s+class)\s+\w+[^;{}()=]{0,80}\{|\b(?:public|private|protected)\s*:|\bauto\s+\w+\s*[(=]|
    \b(?:static|dynamic|const|reinterpret)_cast\s*<|\boperator\s*(?:[-+*/%<>=!&|^~([]|new\b|delete\b)|
    \bfor\s*\([^;:(){}]{1,80}[\s&*]\w+\s*:(?!:)|\](?:\s*\([^(){};]{0,200}\))?\s*(?:mutable\s*)?(?:->\s*\w+\s*)?\{""",
    re.VERBOSE,
)
"""Code that C does not have."""
_CPP_HINT = re.compile(
    r"""\b(?:bool|true|false|nullptr|constexpr|static_assert|thread_local|alignas|class|new|delete|this|throw|try|catch|
    virtual|typename|friend|mutable|explicit|noexcept|decltype|concept|requires|consteval|operator|template|namespace|
    using|and|or|not|xor|co_\w+)\b|\w::\w|\b(?:auto|int|long|char|double|float|unsigned|short|bool|\w+_t|[A-Z]\w*)\s*
    &{1,2}\s*\w+\s*[,)=:;]|\b(?:int|long|char|double|float|unsigned|short|\w+_t)\s+\w+\s*\{|
    \([^(){};]{0,200}\w\s*=\s*[\w.+-]+\s*(?:,[^(){};]{0,200})?\)\s*\{|\bstruct\s+\w+[^;{}()]{0,80}:[^;{}()]{0,80}\{""",
    re.VERBOSE,
)
"""Words and forms that are C++, or that C has with another meaning or only after an include."""
_RECORD = re.compile(r"\b(?:struct|union|enum)\s+(\w+)[^;{}()]{0,80}\{")
_KEYED = re.compile(r"\b(?:struct|union|enum)\s+\w+")
_METHOD = re.compile(
    r"\bstruct\s+\w+\s*\{(?:[^{}()]{0,400};)?[^{}();]{0,80}\([^(){};]{0,200}\)\s*(?:const\s*)?\{"
)


def named(name: object) -> Language | None:
    """Return the language that a task's data calls `name`, or None for anything else."""
    return _NAMES.get(name.strip().lower()) if isinstance(name, str) else None


def of_tag(tag: str) -> Language | None:
    """Return the language that a fence's tag names, or None."""
    if _CPP_TAG.fullmatch(tag):
        return "c++"
    return "c" if _C_TAG.fullmatch(tag) else None


def of_code(code: str) -> tuple[Language, ...]:
    """Return the languages in which to compile `code`, most likely first.

    C++ comes first if the code has something that C lacks, and second if it has something that may be C++.
    """
    text = lexer.without_text(code)
    guarded = "__cplusplus" in text
    if not guarded and (_CPP_HEADER.search(text) or _CPP_CODE.search(text)):
        return ("c++", "c")
    if "{" in text and (guarded or _CPP_HINT.search(text) or _METHOD.search(text) or _defines_like_cpp(text)):
        return ("c", "c++")
    return ("c",)


def _defines_like_cpp(text: str) -> bool:
    """Return True if `text` overloads a function, or uses a structure without the keyword `struct`."""
    if definitions.overloads(text):
        return True
    names = set(_RECORD.findall(text))
    if not names:
        return False
    rest = _KEYED.sub(" ", text)
    return any(word in names for word in re.findall(r"\b([A-Za-z_]\w*)\b[\s*&]*\b\w", rest))
