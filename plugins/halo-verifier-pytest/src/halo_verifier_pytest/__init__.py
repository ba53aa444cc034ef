"""The `pytest` verifier: judges Python programs by tests that the programs cannot reach."""

from importlib.metadata import version

from halo_verifier_pytest.verifier import Pytest

__all__ = ["Pytest"]
__version__ = version("halo-verifier-pytest")
