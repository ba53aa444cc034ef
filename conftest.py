"""Settings of all tests, those of the packages under `plugins/` included."""

from hypothesis import settings

settings.register_profile("halo", deadline=None, derandomize=True)  # a slow machine is not a failure
settings.load_profile("halo")
