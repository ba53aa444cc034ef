"""Tokens of LaTeX and plain notation, in time linear in the text.

Text is normalised (NFKC) after replacing the characters that NFKC would garble: it turns x² into x2 and 3½ into
31/2. The result must consist of listed characters. This rejects invisible characters and those that look like others.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

from halo_verifier_sympy.styles import FONT_SWITCHES, TEXT_COMMANDS, plain
from halo_verifier_sympy.tree import Refused, Unreadable

MAX_CHARACTERS = 2000
MAX_TOKENS = 500
MAX_DIGITS = 400
"""Largest number of digits in a numeral."""

Kind = Literal["number", "letters", "command", "text", "op", "end"]


class Token(NamedTuple):
    r"""A numeral, a run of letters, a LaTeX command without its backslash, `\text{...}`, or a sign."""

    kind: Kind
    text: str
    spaced: bool = False
    """True after white space."""


_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉ₙ", "0123456789n", strict=True))
_SUPERSCRIPT_RUN = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+")
_SUBSCRIPT_RUN = re.compile(f"[{''.join(_SUBSCRIPTS)}]+")
_REPLACEMENTS = {
    "√": r"\surd ", "∛": r"\cbrt ", "π": r"\pi ", "∞": r"\infty ", "×": r"\times ", "÷": r"\div ",
    "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "−": "-", "–": "-", "±": r"\pm ", "∓": r"\mp ",
    "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "∩": r"\cap ",
    "∈": r"\in ", "∅": r"\emptyset ", "∖": r"\setminus ", "°": r"^\circ ", "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "∫": r"\int ",
    "∑": r"\sum ", "∏": r"\prod ", "∧": r"\land ", "∨": r"\lor ", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "⌈": r"\lceil ", "⌉": r"\rceil ", "→": r"\to ", "€": r"\euro ", "£": r"\pounds ", "¢": r"\cents ",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "ε": r"\epsilon ", "θ": r"\theta ",
    "λ": r"\lambda ", "μ": r"\mu ", "ρ": r"\rho ", "σ": r"\sigma ", "τ": r"\tau ", "φ": r"\phi ",
    "ω": r"\omega ",
}  # fmt: skip
_REPLACEMENT_TABLE = str.maketrans(_REPLACEMENTS)
_FRACTION = re.compile(r"\d?[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_UNSUPPORTED = re.compile(r"[^A-Za-z0-9 \t\n+\-*/^_=<>!|()\[\]{}.,:;'\\&%$~]")

_NESTED = r"\{(?:[^{}]|\{[^{}]*\})*\}"
_TOKEN = re.compile(
    rf"""(?P<space>(?:[ \t\n~]|\\[,;:! ]
                  |\\(?:quad|qquad|displaystyle|textstyle|limits|left|right|{"|".join(FONT_SWITCHES)})(?![A-Za-z])
                  |\\text\{{[ ]*\}}|\\[hv]?phantom[ ]?{_NESTED}|\\[hm](?:space|skip)\*?[ ]?\{{[\d.]+[ ]?[a-z]+\}}
                  |\\[bB]igg?[lrm]?(?![A-Za-z]))+)
      | (?P<marked>\d{{1,3}}(?:(?:(?:\\!)?(?:\{{\\?,\}}(?:\\[!,])?[ ]?|,?\\(?:,|![ ]?)|,[ ]\\![ ]?)
                      |\\(?:,[ ]|thinspace[ ]?|[;: ])|~)\d{{3}})+(?!\d)(?:\.\d+)?)
      | (?P<grouped>\d{{1,3}}(?:,\d{{3}})+(?![\d])(?:\.\d+)?)
      | (?P<number>\d+(?:\.\d*)?|\.\d+)
      | (?P<letters>[A-Za-z]+)
      | \\(?:mathbb|Bbb)[ ]?(?:\{{(?P<blackboard>[RNZQCPE])\}}|(?P<bare_blackboard>[RNZQC])(?![A-Za-z]))
      | \\(?:mathrm|operatorname)\{{(?P<upright>[eid])\}}
      | \\(?:{"|".join(TEXT_COMMANDS)})\*?[ ]?\{{(?P<text>[^{{}}\\$%&^_]*(?:\^[23])?)\}}
      | \\(?P<command>[A-Za-z]+)
      | (?P<op><=|>=|!=|==|\*\*|\\\\\*?(?:\[-?[\d.]+[ ]?(?:pt|em|ex|mm|cm|in|jot)\])?|\\[{{}}|$%&_]
             |[-+*/^_=<>!|()\[\]{{}}.,:;'&%$])""",
    re.VERBOSE,
)
_BASE = r"[0-9]{1,2}|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_WORD_IN_FRACTION = r"\{[ ]*\\(?:text|mathrm)[ ]?\{([A-Za-z ]+)\}[ ]*\}"
_UPRIGHT = r"\\(?:text|mathrm|mathtt|texttt)[ ]?"
_SPACES = r"(?:[ ~]|\\[,;:! ]|\\q?quad)*"
_NUMERAL_BEFORE = r"(?<=[0-9A-Z})])" + _SPACES
_OTHER_SPELLINGS = (
    ("@{", re.compile(rf"@\{{{_SPACES}\}}"), ""),
    ("{}", re.compile(r"(?<!\\)\{\}(?=[\^_])"), ""),
    (":", re.compile(r"(?:\\math(?:bin|rel)|\\text)?[ ]?\{[ ]*:[ ]*\}"), ":"),
    ("frac", re.compile(r"\\[dt]?frac[ ]?" + 2 * _WORD_IN_FRACTION), r"\\text{ \1/\2}"),
    ("}/\\", re.compile(rf"{_UPRIGHT}\{{([A-Za-z ]+)\}}/{_UPRIGHT}\{{([A-Za-z ]+)\}}"), r"\\text{ \1/\2}"),
    ("%", re.compile(r"\\text[ ]?\{[ ]*\\?%[ ]*\}"), r"\\%"),
    (r"{\rm", re.compile(r"\{\\rm[ ]+([A-Za-z/ ]+)\}"), r"\\mathrm{\1}"),
    ("_", re.compile(_UPRIGHT + r"\{([0-9A-F]{2,})\}(?=[ ]?_)"), r"\1"),
    ("_{", re.compile(rf"{_NUMERAL_BEFORE}_\{{{_UPRIGHT}\{{[ ]*\(({_BASE})\)[ ]*\}}[ ]*\}}"), r"_{\1}"),
    (
        "base",
        re.compile(rf"{_NUMERAL_BEFORE}_\{{{_UPRIGHT}\{{[ ]*base[ ]*\}}?[ ]*({_BASE})[ ]*\}}?[ ]*\}}"),
        r"_{\1}",
    ),
    (
        "base",
        re.compile(
            rf"{_NUMERAL_BEFORE}{_UPRIGHT}\{{[ ]*\(?(?:in )?base[ -]?(?:\}}[ ]*({_BASE})|({_BASE})\)?[ ]*\}})"
        ),
        r"_{\1\2}",
    ),
    (
        "(",
        re.compile(
            rf"^[ ]*\\(?:text|textbf|mathrm|mathbf)[ ]?\{{[ ]*\([A-E]\){_SPACES}\}}{_SPACES}(?=[^\s.])"
        ),
        "",
    ),
)
"""Spellings that the grammar does not have: what a text with one contains, the pattern, and the usual spelling.

The last one is the letter of a choice before its value, as in \\textbf{(B) } 12.
"""
_SIZING = re.compile(r"\\(?:left|right|[bB]igg?[lrm]?)")
_OPERATOR_ALIASES = {r"\%": "%", r"\|": "||", "==": "=", "**": "^", r"\_": "_"}
_COMMAND_ALIASES = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "arccot": "acot", "arcsec": "asec", "arccsc": "acsc", "dbinom": "binom", "tbinom": "binom", "lg": "log10",
    "textdegree": "degree",
}  # fmt: skip
_COMMAND_SIGNS = {
    "le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "ne": "!=",
    "neq": "!=", "lt": "<", "gt": ">", "cdot": "*", "times": "*", "ast": "*", "div": "/", "lbrace": r"\{",
    "rbrace": r"\}", "lvert": "|", "rvert": "|", "vert": "|", "colon": ":", "mid": "mid", "lbrack": "[",
    "rbrack": "]", "lparen": "(", "rparen": ")", "prime": "'",
    "langle": "(", "rangle": ")", "cr": "\\\\", "tabularnewline": "\\\\", "ratio": ":",
}  # fmt: skip


