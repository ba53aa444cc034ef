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
    "mathbf", "bold", "mathit", "mathsf", "mathtt", "mathnormal", "boldsymbol", "bm", "pmb", "underline", "uline",
    "ensuremath",
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
_LIGHT = frozenset(
    re.findall(
        r"\w+",
        "white yellow lightgray lightgrey lightblue lightgreen lightyellow pink lime cyan gold orange beige ivory "
        "lavender khaki goldenrod apricot aquamarine",
    )
)
_SCALES = {"rgb": 1.0, "gray": 1.0, "RGB": 255.0}
_READABLE = 0.6
"""Largest brightness, of 0 to 1, at which text on white can be read."""
_STYLE = re.compile(
    rf"\$|\\[(\[]|\\(?:text)?color\b|\\(?:{'|'.join((*TEXT_COMMANDS, *FONT_COMMANDS))})[ ]?\{{"
)
_DOLLARS = re.compile(
    r"\$\$(?=\S)([^$]*?\S)\$\$|(?<!\\)\$(?=[^\s$])([^$]*?[^\s\\])\$(?!\d)"
    r"|\\\((.*?)\\\)|\\\[(.*?)\\\]",
    re.DOTALL,
)
_COLOR = re.compile(r"\\(text)?color[ ]?(?:\[([A-Za-z]+)\])?[ ]?\{([^{}]*)\}")
_FONT = re.compile(rf"\\(?:{'|'.join(FONT_COMMANDS)})[ ]?(?=\{{)")
_WRAPPER = re.compile(rf"\\(?:{'|'.join((*TEXT_COMMANDS, *FONT_COMMANDS))})[ ]?\{{(.*)\}}", re.DOTALL)


def is_visible(color: str, model: str = "") -> bool:
    """Return whether text in this colour can be read: blue, a mixture such as red!70!black, or numbers of a model."""
    if (brightness := _brightness(color.strip(), model)) is not None:
        return brightness <= _READABLE
    name, *mixed = color.strip().lower().split("!")
    share = mixed[0] if mixed else "100"
    return name in _VISIBLE and share.isdigit() and int(share) >= 40 and "white" not in mixed[1:]


def is_background(color: str, model: str = "") -> bool:
    """Return whether black text on this colour can be read."""
    if (brightness := _brightness(color.strip(), model)) is not None:
        return brightness >= 1 - _READABLE
    name, *mixed = color.strip().lower().split("!")
    faint = bool(mixed) and mixed[0].isdigit() and int(mixed[0]) <= 40 and mixed[1:] in ([], ["white"])
    return (name in _LIGHT and mixed[1:] in ([], ["white"])) or (name in _VISIBLE and faint)


def _brightness(color: str, model: str) -> float | None:
    """Return the brightness of a colour in numbers, from 0 to 1; None for a name or numbers that cannot be read."""
    digits = color.removeprefix("#")
    if model == "HTML" or (not model and color.startswith("#")):
        if not re.fullmatch("(?:[0-9A-Fa-f]{3}){1,2}", digits):
            return 1.0
        wide = len(digits) // 3
        parts = [int(digits[n : n + wide] * (2 // wide), 16) / 255 for n in range(0, len(digits), wide)]
    elif model in _SCALES:
        if not re.fullmatch(r"[\d.\s]+(?:,[\d.\s]+)*", color):
            return 1.0
        parts = [float(part.strip().strip(".") or "0") / _SCALES[model] for part in color.split(",")]
    else:
        return 1.0 if model and model != "named" else None
    if len(parts) not in (1, 3):
        return 1.0
    red, green, blue = parts * (3 // len(parts))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def plain(text: str) -> str:
    """Return an answer without fonts, visible colours and dollars; raise `Refused` for a colour that hides text."""
    if not _STYLE.search(text):
        return text
    text = _COLOR.sub(_checked_color, _DOLLARS.sub(lambda pair: next(filter(None, pair.groups()), ""), text))
    while (inside := _WRAPPER.fullmatch(text.strip())) and _is_group(inside[1]) and _is_mathematics(inside):
        text = inside[1]
    return _FONT.sub("", text)


def _checked_color(match: re.Match[str]) -> str:
    if not is_visible(match[3], match[2] or ""):
        raise Refused(f"text in the colour {match[3][:20]} may be hidden")
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
