"""The model card: nothing private is in it."""

from __future__ import annotations

from halo_core.config.schema import read_config
from halo_core.ledger.card import model_card


def test_a_card_shows_no_directories_logins_or_keys() -> None:
    config = read_config(
        {
            "verifier": [{"name": "sql", "url": "postgresql://ann:hunter2@host/base"}],
            "generator": {"name": "server", "api_key": "sk-1", "max_new_tokens": 64},
            "model": {"name": "/home/ann/models/tiny", "adapter": "/home/ann/first"},
            "data": {"prompts": "/home/ann/secret/train.jsonl"},
        }
    ).model_dump(mode="json")
    card = model_card(config, [], cycle=1, prompts=3, heldout=2, merged=False)
    for hidden in ("/home", "hunter2", "sk-1", "ann"):
        assert hidden not in card, hidden
    for shown in (
        "base_model: tiny",
        "postgresql://host/base",
        "max_new_tokens=64",
        "3 of train.jsonl",
        "adapter | first",
    ):
        assert shown in card, shown


def test_a_card_shows_what_changes_from_cycle_to_cycle_and_rounds() -> None:
    config = read_config(
        {
            "verifier": [{"name": "gcc"}],
            "per_cycle": {
                "trainer": {"name": ["sft", {"name": "grpo", "kl": 0.01}]},
                "selector": {"threshold": [0.5, 1.0]},
            },
            "rounds": {"size": 4, "most": 16},
        }
    ).model_dump(mode="json")
    card = model_card(config, [], cycle=2, prompts=3, heldout=2, merged=False)
    assert "| trainer, by cycle | `sft`, `grpo` (kl=0.01) |" in card
    assert "| selector, threshold, by cycle | `0.5`, `1.0` |" in card
    assert "8 completions of each in a cycle on average, sampled in rounds (size=4, most=16, enough=2" in card


def test_a_card_names_the_generator_of_the_measurement() -> None:
    """A teacher samples what is trained on; the local model is measured."""
    raw = {"verifier": [{"name": "gcc"}], "generator": {"name": "openai", "model": "teacher"}}
    for own, expected in (({}, "the generator above"), ({"name": "transformers"}, "`transformers`")):
        config = read_config(raw | {"heldout": {"generator": own} if own else {}}).model_dump(mode="json")
        card = model_card(config, [], cycle=1, prompts=3, heldout=2, merged=False)
        assert f"sampled with {expected}" in card
