"""Structure of a completion: its thoughts, fenced blocks and tagged tool calls, found in one pass.

Tags and fences within a JSON string are data. A text is therefore read from left to right, and a value that is JSON is
skipped as a whole. Runs in time linear in the text.
"""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from halo_verifier_jsonschema.reading import Reader

CALL, CALL_END = "<tool_call>", "</tool_call>"
FENCES = ("```", "~~~")
_KNOWN = ("think", "thinking", "thought", "reasoning", "reflection", "analysis", "scratchpad")
_BEFORE_FENCE = re.compile(r"(?:^|\n)[ \t]*(?:(?:[-*+]|\d{1,3}[.)])[ \t]+)?\Z")
"""Text before an opening fence: the start of a line or of a segment, an indentation, and the marker of a list item."""
_WINDOW = 80
"""Characters before a fence that are examined."""
_FULL_LINE = re.compile(r"[ \t]*(json\b)?[ \t]*([\[{\"].*)", re.IGNORECASE)
_JSON_TO_LINE_END = re.compile(r"json[ \t\r]*(?:\n|\Z)", re.IGNORECASE)
_BLANK_TO_LINE_END = re.compile(r"[ \t\r]*(?:\n|\Z)")
_PROMPT = ""
"""Name of a thought that the prompt opened."""
_WHITESPACE = re.compile(r"[ \t\r\n]*")


class UnfinishedThoughtError(Exception):
    """A thought never ends. The message is its opening tag; empty if the prompt opened it."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    tag: str
    """First word after the opening fence, in lower case."""
    content: str


@dataclass(slots=True)
class Segment:
    """The text between two thoughts."""

    text: str = ""
    prose: list[str] = field(default_factory=list)
    """The text outside blocks and calls."""
    blocks: list[Block] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    """The content of each pair of `<tool_call>` tags."""
    is_malformed: bool = False
    """True if a tag of a tool call has no counterpart, or is within a block that is not JSON."""


@functools.lru_cache(maxsize=64)
def thought_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern for the tags of thoughts: those named `names` and those of known models.

    In a closing tag, one of the groups but `name` is not empty.
    """
    every = "|".join(map(re.escape, dict.fromkeys([*_KNOWN, *names])))
    return re.compile(
        rf"<(/?)(?:\w{{1,20}}:)?(?P<name>{every})(?!\w)[^<>]*>"
        r"|\[(/?)think\]|◁(/?)think▷|<\|(?:begin|(end))_of_thought\|>",
        re.IGNORECASE,
    )


def scan(text: str, thoughts: re.Pattern[str], *, opened: bool, calls: bool) -> list[Segment]:
    """Return the segments of `text`.

    `thoughts` is a `thought_pattern`; `opened` means that the prompt opened a thought; with `calls`, `<tool_call>` tags
    are read. A closing tag without an opening one ends a thought that the prompt opened: everything before it is
    dropped. Within a fenced block or a call, tags are data, with the exception of such a closing tag in a block that is
    not JSON. Raises `UnfinishedThoughtError`.
    """
    return _Scanner(text, thoughts, calls=calls).run(opened=opened)


