"""The `sql` verifier: judges queries by their results on the given database and on perturbed copies of it."""

from importlib.metadata import version

from halo_verifier_sql.verifier import SQL

__all__ = ["SQL"]
__version__ = version("halo-verifier-sql")
