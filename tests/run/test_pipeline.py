from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Generator as Generated
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.drivers import Generator, Verifier, Workers, driver
from halo_core.errors import Interrupted, PluginError, VerifierError
from halo_core.hookspecs import hookimpl
from halo_core.model.contexts import SamplingContext
from halo_core.plugin.manager import Hooks
from halo_core.progress import Advance, Progress
from halo_core.run.pipeline import sample_and_verify
from halo_core.run.state import Run
from halo_core.testing import FakeGenerator, FakeVerifier, fake_run
from halo_core.types import Completion, Prompt, Sample, SamplingRequest, Stage, Status, Verdict

Words = Callable[[int, int], str]
IN_FLIGHT = Workers().in_flight


@driver
class Script(Generator):
    """Yields given words in batches of `size`; records the numbers of the batches."""

    words: Any = None
    """Function of (number of the batch, position in it) that returns the first word of the completion."""
    size: int = 4
    seen: Any = None
    """List to which the number of each sampled batch is appended."""
    change: Any = None
    """Function of (number of the batch, batch) that returns the batch to yield instead."""

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        jobs = [(p, i) for p in request.prompts for i in range(request.samples_per_prompt)]
        for number in range(request.done, -(-len(jobs) // self.size)):
            if self.seen is not None:
                self.seen.append(number)
            batch = [
                Completion(
                    prompt.id, index, f"{self.words(number, at) if self.words else 'right'} {number} {at}"
                )
                for at, (prompt, index) in enumerate(jobs[number * self.size : (number + 1) * self.size])
            ]
            yield self.change(number, batch) if self.change else batch


class Notes(Progress):
    """Records the notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def sample(run: Run, hooks: Hooks) -> list[Sample]:
    return sample_and_verify(run, hooks, run.request(1, "train"))


def saying(words: Words, **options: Any) -> Script:
    return Script(words=words, **options)


def test_each_completion_is_verified_against_its_own_prompt_in_order(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path, generator=Script(), prompts=5, samples_per_prompt=3)
    samples = sample(run, hooks)
    assert [(s.prompt.id, s.completion.index) for s in samples] == [
        (f"t{p}", i) for p in range(5) for i in range(3)
    ]
    assert all(s.prompt.id == s.completion.prompt_id for s in samples)
    assert all(s.verdict.status is Status.PASS and s.reward is None for s in samples)
    assert [s for batch in run.ledger.batches(1, "train", run.prompts) for s in batch] == samples


def test_the_order_of_batches_does_not_depend_on_that_of_verification(tmp_path: Path) -> None:
    @driver
    class Uneven(FakeVerifier):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            if completion.text.split()[1] in "02":
                time.sleep(0.03)
            return super().check(prompt, completion)

    run, hooks = fake_run(tmp_path, generator=Script(), verifier=Uneven(), prompts=6, samples_per_prompt=4)
    assert [s.completion.text.split()[1] for s in sample(run, hooks)] == [str(n // 4) for n in range(24)]
    on_disk = run.ledger.batches(1, "train", run.prompts)
    assert [batch[0].completion.text.split()[1] for batch in on_disk] == [str(n) for n in range(6)]


def test_equal_texts_of_a_prompt_are_verified_once(tmp_path: Path) -> None:
    verified: list[str] = []

    @driver
    class Counting(FakeVerifier):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            verified.append(prompt.id)
            return super().check(prompt, completion)

    same = Script(size=6, change=lambda _, batch: [Completion(c.prompt_id, c.index, "right") for c in batch])
    run, hooks = fake_run(tmp_path, generator=same, verifier=Counting(), prompts=2, samples_per_prompt=3)
    assert len(sample(run, hooks)) == 6
    assert sorted(verified) == ["t0", "t1"]


def test_sampling_and_verification_overlap(tmp_path: Path) -> None:
    next_sampled, first_verified = threading.Event(), threading.Event()

    def change(number: int, batch: list[Completion]) -> list[Completion]:
        if number == 1:
            next_sampled.set()
            assert first_verified.wait(100), "no completion is verified while this batch is sampled"
        return batch

    @driver
    class Waiting(FakeVerifier):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            assert next_sampled.wait(100), "no batch is sampled while this completion is verified"
            first_verified.set()
            return super().check(prompt, completion)

    run, hooks = fake_run(tmp_path, generator=Script(change=change), verifier=Waiting())
    assert all(s.verdict.status is Status.PASS for s in sample(run, hooks))


def test_the_number_of_batches_in_flight_is_limited(tmp_path: Path) -> None:
    gate, verifying = threading.Event(), threading.Event()
    seen: list[int] = []

    @driver
    class Gated(FakeVerifier):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            verifying.set()
            assert gate.wait(100)
            return super().check(prompt, completion)

    run, hooks = fake_run(
        tmp_path, generator=Script(seen=seen), verifier=Gated(), prompts=40, samples_per_prompt=4
    )
    worker = threading.Thread(target=sample, args=(run, hooks))
    worker.start()
    try:
        assert verifying.wait(100)
        deadline = time.monotonic() + 100
        while len(seen) < IN_FLIGHT and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # for more of them, if nothing stops the generator
        assert IN_FLIGHT <= len(seen) <= IN_FLIGHT + 1, "of 40"
        assert run.ledger.batches(1, "train", run.prompts) == []
    finally:
        gate.set()
        worker.join(200)
    assert len(seen) == 40


def test_a_request_resumes_after_the_stored_batches_with_equal_samples(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "whole", prompts=8, samples_per_prompt=8)
    whole = sample(run, hooks)
    batches = run.ledger.batches(1, "train", run.prompts)
    assert len(batches) == 4
    for done in range(5):
        run, hooks = fake_run(tmp_path / str(done), prompts=8, samples_per_prompt=8)
        for batch in batches[:done]:
            run.ledger.append(1, "train", batch)
        assert sample(run, hooks) == whole
        assert run.ledger.batches(1, "train", run.prompts) == batches


def test_a_finished_request_does_not_sample(tmp_path: Path) -> None:
    seen: list[int] = []
    run, hooks = fake_run(tmp_path, generator=Script(seen=seen))
    first = sample(run, hooks)
    seen.clear()
    assert sample(run, hooks) == first
    assert seen == []


@pytest.mark.parametrize("fails_at", [0, 3, 7])
def test_batches_before_a_generator_error_are_stored(tmp_path: Path, fails_at: int) -> None:
    def change(number: int, batch: list[Completion]) -> list[Completion]:
        if number == fails_at:
            raise OSError("out of memory")
        return batch

    run, hooks = fake_run(tmp_path, generator=Script(change=change))
    with pytest.raises(OSError, match="out of memory"):
        sample(run, hooks)
    assert len(run.ledger.batches(1, "train", run.prompts)) <= fails_at
    run, hooks = fake_run(tmp_path, generator=Script())
    assert len(sample(run, hooks)) == 32


def test_after_a_generator_error_waiting_batches_are_not_verified(tmp_path: Path) -> None:
    gate, verified = threading.Event(), set()

    @driver
    class Gated(FakeVerifier):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            verified.add(completion.text.split()[1])
            assert gate.wait(100)
            return super().check(prompt, completion)

    def change(number: int, batch: list[Completion]) -> list[Completion]:
        if number == IN_FLIGHT:
            threading.Timer(0.1, gate.set).start()
            raise OSError("out of memory")
        return batch

    run, hooks = fake_run(tmp_path, generator=Script(change=change), verifier=Gated())
    with pytest.raises(OSError, match="out of memory"):
        sample(run, hooks)
    assert verified <= {"0", "1"}, "two batches are verified at once; two more wait"


CHANGES: dict[str, Callable[[int, list[Completion]], list[Completion]]] = {
    "left out": lambda number, batch: batch[1:] if number == 1 else batch,
    "a batch left out": lambda number, batch: [] if number == 1 else batch,
    "twice": lambda number, batch: [*batch, batch[0]] if number == 1 else batch,
    "misnumbered": lambda number, batch: [Completion(c.prompt_id, 0, c.text) for c in batch],
    "numbered from 1": lambda number, batch: [Completion(c.prompt_id, c.index + 1, c.text) for c in batch],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_generator_with_wrong_completions_is_an_error(
    tmp_path: Path, change: Callable[[int, list[Completion]], list[Completion]]
) -> None:
    for _ in range(2):  # the same error when the run is resumed
        run, hooks = fake_run(tmp_path, generator=Script(change=change))
        with pytest.raises(
            PluginError, match=r"the generator gave prompt 't\d' completions numbered"
        ) as caught:
            sample(run, hooks)
        assert caught.value.hint


def test_a_verifier_that_raises_gives_a_verdict_of_error_with_its_name(tmp_path: Path) -> None:
    script = saying(lambda number, at: "raise" if (number, at) == (0, 1) else "right")
    run, hooks = fake_run(tmp_path, generator=script)
    samples = sample(run, hooks)
    assert samples[1].verdict.status is Status.ERROR
    detail = samples[1].verdict.detail
    assert detail.startswith("verifier 'fake' raised RuntimeError: the verifier crashed (at fakes.py:")
    assert [s.verdict.status for s in samples].count(Status.PASS) == 31, "the others still count"


def test_a_broken_verifier_stops_the_request_early(tmp_path: Path) -> None:
    seen: list[int] = []
    script = saying(lambda *_: "error", seen=seen)
    run, hooks = fake_run(tmp_path, generator=script, prompts=100)
    with pytest.raises(
        VerifierError, match=r"16 of 16 verdicts are errors.*0\.05; the last: no compiler"
    ) as caught:
        sample(run, hooks)
    assert "resume" in caught.value.hint
    assert len(seen) < 4 + 2 * IN_FLIGHT, "and not after 100 batches"


@pytest.mark.parametrize(("limit", "stops"), [(0.0, True), (0.06, True), (0.0625, False), (1.0, False)])
def test_the_maximum_error_rate(tmp_path: Path, limit: float, stops: bool) -> None:
    script = saying(lambda number, at: "error" if at == 0 and number % 4 == 0 else "right")  # 1 of 16
    run, hooks = fake_run(tmp_path, generator=script, prompts=16, max_error_rate=limit)
    if stops:
        with pytest.raises(VerifierError):
            sample(run, hooks)
    else:
        assert sum(s.verdict.status is Status.ERROR for s in sample(run, hooks)) == 4


def test_a_few_early_errors_do_not_stop_a_request(tmp_path: Path) -> None:
    script = saying(lambda number, at: "error" if number == 0 and at < 2 else "right")
    run, hooks = fake_run(tmp_path, generator=script, prompts=16)
    assert len(sample(run, hooks)) == 64, "2 of 4, then 2 of 16, then 2 of 64"


def test_a_verifier_that_breaks_halfway_stops_the_request(tmp_path: Path) -> None:
    seen: list[int] = []
    script = saying(lambda number, at: "error" if number >= 25 else "right", seen=seen)
    run, hooks = fake_run(tmp_path, generator=script, prompts=200)
    with pytest.raises(VerifierError, match="16 of 116 verdicts are errors"):
        sample(run, hooks)
    assert len(seen) < 50


def test_a_small_request_of_errors_is_an_error(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path, generator=saying(lambda *_: "error"), prompts=2)
    with pytest.raises(VerifierError, match="8 of 8 verdicts are errors"):
        sample(run, hooks)


@pytest.mark.parametrize("prompts", [2, 16])
def test_after_the_verifier_is_fixed_the_request_gives_equal_samples(tmp_path: Path, prompts: int) -> None:
    @driver
    class Breaking(FakeVerifier):
        limit: int = 3

        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            if int(prompt.id[1:]) >= self.limit:
                return Verdict(Status.ERROR, Stage.INVALID, detail="disk full")
            return super().check(prompt, completion)

    sizes: dict[str, Any] = {"prompts": prompts, "generator": FakeGenerator(batch=3)}
    whole = sample(*fake_run(tmp_path / "whole", **sizes))
    run, hooks = fake_run(tmp_path / "run", verifier=Breaking(limit=prompts // 3), **sizes)
    with pytest.raises(VerifierError):
        sample(run, hooks)
    run, hooks = fake_run(tmp_path / "run", **sizes)
    assert sample(run, hooks) == whole
    assert [s for batch in run.ledger.batches(1, "train", run.prompts) for s in batch] == whole


def test_batches_before_a_verifier_error_are_not_sampled_again(tmp_path: Path) -> None:
    run, hooks = fake_run(
        tmp_path, generator=saying(lambda number, _: "right" if number < 5 else "error"), prompts=16
    )
    with pytest.raises(VerifierError):
        sample(run, hooks)
    seen: list[int] = []
    run, hooks = fake_run(tmp_path, generator=Script(seen=seen), prompts=16)
    assert len(sample(run, hooks)) == 64
    assert seen == list(range(5, 16))


def test_errors_within_the_limit_stay_when_a_request_is_resumed(tmp_path: Path) -> None:
    script = saying(lambda number, at: "error" if (number, at) == (0, 0) else "right")
    run, hooks = fake_run(tmp_path, generator=script, prompts=16)
    first = sample(run, hooks)
    run.ledger.truncate(1, "train", 8)
    assert sample(*fake_run(tmp_path, generator=script, prompts=16)) == first


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "pass",
        Verdict("pass", Stage.CORRECT),  # type: ignore[arg-type]
        Verdict(Status.PASS, Stage.CORRECT, 1.0, cpu_seconds=math.nan),
    ],
    ids=["none", "text", "status", "nan"],
)
def test_a_verifier_with_unusable_answers_stops_the_request(tmp_path: Path, answer: Any) -> None:
    @driver
    class Odd(Verifier):
        def check(self, prompt: Prompt, completion: Completion) -> Any:
            return answer

    run, hooks = fake_run(tmp_path, verifier=Odd())
    with pytest.raises(VerifierError, match=r"verifier 'fake' returned .*(not a Verdict|must be)"):
        sample(run, hooks)


def test_an_interrupt_ends_the_request_with_its_batches_stored(tmp_path: Path) -> None:
    whole = sample(*fake_run(tmp_path / "whole", generator=FakeGenerator(batch=4), prompts=40))
    stop: list[Run] = []

    @driver
    class Stopping(FakeVerifier):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            if prompt.id == "t5":
                stop[0].interrupt()
            return super().check(prompt, completion)

    run, hooks = fake_run(tmp_path / "run", generator=FakeGenerator(batch=4), verifier=Stopping(), prompts=40)
    stop.append(run)
    with pytest.raises(Interrupted, match=f"halo resume {run.directory}"):
        sample(run, hooks)
    done = run.ledger.batches(1, "train", run.prompts)
    assert 0 < len(done) < 20, (
        "the batches before are stored, but for those that are verified at the same time"
    )
    run, hooks = fake_run(tmp_path / "run", generator=FakeGenerator(batch=4), prompts=40)
    assert sample(run, hooks) == whole


def test_an_interrupt_while_verifying_stores_no_later_batch(tmp_path: Path) -> None:
    """The batches after the one that was given up may be verified already."""
    whole = sample(*fake_run(tmp_path / "whole", generator=FakeGenerator(batch=4), prompts=40))
    run, hooks = fake_run(tmp_path / "run", generator=FakeGenerator(batch=4), prompts=40)
    next_verified = threading.Event()

    class Stopping:
        @hookimpl(wrapper=True)
        def verify(self, prompts: Sequence[Prompt]) -> Generated[None, list[Verdict], list[Verdict]]:
            if prompts[0].id == "t5":
                assert next_verified.wait(100)
                time.sleep(0.2)  # until the next batch is done
                run.interrupt()
                run.check_interrupt()
            verdicts = yield
            if prompts[0].id == "t6":
                next_verified.set()
            return verdicts

    hooks.register(Stopping(), name="stopping")
    with pytest.raises(Interrupted):
        sample(run, hooks)
    done = [batch[0].prompt.id for batch in run.ledger.batches(1, "train", run.prompts)]
    assert done == [f"t{number}" for number in range(5)]
    run, hooks = fake_run(tmp_path / "run", generator=FakeGenerator(batch=4), prompts=40)
    assert sample(run, hooks) == whole


def test_progress_counts_new_and_stored_samples(tmp_path: Path) -> None:
    stages: list[tuple[str, int, str]] = []
    counts: list[int] = []

    class Counting(Progress):
        @contextmanager
        def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
            stages.append((name, total, unit))
            yield lambda count=1, *, total=None, note="": counts.append(count)

    run, hooks = fake_run(tmp_path, generator=FakeGenerator(batch=8))
    batches = [sample(run, hooks)[:8]]
    run.ledger.truncate(1, "train", 0)
    run, hooks = fake_run(tmp_path, generator=FakeGenerator(batch=8), progress=Counting())
    run.ledger.append(1, "train", batches[0])
    sample(run, hooks)
    assert stages == [("cycle 1 sample", 32, "samples")]
    assert counts == [8, 8, 8, 8]


# Inconclusive verdicts


@driver
class Undecided(FakeVerifier):
    """Returns inconclusive verdicts for completions with these indices."""

    late: Any = ()

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        verdict = super().check(prompt, completion)
        return replace(verdict, status=Status.INCONCLUSIVE) if completion.index in self.late else verdict


@pytest.mark.parametrize(("late", "warned"), [(range(1), False), (range(2), True), (range(20), True)])
def test_many_inconclusive_verdicts_are_warned_of_once(tmp_path: Path, late: range, warned: bool) -> None:
    notes = Notes()
    run, hooks = fake_run(
        tmp_path, verifier=Undecided(late=late), prompts=2, samples_per_prompt=20, progress=notes
    )
    sample(run, hooks)
    lines = [line for line in notes.lines if "inconclusive" in line]
    assert len(lines) == warned, "5% is normal on a busy machine"
    if warned:
        assert f"cycle 1 sample: {2 * len(late)} of 40 verdicts are inconclusive" in lines[0]
    sample(run, hooks)
    assert len(notes.lines) == warned, "once"
