"""The `sql` verifier: judges queries by what they return on the given database and on perturbed copies of it."""

from importlib.metadata import version

from halo_verifier_sql.verifier import SQL

__all__ = ["SQL"]
__version__ = version("halo-verifier-sql")
