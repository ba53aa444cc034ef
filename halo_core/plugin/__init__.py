"""Plugins: discovery through entry points, and checked hook calls. Independent of runs."""
