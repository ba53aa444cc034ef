"""The `jsonschema` verifier: checks JSON against a schema, a tool catalogue or an OpenAPI description."""

from importlib.metadata import version

from halo_verifier_jsonschema.verifier import JSONSchema

__all__ = ["JSONSchema"]
__version__ = version("halo-verifier-jsonschema")
