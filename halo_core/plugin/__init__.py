"""The plugin seam: entry points in, checked hook calls out. Knows nothing of runs."""
