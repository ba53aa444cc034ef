"""The verifier's demo."""
from pathlib import Path
from halo_core import demos
SETTINGS = {}
def load():
    return demos.load(Path(__file__).parent, SETTINGS)
