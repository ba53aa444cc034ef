"""Generator `openai`: samples from any server that speaks the OpenAI API."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any, Literal

from pydantic import Field

from halo_core import (
    Completion,
    ConfigError,
    Generator,
    ModelError,
    PluginError,
    Prompt,
    SamplingContext,
    SamplingRequest,
    Weights,
    derive_seed,
    driver,
)
from halo_core.model.texts import texts_of
from halo_core.model.turns import messages_of, plain_context
from halo_generator_openai.adapters import Adapters
from halo_generator_openai.choices import Choice, read_choices
from halo_generator_openai.client import Client
from halo_generator_openai.continuing import CONTINUE, check_continues
from halo_generator_openai.ordered import in_batches, in_order, jobs_of

_LARGEST_SEED = 2**31 - 1
"""Servers store seeds in 32 bits."""
_TOKENIZED = (
    "the server returns text without token ids: the actor's tokenizer encodes it, perhaps not into the tokens that "
    "were sampled"
)


@dataclass(frozen=True, slots=True)
class Job:
    """One request to the server: some completions of one prompt."""

    number: int
    """Counts the jobs of a request to the generator; several servers take turns by it."""
    ends_batch: bool
    prompt: Prompt
    ids: tuple[int, ...]
    """The context of the model that is trained."""
    question: Mapping[str, Any]
    """The fields of the request that contain the prompt."""
    opening: str
    """The beginning of the answer, which the server continues; it belongs to the text of each completion."""
    first: int
    """Index of its first completion."""
    count: int
    seed: int


@dataclass
class Session:
    """The objects that the requests of a run share."""

    client: Client
    adapters: Adapters | None
    model: str
    continues: bool = False
    """True once the server has shown that it continues the assistant's last message."""
    noted: bool = False
    """True once the user was told that texts are tokenized."""


