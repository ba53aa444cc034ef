"""Verification: routing to verifiers, error budget, audit and re-verification. Usable without a run."""