def normalise(text: str) -> str:
    """Return `text` in the characters of the grammar; raise `Unreadable` if it has others."""
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(f"an answer of more than {MAX_CHARACTERS} characters")
    if not text.isascii():
        text = _in_ascii(text)
    for sign, pattern, replacement in _OTHER_SPELLINGS:
        if sign in text:
            text = pattern.sub(replacement, text)
    if unsupported := _UNSUPPORTED.search(text):
        raise Unreadable(f"an unsupported character: U+{ord(unsupported[0]):04X}")
    return text


def _in_ascii(text: str) -> str:
    text = _SUPERSCRIPT_RUN.sub(
        lambda run: "^{" + "".join(map(_SUPERSCRIPTS.__getitem__, run[0])) + "}", text
    )
    text = _SUBSCRIPT_RUN.sub(lambda run: "_{" + "".join(map(_SUBSCRIPTS.__getitem__, run[0])) + "}", text)
    text = _FRACTION.sub(_expand_fraction, text)
    return unicodedata.normalize("NFKC", text.translate(_REPLACEMENT_TABLE)).translate(_REPLACEMENT_TABLE)


def tokenize(text: str, *, thousands: bool = False) -> list[Token]:
    r"""Return the tokens of `text`, the last of kind `end`.

    12{,}000 and 12\,000 are twelve thousand. So is 12,000 with `thousands`; otherwise it is two numbers or ambiguous.
    Raises `Unreadable` for text that is not a token and `Refused` for ambiguous text.
    """
    text = normalise(plain(text))
    tokens: list[Token] = []
    place, depth, spaced = 0, 0, False
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise Unreadable(f"cannot read {text[place : place + 12]!r}")
        place = match.end()
        kind = match.lastgroup or ""
        if kind == "space":
            spaced = spaced or _SIZING.sub("", match[0]) != ""
            continue
        if kind == "letters" or (kind == "number" and match.end() - match.start() <= MAX_DIGITS):
            tokens.append(Token("letters" if kind == "letters" else "number", match[kind], spaced))
        else:
            found = _tokens(kind, match[kind], depth, thousands)
            tokens.append(found[0]._replace(spaced=True) if spaced else found[0])
            tokens.extend(found[1:])
            depth += (found[0].text in ("(", "[", r"\{")) - (found[0].text in (")", "]", r"\}"))
        spaced = False
        if len(tokens) > MAX_TOKENS:
            raise Unreadable(f"an answer of more than {MAX_TOKENS} tokens")
    return [*tokens, Token("end", "", spaced)]


