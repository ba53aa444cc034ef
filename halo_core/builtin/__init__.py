"""Hook plugins of the core itself. They go through the same hooks as anybody's."""
