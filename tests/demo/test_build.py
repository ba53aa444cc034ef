"""Building a small demo."""

import json
from pathlib import Path

from halo_core.config.model import ModelConfig
from halo_core.demo import build as demos
from halo_core.model.actor import Actor
from halo_core.model.pretraining import Pair, new_tokenizer, texts_of


def corpus() -> demos.Corpus:
    row = {"id": "a", "prompt": "say one", "reference": {"answer": "1"}}
    return demos.Corpus([row], [row | {"id": "b"}], [Pair("say one", "1"), Pair("say two", "22")] * 4)


def test_a_written_demo_can_be_loaded(tmp_path: Path) -> None:
    demos.write(tmp_path, corpus(), epochs=1, lr=1e-3, seed=0)
    demo = demos.load(tmp_path, {"cycles": 2})
    assert [prompt.id for prompt in (*demo.prompts, *demo.heldout)] == ["a", "b"]
    assert demo.prompts[0].reference == {"answer": "1"}
    assert demo.settings == {"cycles": 2}
    assert Actor(ModelConfig(name=str(demo.model))).encode(demo.prompts[0])


def test_no_token_crosses_a_piece_and_digits_are_single_tokens() -> None:
    tokenizer = new_tokenizer(texts_of(corpus().pairs), corpus().vocabulary, pieces=corpus().pieces)
    tokens = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    assert "Ġone" in tokens
    assert "22" not in tokens
