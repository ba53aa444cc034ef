"""Text from files and pipes: a read always ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from halo_core import reading
from halo_core.config.layers import load_yaml
from halo_core.data import load_prompts, read_text
from halo_core.errors import ConfigError, DataError

Pipe = Callable[[str, int], Path]


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """A pipe into which a text is written many times, and a limit of 100 characters."""
    monkeypatch.setattr(reading, "MOST", 100)

    def make(text: str, times: int) -> Path:
        path = tmp_path / "pipe"
        os.mkfifo(path)

        def fill() -> None:
            with suppress(BrokenPipeError), path.open("w") as file:
                for _ in range(times):
                    file.write(text)
                    file.flush()

        threading.Thread(target=fill, daemon=True).start()
        return path

    return make


@pytest.mark.parametrize("read", [load_prompts, load_yaml, lambda path: read_text(Path(path))])
def test_a_device_is_refused(read: Callable[[str], object]) -> None:
    with pytest.raises((DataError, ConfigError), match=r"^/dev/zero: neither a file nor a pipe$") as caught:
        read("/dev/zero")
    assert caught.value.hint == "name a file, or a pipe that ends"


@pytest.mark.parametrize("read", [load_yaml, lambda path: read_text(Path(path))])
def test_a_text_without_end_is_refused(pipe: Pipe, read: Callable[[str], object]) -> None:
    with pytest.raises((DataError, ConfigError), match="more than 1 GB of text without an end"):
        read(str(pipe("x", 9999)))


@pytest.mark.parametrize("text", ['{"prompt": "x"}', "\n"], ids=["one line", "many lines"])
def test_rows_without_end_are_refused(pipe: Pipe, text: str) -> None:
    with pytest.raises(DataError, match="more than 1 GB of text without an end") as caught:
        load_prompts(pipe(text, 9999))
    assert caught.value.hint == "name a file, or a pipe that ends"


def test_a_pipe_that_ends_is_read(pipe: Pipe) -> None:
    assert [prompt.text for prompt in load_prompts(pipe('{"prompt": "x"}\n', 1))] == ["x"]


def test_a_stream_may_be_longer_than_a_line(pipe: Pipe, tmp_path: Path) -> None:
    with reading.open_text(pipe("short\n", 99)) as file:
        assert list(reading.lines_of(file, kept=False)) == ["short\n"] * 99
    (tmp_path / "file").write_text("short\n" * 99)
    with reading.open_text(tmp_path / "file") as file:
        assert len(list(reading.lines_of(file, kept=True))) == 99
