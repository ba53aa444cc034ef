"""The actor: loading and its errors, encoding of prompts, LoRA, merging and saving."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from halo_core.config.model import ModelConfig
from halo_core.config.options import build
from halo_core.errors import DataError, HaloError, ModelError
from halo_core.model.actor import Actor
from halo_core.model.adapters import PROJECTIONS
from halo_core.types import Prompt

Make = Callable[..., Actor]


def load_error(
    config: ModelConfig, load: Callable[[Actor], object] = lambda actor: actor.model
) -> ModelError:
    """Return the error that loading raises; check that it is one line and has a hint."""
    with pytest.raises(ModelError) as caught:
        load(Actor(config))
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


def logits(actor: Actor) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = actor.model(torch.arange(1, 20)[None]).logits
    return result


def test_importing_the_modules_does_not_import_torch() -> None:
    modules = (
        "model.actor",
        "model.loading",
        "model.pretraining",
        "model.batching",
        "drivers.transformers",
        "drivers.sft",
    )
    code = (
        "import sys, importlib\n"
        f"for name in {modules!r}: importlib.import_module('halo_core.' + name)\n"
        "from halo_core.config.model import ModelConfig\n"
        "from halo_core.model.actor import Actor\n"
        "Actor(ModelConfig(name='somewhere'))\n"
        "sys.exit(bool({'torch', 'transformers', 'peft', 'accelerate'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Loading


def test_a_model_name_is_required() -> None:
    assert "no model is named" in str(load_error(ModelConfig()))


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "a/b/c"])
def test_a_missing_directory_is_an_error(name: str) -> None:
    assert str(load_error(ModelConfig(name=name))) == f"there is no directory {name!r}"


def test_a_directory_without_a_model_is_an_error(tmp_path: Path) -> None:
    assert "no config.json" in str(load_error(ModelConfig(name=str(tmp_path))))


def test_a_name_that_is_not_on_the_hub_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for load in (lambda actor: actor.model, lambda actor: actor.tokenizer):
        error = load_error(ModelConfig(name="nobody/no-such-model"), load)
        assert "nobody/no-such-model" in str(error)
        assert "hub" in error.hint


def test_preflight_finds_a_usable_model_without_loading_its_weights(checkpoint: Callable[..., Path]) -> None:
    actor = Actor(ModelConfig(name=str(checkpoint()), device="cpu"))
    assert actor.preflight() == ""
    assert "model" not in vars(actor)


def test_preflight_names_what_has_to_be_downloaded(checkpoint: Callable[..., Path]) -> None:
    model = ModelConfig(name="nobody/no-such-model", device="cpu")
    assert Actor(model).preflight() == "nobody/no-such-model"
    adapter = ModelConfig(name=str(checkpoint()), adapter="nobody/no-adapter", device="cpu")
    assert Actor(adapter).preflight() == "nobody/no-adapter"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "./nowhere"}, "there is no directory './nowhere'"),
        ({"name": "a b c"}, "'a b c' is neither a directory nor a name on the hub"),
        ({"adapter": "/no/where"}, "there is no directory '/no/where'"),
        ({"adapter": "."}, "'.' contains no adapter: there is no adapter_config.json"),
    ],
)
def test_preflight_rejects_a_missing_model_or_adapter(
    checkpoint: Callable[..., Path], settings: dict[str, str], message: str
) -> None:
    given = {"name": str(checkpoint()), "device": "cpu", **settings}
    config = build(ModelConfig, given, where="model")
    assert str(load_error(config, lambda actor: actor.preflight())) == message


def test_preflight_rejects_a_directory_without_weights(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    directory = shutil.copytree(checkpoint(), tmp_path / "model")
    (directory / "model.safetensors").unlink()
    error = load_error(ModelConfig(name=str(directory), device="cpu"), lambda actor: actor.preflight())
    assert str(error) == f"{str(directory)!r} contains no weights"


def test_an_attention_that_is_not_installed_is_not_blamed_on_the_directory(
    checkpoint: Callable[..., Path],
) -> None:
    error = load_error(ModelConfig(name=str(checkpoint()), attn_implementation="nonsense", device="cpu"))
    assert "attn_implementation" in error.hint


@pytest.mark.parametrize("library", ["huggingface_hub.utils._http", "bitsandbytes.backends.cpu.ops"])
def test_what_libraries_log_while_a_model_is_loaded_is_not_printed(
    library: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that cannot be reached is reported once; who quantizes nothing needs no kernels for it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    load_error(ModelConfig(name="nobody/no-such-model", device="cpu"))
    logging.getLogger(library).warning("Retrying in 1s [Retry 1/5].")
    assert not caplog.records


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_a_missing_tokenizer_is_an_error(kind: str, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    for file in ("config.json", "model.safetensors", "generation_config.json"):
        shutil.copy(checkpoint(kind) / file, tmp_path)
    config = ModelConfig(name=str(tmp_path), device="cpu")
    assert "tokenizer" in str(load_error(config, lambda actor: actor.tokenizer))
    assert Actor(config).model is not None


@pytest.mark.parametrize("damage", ["truncated", "garbage", "missing"])
def test_damaged_weights_are_an_error(damage: str, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    directory = shutil.copytree(checkpoint(), tmp_path / "model")
    file = directory / "model.safetensors"
    data = file.read_bytes()
    match damage:
        case "truncated":
            file.write_bytes(data[: len(data) // 2])
        case "garbage":
            file.write_bytes(b"not safetensors at all")
        case "missing":
            file.unlink()
    assert str(directory) in str(load_error(ModelConfig(name=str(directory))))


def test_a_missing_tensor_is_an_error(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    directory = shutil.copytree(checkpoint(), tmp_path / "model")
    tensors = load_file(directory / "model.safetensors")
    removed = tensors.popitem()[0]
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    assert removed in str(load_error(ModelConfig(name=str(directory))))


def test_a_model_of_another_type_is_an_error(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    directory = shutil.copytree(checkpoint(), tmp_path / "model")
    (directory / "config.json").write_text('{"model_type": "vit"}')
    load_error(ModelConfig(name=str(directory)))
    (directory / "config.json").write_text('{"model_type": "no-such-architecture"}')
    load_error(ModelConfig(name=str(directory)))
    (directory / "config.json").write_text("{not json")
    load_error(ModelConfig(name=str(directory)))


def test_a_missing_device_is_an_error(checkpoint: Callable[..., Path]) -> None:
    assert "device 'xpu:7'" in str(load_error(ModelConfig(name=str(checkpoint()), device="xpu:7")))


def test_the_device_and_the_precision_are_chosen_automatically(checkpoint: Callable[..., Path]) -> None:
    on_cpu = Actor(ModelConfig(name=str(checkpoint()), device="cpu"))
    assert on_cpu.dtype is torch.float32
    assert on_cpu.model.dtype is torch.float32
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    assert Actor(ModelConfig()).device == (found or torch.device("cpu"))
    half = Actor(ModelConfig(name=str(checkpoint()), device="cpu", dtype="bfloat16"))
    assert half.model.dtype is torch.bfloat16


def test_a_directory_without_an_adapter_is_an_error(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    assert str(tmp_path) in str(load_error(ModelConfig(name=str(checkpoint()), adapter=str(tmp_path))))


def test_an_adapter_of_another_model_is_an_error(
    make_actor: Make, disturb: Callable[..., Actor], tmp_path: Path
) -> None:
    disturb(make_actor("gpt2")).save(tmp_path / "adapter")
    with pytest.raises(ModelError):
        _ = make_actor("llama", adapter=tmp_path / "adapter").model


def test_a_prompt_tuning_adapter_is_an_error(make_actor: Make, tmp_path: Path) -> None:
    import peft

    kind = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    peft.get_peft_model(make_actor().model, kind).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ModelError, match="prompt learning"):
        _ = make_actor(adapter=tmp_path / "adapter").model


# Text to tokens


def test_plain_text_is_encoded(make_actor: Make) -> None:
    actor = make_actor()
    assert actor.tokenizer.decode(actor.encode(Prompt("p", "add a and b"))) == "add a and b"
    with_system = actor.encode(Prompt("p", "add a and b"), system="Be brief.")
    assert actor.tokenizer.decode(with_system) == "Be brief.\n\nadd a and b"
    chat = ({"role": "user", "content": "one"}, {"role": "user", "content": "two"})
    assert actor.tokenizer.decode(actor.encode(Prompt("p", messages=chat))) == "one\n\ntwo"


def test_an_empty_prompt_is_rejected(make_actor: Make) -> None:
    with pytest.raises(DataError, match="'p' is empty"):
        make_actor().encode(Prompt("p", ""))


def test_the_chat_template_is_used_if_there_is_one(make_actor: Make) -> None:
    actor = make_actor(chat=True, bos=True)
    text = actor.tokenizer.decode(actor.encode(Prompt("p", "hello"), system="Be brief."))
    assert text == "<s>[system] Be brief.\n[user] hello\n[assistant] "
    messages = ({"role": "system", "content": "S"}, {"role": "user", "content": "U"})
    text = actor.tokenizer.decode(actor.encode(Prompt("p", messages=messages)))
    assert text == "<s>[system] S\n[user] U\n[assistant] "


@pytest.mark.parametrize("chat", [False, True])
def test_the_context_has_exactly_one_start_token(chat: bool, make_actor: Make) -> None:
    actor = make_actor(chat=chat, bos=True)
    bos = actor.tokenizer.bos_token_id
    for text in ("hello", "<s>hello") if not chat else ("hello",):
        ids = actor.encode(Prompt("p", text))
        assert ids[0] == bos
        assert ids.count(bos) == 1


def test_an_end_token_that_the_tokenizer_adds_is_removed(make_actor: Make) -> None:
    from tokenizers.processors import TemplateProcessing

    actor = make_actor()
    end = actor.tokenizer.eos_token
    actor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, actor.tokenizer.eos_token_id)]
    )
    assert actor.tokenizer("hello")["input_ids"][-1] == actor.tokenizer.eos_token_id
    assert actor.tokenizer.decode(actor.encode(Prompt("p", "hello"))) == "hello"


def test_a_prompt_that_the_template_rejects_is_an_error(make_actor: Make) -> None:
    actor = make_actor()
    actor.tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(DataError, match="no system role") as caught:
        actor.encode(Prompt("p7", "hello"))
    assert "'p7'" in str(caught.value)
    assert caught.value.hint


def test_end_ids_are_those_of_the_model_and_the_tokenizer(make_actor: Make) -> None:
    actor = make_actor()
    assert actor.end_ids == (actor.tokenizer.eos_token_id,)
    actor = make_actor()
    actor.model.generation_config.eos_token_id = [9, 5]
    assert actor.end_ids == tuple(sorted({9, 5, actor.tokenizer.eos_token_id}))
    actor = make_actor()
    actor.model.generation_config.eos_token_id = None
    actor.tokenizer.eos_token = None
    assert actor.end_ids == ()


# Weights


def test_lora_adapts_the_seven_projections_of_a_llama(make_actor: Make) -> None:
    actor = make_actor()
    actor.add_lora(rank=2, alpha=4.0, dropout=0.0, seed=0)
    assert {name.split(".")[-4] for name in actor.trainable()} == set(PROJECTIONS)


def test_lora_adapts_all_linear_layers_of_another_architecture(make_actor: Make) -> None:
    actor = make_actor("gpt2")
    before = logits(actor)
    actor.add_lora(rank=2, alpha=4.0, dropout=0.0, seed=0)
    assert {name.split(".")[-4] for name in actor.trainable()} == {"c_attn", "c_proj", "c_fc"}
    assert torch.equal(logits(actor), before), "a new adapter has no effect"


def test_lora_adapts_the_named_modules(make_actor: Make) -> None:
    actor = make_actor()
    actor.add_lora(rank=2, alpha=4.0, dropout=0.0, target_modules=("q_proj", "v_proj"), seed=0)
    assert {name.split(".")[-4] for name in actor.trainable()} == {"q_proj", "v_proj"}
    with pytest.raises(ModelError, match="no_such_layer"):
        make_actor().add_lora(rank=2, alpha=4.0, dropout=0.0, target_modules=("no_such_layer",), seed=0)


def test_lora_depends_on_its_seed_and_keeps_the_global_random_state(make_actor: Make) -> None:
    def hash_for(seed: int) -> str:
        actor = make_actor()
        actor.add_lora(rank=2, alpha=4.0, dropout=0.0, seed=seed)
        return actor.weights_hash()

    torch.manual_seed(5)
    first = hash_for(0)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    _ = make_actor().model
    assert torch.equal(torch.get_rng_state(), state)
    assert hash_for(0) == first != hash_for(1)


def test_an_adapter_and_full_training_exclude_each_other(make_actor: Make) -> None:
    adapted = make_actor()
    adapted.add_lora(rank=2, alpha=4.0, dropout=0.0, seed=0)
    with pytest.raises(ModelError, match="a model with an adapter"):
        adapted.train_all()
    full = make_actor()
    full.train_all()
    with pytest.raises(ModelError, match="all weights of the model are being trained"):
        full.add_lora(rank=2, alpha=4.0, dropout=0.0, seed=0)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_merging_restores_the_base_weights(
    kind: str, make_actor: Make, disturb: Callable[..., Actor]
) -> None:
    actor = disturb(make_actor(kind))
    before = {name: weight.detach().clone() for name, weight in actor.model.named_parameters()}
    wanted = logits(actor)
    with actor.merged() as model:
        with torch.inference_mode():
            assert torch.allclose(model(torch.arange(1, 20)[None]).logits, wanted, atol=1e-4)
        assert not all(torch.equal(w, before[n]) for n, w in actor.model.named_parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in actor.model.named_parameters())
    assert torch.equal(logits(actor), wanted)


def test_a_saved_adapter_can_be_loaded_by_an_actor_and_by_peft(
    make_actor: Make, disturb: Callable[..., Actor], checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    import peft

    actor = disturb(make_actor())
    actor.save(tmp_path / "adapter")
    for loaded in (make_actor(), make_actor(adapter=tmp_path / "adapter")):
        loaded.load(tmp_path / "adapter")
        assert torch.equal(logits(loaded), logits(actor))
        assert loaded.weights_hash() == actor.weights_hash()
    plain = transformers.AutoModelForCausalLM.from_pretrained(checkpoint(), dtype=torch.float32)
    plain = peft.PeftModel.from_pretrained(plain, tmp_path / "adapter")
    with torch.inference_mode():
        assert torch.equal(plain(torch.arange(1, 20)[None]).logits, logits(actor))


def test_loading_replaces_the_current_adapter(
    make_actor: Make, disturb: Callable[..., Actor], tmp_path: Path
) -> None:
    actor = disturb(make_actor())
    actor.save(tmp_path / "adapter")
    other = disturb(make_actor(), seed=8)
    assert not torch.equal(logits(other), logits(actor))
    other.load(tmp_path / "adapter")
    assert torch.equal(logits(other), logits(actor))


def test_a_fully_trained_model_can_be_loaded_by_transformers(make_actor: Make, tmp_path: Path) -> None:
    actor = make_actor()
    actor.train_all()
    with torch.no_grad():
        for weight in actor.trainable().values():
            weight.mul_(1.1)
    actor.save(tmp_path / "model")
    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    with torch.inference_mode():
        assert torch.equal(plain(torch.arange(1, 20)[None]).logits, logits(actor))
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "model")("a b") == actor.tokenizer("a b")
    loaded = make_actor()
    loaded.load(tmp_path / "model")
    assert loaded.weights_hash() == actor.weights_hash()


def test_saving_an_untrained_model_is_an_error(make_actor: Make, tmp_path: Path) -> None:
    actor = make_actor()
    with pytest.raises(ModelError, match="no trained weights"):
        actor.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(HaloError):
        make_actor().load(tmp_path / "out")


def test_the_hash_distinguishes_weights(make_actor: Make, disturb: Callable[..., Actor]) -> None:
    assert make_actor().weights_hash() == make_actor("gpt2").weights_hash(), "no weight is trainable yet"
    one, same, other = disturb(make_actor()), disturb(make_actor()), disturb(make_actor(), seed=4)
    assert one.weights_hash() == same.weights_hash() != other.weights_hash()


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(make_actor: Make) -> None:
    actor = make_actor()
    size = len(actor.tokenizer)
    actor.tokenizer.add_tokens([f"<added {number}>" for number in range(400)])
    with pytest.raises(
        ModelError, match=rf"has {len(actor.tokenizer)} tokens, .* embeddings for \d+"
    ) as caught:
        actor.check_vocabulary()
    assert size < len(actor.tokenizer)
    assert "resize_token_embeddings" in caught.value.hint
