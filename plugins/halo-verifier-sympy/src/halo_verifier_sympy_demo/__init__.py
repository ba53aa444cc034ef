"""Authoring code of the demo in `halo_verifier_sympy.demo`; not part of the wheel."""
