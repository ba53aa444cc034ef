"""A Ray cluster of two nodes on this machine, for all tests of a process."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster as LocalCluster


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[Any]:
    """Start two nodes with 8 CPUs each, and connect to them."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found = LocalCluster(initialize_head=True, head_node_args={"num_cpus": 8, "include_dashboard": False})
    try:
        found.add_node(num_cpus=8)
        ray.init(address=found.address, log_to_driver=False, logging_level=logging.ERROR)
        yield found
    finally:
        ray.shutdown()
        found.shutdown()
