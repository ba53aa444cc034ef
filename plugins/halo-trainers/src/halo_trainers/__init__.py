"""Selectors and trainers beyond RAFT: best-of-n, STaR, RSO, groups and pairs; DPO, GRPO and PPO."""
