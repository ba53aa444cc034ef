"""Options: parse text and YAML into a driver's typed fields; derive help from the same fields.

A driver's annotations decide how its options are parsed. `5e-5`, for example, is a float even though PyYAML reads it
as a string.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from functools import lru_cache
from types import UnionType
from typing import (
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import pydantic.dataclasses
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from halo_core.errors import ConfigError, did_you_mean

T = TypeVar("T")
_PLAIN = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "dict_type": "expected a mapping of keys",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "list_type": "expected a list",
    "mapping_type": "expected a mapping of keys",
    "missing": "a value is required",
    "string_type": "expected text",
    "tuple_type": "expected a list",
}
"""pydantic's types of error, in words for users."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field, field))
def driver(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only pydantic dataclass whose field docstrings are its help."""
    return _options_class(cls, frozen=True)


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, field))
def hook_plugin(cls: type[T]) -> type[T]:
    """Make `cls` a hook plugin with options: its fields, as for a driver.

    Other than a driver it may have state: `__post_init__` sets attributes whose names start with `_`, and the hooks
    change them. Each run has an instance of its own.
    """
    return _options_class(cls, frozen=False)


def _options_class(cls: type[T], *, frozen: bool) -> type[T]:
    if "__init__" in vars(cls):
        raise TypeError(f"{cls.__name__}.__init__ would never be called: name it __post_init__(self)")
    make = pydantic.dataclasses.dataclass(
        frozen=frozen,
        kw_only=True,
        config=ConfigDict(
            use_attribute_docstrings=True,
            extra="forbid",
            arbitrary_types_allowed=True,
            allow_inf_nan=False,
            validate_default=True,
        ),
    )
    return cast(type[T], make(cls))


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a driver, as printed by `halo plugins show`."""

    name: str
    type: str
    default: Any
    """`...` if the option is required."""
    help: str


def options_of(cls: type) -> list[Option]:
    """Return the options of `cls`; empty if it is not a dataclass."""
    if not is_dataclass(cls):
        return []
    info: Mapping[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
    hints = _hints(cls)
    found = []
    for each in fields(cls):
        if not each.init:
            continue
        described = info.get(each.name)
        if described is not None:
            default = ... if described.is_required() else described.get_default(call_default_factory=True)
        elif each.default_factory is not MISSING:
            default = each.default_factory()
        else:
            default = ... if each.default is MISSING else each.default
        found.append(Option(each.name, _type_name(hints[each.name]), default, _help(cls, each.name)))
    return found


def options_in(value: object) -> dict[str, Any]:
    """Return the options of a driver or plugin by name; empty if it has none."""
    if isinstance(value, type) or not is_dataclass(value):
        return {}
    values: dict[str, Any] = asdict(cast(Any, value))
    return {each.name: values[each.name] for each in fields(value) if each.init}


@lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    """Return the annotations of `cls`, evaluated, which takes milliseconds."""
    return get_type_hints(cls)


def _help(cls: type, name: str) -> str:
    """Return the docstring of a field; pydantic drops it from inherited fields."""
    found = [getattr(base, "__pydantic_fields__", {}).get(name) for base in cls.__mro__]
    text = next((info.description for info in found if info and info.description), "")
    return " ".join(text.split())


def build(cls: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Construct `cls` from options given as text or as YAML values.

    `where` names the driver in messages ("verifier 'gcc'"). Raises a `ConfigError` that names the first invalid
    option; for an unknown option, with the nearest known name.
    """
    known = {option.name for option in options_of(cls)}
    removed = getattr(cls, "removed_options", {})
    values = {
        name: value for name, value in values.items() if name in known or removed.get(name, ...) != value
    }
    for name in values:
        if name not in known:
            hint = did_you_mean(name, known) if known else "it takes no options"
            if name in removed:
                hint = f"the option was removed; the driver now always works as with {name}={removed[name]!r}"
            raise ConfigError(f"{where} has no option {name!r}", hint=hint)
    if not is_dataclass(cls):
        return cls()
    hints = _hints(cls)
    converted = {name: _convert(value, hints[name]) for name, value in values.items()}
    try:
        return TypeAdapter(cls).validate_python(converted)
    except ValidationError as error:
        raise ConfigError(explain(error, where=where)) from error


def explain(error: ValidationError, *, where: str) -> str:
    """Return the first problem of `error` as one line."""
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"] if not _is_type_tag(part))
    given = "" if first["type"].startswith("missing") else f" (got {first['input']!r})"
    message = _PLAIN.get(first["type"], first["msg"].removeprefix("Value error, "))
    if first["type"] == "string_type" and isinstance(first["input"], bool):
        message += "; YAML reads bare yes, no, on and off as true and false: quote it"
    return f"{where}: {path + ': ' if path else ''}{message[:1].lower()}{message[1:]}{given}"


def parse_assignments(texts: Iterable[str], *, flag: str) -> dict[str, Any]:
    """Parse repeated `key=value` texts; a key given more than once becomes a list of its values."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"{flag} {text!r} is not of the form key=value",
                hint="it sets an option; the long flag sets the name: --verifier NAME"
                if flag[1].isupper()
                else "",
            )
        key = key.strip()
        if key not in found:
            found[key] = value
        elif isinstance(found[key], list):
            found[key].append(value)
        else:
            found[key] = [found[key], value]
    return found


def _convert(value: Any, hint: Any) -> Any:
    """Convert a text for pydantic where pydantic's own conversion is not enough."""
    if not isinstance(value, str):
        return value
    branches = _branches(hint)
    if value.lower() in {"none", "null"} and type(None) in branches:
        return None
    literals = [choice for branch in branches if get_origin(branch) is Literal for choice in get_args(branch)]
    for choice in literals:
        if str(choice) == value:
            return choice
    if not any(map(_is_collection, branches)):
        return value
    if value[:1] in {"[", "{"}:
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value if str in branches or any(map(_is_mapping, branches)) else [value]


def _branches(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union; for any other type, the type itself."""
    return get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)


def _is_collection(hint: Any) -> bool:
    origin = get_origin(hint) or hint
    return isinstance(origin, type) and issubclass(origin, (Sequence, Mapping, set)) and origin is not str


def _is_mapping(hint: Any) -> bool:
    origin = get_origin(hint) or hint
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_type_tag(part: int | str) -> bool:
    """Return whether `part` of an error's path is the branch of a union, which pydantic inserts."""
    return isinstance(part, str) and ("[" in part or part in {"str", "int", "float", "bool", "none"})


def _type_name(hint: Any) -> str:
    if isinstance(hint, type) and get_origin(hint) is None:
        return "none" if hint is type(None) else hint.__name__
    if len(_branches(hint)) > 1:
        return " | ".join(map(_type_name, _branches(hint)))
    return str(hint).replace("typing.", "").replace("collections.abc.", "")
