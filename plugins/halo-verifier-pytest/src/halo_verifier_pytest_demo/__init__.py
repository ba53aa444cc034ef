"""Authoring code of the `pytest` verifier's demo. The wheel ships its output only, in `halo_verifier_pytest.demo`."""
