"""A small HTTP server that speaks the routes of vLLM's OpenAI API, around an actor: for tests, quick to start.

    with serving(tiny_actor()) as server:
        OpenAI(url=server.url, ...)

As a program it takes vLLM's arguments: `python -m halo_generator_openai.testing --model DIRECTORY --port 8000 ...`.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Literal

import torch

from halo_core.config.model import ModelConfig
from halo_core.model.actor import Actor
from halo_core.types import Prompt

Reply = tuple[int, dict[str, Any] | str]


@dataclass
class State:
    """The model and the adapters of the server, and the requests that it got."""

    actor: Actor
    name: str = "tiny"
    """The name of the model without an adapter."""
    follows: bool = True
    """False for a server that accepts adapters and ignores them."""
    text_only: bool = False
    """True for a server that returns neither token ids nor log-probabilities."""
    continues: Literal["asked", "always", "never"] = "asked"
    """When the server continues a last message of the assistant. asked: with `continue_final_message`, as vLLM does."""
    key: str = ""
    """The key that a request must have; empty: any."""
    adapters: dict[str, str] = field(default_factory=dict)
    """Directory of each adapter, by its name."""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Path and body of each request, in order of arrival."""
    fault: Callable[[str, int], bytes | None] = lambda path, number: None
    """Called with the path and the number of a request among all; raw bytes replace the answer, with its headers."""
    loaded: str = ""


class _Server(HTTPServer):
    """Answers one request at a time, in order of arrival."""

    request_queue_size = 256


class _Handler(BaseHTTPRequestHandler):
    state: State

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: dict[str, Any] | None) -> None:
        number = len(self.state.asked)
        self.state.asked.append((self.path, body or {}))
        if (raw := self.state.fault(self.path, number)) is not None:
            self.wfile.write(raw)
            return
        status, found = self._reply(body)
        content = (found if isinstance(found, str) else json.dumps(found)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(found, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _reply(self, body: dict[str, Any] | None) -> Reply:
        if self.state.key and self.headers.get("Authorization") != f"Bearer {self.state.key}":
            return _error(401, "wrong key")
        routes: dict[str, Callable[[dict[str, Any]], Reply]] = {
            "/health": lambda _: (200, {}),
            "/v1/models": self._models,
            "/v1/completions": self._completions,
            "/v1/chat/completions": self._completions,
            "/v1/load_lora_adapter": self._load,
            "/load_lora_adapter": self._load,
            "/v1/unload_lora_adapter": self._unload,
            "/unload_lora_adapter": self._unload,
        }
        if self.path not in routes:
            return _error(404, f"no route {self.path}")
        return routes[self.path](body or {})

    def _models(self, _: dict[str, Any]) -> Reply:
        length = self.state.actor.context_length
        base = {"id": self.state.name, "max_model_len": length}
        return 200, {"data": [base, *({"id": name, "parent": base["id"]} for name in self.state.adapters)]}

    def _load(self, body: dict[str, Any]) -> Reply:
        name, path = body["lora_name"], body["lora_path"]
        if name in self.state.adapters:
            return _error(400, f"The lora adapter '{name}' has already been loaded.")
        if not (Path(path) / "adapter_config.json").is_file():
            return _error(404, f"no adapter at {path}")
        self.state.adapters[name] = path
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _unload(self, body: dict[str, Any]) -> Reply:
        if self.state.adapters.pop(body["lora_name"], None) is None:
            return _error(404, f"no adapter {body['lora_name']}")
        return 200, f"Success: LoRA adapter '{body['lora_name']}' removed successfully."

    def _completions(self, body: dict[str, Any]) -> Reply:
        name = body["model"].rpartition(":")[2]
        if name not in (self.state.name, *self.state.adapters):
            return _error(404, f"The model `{name}` does not exist.")
        self._use(name)
        actor, prompt = self.state.actor, body.get("prompt")
        if isinstance(prompt, list):
            ids = tuple(prompt)
        else:
            messages = tuple(body.get("messages") or ({"role": "user", "content": prompt},))
            ids = self._encode(messages, body)
        choices = []
        for index in range(body.get("n", 1)):
            tokens, logprobs, ended = _sample(actor, ids, body, body.get("seed", time.time_ns()) + index)
            text = actor.tokenizer.decode(tokens, skip_special_tokens=True)
            choice: dict[str, Any] = {"index": index, "finish_reason": "stop" if ended else "length"}
            choice |= {"message": {"content": text}} if "chat" in self.path else {"text": text}
            if body.get("return_token_ids") and not self.state.text_only:
                choice["token_ids"] = tokens
                choice["logprobs"] = {"token_logprobs": logprobs}
            choices.append(choice)
        return 200, {"choices": choices, "usage": {"prompt_tokens": len(ids)}}

    def _encode(self, messages: tuple[dict[str, str], ...], body: dict[str, Any]) -> tuple[int, ...]:
        """Return the ids of a chat; what the server does with a last message of the assistant is in its state."""
        actor, how = self.state.actor, self.state.continues
        asked = how == "always" or (how == "asked" and body.get("continue_final_message"))
        if messages[-1]["role"] != "assistant" or asked:
            return actor.encode(Prompt("asked", messages=messages))
        text = actor.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return tuple(actor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _use(self, name: str) -> None:
        if name == self.state.loaded or not self.state.follows:
            return
        if name in self.state.adapters:
            self.state.actor.load(Path(self.state.adapters[name]))
        else:
            self.state.actor.reset()
        self.state.loaded = name

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def _error(status: int, message: str) -> Reply:
    return status, {"error": {"message": message, "code": status}}


def _sample(
    actor: Actor, ids: tuple[int, ...], body: dict[str, Any], seed: int
) -> tuple[list[int], list[float], bool]:
    """Return the tokens of one completion, their log-probabilities at temperature 1, and whether it ended."""
    ends = body.get("stop_token_ids") or actor.end_ids
    temperature = body.get("temperature", 1.0)
    generator = torch.Generator().manual_seed(seed % 2**63)
    tokens: list[int] = []
    logprobs: list[float] = []
    with torch.no_grad(), actor.merged() as model, actor.autocast():
        while len(tokens) < body.get("max_tokens", 16):
            logits = model(torch.tensor([[*ids, *tokens]])).logits[0, -1].float()
            if temperature == 0:
                token = int(logits.argmax())
            else:
                token = int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
            tokens.append(token)
            logprobs.append(float(logits.log_softmax(-1)[token]))
            if token in ends:
                return tokens, logprobs, True
    return tokens, logprobs, False


@dataclass
class Serving:
    """A server in a thread of this process."""

    url: str
    state: State


@contextmanager
def serving(actor: Actor, **state: Any) -> Iterator[Serving]:
    """Serve `actor` on the loopback interface in the enclosed block; `state` are the fields of `State`."""
    bound = State(actor, **state)
    server = _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"state": bound}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Serving(f"http://127.0.0.1:{server.server_port}", bound)
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Serve a model as vLLM does; arguments that make no difference here are accepted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", required=True)
    parser.add_argument("--served-model-name", default="")
    parser.add_argument("--dtype", default="float32")
    given, _ = parser.parse_known_args()
    actor = Actor(ModelConfig(name=given.model, device="cpu", dtype=given.dtype))
    _ = actor.model, actor.tokenizer
    state = State(actor, name=given.served_model_name or given.model)
    HTTPServer((given.host, given.port), type("Bound", (_Handler,), {"state": state})).serve_forever()


if __name__ == "__main__":
    main()
