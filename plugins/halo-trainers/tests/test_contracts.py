"""The selectors and trainers of this package satisfy the contracts."""

from __future__ import annotations

from typing import Any

import pytest

from halo_core import Selector, Trainer
from halo_core.testing import SelectorContract, TrainerContract
from halo_trainers.comparison import Groups, Pairs
from halo_trainers.dpo import DPO
from halo_trainers.grpo import GRPO
from halo_trainers.imitation import RSO, All, BestOfN, STaR
from halo_trainers.ppo import PPO

SMALL: dict[str, Any] = {"lora_rank": 4, "batch_size": 4}


class TestSelectors(SelectorContract):
    @pytest.fixture(
        params=[
            All(),
            BestOfN(n=2, truncated=True),
            STaR(),
            STaR(most=1, solved_at=1.0),
            RSO(n=3),
            Groups(),
            Groups(baseline="leave_one_out", scale="none", solved_at=0.7, solved_weight=0.5),
            Pairs(),
            Pairs(most=3, margin=0.5, max_length_ratio=2.0),
        ],
        ids=repr,
    )
    def selector(self, request: pytest.FixtureRequest) -> Selector:
        found: Selector = request.param
        return found


class TestTrainers(TrainerContract):
    @pytest.fixture(
        params=[
            DPO(**SMALL),
            DPO(**SMALL, loss="ipo", reference="previous", full=True),
            GRPO(**SMALL),
            GRPO(**SMALL, average="constant", old="model", kl=0.1, epochs=2, full=True),
            GRPO(**SMALL, ratio="sequence", clip_low=3e-4, clip_high=4e-4, reference="previous", kl=0.01),
            PPO(**SMALL),
            PPO(**SMALL, old="model", kl=0.1, epochs=2, full=True, value_clip=None, optimizer="carry"),
        ],
        ids=["dpo", "ipo, full", "grpo", "dr. grpo with kl, full", "gspo", "ppo", "ppo with kl, full"],
    )
    def trainer(self, request: pytest.FixtureRequest) -> Trainer:
        found: Trainer = request.param
        return found
