"""Reading prompts: halo reads JSON Lines itself, other formats with the `datasets` package.

A row has `prompt` (or `text`, or chat `messages`), and optionally `id` (default: a hash of the content), `reference`
(the verifier's data) and `verifier` (its name, if the run has several). Other keys become `meta`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from halo_core import reading
from halo_core.data.contamination import text_of
from halo_core.data.shape import Shape
from halo_core.errors import DataError, did_you_mean, file_hint, first_line
from halo_core.seeds import derive_seed
from halo_core.types import Prompt

Task = tuple[tuple[str, str], ...]
ROLES = ("system", "developer", "user", "assistant", "tool")
"""The roles of chat messages."""
_KNOWN = ("id", "prompt", "text", "messages", "verifier", "reference")
_TASK = ("prompt", "text", "messages")
_ONE_OBJECT = "write one JSON object per line, with at least a 'prompt'"
_AT_THE_HUB = "check its name and split (hf:owner/name:split), the network, and `hf auth login`"
_SIMILAR = 0.85
"""`difflib`'s similarity above which an unknown key counts as a misspelt known one."""


def load_prompts(source: str | Path, shape: Shape | None = None) -> list[Prompt]:
    """Read prompts from a `.jsonl` file, a `.parquet`, `.csv` or `.json` file, or a Hugging Face dataset.

    A dataset is named `hf:owner/name`, `hf:owner/name:split` or `hf:owner/name:subset:split`. `shape` maps other
    columns to those of a prompt. Raises a `DataError` for an empty source, and one that names the line or row for a row
    that is not a prompt or whose id is already taken.
    """
    prompts: list[Prompt] = []
    seen: dict[str, str] = {}
    plain = shape is None or shape.is_plain
    for place, row in _rows(str(source), plain=plain):
        if not plain and isinstance(row, dict) and shape is not None:
            row = shape.apply(row, place)
            if row is None:
                continue
            row = _cleaned(row)
        prompt = _prompt(row, place)
        if prompt.id in seen:
            raise _duplicate(row, prompt, seen[prompt.id])
        seen[prompt.id] = place
        prompts.append(prompt)
    if not prompts:
        if shape is not None and shape.where:
            raise DataError(
                f"{source} contains no prompts for which {shape.where} is true", hint="check data.where"
            )
        raise DataError(f"{source} contains no prompts", hint=_ONE_OBJECT)
    return prompts


def _duplicate(row: Mapping[str, Any], prompt: Prompt, first: str) -> DataError:
    if row.get("id") not in (None, ""):
        return DataError(
            f"{prompt.place}: id {prompt.id!r} is already used at {first}",
            hint="give each prompt an id of its own",
        )
    return DataError(
        f"{prompt.place}: the same prompt is already at {first}",
        hint="remove one of them, or give each an 'id' of its own",
    )


