"""The `sympy` verifier: compares final answers in mathematics by kind and exact value, without evaluating code."""

from importlib.metadata import version

from halo_verifier_sympy.verifier import Sympy

__all__ = ["Sympy"]
__version__ = version("halo-verifier-sympy")
