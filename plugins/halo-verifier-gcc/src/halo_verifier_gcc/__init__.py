"""The `gcc` verifier for halo: compiles C and C++ programs and runs them in halo's sandbox."""

from importlib.metadata import version

from halo_verifier_gcc.verifier import GCC

__all__ = ["GCC"]
__version__ = version("halo-verifier-gcc")
