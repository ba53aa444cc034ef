"""Generator `openai`: samples from a server that speaks the OpenAI API."""

from halo_generator_openai.client import Client
from halo_generator_openai.generator import OpenAI
from halo_generator_openai.ordered import in_batches, in_order, jobs_of

__all__ = ["Client", "OpenAI", "in_batches", "in_order", "jobs_of"]