def _tokens(kind: str, text: str, depth: int, thousands: bool) -> list[Token]:
    if kind == "grouped":
        return _grouped(text, depth, thousands)
    if kind in ("marked", "number"):
        digits = re.sub(r"[^\d.]", "", text)
        if len(digits) > MAX_DIGITS:
            raise Refused(f"a number of more than {MAX_DIGITS} digits")
        return [Token("number", digits)]
    if kind.endswith("blackboard"):
        return [Token("command", "mathbb" + text)]
    if kind == "command":
        name = _COMMAND_ALIASES.get(text, text)
        return [Token("op", _COMMAND_SIGNS[name])] if name in _COMMAND_SIGNS else [Token("command", name)]
    if text == r"\$":
        return [Token("command", "dollar")]
    if text.startswith("\\\\"):
        return [Token("op", "\\\\")]
    if kind == "op":
        return [Token("op", _OPERATOR_ALIASES.get(text, text))]
    if kind == "text" and re.fullmatch(r" *\d+(\.\d+)? *", text):
        return [Token("number", text.strip())]
    return [Token("text" if kind == "text" else "letters", text)]


def _grouped(text: str, depth: int, thousands: bool) -> list[Token]:
    """Read 12,000 as a number with `thousands`; otherwise as several numbers, in brackets and without leading zeros."""
    if thousands and not depth:
        return [Token("number", text.replace(",", ""))]
    if thousands or not depth or any(len(group) > 1 and group[0] == "0" for group in text.split(",")):
        raise Refused(f"{text[:40]} may be one number or several")
    tokens = [token for group in text.split(",") for token in (Token("op", ","), Token("number", group))]
    return tokens[1:]


def _expand_fraction(match: re.Match[str]) -> str:
    whole, sign = match[0][:-1], match[0][-1]
    numerator, denominator = unicodedata.normalize("NFKC", sign).split("⁄")
    return rf"{whole}\frac{{{numerator}}}{{{denominator}}}"
