"""Scaffolds of plugin packages: everything that a new package needs, with an example that works."""
