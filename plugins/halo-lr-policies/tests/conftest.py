"""Fixtures for the tests of `halo lr`."""

from command_line import halo, install

__all__ = ["halo", "install"]
