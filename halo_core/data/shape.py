"""The shape of foreign data: which columns become the prompt, the messages and the verifier's reference.

A row passes three steps: `where` drops it or not, a recipe and then `columns` map it, and `template` writes the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from halo_core.data.recipes import recipe
from halo_core.errors import ConfigError, DataError, did_you_mean

Row = Mapping[str, Any]
PROMPT_KEYS = ("id", "prompt", "text", "messages", "verifier", "reference")
"""The keys of a prompt; every other key that `columns` maps belongs to the reference."""
_STEPS = ("from", "value", "json", "match", "after", "before")


@dataclass(frozen=True)
class Shape:
    """How the rows of a source become prompts."""

    recipe: str = ""
    """Name of a ready recipe for the columns of a known data set; empty: none."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """By key of the prompt or of its reference: the name of a column, the path of a nested key (`a.b.0`), or a mapping
    of `from` and what to do with it; see `take`."""
    template: str = ""
    """Jinja template of the prompt, with the columns of the row, and `prompt` as mapped; empty: the prompt as it is."""
    where: str = ""
    """Jinja expression of the columns that is true for the rows to use; empty: all."""
    databases: str = ""
    """Directory of SQLite databases, for recipes that need them."""

    @property
    def is_plain(self) -> bool:
        """True if the rows are prompts as they are."""
        return not (self.recipe or self.columns or self.template or self.where)

    def apply(self, row: Row, place: str) -> dict[str, Any] | None:
        """Return the row as a prompt's row; None if `where` leaves it out. Raises a `DataError` for an unfit row."""
        if self.where and not self._holds(row, place):
            return None
        made = dict(row)
        if self.recipe:
            made = {key: value for key, value in row.items() if key not in PROMPT_KEYS}
            made |= self._recipe(row, place, self.databases)
        if self.columns:
            mapped = {key: take(row, spec, f"{place}: {key}") for key, spec in self.columns.items()}
            own = {key: value for key, value in mapped.items() if key in PROMPT_KEYS}
            others = {key: value for key, value in mapped.items() if key not in PROMPT_KEYS}
            reference = own.get("reference", made.get("reference") or {}) if others else None
            for text in {"prompt", "text", "messages"} if {"prompt", "text", "messages"} & own.keys() else ():
                made.pop(text, None)
            made |= own
            if reference is not None:
                made["reference"] = {**_as_mapping(reference, place), **others}
        if self.template:
            made["prompt"] = self._written(row, made, place)
            made.pop("text", None)
            made.pop("messages", None)
        return made

    @cached_property
    def _recipe(self) -> Callable[[Row, str, str], dict[str, Any]]:
        return recipe(self.recipe)

    @cached_property
    def _environment(self) -> Any:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        return ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)

    @cached_property
    def _condition(self) -> Any:
        return self._compiled(
            "where", lambda: self._environment.compile_expression(self.where, undefined_to_none=False)
        )

    @cached_property
    def _template(self) -> Any:
        return self._compiled("template", lambda: self._environment.from_string(self.template))

    def _compiled(self, key: str, make: Callable[[], Any]) -> Any:
        from jinja2 import TemplateSyntaxError

        try:
            return make()
        except TemplateSyntaxError as error:
            raise ConfigError(
                f"data.{key}: {error.message}", hint="it is written in Jinja: level == 'easy', {{ question }}"
            ) from error

    def _holds(self, row: Row, place: str) -> bool:
        return self._evaluated("where", lambda: bool(self._condition(**_names(row))), row, place) is True

    def _written(self, row: Row, made: Row, place: str) -> str:
        names = {**_names(row), **({"prompt": made["prompt"]} if "prompt" in made else {})}
        return str(self._evaluated("template", lambda: self._template.render(**names), row, place))

    def _evaluated(self, key: str, compute: Callable[[], Any], row: Row, place: str) -> Any:
        from jinja2 import TemplateError

        try:
            return compute()
        except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise DataError(
                f"{place}: data.{key}: {error}", hint=f"the columns are {', '.join(map(str, row))}"
            ) from error


def take(row: Row, spec: Any, place: str) -> Any:
    """Return what `spec` takes from a row: the value of a column or path, or of a mapping with these keys, in order.

    `from`: the column or path; `value`: a constant instead; `json`: true parses JSON text; `match`: the first group of
    a regular expression, or all of its match; `after`, `before`: the text after the last, or before the first, mark.
    Text that was cut is stripped. Raises a `DataError` that begins with `place`.
    """
    if isinstance(spec, str):
        return _at(row, spec, place)
    if not isinstance(spec, Mapping) or not ({"from", "value"} & spec.keys()):
        raise DataError(
            f"{place}: {spec!r} names no column", hint="write a column, or {from: COLUMN, after: TEXT}"
        )
    for key in spec:
        if key not in _STEPS:
            raise DataError(f"{place}: unknown key {key!r}", hint=did_you_mean(key, _STEPS))
    value = spec["value"] if "value" in spec else _at(row, str(spec["from"]), place)
    if spec.get("json") and isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise DataError(f"{place}: not JSON: {error}") from error
    for step in ("match", "after", "before"):
        if step in spec:
            value = _cut(value, step, str(spec[step]), place)
    return value


def _cut(value: Any, step: str, mark: str, place: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{place}: {step} needs text, not {type(value).__name__}")
    if step == "match":
        try:
            found = re.search(mark, value, re.DOTALL)
        except re.error as error:
            raise DataError(f"{place}: match: {error}") from error
        if found is None:
            raise DataError(f"{place}: {mark!r} matches nothing")
        return (found[1] if found.re.groups else found[0]).strip()
    before, mark_found, after = value.rpartition(mark) if step == "after" else value.partition(mark)
    if not mark_found:
        raise DataError(f"{place}: there is no {mark!r} in it")
    return (after if step == "after" else before).strip()


def _at(row: Row, path: str, place: str) -> Any:
    """Return the value of a column, or at the path of a nested key; numbers in it are places in lists."""
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, (list, tuple)) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            known = [str(key) for key in value] if isinstance(value, Mapping) else []
            raise DataError(
                f"{place}: there is no column {path!r}",
                hint=did_you_mean(part, known) or f"the columns are {', '.join(map(str, row))}",
            )
    return value


def _as_mapping(value: Any, place: str) -> Row:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise DataError(f"{place}: reference: not JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise DataError(f"{place}: 'reference' must be a mapping of keys")
    return value


def _names(row: Row) -> dict[str, Any]:
    return {str(key): value for key, value in row.items()}
