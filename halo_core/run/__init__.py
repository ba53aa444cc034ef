"""A run: plan, resume, state, sampling pipeline and default hooks."""