@driver
class OpenAI(Generator):
    """Sample from a server that speaks the OpenAI API: SGLang, llama.cpp, Ollama, or a hosted model.

    By default the server is a teacher: its model stays as it is, the local model is trained on what passed, and the
    held-out prompts are sampled from the local model. With `adapters` the server follows the training.
    """

    url: str = "http://127.0.0.1:8000"
    """Address of the server, up to the part before /v1."""
    model: str = ""
    """Name of the model at the server. Empty: the first that the server lists."""
    api: Literal["chat", "completions"] = "chat"
    """`chat`: send messages, the server's own chat template applies. `completions`: send text; with `adapters` the
    token ids of the actor's own template."""
    adapters: Literal["none", "vllm", "sglang"] = "none"
    """How the server loads the adapter of each cycle. `none`: it does not, it is a teacher."""
    served_directory: str = ""
    """The run directory as the server sees it. Empty: the same path as here."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable with the key of the API. The key itself is never stored; without the variable none is
    sent."""
    temperature: Annotated[float, Field(ge=0)] = 0.8
    """Above 1 flattens, below 1 sharpens the distribution."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Draw from the smallest set of likeliest tokens whose probabilities reach this sum."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    """Maximum length of a completion in tokens."""
    stop: tuple[str, ...] = ()
    """Texts that end a completion; they are not part of it."""
    system: str = ""
    """System prompt, for the server and for the model that is trained."""
    teacher_system: str = ""
    """System prompt for the server alone, instead of `system`: advice that the trained model should not need."""
    prefill: str = ""
    """Beginning of each answer, which the server continues. It is verified with the completion, and carries no loss. A
    chat server must be able to continue the assistant's last message."""
    continue_fields: bool = True
    """Ask a chat server with `continue_final_message` and `add_generation_prompt`, as vLLM and SGLang take them, to
    continue the assistant's last message, and check that it does. False: the server does so without being asked."""
    thoughts: bool = False
    """Keep the reasoning that the server returns beside the answer, in <think> tags before it."""
    send_seed: bool = True
    """Send a seed with each request. A server that ignores it gives other completions when an interrupted batch is
    asked for again."""
    extra: Mapping[str, Any] = Field(default_factory=dict)
    """Further fields of each request, such as {top_k: 20, chat_template_kwargs: {enable_thinking: false}}."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Completions that are stored together; an interrupted batch is asked for again."""
    completions_per_request: Annotated[int, Field(ge=1)] = 1
    """Completions that one request asks for (`n`). Not every server can sample several."""
    concurrency: Annotated[int, Field(ge=1)] = 16
    """Maximum number of requests in flight."""
    deadline: Annotated[float, Field(gt=0)] = 600.0
    """Seconds that the server may take for a whole answer."""
    retries: Annotated[int, Field(ge=0)] = 4
    """Maximum number of further tries after a failure that may pass, with pauses that double or that the server
    names."""

    def preflight(self) -> None:
        """Check that the server answers, that it has the model, and that it can continue a prefill."""
        if self.prefill and self.thoughts:
            raise ConfigError(
                "generator 'openai' has both thoughts and prefill",
                hint="a prefill begins the answer, so no thought can come before it: leave one of them out",
            )
        client = self._client()
        try:
            model = self._named(client, quick=True)
            if self.prefill and self._asks_to_continue:
                self._check_continues(client, model)
        finally:
            client.close()

    def follows_weights(self) -> bool:
        """Return False for a teacher."""
        return self.adapters != "none"

    def precision(self) -> str:
        """Return 16 bits, in which servers compute as a rule."""
        return "bfloat16"

    def open(self, context: SamplingContext) -> Session:
        """Connect to the server."""
        client = self._client(interrupt=context.actor.interrupt)
        try:
            model = self._named(client)
        except BaseException:
            client.close()
            raise
        if self.adapters == "none":
            return Session(client, None, model)
        seen = Adapters(client, model, self.adapters, context.directory, self.served_directory)
        return Session(client, seen, model)

    def weights_changed(self, weights: Weights, context: SamplingContext) -> None:
        """Make the server load the adapter, if it follows the training."""
        adapters: Adapters | None = context.session.adapters
        if adapters is None:
            return
        if weights.directory is not None and not weights.is_adapter:
            raise ModelError(
                f"{self.url} loads adapters, but the run trains all weights",
                hint="train with LoRA, or use the generator vllm, which can start its server again",
            )
        adapters.use(weights)

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        """Yield batches of about `batch` completions; see `Generator`."""
        session: Session = context.session
        batches = self._batches(request, context)
        if (
            self._asks_to_continue
            and not session.continues
            and any(job.opening for jobs in batches for job in jobs)
        ):
            self._check_continues(session.client, session.model)
            session.continues = True

        def submit(job: Job) -> Future[dict[str, Any]]:
            return session.client.submit(self._path, self._body(job, session), number=job.number)

        numbers = context.numbers_ahead(request.done, len(batches))
        jobs = jobs_of(numbers, lambda number: batches[number])
        answers = in_order(submit, jobs, ahead=4 * self.concurrency, interrupt=context.actor.interrupt)
        parts = (
            (job.ends_batch, self._completions(job, read_choices(answer, job.count, where=self.url), context))
            for job, answer in answers
        )
        yield from in_batches(parts, context.progress)

    def close(self, context: SamplingContext) -> None:
        """Unload the adapter and close the connections."""
        session: Session = context.session
        try:
            if session.adapters is not None:
                session.adapters.unload()
        except PluginError:
            pass  # A server that is gone needs no unloading, and the run has its own error.
        finally:
            session.client.close()

    @property
    def _path(self) -> str:
        return "v1/chat/completions" if self.api == "chat" else "v1/completions"

    def _client(self, interrupt: Callable[[], None] = lambda: None) -> Client:
        return Client(
            [self.url],
            key=os.environ.get(self.key_env, "") if self.key_env else "",
            concurrency=self.concurrency,
            deadline=self.deadline,
            retries=self.retries,
            interrupt=interrupt,
        )

    def _named(self, client: Client, *, quick: bool = False) -> str:
        """Return the name of the model at the server. Raises a `ModelError` if the server does not have it."""
        listed = [str(each.get("id", "")) for each in client.ask("v1/models", quick=quick).get("data") or ()]
        if not self.model and not listed:
            raise ModelError(f"{self.url} lists no model", hint="name one: model")
        if self.model and listed and self.model not in listed:
            shown = ", ".join(listed[:10]) + (", ..." if len(listed) > 10 else "")
            raise ModelError(f"{self.url} has no model {self.model!r}", hint=f"it lists {shown}")
        return self.model or listed[0]

    def _batches(self, request: SamplingRequest, context: SamplingContext) -> list[list[Job]]:
        """Return the jobs of each batch."""
        samples, step = request.samples_per_prompt, self.completions_per_request
        prompts_per_batch = max(1, self.batch // samples)
        number, batches = count(), list[list[Job]]()
        for position, prompt in enumerate(request.prompts):
            start = context.actor.context(prompt, system=self.system, prefill=self.prefill)
            ids = context.actor.encode_context(start, prompt)
            question, opening = self._question(prompt, ids, start.opening)
            ends = (position + 1) % prompts_per_batch == 0 or position + 1 == len(request.prompts)
            if position % prompts_per_batch == 0:
                batches.append([])
            for first in range(0, samples, step):
                batches[-1].append(
                    Job(
                        number=next(number),
                        ends_batch=ends and first + step >= samples,
                        prompt=prompt,
                        ids=ids,
                        question=question,
                        opening=opening,
                        first=first,
                        count=min(step, samples - first),
                        seed=derive_seed(request.seed, position, first) % _LARGEST_SEED,
                    )
                )
        return batches

    def _body(self, job: Job, session: Session) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": session.adapters.current if session.adapters else session.model,
            "n": job.count,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_new_tokens,
            **job.question,
        }
        if self.send_seed:
            body["seed"] = job.seed
        if self.stop:
            body["stop"] = list(self.stop)
        return body | dict(self.extra)

    def _question(self, prompt: Prompt, ids: Sequence[int], opening: str) -> tuple[dict[str, Any], str]:
        """Return the fields of a request that contain the prompt, and the beginning of the answer in them.

        `ids` are the context of the actor, and `opening` the beginning of the answer in it.
        """
        if self._sends_ids:
            return {"prompt": list(ids), "return_token_ids": True, "logprobs": 0}, opening
        messages = messages_of(prompt, self.teacher_system or self.system)
        if self.api == "completions":
            start = plain_context(messages, self.prefill)
            return {"prompt": start.text}, start.opening
        own = messages.pop()["content"] if messages[-1]["role"] == "assistant" else ""
        if not own + self.prefill:
            return {"messages": messages}, ""
        messages.append({"role": "assistant", "content": own + self.prefill})
        return {"messages": messages, **(CONTINUE if self.continue_fields else {})}, own + self.prefill

    def _check_continues(self, client: Client, model: str) -> None:
        check_continues(
            lambda body: client.ask(self._path, body), {"model": model, **self.extra}, where=self.url
        )

    def _completions(
        self, job: Job, choices: Sequence[Choice], context: SamplingContext
    ) -> Iterator[Completion]:
        for index, choice in enumerate(choices, start=job.first):
            text, token_ids = choice.text, choice.token_ids
            if token_ids:
                (text,) = texts_of(context.actor.tokenizer, [token_ids])
            elif job.opening:  # the loop would tokenize it with the text, but the context contains it
                token_ids = context.actor.encode_answer(text, ended=choice.finish_reason == "stop")
                if not context.session.noted:
                    context.note(_TOKENIZED)
                context.session.noted = True
            if self.thoughts and choice.thought:
                text = f"<think>\n{choice.thought.strip()}\n</think>\n\n{text}"
            yield Completion(
                prompt_id=job.prompt.id,
                index=index,
                text=job.opening + text,
                prompt_token_ids=job.ids,
                token_ids=token_ids,
                finish_reason=choice.finish_reason,
                logprobs=choice.logprobs,
            )

    @property
    def _asks_to_continue(self) -> bool:
        return self.api == "chat" and self.continue_fields

    @property
    def _sends_ids(self) -> bool:
        """True if the server gets the token ids of the actor's own template."""
        return self.adapters != "none" and self.api == "completions"
