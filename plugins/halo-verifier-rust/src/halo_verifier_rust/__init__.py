"""The `rust` verifier for halo: compiles Rust programs and runs them in halo's sandbox."""

from importlib.metadata import version

from halo_verifier_rust.verifier import Rust

__all__ = ["Rust"]
__version__ = version("halo-verifier-rust")
