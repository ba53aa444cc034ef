"""Learning-rate policies across cycles, for halo."""
