r"""Constructs around a box that may hide it from a reader, or take it back.

The constructs that enclose a box are found by one scan of the text before it: groups of LaTeX commands, environments
and HTML elements. A box in a construct that is not known to show its content is refused. So are completions that
redefine commands or store boxes, as these act from anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from halo_verifier_sympy.elements import VOID, is_element, shows_content
from halo_verifier_sympy.styles import FONT_COMMANDS, FONT_SWITCHES, TEXT_COMMANDS, is_background, is_visible
from halo_verifier_sympy.tree import Refused

_COMMAND = re.compile(r"\\([A-Za-z]+)")
_ACTS_ANYWHERE = frozenset(
    re.findall(
        r"\w+",
        "if iffalse iftrue ifnum ifx ifdim ifodd ifcase ifmmode ifcat def edef gdef xdef let futurelet newcommand "
        "renewcommand providecommand catcode lccode uccode csname expandafter aftergroup afterassignment scantokens "
        "setbox newbox newsavebox savebox sbox lrbox usebox unhbox unvbox shipout special pdfliteral write openout "
        "transparent texttransparent opacity fontsize scalebox resizebox selectfont magnification rlap llap clap "
        "mathrlap mathllap mathclap kern hskip vskip raisebox discretionary invisible only uncover onslide visible "
        "pause includeonly endinput",
    )
)
"""Commands that redefine others, store boxes, move text or hide it, from anywhere in the text."""
_ACTING_FAMILIES = ("Declare", "New", "Renew", "Provide", "every", "pgfset")
_ACTING_PATTERN = re.compile(
    r"\\begin[ ]?\{(?:comment|lrbox|filecontents\*?)\}|\\[hmv]space\*?[ ]?\{[ ]?-|\\renewenvironment|\\newenvironment"
)
_SHOWS = frozenset(
    re.findall(
        r"\w+",
        "fbox framebox boxed fboxed underbrace overbrace displaystyle "
        "textstyle centering hl centerline section subsection subsubsection paragraph title item left right big "
        "answer finalanswer result solution quad qquad mathop mathbin mathrel mathord therefore implies par noindent "
        "smallskip medskip bigskip begin end hline",
    )
) | {*TEXT_COMMANDS, *FONT_COMMANDS, *FONT_SWITCHES}
"""Commands whose argument is shown as it is."""
_ENVIRONMENTS = frozenset(
    re.findall(
        r"\w+",
        "align aligned alignat alignedat equation gather gathered multline multlined split eqnarray displaymath math "
        "cases array matrix pmatrix bmatrix center flushleft flushright quote quotation enumerate itemize description "
        "proof solution answer final theorem lemma tabular table minipage document framed mdframed tcolorbox verse "
        "abstract dcases rcases subequations figure boxed",
    )
)
_TOKEN = re.compile(
    r"""\\begin[ ]?\{(?P<begin>[A-Za-z]+)\*?\}|\\end[ ]?\{(?P<end>[A-Za-z]+)\*?\}|\\(?P<command>[A-Za-z]+)\*?|\\.
      |(?P<open>\{)|(?P<close>\})
      |<(?P<tag>/?[A-Za-z][A-Za-z0-9]*)(?P<attributes>(?:\s+[A-Za-z-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>]+))?)*)\s*/?>""",
    re.VERBOSE | re.DOTALL,
)
_LINK_DEFINITION = re.compile(r"^[ ]{0,3}\[[^\]\n]*\]:[^\n]*$", re.MULTILINE)
_LINK = re.compile(r"!\[[^\]\n]*\]|\]\([^)\n]*\)")
_MAY_LINK = re.compile(r"\][(:]")
_IN_TAG = re.compile(r"<[A-Za-z][A-Za-z0-9]*\s[^<>]*=\s*[\"'][^<>]*>")
_BETWEEN = re.compile(r"\s*(?:\[[^\]\n]*\])?\s*((?:to|spread)\b[^{}]*)?")
_MODEL = re.compile(r"\s*\[\s*([A-Za-z]+)\s*\]\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_NOT_BRACES = bytes(set(range(256)) - set(b"{}"))
_OPEN = ord("{")
_USUAL_DEPTH = 4
_HTML = re.compile(r"<[A-Za-z/]")
_COLORS = frozenset({"color", "pagecolor", "textcolor", "colorbox", "fcolorbox"})
_STACKS = frozenset({"stackrel", "overset", "underset"})
_SCOPED = frozenset({"begin", "color", "pagecolor"})
_WITH_PATTERN = frozenset({"begin", "hspace", "vspace", "mspace", "newenvironment", "renewenvironment"})
_STRUCK = re.compile(r"~~(?=\S)[^\n]*?~~")


class _Group:
    """A construct that is still open: its command or element, and the arguments that have been read."""

    def __init__(self, command: str, arguments: list[str], start: int, *, shows: bool) -> None:
        self.command = command
        self.arguments = arguments
        self.start = start
        self.shows = shows
        self.color_shows = True
        self.model = ""


def check_visible(text: str, places: Sequence[int]) -> None:
    """Raise `Refused` if something may hide the text at one of `places`, which ascend."""
    commands = set(_COMMAND.findall(text))
    acting = sorted(commands & _ACTS_ANYWHERE) or [
        name for name in commands if name.startswith(_ACTING_FAMILIES)
    ]
    has_tags = "<" in text
    if acting or (has_tags and "<!--" in text):
        raise Refused(f"\\{acting[0][:20]} may hide a box or text" if acting else "<!-- hides text")
    if not commands.isdisjoint(_WITH_PATTERN) and (hidden := _ACTING_PATTERN.search(text)):
        raise Refused(f"{hidden[0][:20]} may hide a box or text")
    if not places:
        return
    if (
        _MAY_LINK.search(text)
        or ("~" in text and "~~" in text)
        or ("!" in text and "![" in text)
        or (has_tags and "=" in text)
    ):
        for pattern in (_LINK_DEFINITION, _LINK, _STRUCK, _IN_TAG):
            for match in pattern.finditer(text):
                if any(match.start() < place < match.end() for place in places):
                    raise Refused("a box in a link, in an attribute, or crossed out")
    tagged = has_tags and _HTML.search(text, 0, places[-1])
    if tagged or not commands.isdisjoint(_SCOPED) or _is_in_group(text, places):
        _check_enclosing(text, places)


def _is_in_group(text: str, places: Sequence[int]) -> bool:
    """Return whether one of `places` is between braces."""
    start = 0
    for place in places:
        if _has_open_brace(text[start:place]):
            return True
        start = place
    return False


def _has_open_brace(text: str) -> bool:
    """Return whether an opening brace is not closed; escaped braces and closing ones too many do not count.

    Most texts are nested a few levels deep. They are reduced pair by pair, which is faster than a loop over all braces.
    """
    if r"\{" in text or r"\}" in text:
        text = "".join(found for found in _BRACE.findall(text) if len(found) == 1)
    braces = text.encode(errors="replace").translate(None, _NOT_BRACES)
    for _ in range(_USUAL_DEPTH):
        if not braces:
            return False
        braces = braces.replace(b"{}", b"")
    depth = 0
    for brace in braces:
        depth = depth + 1 if brace == _OPEN else max(0, depth - 1)
    return depth > 0


def _check_enclosing(text: str, places: Sequence[int]) -> None:
    stack = [_Group("", [], 0, shows=True)]
    pending = ("", list[str](), 0)
    """The command whose argument may follow, its arguments so far, and where they end."""
    remaining = list(places)
    for match in _TOKEN.finditer(text, 0, remaining[-1]):
        while match.start() >= remaining[0]:
            _check(stack, remaining.pop(0))
        kind = match.lastgroup
        if kind == "command":
            pending = (match["command"], [], match.end())
        elif kind == "begin":
            stack.append(_Group(match["begin"], [], match.end(), shows=match["begin"] in _ENVIRONMENTS))
        elif kind == "open":
            stack.append(_opened(text, match.start(), pending))
        elif kind == "close":
            if text[stack[-1].start - 1 : stack[-1].start] == "{":
                pending = _closed(stack, text, match.start())
        elif kind == "end" or (match["tag"] or "").startswith("/"):
            _pop(stack, match["end"] or match["tag"].lower())
        elif match["tag"] and match["tag"].lower() not in VOID:
            tag, attributes = match["tag"].lower(), match["attributes"]
            if is_element(attributes):
                group = _Group(f"/{tag}", [], match.end(), shows=shows_content(tag, attributes))
                stack.append(group)
    for place in remaining:
        _check(stack, place)


def _opened(text: str, place: int, pending: tuple[str, list[str], int]) -> _Group:
    """Return the group that starts at `place`, with the command that it is an argument of."""
    command, arguments, end = pending
    if command in ("color", "pagecolor") and arguments:
        command = ""  # the colour is chosen; what follows is a group of its own
    between = _BETWEEN.fullmatch(text, end, place) if place - end < 60 else None
    if not command or not between:
        before = text[max(0, place - 2) : place].rstrip()
        return _Group("", [], place + 1, shows=before[-1:] not in ("^", "_"))
    shows = command in _SHOWS and not between[1]
    if command == "textcolor":
        shows = bool(arguments) and is_visible(*_color(arguments[0]))
    elif command in ("colorbox", "fcolorbox"):
        shows = len(arguments) == 1 + (command == "fcolorbox") and is_background(*_color(arguments[-1]))
    elif command in _STACKS:
        shows = bool(arguments) and re.search(r"[A-Za-z]{2}", arguments[0]) is not None  # no sign, no bar
    group = _Group(command, arguments, place + 1, shows=shows)
    if command in _COLORS and (model := _MODEL.fullmatch(text, end, place)):
        group.model = model[1]
    return group


def _color(argument: str) -> tuple[str, str]:
    """Return a colour and its model, of an argument such as HTML:FF0000 or red."""
    model, _, color = argument.rpartition(":")
    return color, model


def _closed(stack: list[_Group], text: str, end: int) -> tuple[str, list[str], int]:
    """Close the innermost group; return its command, the arguments so far, and where they end."""
    group = stack.pop()
    argument = text[group.start : end]
    arguments = [*group.arguments, f"{group.model}:{argument}" if group.model else argument]
    if group.command in ("color", "pagecolor"):
        stack[-1].color_shows = group.command == "color" and is_visible(argument, group.model)
    return group.command, arguments, end + 1


def _pop(stack: list[_Group], name: str) -> None:
    """Close the innermost environment or element `name`, and what is open within it."""
    for place in range(len(stack) - 1, 0, -1):
        if stack[place].command == name:
            del stack[place:]
            return


def _check(stack: Sequence[_Group], place: int) -> None:
    for group in stack:
        if not group.shows:
            raise Refused(f"a box within {group.command.lstrip('/') or 'an exponent or a subscript'}")
        if not group.color_shows:
            raise Refused("a box in a colour that may be hidden")
