"""A client for one or several equal HTTP servers: bounded, with deadlines and retries.

Requests run in an event loop on a thread of its own, so that a deadline covers the whole exchange: connecting, sending,
and a body that arrives byte by byte.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx

from halo_core import ModelError, PluginError
from halo_generator_openai.ordered import result

Answer = dict[str, Any]

_TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504}
"""HTTP statuses after which the same request may succeed."""
_LONGEST_PAUSE = 60.0
"""Seconds; a server that asks for a longer pause is asked again after this."""
_QUICK = 10.0
"""Seconds for an answer that a server has at hand."""
_SHOWN = 300
"""Characters of a server's message that an error shows."""


class Failure(Exception):
    """One try of a request failed; another one may succeed."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause
        """Seconds to wait before the next try, if the server named them."""


class Client:
    """Sends JSON to `urls` and returns the JSON of the answers.

    At most `concurrency` requests are in flight; a request to be sent `retries` times again after a failure
    that may pass: no connection, no answer within `deadline` seconds, a status such as 429 or 503, an answer
    that is not JSON, or one that reports an error under a status of 200. Pauses double from half a second,
    unless the server names one (`Retry-After`). `revive` is called when a server does not answer and before
    it is asked again; it may start the server again and returns whether it did. `interrupt` is called ten
    times a second while `ask` waits, and may raise.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        key: str = "",
        concurrency: int = 32,
        deadline: float = 600.0,
        retries: int = 4,
        first_pause: float = 0.5,
        revive: Callable[[], bool] | None = None,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self.urls = [url.rstrip("/") for url in urls]
        self._deadline, self._retries, self._first_pause, self._revive = (
            deadline,
            retries,
            first_pause,
            revive,
        )
        self._interrupt = interrupt
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="halo-http", daemon=True)
        self._thread.start()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=concurrency)
        # The deadline is enforced around the whole request; httpx's own timeouts restart with each byte.
        self._http = httpx.AsyncClient(headers=headers, limits=limits, timeout=None, follow_redirects=True)
        self._places = asyncio.Semaphore(concurrency)
        self._reviving = asyncio.Lock()
        self._revivals = 0

    def submit(self, path: str, body: Answer | None = None, *, number: int = 0) -> Future[Answer]:
        """Send `body` to `path` (GET without a body) at the `number`-th server in turn; return the future answer.

        The future raises a `ModelError` if the server refuses the request, and a `PluginError` if it fails to the last
        try.
        """
        return asyncio.run_coroutine_threadsafe(self._ask(path, body, number), self._loop)

    def ask(self, path: str, body: Answer | None = None, *, number: int = 0, quick: bool = False) -> Answer:
        """Send `body` to `path` and wait for the answer; see `submit`.

        `quick`: try once, and for at most ten seconds.
        """
        work = self._ask(path, body, number, quick=quick)
        return result(asyncio.run_coroutine_threadsafe(work, self._loop), self._interrupt)

    def tell(self, path: str, body: Answer, *, number: int = 0) -> None:
        """Send `body` to `path` and wait until the server reports success, in whatever words; see `submit`."""
        work = self._ask(path, body, number, reads=False)
        result(asyncio.run_coroutine_threadsafe(work, self._loop), self._interrupt)

    def close(self) -> None:
        """Cancel what is in flight, close the connections and end the thread."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._http.aclose()
        await self._loop.shutdown_default_executor()

    async def _ask(
        self, path: str, body: Answer | None, number: int, *, quick: bool = False, reads: bool = True
    ) -> Answer:
        url = f"{self.urls[number % len(self.urls)]}/{path.lstrip('/')}"
        retries = 0 if quick else self._retries
        deadline = min(self._deadline, _QUICK) if quick else self._deadline
        async with self._places:
            tried = 0
            while True:
                revivals = self._revivals
                try:
                    return await self._try(url, body, deadline, reads=reads)
                except Failure as failure:
                    if await self._revived(since=revivals):
                        continue
                    tried += 1
                    if tried > retries:
                        tries = f" ({tried} tries)" if tried > 1 else ""
                        raise PluginError(
                            f"{url}: {failure}{tries}",
                            hint="check the server, or raise retries or deadline; halo resume continues after the "
                            "last complete batch",
                        ) from failure
                    pause = self._first_pause * 2 ** (tried - 1) if failure.pause is None else failure.pause
                    await asyncio.sleep(min(pause, _LONGEST_PAUSE))

    async def _revived(self, since: int) -> bool:
        """Return True if the server was started again after `since` revivals, by this request or by another."""
        if self._revive is None:
            return False
        async with self._reviving:
            if self._revivals == since and await asyncio.to_thread(self._revive):
                self._revivals += 1
            return self._revivals > since

    async def _try(self, url: str, body: Answer | None, deadline: float, *, reads: bool) -> Answer:
        """Ask once. Raises a `Failure` if another try may succeed, and a `ModelError` if the server refuses."""
        try:
            async with asyncio.timeout(deadline):
                response = await (self._http.get(url) if body is None else self._http.post(url, json=body))
        except TimeoutError:
            raise Failure(f"no answer within {deadline:g} s") from None
        except httpx.TransportError as error:
            raise Failure(f"no connection: {str(error) or type(error).__name__}") from error
        except httpx.InvalidURL as error:
            raise ModelError(f"{url} is not an address: {error}", hint="write http://HOST:PORT") from error
        if response.status_code in _TRANSIENT:
            raise Failure(_reason(response), _pause(response))
        if not response.is_success:
            raise ModelError(f"{url}: {_reason(response)}", hint=_HINTS.get(response.status_code, ""))
        if not reads:
            return {}
        try:
            found = json.loads(response.content or b"{}")
        except ValueError as error:
            raise Failure(f"the answer is not JSON: {_short(response.text)!r}") from error
        if not isinstance(found, dict):
            raise Failure(f"the answer is not a JSON object: {_short(response.text)!r}")
        if found.get("error"):
            raise Failure(_reason(response), _pause(response))
        return found


_HINTS = {
    401: "name the environment variable that holds the key: key_env",
    403: "name the environment variable that holds the key: key_env",
    404: "check the address and the model's name; the address ends before /v1",
}


def _reason(response: httpx.Response) -> str:
    """Return the status and the message of an answer that reports an error."""
    status = f"{response.status_code} {response.reason_phrase}".strip()
    try:
        found = response.json()
        error = found.get("error", found)
        message = error if isinstance(error, str) else error.get("message") or error.get("detail") or found
    except (ValueError, AttributeError):
        message = response.text
    text = _short(str(message))
    return f"{status}: {text}" if text else status


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _pause(response: httpx.Response) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or as a date (RFC 9110, section 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, TypeError):
        return None
