"""One run: planning, resuming, state, the sampling pipeline and the default hooks."""
