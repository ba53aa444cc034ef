"""HTML elements: which of them show their content."""

from __future__ import annotations

import re

from halo_verifier_sympy.styles import is_visible

_NOT_RENDERED = frozenset(
    re.findall(
        r"\w+",
        "head title style script template noscript noembed noframes meta link base datalist dialog details select "
        "option textarea iframe object embed video audio canvas svg param source track area map frame frameset rp s "
        "del strike sup sub input button progress meter xmp plaintext",
    )
)
"""HTML elements whose content is not shown as text, or is crossed out."""
_HIDING = ("hidden", "inert")
VOID = frozenset(
    re.findall(
        r"\w+",
        "br hr img wbr col input meta link area base embed param source track",
    )
)
"""Elements without content."""
_ATTRIBUTE = re.compile(r"""\s+([A-Za-z-]+)\s*(?:=\s*("[^"]*"|'[^']*'|[^\s"'<>]+))?""")
_PLAIN_STYLE = re.compile(
    r"\s*(?:(?:text-align|font-weight|font-style|font-family|margin|padding|border|line-height)[a-z-]*\s*:\s*[\w\s.%#,]+"
    r"|color\s*:\s*(?P<color>\w+)\s*)\s*"
)


def is_element(attributes: str) -> bool:
    """Return whether these are the attributes of an element, unlike those in x <b and c> 3."""
    found = _ATTRIBUTE.findall(attributes)
    return not found or any(value or name.lower() in _HIDING for name, value in found)


def shows_content(tag: str, attributes: str) -> bool:
    """Return whether an element with these attributes shows its content."""
    return tag not in _NOT_RENDERED and all(map(_is_plain, _ATTRIBUTE.findall(attributes)))


def _is_plain(attribute: tuple[str, str]) -> bool:
    """Return whether an attribute of an HTML element leaves its content visible."""
    name, value = attribute[0].lower(), attribute[1].strip("\"'")
    if name in ("align", "dir", "lang", "id", "start", "type"):
        return True
    if name == "color":
        return is_visible(value)
    if name != "style":
        return False
    matches = [_PLAIN_STYLE.fullmatch(part) for part in value.split(";") if part.strip()]
    return all(match and (not match["color"] or is_visible(match["color"])) for match in matches)
