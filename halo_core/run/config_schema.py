"""A JSON schema of the configuration, for editors: they complete keys, show their help and mark mistakes.

It describes the drivers that are installed, each with its options. A driver in a file may have any options: the file is
not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from halo_core.config.kinds import KINDS, Kind, clusters
from halo_core.config.options import options_of
from halo_core.config.schema import RunConfig
from halo_core.errors import HaloError
from halo_core.plugin.discovery import available, load

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILE = {"type": "string", "pattern": r"\.py(:\w+)?$", "description": "A class in a Python file."}


def config_schema() -> Schema:
    """Return the JSON schema of a configuration file."""
    schema: Schema = RunConfig.model_json_schema()
    schema = {"$schema": DIALECT, **schema, "title": "Configuration of a halo run"}
    for kind in KINDS.values():
        one = _driver(kind)
        described = {"description": kind.help, "anyOf": one}
        if kind.many:
            described["anyOf"] = [*one, {"type": "array", "items": {"anyOf": one}}]
        schema["properties"][kind.key] = described
    heldout = schema["$defs"]["HeldoutConfig"]["properties"]["generator"]
    heldout["anyOf"] = [*_driver(KINDS["generator"]), {"type": "null"}]
    schema["$defs"].pop("DriverSpec")
    schema.pop("required", None)  # a file may leave everything to flags
    schema["properties"]["per_cycle"] = _per_cycle()
    for source in available("cluster"):
        options = _options(KINDS["cluster"], source.address) if source.name in clusters() else None
        if options is not None:
            schema["properties"][source.name] = {"type": "object", "additionalProperties": False, **options}
    return schema


def _driver(kind: Kind) -> list[Schema]:
    """Return the forms of a driver of `kind`: its name, or a mapping of its name and its options."""
    found = {source.name: _options(kind, source.address) for source in available(kind.name)}
    forms: list[Schema] = [{"type": "string", "enum": sorted(found)}, _FILE]
    forms += [_mapping({"const": name}, name, options, kind.default) for name, options in found.items()]
    return [*forms, {"type": "object", "properties": {"name": _FILE}, "required": ["name"]}]


def _mapping(name: Schema, named: str, options: Schema | None, default: str) -> Schema:
    form: Schema = {"type": "object", "properties": {"name": name}}
    if named != default:  # without a name, the options are those of the default driver
        form["required"] = ["name"]
    if options is not None:
        form["properties"] |= options["properties"]
        form["description"] = options["description"]
        form["additionalProperties"] = False
    return form


def _options(kind: Kind, address: str) -> Schema | None:
    """Return the schema of the options of an installed driver; None if it is unknown."""
    try:
        cls = load(kind.name, address).value
        if not isinstance(cls, type):
            return {"properties": {}, "description": "A module of hooks."}
        described = {option.name: option.help for option in options_of(cls)}
        properties: Mapping[str, Schema] = TypeAdapter(cls).json_schema().get("properties", {})
    except (HaloError, TypeError, ValueError, RuntimeError):
        return None
    return {
        "description": (cls.__doc__ or "").strip(),
        "properties": {
            name: {**_lenient(schema), "description": described.get(name, "")}
            for name, schema in properties.items()
        },
    }


def _lenient(schema: Schema) -> Schema:
    """Also accept a single text for a list, as halo does."""
    if schema.get("type") == "array":
        return {"anyOf": [schema, {"type": "string"}], "default": schema.get("default")}
    return schema


def _per_cycle() -> Schema:
    allowed = [kind.name for kind in KINDS.values() if kind.per_cycle]
    values = {"type": "object", "additionalProperties": {"type": "array"}}
    return {
        "type": "object",
        "description": RunConfig.model_fields["per_cycle"].description,
        "properties": dict.fromkeys(allowed, values),
        "additionalProperties": False,
    }
