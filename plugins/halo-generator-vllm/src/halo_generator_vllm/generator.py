"""Generator `vllm`: samples with vLLM, from a server that it starts or from running ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from halo_core import (
    Completion,
    Generator,
    HaloError,
    ModelError,
    PluginError,
    SamplingContext,
    SamplingRequest,
    Weights,
    derive_seed,
    driver,
)
from halo_core.model.stopping import Stops
from halo_core.sampling import Question, SamplingOptions, completion_texts
from halo_core.tables import count
from halo_generator_openai.adapters import Adapters
from halo_generator_openai.choices import Choice, read_choices
from halo_generator_openai.client import Client
from halo_generator_openai.ordered import in_batches, in_order, jobs_of
from halo_generator_vllm.server import Server, free_port

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM can make room for (`--max-lora-rank`)."""
_NAME = "halo"
"""The name under which a server that halo starts serves the model."""
_LARGEST_SEED = 2**62


class Session:
    """The servers of a run, and the clients that ask them."""

    def __init__(self, generator: VLLM, context: SamplingContext) -> None:
        self._options, self._context = generator, context
        self.server: Server | None = None
        if generator.urls:
            urls = list(generator.urls)
        else:
            directory = context.directory or Path.cwd()
            self.server = Server(
                free_port(),
                directory / "vllm.log",
                environment={"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", **generator.environment},
                seconds=generator.start_seconds,
                interrupt=context.actor.interrupt,
            )
            urls = [self.server.url]
        common: dict[str, Any] = {
            "deadline": generator.deadline,
            "retries": generator.retries,
            "interrupt": context.actor.interrupt,
        }
        self.client = Client(urls, concurrency=generator.concurrency, revive=self.revive, **common)
        # Requests that wait for a server to start again must not keep it from being told of its adapter.
        self._control = Client(urls, concurrency=4, **common)
        self.adapters = Adapters(self._control, _NAME, "vllm", context.directory, generator.served_directory)
        self._restarts = generator.restarts
        self._rank = generator.max_lora_rank
        self._served: str | None = None
        """Name or directory of the model that the own server serves; None: it is not started."""
        self.context_length: int | None = None

    def use(self, weights: Weights) -> None:
        """Prepare to sample with `weights`; see `Generator.weights_changed`."""
        whole = weights.directory is not None and not weights.is_adapter
        if self.server is not None:
            model = str(weights.directory) if whole else self._context.actor.config.name
            rank = max(self._rank, _rank_of(weights.directory))
            if model != self._served or rank != self._rank:
                self._start(model, rank)
        elif whole:
            raise ModelError(
                f"{self.client.urls[0]} loads adapters, but the run trains all weights",
                hint="train with LoRA, or let halo start the server: leave urls out",
            )
        if self.context_length is None:
            self._describe()
        start = self._context.actor.config.adapter
        if weights.directory is None and start:
            self.adapters.load("halo-start", str(Path(start).resolve() if Path(start).exists() else start))
        else:
            self.adapters.use(Weights() if whole else weights)

    def revive(self) -> bool:
        """Start the own server again if it has ended; return whether it was started.

        Raises a `PluginError` if it has been started again `restarts` times.
        """
        if self.server is None or self.server.running:
            return False
        if self._restarts == 0:
            raise PluginError(
                f"the server ended {count(self._options.restarts + 1, 'time')}: {self.server.end_of_log()}",
                hint=f"{self.server.hint}; halo resume continues after the last complete batch",
            )
        self._restarts -= 1
        self._context.note("the server ended and was started again; its log is vllm.log")
        try:
            self.server.start_again()
            self.adapters.load_again(0)
        except HaloError:
            return False
        return True

    def read(self, answer: Mapping[str, Any], number: int, request: SamplingRequest) -> list[Choice]:
        """Return the completions of the `number`-th prompt.

        Raises a `PluginError` if one has no token ids or no log-probabilities.
        """
        where = self.client.urls[number % len(self.client.urls)]
        choices = read_choices(answer, request.samples_per_prompt, where=where)
        if any(not choice.token_ids or choice.logprobs is None for choice in choices):
            raise PluginError(
                f"{where}: the answer has no token ids or no log-probabilities",
                hint="is it vLLM 0.10 or later? Use the generator openai for other servers",
            )
        return choices

    def close(self) -> None:
        """End the own server, or unload the adapter from the others; close the connections."""
        try:
            if self.server is None:
                self.adapters.unload()
            else:
                self.server.stop()
        except PluginError:
            pass  # A server that is gone needs no unloading, and the run has its own error.
        finally:
            self.client.close()
            self._control.close()

    def _start(self, model: str, rank: int) -> None:
        assert self.server is not None
        rank = next((allowed for allowed in _RANKS if allowed >= rank), rank)
        config, options = self._context.actor.config, self._options
        command = [
            *(
                options.command
                or (options.python or sys.executable, "-m", "vllm.entrypoints.openai.api_server")
            ),
            *("--host", "127.0.0.1", "--port", self.server.url.rpartition(":")[2]),
            *("--model", model, "--served-model-name", _NAME, "--tokenizer", config.name),
            *("--dtype", options.dtype, "--generation-config", "vllm"),
            *("--enable-lora", "--max-lora-rank", str(rank)),
            *(("--revision", config.revision) if config.revision and model == config.name else ()),
            *(("--trust-remote-code",) if config.trust_remote_code else ()),
            # On CPUs, vLLM 0.32 ends if it computes a part of a prompt for a request with a seed.
            *(("--no-enable-chunked-prefill",) if not _has_accelerator() else ()),
            *options.arguments,
        ]
        self._served, self._rank = None, rank
        self.adapters.loaded = self.adapters.path = ""
        self.server.start(command)
        self._served, self.context_length = model, None

    def _describe(self) -> None:
        """Ask for the name and the context length of the model that is served."""
        lengths = []
        for number, url in enumerate(self.client.urls):
            listed = self._control.ask("v1/models", number=number).get("data") or ()
            whole = [each for each in listed if not each.get("parent")]
            if not whole:
                raise ModelError(f"{url} serves no model", hint="start it with --model")
            self.adapters.model = str(whole[0]["id"])
            lengths.append(int(whole[0].get("max_model_len") or sys.maxsize))
        self.context_length = min(lengths)