class _Scanner:
    def __init__(self, text: str, thoughts: re.Pattern[str], *, calls: bool) -> None:
        self._text = text
        self._thoughts = thoughts
        self._calls = calls
        self._found: dict[str, int] = {}
        self._block_ends: dict[str, tuple[int, int]] = {}
        self._tag: re.Match[str] | None = None
        self._tag_from = -1
        self._reader = Reader(text)
        self._segments: list[Segment] = []
        self._segment = Segment()
        self._start = 0
        """Start of the current segment."""
        self._prose_start = 0

    def run(self, *, opened: bool) -> list[Segment]:
        position = self._skip_thought(0) if opened else 0
        while (start := self._next_token(position)) < len(self._text):
            if position == self._start and (end := self._value_end(position, start)) > start:
                position = end
                continue
            tag = self._next_tag(start)
            if tag is not None and tag.start() == start:
                position = tag.end() if _is_quoted(self._text, tag) else self._thought(tag)
            elif self._text.startswith(CALL, start):
                position = self._call(start)
            else:
                position = self._fence(start)
        self._end_segment(len(self._text))
        return self._segments

    def _next_token(self, position: int) -> int:
        """Return the start of the next tag or fence; the length of the text if there is none."""
        starts = [self._next(fence, position) for fence in FENCES]
        if self._calls:
            starts.append(self._next(CALL, position))
        tag = self._next_tag(position)
        return min([*starts, tag.start()] if tag else starts)

    def _next(self, needle: str, position: int) -> int:
        if self._found.get(needle, -1) < position:
            found = self._text.find(needle, position)
            self._found[needle] = found if found >= 0 else len(self._text)
        return self._found[needle]

    def _next_tag(self, position: int) -> re.Match[str] | None:
        if self._tag_from < 0 or (self._tag is not None and self._tag.start() < position):
            self._tag = self._thoughts.search(self._text, position)
            self._tag_from = position
        return self._tag

    # Thoughts

    def _thought(self, tag: re.Match[str]) -> int:
        """Drop the thought that `tag` starts, or that the prompt opened and `tag` ends; return its end."""
        if is_closing(tag):
            return self._drop_everything(tag.end())
        self._end_segment(tag.start())
        return self._skip_thought(tag.end(), _name(tag), tag[0])

    def _drop_everything(self, end: int) -> int:
        self._segments.clear()
        self._begin_segment(end)
        return end

    def _skip_thought(self, position: int, name: str = _PROMPT, opening: str = "") -> int:
        """Return the end of the thought `name`, whose opening tag is `opening`. Thoughts may be nested."""
        above, counts = [name], collections.Counter([name])
        while above:
            tag = self._next_tag(position)
            if tag is None:
                raise UnfinishedThoughtError(opening)
            position, name = tag.end(), _name(tag)
            if _is_quoted(self._text, tag):
                continue
            if not is_closing(tag):
                above.append(name)
                counts[name] += 1
                continue
            # A tag without a counterpart ends the prompt's thought, or else the innermost one.
            ended = name if counts[name] else _PROMPT if counts[_PROMPT] else above[-1]
            while counts[ended]:
                counts[last := above.pop()] -= 1
                if last == ended:
                    break
        self._begin_segment(position)
        return position

    def _begin_segment(self, start: int) -> None:
        self._segment = Segment()
        self._start = self._prose_start = start

    def _end_segment(self, end: int) -> None:
        self._end_prose(end)
        self._segment.text = self._text[self._start : end]
        self._segments.append(self._segment)

    def _end_prose(self, end: int) -> None:
        self._segment.prose.append(self._text[self._prose_start : end])

    # Blocks and calls

    def _fence(self, start: int) -> int:
        """Read the fenced block that starts at `start`, if any; return where to go on."""
        text = self._text
        fence = _run(text, start)
        info_start = start + len(fence)
        opens = _BEFORE_FENCE.search(text[max(self._start, start - _WINDOW) : start])
        if not opens and not _JSON_TO_LINE_END.match(text, info_start):
            return info_start
        line_end = self._next("\n", start)
        if fence[0] == "`" and (other := text.find("`", info_start, line_end)) >= 0:
            return self._full_line(start, info_start, other)
        if (in_line := self._next_tag(info_start)) is not None and in_line.start() < line_end:
            return info_start
        info = text[info_start:line_end]
        content_start = min(line_end + 1, len(text))
        content_end, end = self._block_end(fence, line_end)
        tag = (info.split() or [""])[0].lower()
        for thought in self._stray_tags(content_start, content_end):
            if self._is_json(content_start, content_end):
                break
            if _is_alone(text, thought) or tag in ("", "json") or content_end == len(text):
                return self._drop_everything(thought.end())
        if self._calls and self._next(CALL, content_start) < content_end:
            self._segment.is_malformed |= not self._is_json(content_start, content_end)
        self._end_prose(start)
        self._segment.blocks.append(Block(tag, text[content_start:content_end]))
        self._prose_start = end
        return end

    def _block_end(self, fence: str, line_end: int) -> tuple[int, int]:
        """Return where the content of a block ends and where its closing fence does.

        A closing fence ends its line, or starts it and is followed by a tag: JSON has no such line. An unclosed block
        extends to the end of the text.
        """
        if self._block_ends.get(fence, (-1, -1))[0] < line_end:
            run = rf"(?<!{fence[0]}){fence}{fence[0]}*+[ \t\r]*+"
            closing = re.compile(rf"{run}(?:\n|\Z)|(?<=\n)[ \t]*+{run}(?=[<\[◁])").search(
                self._text, line_end
            )
            self._block_ends[fence] = closing.span() if closing else (len(self._text), len(self._text))
        return self._block_ends[fence]

    def _stray_tags(self, start: int, end: int) -> Iterator[re.Match[str]]:
        """Yield the closing tags between `start` and `end` that have no opening one there."""
        depth = 0
        while (tag := self._next_tag(start)) is not None and tag.end() <= end:
            start = tag.end()
            if not is_closing(tag):
                depth += 1
            elif depth:
                depth -= 1
            else:
                yield tag

    def _full_line(self, start: int, info_start: int, other: int) -> int:
        """Read a line of the form ```` ```json {"a": 1}``` ````; other backticks within a line are prose."""
        closing = _run(self._text, other)
        if len(closing) != info_start - start or not _BLANK_TO_LINE_END.match(
            self._text, other + len(closing)
        ):
            return info_start
        if (found := _FULL_LINE.fullmatch(self._text[info_start:other])) is None:
            return info_start
        self._end_prose(start)
        self._segment.blocks.append(Block((found[1] or "").lower(), found[2]))
        self._prose_start = other + len(closing)
        return self._prose_start

    def _call(self, start: int) -> int:
        """Read the call that starts at `start`; return its end, or the end of its tag if it is malformed."""
        content_start = start + len(CALL)
        content_end = -1 if self._reader.is_exhausted else self._call_end(content_start)
        if content_end < 0:
            self._segment.is_malformed = True
            return content_start
        self._end_prose(start)
        self._segment.calls.append(self._text[content_start:content_end])
        self._prose_start = content_end + len(CALL_END)
        return self._prose_start

    def _call_end(self, start: int) -> int:
        """Return where the content of the call ends that starts at `start`; -1 if it is malformed.

        The end is the first `</tool_call>` that is not within a string. Other tags within the call must be too.
        """
        end = self._next(CALL_END, start)
        if count_quotes(self._text[start:end]) % 2:
            value_end = self._decode(start)
            end = self._text.find(CALL_END, value_end) if value_end >= 0 else -1
        elif end < len(self._text):
            tag = self._next_tag(start)
            has_tags = (tag is not None and tag.start() < end) or self._text.find(CALL, start, end) >= 0
            if has_tags and not self._is_json(start, end):
                end = -1
        else:
            end = -1
        if end < 0:
            self._reader.spend(self._next(CALL_END, start) - start)
        return end

    # JSON values

    def _value_end(self, position: int, token: int) -> int:
        """Return the end of the JSON value at `position`; -1 if there is none, or only a number or a word."""
        head = self._text[position:token].lstrip(" \t\r\n")
        if not head.startswith(("{", "[", '"')):
            return -1
        end = self._decode(position)
        if head.startswith('"') and _WHITESPACE.match(self._text, max(end, 0)).end() < len(self._text):  # type: ignore[union-attr]
            return -1  # prose
        return end

    def _is_json(self, start: int, end: int) -> bool:
        """Return whether the text from `start` to `end` is a JSON value, without a tag after it."""
        value_end = self._decode(start)
        if not 0 <= value_end <= end or self._text.find(CALL, value_end, end) >= 0:
            return False
        return not self._thoughts.search(self._text, value_end, end)

    def _decode(self, start: int) -> int:
        """Return the end of the JSON value at `start`, after white space; -1 if there is none."""
        found = self._reader.read(_WHITESPACE.match(self._text, start).end())  # type: ignore[union-attr]
        return found[1] if found else -1


def is_closing(tag: re.Match[str]) -> bool:
    """Return whether a match of `thought_pattern` is a closing tag."""
    first, _, *others = tag.groups()
    return bool(first) or any(others)


def _name(tag: re.Match[str]) -> str:
    return (tag["name"] or "think").lower()


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    """Return whether a tag is all that is between two quotes, as in "<think>" or `</think>`."""
    before = text[max(0, tag.start() - 1) : tag.start()]
    return before in ("'", '"', "`") and text.startswith(before, tag.end())


def _is_alone(text: str, tag: re.Match[str]) -> bool:
    """Return whether a tag is alone on its line."""
    before, after = text[max(0, tag.start() - _WINDOW) : tag.start()], text[tag.end() : tag.end() + _WINDOW]
    return not before.rpartition("\n")[2].strip() and not after.partition("\n")[0].strip()


def _run(text: str, start: int) -> str:
    """Return the run of equal characters that starts at `start`."""
    end = start
    while text.startswith(text[start], end):
        end += 1
    return text[start:end]


def count_quotes(json_text: str) -> int:
    """Return the number of quotation marks that are not escaped."""
    if "\\" in json_text:
        json_text = json_text.replace("\\\\", "").replace('\\"', "")
    return json_text.count('"')
