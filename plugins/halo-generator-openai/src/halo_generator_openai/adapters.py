"""Adapters on a server that loads them while it runs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from halo_core import ModelError, Weights
from halo_generator_openai.client import Client

API = Literal["vllm", "sglang"]
_ROUTES: dict[API, tuple[str, str, str]] = {
    "vllm": ("v1/load_lora_adapter", "v1/unload_lora_adapter", "{adapter}"),
    "sglang": ("load_lora_adapter", "unload_lora_adapter", "{model}:{adapter}"),
}
"""Where a server loads an adapter and unloads one, and what a request names to sample with it."""


@dataclass
class Adapters:
    """The adapter of a run on each server of a client: loaded under a new name, the one before it unloaded."""

    client: Client
    model: str
    """The name of the model without an adapter, in requests."""
    api: API = "vllm"
    run_directory: Path | None = None
    seen_as: str = ""
    """`run_directory` as the servers see it; empty: as it is here."""
    loaded: str = field(default="", init=False)
    """The name of the adapter; empty: none is loaded."""
    path: str = field(default="", init=False)

    @property
    def current(self) -> str:
        """The name of the model in requests."""
        return (
            _ROUTES[self.api][2].format(model=self.model, adapter=self.loaded) if self.loaded else self.model
        )

    def use(self, weights: Weights) -> None:
        """Sample with `weights` from now on. Raises a `ModelError` if a server does not load them."""
        if weights.directory is None:
            self.unload()
            return
        before, name = self.loaded, f"halo-{weights.hash[:20]}"
        if before == name:
            return
        self.load(name, self._path(weights.directory))
        if before:
            self._each_unloads(before)

    def load(self, name: str, path: str) -> None:
        """Load the adapter at `path`, a path on the servers, as `name`."""
        for number, url in enumerate(self.client.urls):
            try:
                self._load_on(number, name, path)
            except ModelError as error:
                raise ModelError(
                    f"{url} does not load the adapter {path}: {error}",
                    hint="the server must allow it (vLLM: VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, --enable-lora, and a "
                    "--max-lora-rank of at least the adapter's) and must be able to read the path: served_directory",
                ) from error
        self.loaded, self.path = name, path

    def load_again(self, number: int) -> None:
        """Load the adapter on the `number`-th server, which has been started again."""
        if self.loaded:
            self._load_on(number, self.loaded, self.path)

    def _load_on(self, number: int, name: str, path: str) -> None:
        try:
            self.client.tell(_ROUTES[self.api][0], {"lora_name": name, "lora_path": path}, number=number)
        except ModelError as error:
            if not ("already" in str(error) and "loaded" in str(error)):
                raise  # else the name, which contains the hash of the weights, shows that these are the same

    def unload(self) -> None:
        """Sample without an adapter from now on."""
        name, self.loaded, self.path = self.loaded, "", ""
        if name:
            self._each_unloads(name)

    def _each_unloads(self, name: str) -> None:
        for number in range(len(self.client.urls)):
            with suppress(ModelError):  # A server that was started again does not have it.
                self.client.tell(_ROUTES[self.api][1], {"lora_name": name}, number=number)

    def _path(self, directory: Path) -> str:
        if not self.seen_as:
            return str(directory)
        if self.run_directory is None or not directory.is_relative_to(self.run_directory):
            raise ModelError(
                f"{directory} is not in the run directory, so its path on the server is unknown",
                hint="leave served_directory out if the server sees the same paths",
            )
        return str(PurePosixPath(self.seen_as) / directory.relative_to(self.run_directory).as_posix())
