r"""LaTeX that changes how an answer looks but not what it means: fonts, colours, dollars, phantoms.

Colours are those that a reader sees on a white page. Text in any other colour is hidden.
"""

from __future__ import annotations

import re

from halo_verifier_sympy.tree import Refused

TEXT_COMMANDS = (
    "text", "textbf", "textit", "textrm", "textnormal", "textsf", "texttt", "textup", "textmd", "textsl", "textsc",
    "emph", "mbox", "hbox", "mathrm", "operatorname",
)  # fmt: skip
"""Commands whose argument is a word."""
FONT_COMMANDS = (
    "mathbf", "mathit", "mathsf", "mathtt", "mathnormal", "boldsymbol", "bm", "pmb", "underline", "uline", "ensuremath",
)  # fmt: skip
"""Commands whose argument is mathematics in another font."""
FONT_SWITCHES = (
    "bf", "it", "rm", "sf", "tt", "sl", "sc", "em", "bfseries", "itshape", "rmfamily", "sffamily", "mdseries",
    "upshape", "normalfont", "boldmath", "unboldmath", "tiny", "scriptsize", "footnotesize", "small", "normalsize",
    "large", "Large", "LARGE", "huge", "Huge",
)  # fmt: skip
"""Commands that change the font of what follows."""

_VISIBLE = frozenset(
    re.findall(
        r"\w+",
        "black blue brown cyan darkgray darkgreen darkblue darkred gray green grey indigo magenta maroon navy olive "
        "orange purple red teal violet bittersweet blueviolet brickred burntorange cadetblue cerulean cornflowerblue "
        "crimson emerald forestgreen junglegreen mahogany midnightblue navyblue orangered plum processblue redorange "
        "redviolet royalblue royalpurple sienna",
    )
)
_STYLE = re.compile(
    rf"\$|\\[(\[]|\\(?:text)?color\b|\\(?:{'|'.join((*TEXT_COMMANDS, *FONT_COMMANDS))})[ ]?\{{"
)
_DOLLARS = re.compile(
    r"\$\$(?=\S)([^$]*?\S)\$\$|(?<!\\)\$(?=[^\s$])([^$]*?[^\s\\])\$(?!\d)"
    r"|\\\((.*?)\\\)|\\\[(.*?)\\\]",
    re.DOTALL,
)
_COLOR = re.compile(r"\\(text)?color[ ]?(?:\[[A-Za-z]+\])?[ ]?\{([^{}]*)\}")
_FONT = re.compile(rf"\\(?:{'|'.join(FONT_COMMANDS)})[ ]?(?=\{{)")
_WRAPPER = re.compile(rf"\\(?:{'|'.join((*TEXT_COMMANDS, *FONT_COMMANDS))})[ ]?\{{(.*)\}}", re.DOTALL)


def is_visible(color: str) -> bool:
    """Return whether text in this colour can be read, for a name such as blue, or a mixture such as red!70!black."""
    name, *mixed = color.strip().lower().split("!")
    share = mixed[0] if mixed else "100"
    return name in _VISIBLE and share.isdigit() and int(share) >= 40 and "white" not in mixed[1:]


def plain(text: str) -> str:
    """Return an answer without fonts, visible colours and dollars; raise `Refused` for a colour that hides text."""
    if not _STYLE.search(text):
        return text
    text = _COLOR.sub(_checked_color, _DOLLARS.sub(lambda pair: next(filter(None, pair.groups()), ""), text))
    while (inside := _WRAPPER.fullmatch(text.strip())) and _is_group(inside[1]) and _is_mathematics(inside):
        text = inside[1]
    return _FONT.sub("", text)


def _checked_color(match: re.Match[str]) -> str:
    if not is_visible(match[2]):
        raise Refused(f"text in the colour {match[2][:20]} may be hidden")
    return "" if match[1] else " "


def _is_group(text: str) -> bool:
    """Return whether no brace in `text` closes a brace before it."""
    depth = 0
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth < 0:
            return False
    return depth == 0


def _is_mathematics(match: re.Match[str]) -> bool:
    """Return whether a command around a whole answer holds more than a word."""
    font = match[0].lstrip().startswith(tuple(f"\\{name}" for name in FONT_COMMANDS))
    return font or re.search(r"[\d\\$%^]", match[1]) is not None
