"""The number of parameters of a model, from its files alone. Importing this module does not import torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

from halo_core.config.model import ModelConfig

_HEADER_LIMIT = 100_000_000
"""Longest header of a safetensors file, in bytes, as the format defines it."""
_UNITS = {"M": 1e6, "B": 1e9}


def parameter_count(config: ModelConfig) -> int:
    """Return the number of parameters of the model that `config` names; 0 if neither its files nor its name tell.

    Read from the headers of the safetensors files in its directory or in the hub's cache; else from a size in its name,
    such as 0.5B.
    """
    files = _weight_files(config)
    try:
        if files and (counted := sum(map(_elements, files))):
            return counted
    except (OSError, ValueError, KeyError, TypeError):
        pass
    sizes = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)([MB])(?![A-Za-z0-9])", Path(config.name).name.upper())
    return int(float(sizes[-1][0]) * _UNITS[sizes[-1][1]]) if sizes else 0


def _weight_files(config: ModelConfig) -> list[Path]:
    directory = Path(config.name).expanduser()
    if not config.name or directory.is_file():
        return []
    if not directory.is_dir():
        directory = _cached_directory(config)
    return sorted(directory.glob("*.safetensors")) if directory.is_dir() else []


def _cached_directory(config: ModelConfig) -> Path:
    """Return the directory of the model in the hub's cache; one that does not exist if it is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(config.name, "config.json", revision=config.revision)
    except HFValidationError:
        return Path("/nonexistent")
    return Path(found).parent if isinstance(found, str) else Path("/nonexistent")


def _elements(file: Path) -> int:
    """Return the number of elements of all tensors in a safetensors file."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 0 < length <= _HEADER_LIMIT:
            raise ValueError(f"{file} is not a safetensors file")
        header = json.loads(opened.read(length))
    shapes: Iterable[list[int]] = (entry["shape"] for name, entry in header.items() if name != "__metadata__")
    return sum(map(math.prod, shapes))