def split_heldout(prompts: Sequence[Prompt], share: float, seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """Split off a random `share` of the prompts, at least one, as held-out prompts; return (train, heldout).

    Prompts with the same `task` stay together: as many tasks are held out as fit into the share.
    """
    tasks: dict[Task, list[int]] = {}
    for index, prompt in enumerate(prompts):
        tasks.setdefault(task(prompt), []).append(index)
    if len(tasks) < 2:
        subject = "a single prompt" if len(prompts) < 2 else f"{len(prompts)} prompts of the same task"
        raise DataError(f"{subject} cannot be split into training and held-out prompts",
                        hint="give more prompts, or a file of held-out prompts with --heldout")  # fmt: skip
    groups = list(tasks.values())
    random.Random(derive_seed(seed, "heldout")).shuffle(groups)
    room = min(max(1, round(share * len(prompts))), len(prompts) - 1)
    held: set[int] = set()
    for group in groups:
        if len(held) + len(group) <= room:
            held.update(group)
    if not held:
        smallest: list[int] = min(groups, key=len)
        held.update(smallest)
    train = [prompt for index, prompt in enumerate(prompts) if index not in held]
    return train, [prompts[index] for index in sorted(held)]


def check_disjoint(prompts: Iterable[Prompt], heldout: Iterable[Prompt]) -> None:
    """Raise a `DataError` if a held-out prompt has the id or the `task` of a training prompt."""
    trained = list(prompts)
    tasks, ids = {task(prompt): prompt for prompt in trained}, {prompt.id: prompt for prompt in trained}
    for prompt in heldout:
        twin = tasks.get(task(prompt)) or ids.get(prompt.id)
        if twin is not None:
            raise DataError(
                f"held-out prompt {_named(prompt)} is also a training prompt ({_named(twin)})",
                hint="a model must not be measured on prompts it was trained on; remove one of them",
            )


def task(prompt: Prompt) -> Task:
    """Return the messages to the model as (role, text) pairs, with white space normalized.

    A text equals a chat with that single message from the user. The verifier and its data are not part of the task.
    """
    messages = prompt.messages or ({"role": "user", "content": prompt.text},)
    return tuple((message["role"], " ".join(message["content"].split())) for message in messages)


def misspelt_keys(prompts: Iterable[Prompt]) -> dict[str, str]:
    """Return the unknown keys of the data that resemble a known key which their prompt lacks, with that known key."""
    found: dict[str, str] = {}
    for prompt in prompts:
        given = {"id", "prompt", "text", "messages"} | {
            key for key in ("verifier", "reference") if getattr(prompt, key)
        }
        for key in prompt.meta.keys() - found.keys():
            if near := _near(key, set(_KNOWN) - given):
                found[key] = near
    return found


def read_text(path: Path) -> str:
    """Return the text of a file. Raises a `DataError` if it cannot be read or is not UTF-8."""
    try:
        return reading.read_text(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", hint=file_hint(error)) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})", hint=file_hint(error)) from error


def parse_json(line: str, place: str) -> Any:
    """Return the value of a line of JSON. Raises a `DataError` that begins with `place` and names the column."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        problem = f"{error.msg.removesuffix(' at')} at column {min(error.pos, len(line.rstrip())) + 1}"
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:  # an integer with thousands of digits
        problem = str(error)
    raise DataError(f"{place}: not JSON: {problem}", hint="write one JSON value per line")


def check_text(row: object, place: str) -> None:
    r"""Raise a `DataError` for text that has no encoding: half of a surrogate pair, such as "\\ud800"."""
    try:
        json.dumps(row, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise DataError(
            f"{place}: {half!a} is half of a surrogate pair, not a character",
            hint="remove it, or write both halves: \\ud83d\\ude00",
        ) from error


def is_chat(messages: Iterable[object]) -> bool:
    """Return whether each message has a role and a content, both strings."""
    return all(
        isinstance(each, Mapping) and all(isinstance(each.get(key), str) for key in ("role", "content"))
        for each in messages
    )


def check_roles(messages: Iterable[Mapping[str, Any]], place: str) -> None:
    """Raise a `DataError` for a role that is not one of `ROLES`."""
    for message in messages:
        if message["role"] not in ROLES:
            hint = did_you_mean(message["role"], ROLES)
            raise DataError(f"{place}: unknown role {message['role']!r}", hint=hint)


def _near(key: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(key, sorted(known), n=1, cutoff=_SIMILAR)), "")


def _named(prompt: Prompt) -> str:
    return prompt.place or repr(prompt.id)


def texts_in(source: str | Path, shape: Shape | None = None) -> Iterator[str]:
    """Yield the text of each row of an evaluation set: that of its prompt, or without a prompt, of all its columns."""
    plain = shape is None or shape.is_plain
    for place, row in _rows(str(source), plain=True):
        made = row if plain or shape is None else shape.apply(row, place)
        if not isinstance(made, dict):
            continue
        if any(made.get(key) for key in ("prompt", "text", "messages")):
            yield text_of(_prompt(made, place))
        else:
            yield "\n".join(value for value in made.values() if isinstance(value, str))


def _rows(source: str, *, plain: bool = True) -> Iterator[tuple[str, Any]]:
    if source.startswith("hf:") or Path(source).suffix in {".parquet", ".csv", ".json"}:
        return _dataset_rows(source, plain=plain)
    return _jsonl_rows(source)


def _jsonl_rows(source: str) -> Iterator[tuple[str, Any]]:
    try:
        with reading.open_text(source) as file:
            for number, line in enumerate(reading.lines_of(file, kept=True), 1):
                if line.strip():
                    yield f"{source}:{number}", parse_json(line, f"{source}:{number}")
    except OSError as error:
        raise DataError(f"{source}: {error.strerror}", hint=file_hint(error)) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text (byte {error.start})", hint=file_hint(error)) from error


def _dataset_rows(source: str, *, plain: bool) -> Iterator[tuple[str, Any]]:
    if not source.startswith("hf:"):
        try:
            Path(source).open("rb").close()
        except OSError as error:
            raise DataError(f"{source}: {error.strerror}", hint=file_hint(error)) from error
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"{source}: this format needs the datasets package", hint="pip install datasets"
        ) from error
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs each retry
    with suppress(AttributeError):
        datasets.disable_progress_bars()
        datasets.logging.set_verbosity(logging.CRITICAL)  # it logs errors that it raises, too
    try:
        if source.startswith("hf:"):
            name, *parts = source.removeprefix("hf:").split(":")
            subset = parts[0] if len(parts) > 1 else None
            table = datasets.load_dataset(name, subset, split=(parts and parts[-1]) or "train")
        else:
            table = datasets.load_dataset(Path(source).suffix[1:], data_files=source, split="train")
    except Exception as error:
        hint = _AT_THE_HUB if source.startswith("hf:") else f"check that it is a {Path(source).suffix} file"
        raise DataError(f"{source}: {first_line(error.__cause__ or error)}", hint=hint) from error
    for number, row in enumerate(table, 1):
        yield f"{source} row {number}", _cleaned(row) if plain else row


def _cleaned(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "reference": _without_nulls(row["reference"])} if "reference" in row else dict(row)


def _without_nulls(value: Any) -> Any:
    """Return a value without the keys that are null: a mapping column has the keys of all rows in each of them."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _prompt(row: Any, place: str) -> Prompt:
    if not isinstance(row, dict):
        raise DataError(f"{place}: a prompt is a JSON object, not {type(row).__name__}", hint=_ONE_OBJECT)
    check_text(row, place)
    row = {key: value for key, value in row.items() if value is not None}
    text = row.get("prompt", row.get("text", ""))
    messages = row.get("messages", ())
    if not isinstance(text, str):
        raise DataError(f"{place}: 'prompt' must be text")
    if bool(text.strip()) == bool(messages):
        problem = "not both" if messages else "not empty"
        raise DataError(
            f"{place}: give either 'prompt' (text) or 'messages' (a chat), {problem}",
            hint=_hint_for_keys(row),
        )
    if not isinstance(messages, (list, tuple)):
        raise DataError(f"{place}: 'messages' must be a list")
    if not isinstance(row.get("id", ""), (str, int)):
        raise DataError(f"{place}: 'id' must be a string or a number")
    if not is_chat(messages):
        raise DataError(f"{place}: each message needs a 'role' and a 'content', both strings")
    check_roles(messages, place)
    reference = _mapping(row.get("reference", {}), "reference", place)
    verifier = row.get("verifier", "")
    if not isinstance(verifier, str):
        raise DataError(f"{place}: 'verifier' must be the name of a verifier")
    return Prompt(
        id=str(row.get("id", "")) or _content_id(row),
        text=text if not messages else "",
        messages=tuple({key: message[key] for key in ("role", "content")} for message in messages),
        verifier=verifier,
        reference=reference,
        meta={key: value for key, value in row.items() if key not in _KNOWN},
        place=place,
    )


def _hint_for_keys(row: Mapping[str, Any]) -> str:
    """Return a hint about a row without a prompt: its keys that resemble a known one, or how to map the others."""
    others = sorted(row.keys() - set(_KNOWN))
    near = {key: _near(key, _TASK) for key in others}
    if any(near.values()):
        return "; ".join(
            f"{key!r} is unknown: did you mean {known!r}?" for key, known in near.items() if known
        )
    if given := [key for key in _TASK if key in row]:
        return f"remove {given[-1]!r}" if row.get("messages") else f"write the task into {given[0]!r}"
    if not others:
        return _ONE_OBJECT
    return f"its keys are {', '.join(map(repr, others))}; name the one with the task: --set data.columns.prompt=KEY"


def _mapping(value: Any, key: str, place: str) -> Mapping[str, Any]:
    """Return a JSON object, given as such or as the text in a CSV or Parquet column."""
    if isinstance(value, str):
        value = parse_json(value, place)
    if not isinstance(value, dict):
        raise DataError(f"{place}: {key!r} must be a JSON object")
    return value


def _content_id(row: Mapping[str, Any]) -> str:
    content = json.dumps(row, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]
