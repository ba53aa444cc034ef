"""`halo sft` in a process of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import processes
import pytest

from halo_core.cli.sft import _train
from halo_core.config.model import ModelConfig
from halo_core.config.options import build
from halo_core.errors import Interrupted

ARCHITECTURE = """
model_type: llama
hidden_size: 16
intermediate_size: 32
num_hidden_layers: 1
num_attention_heads: 2
num_key_value_heads: 2
max_position_embeddings: 64
tie_word_embeddings: true
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    pairs = [{"prompt": "Say hi.", "completion": "hi"}, {"prompt": "Say bye.", "completion": "bye bye"}]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    texts = {"tiny": ARCHITECTURE, "broken": "model_type: llama\nsize: [1", "list": "- llama", "empty": ""}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_ctrl_c_is_answered_and_writes_nothing(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("halo_core.model.pretraining.train_checkpoint", stop)
    with pytest.raises(Interrupted, match="stopped; nothing was written"):
        _train(files / "pairs.jsonl", files / "out", {}, quiet=True)


def halo(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return processes.run("sft", *arguments, directory=directory)


def test_training_from_scratch_then_with_lora(files: Path) -> None:
    first = ["-d", "pairs.jsonl", "-o", "base", "--scratch", "tiny.yaml", "--vocab-size", "300"]
    done = halo(files, *first, "-T", "epochs=2", "--lr", "1e-2")
    assert done.returncode == 0, done.stderr
    assert "2 steps" in done.stdout
    assert (files / "base" / "model.safetensors").is_file()
    done = halo(files, "-d", "pairs.jsonl", "-o", "tuned", "-m", "base", "-q")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tuned: ")
    assert (files / "tuned" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-d", "pairs.jsonl", "-o", "out"], "nothing to start from"),
        (["-d", "pairs.jsonl", "-o", ".", "--scratch", "tiny.yaml"], "is not empty"),
        (["-d", "none.jsonl", "-o", "out", "--scratch", "tiny.yaml"], "none.jsonl"),
        (["-d", "pairs.jsonl", "-o", "out", "--scratch", "none.yaml"], "none.yaml"),
        (["-d", "pairs.jsonl", "-o", "out", "--scratch", "pairs.jsonl"], "pairs.jsonl:2:1: "),
        (["-d", "pairs.jsonl", "-o", "out", "--scratch", "broken.yaml"], "broken.yaml:2:"),
        (
            ["-d", "pairs.jsonl", "-o", "out", "--scratch", "list.yaml"],
            "an architecture is a mapping of keys",
        ),
        (
            ["-d", "pairs.jsonl", "-o", "out", "--scratch", "empty.yaml"],
            "it needs at least: model_type: llama",
        ),
        (
            ["-d", "pairs.jsonl", "-o", "out", "--scratch", "tiny.yaml", "-T", "epoch=1"],
            "did you mean 'epochs'?",
        ),
        (
            ["-d", "pairs.jsonl", "-o", "out", "--scratch", "tiny.yaml", "--save-dtype", "int8"],
            "unknown precision 'int8'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_input_prints_no_traceback(files: Path, arguments: list[str], message: str) -> None:
    done = halo(files, *arguments)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (files / "out").exists()


def test_the_adapter_that_sft_wrote_is_accepted_like_a_model(files: Path) -> None:
    def call(*arguments: str) -> str:
        done = processes.run(*arguments, directory=files)
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("sft", "-d", "pairs.jsonl", "-o", "base", "--scratch", "tiny.yaml", "--vocab-size", "300")
    shown = call("sft", "-d", "pairs.jsonl", "-o", "tuned", "-m", "base")
    assert "halo generate tuned" in shown
    assert "halo run --model tuned" in shown
    assert call("generate", "tuned", "Print hi.", "-n", "2").count("-" * 40) == 2
    call("sft", "-d", "pairs.jsonl", "-o", "again", "-m", "tuned")
    call("merge", "tuned", "merged")
    assert (files / "merged" / "model.safetensors").is_file()
    assert call("generate", "merged", "Print hi.")


def test_the_printed_prompt_of_a_chat_is_its_last_message() -> None:
    from halo_core.cli.sft import _task
    from halo_core.model.pretraining import Pair

    assert (
        _task(Pair("", "x", ({"role": "system", "content": "s"}, {"role": "user", "content": "Add."})))
        == "Add."
    )
    assert _task(Pair("Sub.", "x")) == "Sub."


def test_values_for_the_chat_template_reach_the_model(tmp_path: Path) -> None:
    from halo_core.cli.sft import _model

    settings = _model("m", "cpu", tmp_path / "chat.jinja", ["enable_thinking=false", "effort=low"])
    config = build(ModelConfig, settings, where="model")
    assert config.chat_template == str(tmp_path / "chat.jinja")
    assert config.chat_template_kwargs == {"enable_thinking": False, "effort": "low"}
    assert build(ModelConfig, _model("m", "cpu", None, None), where="model") == ModelConfig(
        name="m", device="cpu"
    )


def test_chats_are_pairs(files: Path) -> None:
    chat = {
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Greet."}],
        "completion": [{"role": "assistant", "content": "hi"}],
    }
    (files / "chats.jsonl").write_text(json.dumps(chat) + "\n")
    done = halo(files, "-d", "chats.jsonl", "-o", "base", "--scratch", "tiny.yaml", "--vocab-size", "300")
    assert done.returncode == 0, done.stderr
    chat["completion"] = [{"role": "user", "content": "hi"}]
    (files / "chats.jsonl").write_text(json.dumps(chat) + "\n")
    done = halo(files, "-d", "chats.jsonl", "-o", "other", "--scratch", "tiny.yaml")
    assert done.returncode == 2
    assert "chats.jsonl:1: prompt and completion must be non-empty texts" in done.stderr