@driver
class VLLM(SamplingOptions, Generator):
    """Sample with vLLM.

    halo starts a server on the loopback interface and ends it with the run (`python` names the environment that has
    vLLM), or uses servers that run already (`urls`). After each cycle the servers load its adapter. Token ids go in and
    come out, with their log-probabilities; nothing is tokenized again.
    """

    python: str = ""
    """Python interpreter of an environment with vLLM. Empty: halo's own."""
    command: tuple[str, ...] = ()
    """Command that starts the server, instead of `PYTHON -m vllm.entrypoints.openai.api_server`; halo appends the
    arguments."""
    arguments: tuple[str, ...] = ()
    """Further arguments of the server, such as [--gpu-memory-utilization, "0.5", --enforce-eager]."""
    environment: Mapping[str, str] = Field(default_factory=dict)
    """Further environment variables of the server, such as {VLLM_CPU_KVCACHE_SPACE: "2"}."""
    urls: tuple[str, ...] = ()
    """Addresses of running vLLM servers with the run's model; requests go to them in turn. Empty: start one."""
    served_directory: str = ""
    """The run directory as the servers in `urls` see it. Empty: the same path as here."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Precision of the server. Of servers in `urls`, the one they were started with."""
    max_lora_rank: Annotated[int, Field(ge=1)] = 16
    """Rank of the adapters that the server makes room for; an adapter of a higher rank makes halo start it again."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Completions that are stored together; an interrupted batch is asked for again."""
    concurrency: Annotated[int, Field(ge=1)] = 32
    """Maximum number of requests in flight; each is for all completions of one prompt."""
    deadline: Annotated[float, Field(gt=0)] = 1800.0
    """Seconds that a server may take for a whole answer."""
    retries: Annotated[int, Field(ge=0)] = 4
    """Maximum number of further tries after a failure that may pass, with pauses that double."""
    start_seconds: Annotated[float, Field(gt=0)] = 900.0
    """Seconds that the server may take to start."""
    restarts: Annotated[int, Field(ge=0)] = 3
    """Maximum number of times in a run that a server is started again after it ended."""

    def preflight(self) -> None:
        """Check that the servers answer, or that vLLM is there to be started."""
        if self.urls:
            client = Client(self.urls, deadline=10.0, retries=0)
            try:
                for number in range(len(self.urls)):
                    client.ask("v1/models", number=number)
            finally:
                client.close()
        elif not self.command:
            self._find_vllm()

    def precision(self) -> str:
        """Return the precision of the server."""
        return self.dtype

    def open(self, context: SamplingContext) -> Session:
        """Connect to the servers. halo's own is started by the first `weights_changed`."""
        return Session(self, context)

    def weights_changed(self, weights: Weights, context: SamplingContext) -> None:
        """Make the servers load `weights`."""
        context.session.use(weights)

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        """Yield batches of about `batch` completions; see `Generator`."""
        session: Session = context.session
        per_batch = max(1, self.batch // request.samples_per_prompt)
        stops = self.stops(context.actor)
        questions = self.questions(context.actor, request.prompts, context_length=session.context_length)
        numbers = context.numbers_ahead(request.done, -(-len(questions) // per_batch))

        def places(number: int) -> Iterable[int]:
            return range(number * per_batch, min((number + 1) * per_batch, len(questions)))

        def submit(number: int) -> Future[dict[str, Any]]:
            body = self._body(questions[number], stops, derive_seed(request.seed, number), request, context)
            return session.client.submit("v1/completions", body, number=number)

        ahead = self.concurrency + per_batch
        jobs = jobs_of(numbers, places)
        answers = in_order(submit, jobs, ahead=ahead, interrupt=context.actor.interrupt)
        parts = (
            (
                (number + 1) % per_batch == 0 or number + 1 == len(questions),
                self._completions(questions[number], session.read(answer, number, request), stops, context),
            )
            for number, answer in answers
        )
        yield from in_batches(parts, context.progress)

    def close(self, context: SamplingContext) -> None:
        """End the server that halo started, or unload the adapter."""
        context.session.close()

    def _body(
        self,
        question: Question,
        stops: Stops,
        seed: int,
        request: SamplingRequest,
        context: SamplingContext,
    ) -> dict[str, Any]:
        return {
            "model": context.session.adapters.current,
            "prompt": list(question.ids),
            "n": request.samples_per_prompt,
            "seed": seed % _LARGEST_SEED,
            "max_tokens": question.limit,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k or -1,
            "min_p": self.min_p,
            "stop": list(stops.strings.texts) if stops.strings else [],
            "ignore_eos": True,  # what ends a completion is what ends it for the actor
            "stop_token_ids": [*context.actor.end_ids, *stops.ids],
            "logprobs": 0,
            "return_token_ids": True,
            "skip_special_tokens": True,
        }

    def _completions(
        self, question: Question, choices: Sequence[Choice], stops: Stops, context: SamplingContext
    ) -> Iterator[Completion]:
        rows = [choice.token_ids for choice in choices]
        texts = completion_texts(context.actor, [question] * len(rows), rows, stops)
        for index, (choice, text) in enumerate(zip(choices, texts, strict=True)):
            yield Completion(
                prompt_id=question.prompt.id,
                index=index,
                text=text,
                prompt_token_ids=question.ids,
                token_ids=choice.token_ids,
                finish_reason=choice.finish_reason,
                logprobs=choice.logprobs,
            )

    def _find_vllm(self) -> None:
        if not self.python:
            found = find_spec("vllm") is not None
        else:
            found = any(Path(self.python).absolute().parents[1].glob("lib*/python*/site-packages/vllm"))
        if not found:
            raise PluginError(
                f"vLLM is not installed in the environment of {self.python or sys.executable}",
                hint="name the interpreter of an environment that has it: -G python=DIRECTORY/bin/python, or the "
                "address of a running server: -G urls=http://HOST:PORT",
            )


def _has_accelerator() -> bool:
    import torch

    return bool(torch.accelerator.is_available())


def _rank_of(directory: Path | None) -> int:
    """Return the highest rank of the adapter in `directory`; 0 without an adapter."""
    path = directory and directory / "adapter_config.json"
    if path is None or not path.is_file():
        return 0
    config = json.loads(path.read_text())
    return max(int(config["r"]), *(int(rank) for rank in (config.get("rank_pattern") or {0: 0}).values()))
