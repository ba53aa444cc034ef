"""Generator `vllm`: samples with vLLM."""

from halo_generator_vllm.generator import VLLM

__all__ = ["VLLM"]
