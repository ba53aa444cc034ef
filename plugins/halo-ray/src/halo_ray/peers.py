"""The trainers of a run as one group: `halo_core`'s `Peers` on torch.distributed. Imports torch."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh

T = TypeVar("T")
_ADDRESS_OF_INTERFACE = 0x8915  # SIOCGIFADDR


class PeerLost(ConnectionError):
    """Another trainer has ended, so this one cannot continue."""


class Group:
    """One of `size` trainers. `address` is that of trainer 0."""

    def __init__(self, rank: int, size: int, address: str, *, node: str, nccl: bool) -> None:
        self.rank, self.size = rank, size
        self.waited = 0.0
        """Seconds that this trainer waited for others."""
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface_of(node))
        distributed.init_process_group("gloo", init_method=f"tcp://{address}", rank=rank, world_size=size)
        self._tensors = distributed.new_group(backend="nccl") if nccl else None
        """The group that shares tensors, if it is not that of everything else."""
        self.mesh: Any = None
        """Where weights are split; see `halo_core`'s `Peers`."""

    def split(self, kind: str) -> None:
        """Split weights that are all trained over the devices of this kind, one in each trainer."""
        group = self._tensors or distributed.group.WORLD
        assert group is not None
        self.mesh = DeviceMesh.from_group(group, kind)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all trainers; see `halo_core`'s `Peers`."""
        values: list[Any] = [None] * self.size
        start = time.monotonic()
        self._call(lambda: distributed.all_gather_object(values, value))
        self.waited += time.monotonic() - start
        return values

    def share(self, tensors: Sequence[torch.Tensor], source: int) -> None:
        """Overwrite `tensors` with those of trainer `source`; see `halo_core`'s `Peers`."""
        for tensor in tensors:
            self._call(partial(distributed.broadcast, tensor, source, group=self._tensors))

    def announce(self, value: T) -> T:
        """Return the value of trainer 0."""
        values: list[Any] = [value]
        self._call(lambda: distributed.broadcast_object_list(values, 0))
        found: T = values[0]
        return found

    def _call(self, do: Callable[[], object]) -> None:
        try:
            do()
        except RuntimeError as error:
            raise PeerLost(f"another trainer has ended: {error!s:.200}") from error


def interface_of(address: str) -> str:
    """Return the network interface that has the IPv4 address of this machine; `lo` if none has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(asking, _ADDRESS_OF_INTERFACE, request)
            except OSError:
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return "lo"


def free_address(node: str) -> str:
    """Return an address with a port that nothing listens on, for a group whose trainer 0 runs here."""
    with socket.socket() as listening:
        listening.bind((node, 0))
        return f"{node}:{listening.getsockname()[1]}"
