"""`test_real.py` is collected only with vLLM (`make vllm`) and a model (`HALO_REAL_MODEL=DIRECTORY`)."""

from __future__ import annotations

import os
from pathlib import Path

PYTHON = Path(__file__).parents[3] / ".venv-vllm/bin/python"
collect_ignore = [] if PYTHON.exists() and os.environ.get("HALO_REAL_MODEL") else ["test_real.py"]
