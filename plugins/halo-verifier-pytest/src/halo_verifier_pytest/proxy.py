"""Proxies, in the tests' process, for the functions and objects of a sample that runs in another process.

Tests call a proxy as they would call the sample; see `crossing` for what crosses, and `remote` for objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from halo_core.sandbox.service import ask
from halo_verifier_pytest.class_names import look_up, names_of, text_of
from halo_verifier_pytest.containers import ForgedError, copied, draw
from halo_verifier_pytest.crossing import Crossing, NotByValueError
from halo_verifier_pytest.remote import Remote

__all__ = ["Link", "NotByValueError", "SampleError", "SampleGoneError"]

_MAX_CHUNK = 256
"""Maximum items of an iterator that are fetched at once."""


class SampleError(Exception):
    """The sample raised an exception that cannot be rebuilt as one of Python's own."""


class SampleBaseError(BaseException):
    """The sample raised an exception that is not an `Exception`, and not a SystemExit."""


class SampleGoneError(BaseException):
    """The sample's process has ended. Not an `Exception`, so that tests do not handle it as one."""


class Link:
    """The tests' end of the connection to a sample.

    `classes` and `constants` name the entries that are not functions. If there are classes, their instances may be
    compared and computed with. Without `write_back` the sample's changes of its arguments are dropped.
    """

    def __init__(
        self, classes: Sequence[str] = (), constants: Sequence[str] = (), *, write_back: bool = True
    ) -> None:
        self.crossing = Crossing(1, self._stand_in)
        self._write_back = write_back
        self.allows_objects = bool(classes)
        self.used_objects = False
        """True if an object of the sample took part in a comparison or in arithmetic."""
        self._found = {*classes, *constants}
        self._exceptions: dict[str, type[BaseException]] = {}
        self._raised: list[BaseException] = []

    def proxy(self, entry: str) -> Any:
        """Return the proxy for an entry: a function, or the program's class if the task asks for it."""
        if entry in self._found:
            found = self.do("find", entry)
            if isinstance(found, Remote):
                object.__setattr__(found, "_halo_makes", True)
            return found

        def call(*arguments: Any, **keywords: Any) -> Any:
            return self.do("entry", entry, *arguments, **keywords)

        call.__name__ = call.__qualname__ = entry
        self.crossing.name(call, entry)
        return call

    def do(self, operation: str, *arguments: Any, **keywords: Any) -> Any:
        """Perform an operation on the sample's objects and return its result, or raise its exception."""
        if not self._write_back:
            arguments, keywords = copied((arguments, keywords))
        reply: Any = ask(("do", operation, *self.crossing.pack((arguments, keywords))))
        try:
            while True:
                match reply:
                    case ("value", tree, heap, forgotten):
                        return self.crossing.unpack((tree, heap, forgotten))
                    case ("back", str(operation), *message):
                        reply = ask(("resume", *self._answer(operation, message)))
                    case ("raised", list(names), str(text), *message):
                        error = self._rebuilt(names, text, self.crossing.unpack(message))
                        break
                    case _:
                        raise SampleGoneError
        except ForgedError:
            raise SampleGoneError from None
        self._raised.append(error)
        raise error

    def swallowed(self) -> BaseException | None:
        """Return an exception of the sample that ended an iteration of the tests unseen, and forget all exceptions.

        `map`, `filter` and `iter` take a StopIteration for the end of their argument. Then no frame of the tests is
        in the exception's traceback.
        """
        raised, self._raised = self._raised, []
        return next(
            (each for each in raised if isinstance(each, StopIteration) and not _was_seen(each)), None
        )

    def report(self) -> None:
        """Report to the caller that objects of the sample were compared, if they were."""
        if self.used_objects:
            self.used_objects = False
            ask(("objects",))

    def _answer(self, operation: str, message: list[Any]) -> tuple[Any, ...]:
        """Perform an operation that the sample requests on an object which the tests passed to it."""
        arguments, keywords = self.crossing.unpack(message)
        target, *others = arguments
        try:
            if operation == "next":
                items, end = draw(target, others[0])
                if end is not None and not isinstance(end, StopIteration):
                    raise end
                return "value", *self.crossing.pack((items, end is None, None))
            return "value", *self.crossing.pack(target(*others, **keywords))
        except (SampleGoneError, NotByValueError, ForgedError):
            raise
        except BaseException as error:
            return "raised", names_of(type(error)), text_of(error), *self._arguments(error)

    def _arguments(self, error: BaseException) -> Any:
        try:
            return self.crossing.pack(tuple(error.args))
        except NotByValueError:
            return self.crossing.pack(None)

    def _stand_in(self, sort: str, number: int, label: Any) -> Any:
        match sort, label:
            case "function", str():
                return self._function(label)
            case "iterator", _:
                return self._iterate(number)
            case "coroutine", _:
                return self._await(number)
            case "exception", [str(name), list(names)]:
                kind = type(name.rpartition(".")[2], (self._exception_type(names) or Exception,), {})
                self._exceptions[f".{name}"] = kind
                return kind
            case "object", str():
                return Remote(self, label)
        raise ForgedError

    def _function(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            return self.do("call", call, *arguments, **keywords)

        call.__name__ = call.__qualname__ = name
        return call

    def _iterate(self, number: int) -> Iterator[Any]:
        size = 1
        while True:
            values = self.crossing.their(number)
            items, more, error = self.do("next", values, size)
            yield from items
            if error is not None:
                raise self._rebuilt(*error)
            if not more:
                return
            size = min(2 * size, _MAX_CHUNK)

    async def _await(self, number: int) -> Any:
        return self.do("await", self.crossing.their(number))

    def _exception_type(self, names: list[Any]) -> type[BaseException] | None:
        """Return the first class in `names` that is an exception of the standard library or a known one."""
        for name in names:
            if isinstance(name, str) and name in self._exceptions:
                return self._exceptions[name]
            module, _, kind = str(name).rpartition(".")
            try:
                found = look_up(module, kind)
            except (LookupError, AttributeError):
                continue
            if isinstance(found, type) and issubclass(found, Exception) and found is not Exception:
                return found
            if found is SystemExit:
                return SystemExit
        return None

    def _rebuilt(self, names: list[Any], text: str, arguments: Any = None) -> BaseException:
        """Return the nearest exception of Python's own to the one that the sample raised."""
        kind: type[BaseException] | None = self._exception_type(names)
        if kind is None:
            kind = SampleError if "builtins.Exception" in names else SampleBaseError
            return kind(f"{str(names[0]).rpartition('.')[2] if names else ''}: {text}")
        given = arguments if isinstance(arguments, tuple) else (text,)
        for values in (given, (text,)):
            try:
                error = kind(*values)
            except Exception:
                error = kind.__new__(kind)
            error.args = values
            if text_of(error) == text:
                return error
        return error


def _was_seen(error: BaseException) -> bool:
    """Return True if a frame outside this module is in the exception's traceback."""
    trace = error.__traceback__
    return trace is not None and trace.tb_frame.f_code.co_filename != __file__
