"""The `gcc` verifier: judges C and C++ programs by compiling and running them in halo's sandbox."""

from importlib.metadata import version

from halo_verifier_gcc.verifier import GCC

__all__ = ["GCC"]
__version__ = version("halo-verifier-gcc")
