"""From prompts to contexts: chat templates with values, from files, continued turns, and the ends of turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.config.model import ModelConfig
from halo_core.config.options import build
from halo_core.errors import DataError, ModelError
from halo_core.model.actor import Actor
from halo_core.model.pretraining import Pair, encode_pair, new_tokenizer
from halo_core.model.turns import end_of_turn
from halo_core.types import Prompt

Make = Callable[..., Actor]
TURNS = (
    "{% for m in messages %}<turn>{{ m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
THINKING = (
    "{% for m in messages %}<turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    "{% elif forced %}<think>\n{% endif %}{% endif %}"
)
"""As Qwen3's: off writes an empty thought; `forced` opens one, as templates that always think do."""


@pytest.fixture
def actor(make_actor: Make) -> Callable[..., Actor]:
    """Return a function that gives a tiny model the special tokens of turns, and a template."""

    def make(template: str = TURNS, **values: Any) -> Actor:
        made = make_actor()
        made.tokenizer.add_special_tokens(
            {"additional_special_tokens": ["<turn>", "<end_of_turn>"]}, replace_extra_special_tokens=False
        )
        made.tokenizer.chat_template = template
        made.config = replace(made.config, chat_template_kwargs=values)
        return made

    return make


def chat(*contents: str) -> Prompt:
    roles = ("user", "assistant")
    return Prompt(
        "p", messages=tuple({"role": roles[n % 2], "content": text} for n, text in enumerate(contents))
    )


def shown(actor: Actor, prompt: Prompt, **options: str) -> str:
    context = actor.context(prompt, **options)
    decoded: str = actor.tokenizer.decode(actor.encode_context(context, prompt))
    assert decoded == context.text
    return decoded


# Continued turns


def test_a_conversation_that_ends_with_the_assistants_message_is_continued(actor: Make) -> None:
    made, prompt = actor(), chat("Add 1 and 2.", "The sum is")
    assert shown(made, prompt).endswith("<turn>assistant\nThe sum is")
    assert made.context(prompt).opening == "The sum is"
    assert made.encode(prompt) == made.encode_context(made.context(prompt), prompt)
    plain = actor()
    plain.tokenizer.chat_template = None
    assert shown(plain, prompt) == "Add 1 and 2.\n\nThe sum is"
    assert plain.context(prompt).opening == "The sum is"


def test_a_message_that_the_template_changes_cannot_be_continued(actor: Make) -> None:
    shouting = TURNS.replace("m.content | trim", "m.content | upper")
    with pytest.raises(DataError, match="cannot be continued") as caught:
        actor(shouting).encode(chat("Add 1 and 2.", "The sum is"))
    assert "prefill" in caught.value.hint


def test_an_empty_message_of_the_assistant_is_refused(actor: Make) -> None:
    with pytest.raises(DataError, match="ends in an empty message of the assistant"):
        actor().encode(chat("Add 1 and 2.", " "))


def test_a_prefill_begins_the_answer(actor: Make) -> None:
    for prompt, wanted in (
        (chat("Add 1 and 2."), "<turn>model\n```python\n"),
        (chat("Add 1 and 2.", "Sure: "), "Sure:```python\n"),
    ):
        assert shown(actor(), prompt, prefill="```python\n").endswith(wanted)
        assert actor().context(prompt, prefill="```python\n").opening in wanted


# Thoughts


def test_thinking_can_be_switched_off_and_an_opened_thought_belongs_to_the_answer(actor: Make) -> None:
    prompt = chat("Add 1 and 2.")
    free, off, forced = actor(THINKING), actor(THINKING, enable_thinking=False), actor(THINKING, forced=True)
    assert shown(free, prompt).endswith("<turn>assistant\n")
    assert shown(off, prompt).endswith("<think>\n\n</think>\n\n")
    assert shown(forced, prompt).endswith("<think>\n")
    assert [made.context(prompt).opening for made in (free, off, forced)] == ["", "", "<think>\n"]
    assert [made.context(prompt).thinks for made in (free, off, forced)] == [True, False, True]
    assert not actor().context(prompt).thinks


# Values for the template


