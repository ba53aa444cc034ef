"""The configuration of a run: driver kinds, driver options and the sections of `run.yaml`, as pure data."""
