"""Cluster `ray`: places the samplers, verifiers and trainers of a run on a Ray cluster."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import ray
from pydantic import Field

from halo_core import (
    Cluster,
    ClusterContext,
    Completion,
    ConfigError,
    PluginError,
    Prompt,
    Sample,
    SamplingContext,
    SamplingRequest,
    TrainingContext,
    TrainStats,
    Verdict,
    Workers,
    driver,
)
from halo_ray.crew import Crew, resources
from halo_ray.parts import Parts
from halo_ray.sampling import Samplers, SamplerWorker
from halo_ray.training import Trainers, TrainerWorker
from halo_ray.verifying import Verifiers, VerifierWorker

_MOST_IN_FLIGHT = 128
"""Each batch that is being verified takes a thread of halo's own process."""
_LISTED = 4
"""Samplers whose speeds a progress bar lists; of more, it shows the range."""
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0)]


@driver
class Ray(Cluster):
    """Sample, verify and train on a Ray cluster: on one machine with several devices, or on many.

    Samplers and trainers have a model each, verifiers a sandbox each. The result does not depend on how many there are,
    and a run can be resumed with other numbers. Work whose number is 0 is done by halo's own process.
    """

    address: str = "auto"
    """Address of a Ray cluster, such as head:6379. auto: the cluster that this machine belongs to; if there is none,
    one is started here for the time of the run. local: always start one."""
    samplers: Count = 0
    """Processes that sample, each with its own model or engine."""
    verifiers: Count = 0
    """Completions that are verified at once, each by a process with its own sandbox."""
    trainers: Count = 0
    """Processes that train together, each with its own model."""
    sampler_cpus: Annotated[int, Field(ge=1)] = 1
    """CPUs, and threads of torch, of a sampler."""
    sampler_gpus: Share | None = None
    """GPUs of a sampler; may be a fraction. None: what the cluster has, shared equally by samplers and trainers, at
    most one each."""
    verifier_cpus: Share = 1.0
    """CPUs of a verifier; may be a fraction."""
    trainer_cpus: Annotated[int, Field(ge=1)] = 1
    """CPUs, and threads of torch, of a trainer."""
    trainer_gpus: Share | None = None
    """GPUs of a trainer; as for `sampler_gpus`."""
    shard: bool = False
    """Split the model over the trainers' devices (FSDP), for full fine-tuning of a model that does not fit one of them.
    The weights are those of one trainer up to rounding. Main memory must hold the model once for each trainer."""
    restarts: Count = 5
    """A worker that ends more often than this in a row, without having done anything, ends the run."""
    start_seconds: Annotated[float, Field(gt=0)] = 600.0
    """Seconds that workers may take to start, waiting for free CPUs and GPUs included."""

    def preflight(self) -> None:
        """Check that there is something for the cluster to do."""
        if not self.samplers + self.verifiers + self.trainers:
            raise ConfigError(
                "cluster 'ray' has no workers",
                hint="name some: cluster: {name: ray, samplers: 4, verifiers: 32, trainers: 4}",
            )
        if self.shard and not self.trainers:
            raise ConfigError(
                "cluster 'ray' has shard but no trainers",
                hint="name their number: trainers, or leave shard out",
            )

    def describe(self) -> Sequence[str]:
        """Return a line for each node of the cluster that this machine belongs to."""
        version = f"Ray {ray.__version__}"
        own = not ray.is_initialized()
        if own:
            try:
                ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
            except ConnectionError:
                return [f"{version}; this machine belongs to no cluster, so a run starts one here"]
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            return [
                f"{version}, {len(nodes)} nodes, {resources(ray.available_resources())} free",
                *(f"{node['NodeManagerAddress']:<18}{resources(node['Resources'])}" for node in nodes),
            ]
        finally:
            if own:
                ray.shutdown()

    def open(self, context: ClusterContext) -> Workers:
        """Connect to the cluster and start the verifiers; the others start when they are needed."""
        own = connect(self)
        try:
            return RayWorkers(self, context, own=own)
        except BaseException:
            if own:
                ray.shutdown()
            raise