def test_values_come_from_text_with_their_type() -> None:
    given = {"enable_thinking": "false", "budget": "3", "effort": "low", "tools": [{"name": "f"}]}
    config = build(ModelConfig, {"chat_template_kwargs": given}, where="model")
    assert config.chat_template_kwargs == {
        "enable_thinking": False,
        "budget": 3,
        "effort": "low",
        "tools": [{"name": "f"}],
    }


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"enable_thnking": False}, "does not use 'enable_thnking'", "did you mean 'enable_thinking'?"),
        ({"tokenize": True}, "halo sets 'tokenize' itself", "remove it"),
    ],
)
def test_values_that_do_nothing_are_refused(
    checkpoint: Callable[..., Path], tmp_path: Path, values: dict[str, Any], message: str, hint: str
) -> None:
    template = tmp_path / "chat.jinja"
    template.write_text(THINKING, encoding="utf-8")
    config = ModelConfig(
        name=str(checkpoint(chat=True)),
        device="cpu",
        chat_template=str(template),
        chat_template_kwargs=values,
    )
    with pytest.raises(ModelError, match=message) as caught:
        _ = Actor(config).tokenizer
    assert caught.value.hint == hint
    with pytest.raises(ModelError, match="has no chat template"):
        _ = Actor(replace(config, name=str(checkpoint()), chat_template=None)).tokenizer


def test_a_template_from_a_file_replaces_the_models(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    template = tmp_path / "chat.jinja"
    template.write_text(
        "{% generation %}Q: {{ messages[0].content }}\nA:{% endgeneration %}", encoding="utf-8"
    )
    config = ModelConfig(name=str(checkpoint(chat=True)), device="cpu", chat_template=str(template))
    assert shown(Actor(config), Prompt("p", "Add.")) == "Q: Add.\nA:"
    template.write_text("{% for m in %}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"chat\.jinja:1: not a chat template"):
        _ = Actor(config).tokenizer
    template.unlink()
    with pytest.raises(DataError, match=r"chat\.jinja: No such file"):
        _ = Actor(config).tokenizer


# Ends of turns


def test_an_answer_ends_as_the_template_ends_a_turn(actor: Make) -> None:
    made = actor()
    end = made.tokenizer.convert_tokens_to_ids("<end_of_turn>")
    assert made.tokenizer.eos_token_id != end
    assert made.encode_answer("3")[-1] == end
    assert {end, made.tokenizer.eos_token_id} <= set(made.end_ids)
    assert made.encode_answer("3", ended=False) == made.encode_answer("3")[:-1]


@pytest.mark.parametrize(
    ("ending", "wanted"),
    [
        ("<end_of_turn>\n", "<end_of_turn>"),
        (" <end_of_turn>", "<end_of_turn>"),
        ("<end_of_turn>\n<|endoftext|>", "<end_of_turn>"),
        ("</{{ m.role }}><end_of_turn>", None),
        ("\n", None),
        ("", None),
        ("{{ raise_exception('no') }}", None),
    ],
)
def test_the_end_of_a_turn_is_the_first_special_token_after_an_answer(
    ending: str, wanted: str | None
) -> None:
    tokenizer = new_tokenizer(["Add."], 300)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end_of_turn>"]})
    assert end_of_turn(tokenizer) is None
    tokenizer.chat_template = "{% for m in messages %}{{ m.content | trim }}" + ending + "{% endfor %}"
    found = end_of_turn(tokenizer)
    assert (None if found is None else tokenizer.decode([found])) == wanted


def test_the_end_of_a_channel_is_no_end_of_a_turn() -> None:
    for end, wanted in (("<|end|>", None), ("<|return|>", "<|return|>")):
        tokenizer = new_tokenizer(["Add."], 300)
        marks = ["<|channel|>", "<|message|>", "<|end|>", "<|return|>"]
        tokenizer.add_special_tokens({"additional_special_tokens": marks})
        tokenizer.eos_token = "<|return|>"
        tokenizer.chat_template = "{% for m in messages %}<|message|>{{ m.content }}" + end + "{% endfor %}"
        found = end_of_turn(tokenizer)
        assert (None if found is None else tokenizer.decode([found])) == wanted


def test_a_pair_ends_as_the_template_ends_a_turn_and_does_not_repeat_an_opened_thought(actor: Make) -> None:
    made = actor()
    prompt, completion = encode_pair(made, Pair("Add 1 and 2.", "3"))
    assert made.tokenizer.decode(prompt + completion).endswith("<turn>model\n3<end_of_turn>")
    forced = actor(THINKING, forced=True)
    for text in ("<think>\nEasy.</think>3", "Easy.</think>3"):
        prompt, completion = encode_pair(forced, Pair("Add 1 and 2.", text))
        assert forced.tokenizer.decode(prompt + completion).endswith(
            "<turn>assistant\n<think>\nEasy.</think>3<end_of_turn>"
        )
