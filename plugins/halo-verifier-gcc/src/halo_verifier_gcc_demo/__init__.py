"""Authoring code of the gcc verifier's demo; in the repository only, not in the wheel."""
