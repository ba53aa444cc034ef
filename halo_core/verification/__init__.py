"""Verifiers at work: routing, auditing and verifying again. Usable without a run."""