def connect(options: Ray) -> bool:
    """Connect to a cluster or start one; return whether the connection must be closed again."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if options.address != "local":
        try:
            ray.init(address=options.address, **common)
            return True
        except ConnectionError as error:
            if options.address != "auto":
                raise PluginError(
                    f"there is no Ray cluster at {options.address}: {error}",
                    hint="start one: ray start --head",
                ) from error
    needed = options.samplers * options.sampler_cpus + options.trainers * options.trainer_cpus
    cpus = max(os.cpu_count() or 1, needed + int(options.verifiers * options.verifier_cpus + 0.999))
    ray.init(address="local", num_cpus=cpus, include_dashboard=False, **common)
    return True


@dataclass(frozen=True)
class _Role:
    """The workers of one role: their class and what each of them needs."""

    name: str
    worker: type
    size: int
    cpus: float
    gpus: float = 0.0
    threads: int = 1


def batches_in_flight(samplers: int) -> int:
    """Return how many batches may wait for their verdicts, half of them being verified.

    A batch waits for its slowest verdict, often that of a program that never ends. With two batches for each sampler,
    samplers were idle for 40% of the time in the simulation of `benchmarks/simulate_cluster.py`.
    """
    return min(max(Workers.in_flight, 8 * samplers), _MOST_IN_FLIGHT)


def in_words(rates: Sequence[float]) -> str:
    """Return the tokens per second of each of a few samplers, or the range of many; empty without one."""
    if not rates:
        return ""
    if len(rates) > _LISTED:
        return f" ({min(rates):.0f} to {max(rates):.0f} tokens/s each)"
    return f" ({' + '.join(f'{rate:.0f}' for rate in rates)} tokens/s)"


class RayWorkers(Workers):
    """The workers of a run on Ray."""

    def __init__(self, options: Ray, context: ClusterContext, *, own: bool) -> None:
        self._options, self._context, self._own = options, context, own
        device = str(context.raw["model"]["device"]).partition(":")[0]  # the number is that of this machine
        self._raw = {**context.raw, "model": {**context.raw["model"], "device": device}}
        self._samplers: Samplers | None = None
        self._trainers: Trainers | None = None
        self._verifiers: Verifiers | None = None
        self._crews: list[Crew] = []
        self._told: set[str] = set()
        self._lock = threading.Lock()
        share = self._gpus(device)

        def role(name: str, worker: type, size: int, cpus: int, gpus: float | None) -> _Role:
            return _Role(name, worker, size, cpus, share if gpus is None else gpus, threads=cpus)

        self._sampling = role(
            "sampler", SamplerWorker, options.samplers, options.sampler_cpus, options.sampler_gpus
        )
        self._training = role(
            "trainer", TrainerWorker, options.trainers, options.trainer_cpus, options.trainer_gpus
        )
        self._check_resources()
        if options.samplers:
            self._check_samplers()
        if options.shard:
            self._check_shard(device)
        self.in_flight = batches_in_flight(options.samplers)
        self._waited: dict[str, float] = {}
        if options.verifiers:
            verifying = _Role("verifier", VerifierWorker, options.verifiers, options.verifier_cpus)
            self._verifiers = Verifiers(self._crew(verifying), self.in_flight // 2)
            self.tier = self._verifiers.tier
        context.note(f"cluster  {self._summary()}")

    def generate(
        self, request: SamplingRequest, context: SamplingContext
    ) -> Iterator[Sequence[Completion]] | None:
        """Sample on the samplers."""
        if not self._options.samplers:
            return None
        if self._samplers is None:
            parts = self._parts(1)
            generators = {split: parts.plan.drivers.generator(split)[0] for split in ("train", "heldout")}
            self._samplers = Samplers(
                self._crew(self._sampling),
                {split: generator.precision() for split, generator in generators.items()},
                tolerance=parts.plan.config.sampler_tolerance,
                follows=generators["train"].follows_weights(),
            )
        return self._timed(self._samplers, self._samplers.generate(request, context))

    def verify(
        self, prompts: Sequence[Prompt], completions: Sequence[Completion], interrupt: Callable[[], None]
    ) -> Sequence[Verdict] | None:
        """Verify on the verifiers."""
        return self._verifiers.check(prompts, completions, interrupt) if self._verifiers else None

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats | None:
        """Train on the trainers."""
        role = self._training
        if not role.size:
            return None
        if self._trainers is None:
            self._trainers = Trainers(
                partial(self._crew, role),
                nccl=role.gpus >= 1 and (role.size > 1 or self._options.shard),
                shard=self._options.shard,
                restarts=self._options.restarts,
                note=self._context.note,
            )
        return self._trainers.train(samples, context)

    def status(self) -> str:
        """Return how many workers of each role have work, and how fast each sampler is."""
        pools = {"samplers": self._samplers, "verifiers": self._verifiers}
        rates = in_words(self._samplers.rates()) if self._samplers and self._samplers.size > 1 else ""
        return ", ".join(
            f"{name} {pool.working}/{pool.size}{rates if name == 'samplers' else ''}"
            for name, pool in pools.items()
            if pool
        )

    def waits(self) -> Mapping[str, float]:
        """Return how long the workers of each role have waited."""
        waited, self._waited = self._waited, {}
        if self._trainers and self._trainers.waited:
            waited["trainers"], self._trainers.waited = self._trainers.waited, 0.0
        return waited

    def _timed(
        self, samplers: Samplers, batches: Iterator[Sequence[Completion]]
    ) -> Iterator[Sequence[Completion]]:
        """Yield `batches`; add up how long samplers and verifiers had nothing to do meanwhile."""
        pools: dict[str, Samplers | Verifiers] = {"samplers": samplers}
        if self._verifiers:
            pools["verifiers"] = self._verifiers
        start, before = time.monotonic(), {name: pool.busy for name, pool in pools.items()}
        yield from batches
        passed = time.monotonic() - start
        for name, pool in pools.items():
            idle = max(0.0, passed - (pool.busy - before[name]) / pool.size)
            self._waited[name] = self._waited.get(name, 0.0) + idle

    def close(self) -> None:
        """End the workers, and the cluster if it was started for the run."""
        if self._samplers:
            self._samplers.close()
        for crew in self._crews:
            crew.close()
        if self._own:
            ray.shutdown()

    def _crew(self, role: _Role) -> Crew:
        parts = ray.put(self._parts(role.threads))

        def start(number: int) -> Any:
            remote = ray.remote(role.worker).options(
                num_cpus=role.cpus,
                num_gpus=role.gpus,
                scheduling_strategy="SPREAD",
                max_concurrency=2 if role.worker is TrainerWorker else 1,
            )
            return remote.remote(parts)

        crew = Crew(
            role.name,
            role.size,
            start,
            seconds=self._options.start_seconds,
            restarts=self._options.restarts,
            note=lambda text: self._context.note(f"cluster  {text}"),
            tell=partial(self._tell, role.name),
        )
        self._crews.append(crew)
        return crew

    def _tell(self, who: str, text: str) -> None:
        """Print a line that a worker has sent for the user, unless another one has sent it before."""
        line = f"{who:<9}{text}"
        with self._lock:
            is_new = line not in self._told
            self._told.add(line)
        if is_new:
            self._context.note(line)

    def _parts(self, threads: int) -> Parts:
        return Parts(dict(self._raw), dict(self._context.origins), threads)

    def _gpus(self, device: str) -> float:
        """Return the GPUs of a sampler or trainer: an equal share of what the cluster has."""
        sharing = self._options.samplers + self._options.trainers
        found = ray.cluster_resources().get("GPU", 0.0) if device != "cpu" else 0.0
        return min(1.0, int(100 * found / max(sharing, 1)) / 100)

    def _check_resources(self) -> None:
        """Raise a `PluginError` if the cluster could never have what the workers need."""
        options, roles = self._options, (self._sampling, self._training)
        needed = {
            "CPU": sum(role.size * role.cpus for role in roles) + options.verifiers * options.verifier_cpus,
            "GPU": sum(role.size * role.gpus for role in roles),
        }
        found = ray.cluster_resources()
        if any(found.get(name, 0.0) < amount - 1e-6 for name, amount in needed.items()):
            raise PluginError(
                f"the workers need {resources(needed)}, and the cluster has {resources(found)}",
                hint="ask for fewer workers, or for a part of a CPU for each: verifier_cpus: 0.5",
            )

    def _check_samplers(self) -> None:
        """Raise a `ConfigError` if the generator's servers see the run directory, which samplers do not use."""
        generator = self._parts(1).plan.drivers.generator("train")[0]
        if getattr(generator, "served_directory", ""):
            raise ConfigError(
                "generator.served_directory is the run directory as the servers see it, and samplers have the weights "
                "in directories of their own",
                hint="leave samplers out: without them halo's own process sends the requests to all servers",
            )

    def _check_shard(self, device: str) -> None:
        """Raise a `ConfigError` if the trainers cannot split the model, or have no reason to."""
        trainer = self._parts(1).plan.drivers.get("trainer")
        if not getattr(trainer, "full", False):
            raise ConfigError(
                "shard splits a model whose weights are all trained, and the run trains an adapter",
                hint="leave shard out, or set trainer.full=true",
            )
        if device != "cpu" and 0 < self._training.gpus < 1:
            raise ConfigError(
                f"shard needs a GPU for each trainer, and each has {self._training.gpus:g} of one",
                hint="set trainer_gpus to 1 and trainers to the number of GPUs",
            )

    def _summary(self) -> str:
        options, nodes = self._options, sum(node["Alive"] for node in ray.nodes())
        numbers = {"samplers": options.samplers, "verifiers": options.verifiers, "trainers": options.trainers}
        counted = (
            (number, name.removesuffix("s") if number == 1 else name) for name, number in numbers.items()
        )
        workers = ", ".join(f"{number} {name}" for number, name in counted if number)
        tier = f", sandbox {self.tier} on every node" if self.tier else ""
        return f"Ray, {nodes} node{'s' if nodes != 1 else ''}: {workers}{tier}"
