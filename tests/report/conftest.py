"""A run with every stage, status and kind of text in its report, and a parser for the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from halo_core.drivers import Generator, driver
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.report import write_report
from halo_core.testing import FakeGenerator, FakePolicy, FakeTrainer, FakeVerifier, fake_run
from halo_core.types import Completion, FinishReason, Prompt, Stage, Status, Verdict

NASTY = "</pre></script><script>alert(1)</script>\ud800 \x1b[31mred\x1b[0m \u202eback \x07 日本語 $x_1$ {{ 7 * 7 }}"
VOID = {"meta", "input"}


@driver
class Varied(FakeGenerator):
    """Gives answers of every kind, with text that could break the page."""

    def generate(self, request: Any, context: Any) -> Any:
        for batch in super().generate(request, context):
            yield [
                self._varied(completion, place, request.split == "train")
                for place, completion in enumerate(batch)
            ]

    def _varied(self, completion: Completion, place: int, with_logprobs: bool) -> Completion:
        word = {0: "crash", 1: "invalid", 5: "error", 6: "error", 9: "late"}.get(
            place, completion.text.split()[0]
        )
        if completion.prompt_id.endswith(("1", "7")):  # these become worse while the others improve
            word = {"right": "wrong", "wrong": "right"}.get(word, word)
        text = f"{word} {sum(completion.token_ids) % 5} {NASTY}"
        finish: FinishReason = "length" if place == 1 else "stop"
        # Log-probabilities of held-out samples would be checked against the actor.
        logprobs = (
            (-1.5 * place / len(completion.token_ids),) * len(completion.token_ids) if with_logprobs else None
        )
        return replace(completion, text=text, finish_reason=finish, logprobs=logprobs)


@driver
class Strict(FakeVerifier):
    """Also returns inconclusive verdicts, and verdicts with signals."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        if completion.text.startswith("late"):
            return Verdict(Status.INCONCLUSIVE, Stage.WRONG, detail="the clock ran out")
        signals = {"format": 0.25, "<b>length": 12.0} if completion.text.startswith("right") else {}
        return replace(super().check(prompt, completion), detail=f"main.c: {NASTY}", signals=signals)


@driver
class Uneven(FakePolicy):
    """Returns a different learning rate in each cycle."""

    def lr(self, *, cycle: int, cycles: int, history: Any) -> float:
        return (0.2, 0.05, 0.3)[cycle - 1]


@driver
class Stepping(FakeTrainer):
    """Reports the loss of each step, and makes the model worse if the learning rate is low."""

    def train(self, samples: Any, context: Any) -> Any:
        stats = super().train(samples, context)
        context.actor.skill -= 0.3 * (context.lr < 0.1)
        losses = tuple(stats.loss_first - 0.01 * step for step in range(5))
        notes = ("a <warmup> of half the steps",)
        metrics = {"ratio": 1 + context.lr, "KL": context.lr / 3}
        return replace(stats, losses=losses, clipped_fraction=0.25, notes=notes, metrics=metrics)


class Page(HTMLParser):
    """The parsed page of a report; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        """The attributes of each tag."""
        self.open: list[str] = []
        self.tables: dict[str, list[dict[str, str]]] = {}
        """Rows of each table, as cells by column. Tables are keyed by caption, or by the heading above."""
        self.facts: dict[str, str] = {}
        self._words: list[str] = []
        self._title, self._name, self._head, self._row = "", "", [""][:0], [""][:0]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attributes))
        if tag in {"caption", "h3", "th", "td", "dt", "dd"}:
            self._words = []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        text = " ".join("".join(self._words).split())
        if tag in ("caption", "h3"):
            self._title = text
        elif tag == "th" and "thead" in self.open:
            self._head.append(text)
        elif tag in ("th", "td"):
            self._row.append(text)
        elif tag == "tr" and "tbody" in self.open:
            row = dict(zip(self._head, self._row, strict=True))
            self.tables.setdefault(self._title, []).append(row)
            self._row = []
        elif tag == "table":
            self._head = []
        elif tag == "dt":
            self._name = text
        elif tag == "dd":
            self.facts[self._name] = text

    def values(self, attribute: str) -> list[str]:
        """Return every value of an attribute, in page order."""
        return [value for tag in self.attributes if (value := tag.get(attribute)) is not None]


@pytest.fixture(scope="session")
def read_page() -> Callable[[str], Page]:
    """Return the parser of report pages."""
    return Page


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Ledger]:
    """Return a function that runs fakes and returns the ledger."""

    def make(directory: Path, generator: Generator | None = None, **options: Any) -> Ledger:
        sizes = {"prompts": 6, "heldout": 6, "cycles": 3, "samples_per_prompt": 6, **options}
        run, hooks = fake_run(
            directory, generator=generator, **{"lr_policy": FakePolicy(base_lr=0.15), **sizes}
        )
        run_cycles(run, hooks)
        return run.ledger

    return make


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Ledger]) -> Ledger:
    """A run with everything that a report can show."""
    directory = tmp_path_factory.mktemp("report") / "a <b>run"
    run = make_run(
        directory,
        Varied(),
        verifier=Strict(),
        trainer=Stepping(),
        lr_policy=Uneven(),
        prompts=10,
        heldout=20,
        max_error_rate=0.9,
    )
    for report in run.reports():
        if report.train:  # the fakes cannot measure the KL
            run.write_report(replace(report, train=replace(report.train, kl=report.cycle / 80)))
    return run


@pytest.fixture(scope="session")
def page(ledger: Ledger) -> str:
    """The report of that run."""
    return write_report(ledger).read_text(encoding="utf-8")
