from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from halo_core import hookspecs
from halo_core.errors import PluginError, RunError, TrainingError
from halo_core.hookspecs import LedgerView, RunView, hookimpl
from halo_core.loop import run_cycles
from halo_core.plugin.blame import add_blame, blame_of, blamed
from halo_core.plugin.discovery import Source, load
from halo_core.plugin.manager import Hooks
from halo_core.progress import Progress
from halo_core.testing import fake_run, make_stats
from halo_core.types import (
    Completion,
    CycleReport,
    Prompt,
    Sample,
    SamplingRequest,
    Stage,
    Status,
    Verdict,
)

ACME = Source("plugin", "acme", "acme-tools", "1.2", "acme:plugin")
OTHER = Source("plugin", "other", "other-tools", "3.4", "other:plugin")
POLICY = Source("lr_policy", "wild", "wild-policies", "0.1", "wild:Wild")
RUN: Any = SimpleNamespace()
REPORT = CycleReport(cycle=0)
PROMPT = Prompt("p", "task")
COMPLETION = Completion("p", 0, "text")
VERDICT = Verdict(Status.PASS, Stage.CORRECT, 1.0)
SAMPLE = Sample(PROMPT, COMPLETION, VERDICT, 1.0)
REQUEST = SamplingRequest(cycle=1, split="train", prompts=(PROMPT,), samples_per_prompt=1, seed=0)
STATS = make_stats(0.1, steps=1)

BAD_VERDICTS: list[tuple[dict[str, Any], str]] = [
    ({"score": None}, "score None; it must be a number from 0 to 1"),
    ({"score": -0.1}, "score -0.1"),
    ({"warnings": None}, "warnings None; it must be a count"),
    ({"warnings": -1}, "warnings -1"),
    ({"warnings": 1 << 63}, "warnings 9223372036854775808"),
    ({"detail": None}, "detail None; it must be a str"),
    ({"detail": b"x\ny"}, "detail b'x\\ny'"),
    ({"cpu_seconds": float("nan")}, "cpu_seconds nan; it must be a finite number"),
    ({"cpu_seconds": "1"}, "cpu_seconds '1'"),
    ({"wall_seconds": float("inf")}, "wall_seconds inf"),
    ({"sandbox": None}, "sandbox None"),
    ({"integrity": 1}, "integrity 1"),
]
BAD_COMPLETIONS: list[tuple[dict[str, Any], str]] = [
    ({"prompt_id": ["p"]}, "prompt_id ['p']; it must be a str"),
    ({"index": "0"}, "index '0'; it must be an int, from 0"),
    ({"index": -1}, "index -1"),
    ({"text": None}, "text None"),
    ({"text": b"bytes"}, "text b'bytes'"),
    ({"token_ids": (1, -1)}, "token_ids (1, -1); it must be a tuple of ints, from 0"),
    ({"token_ids": (0.5,)}, "token_ids (0.5,)"),
    ({"token_ids": [1]}, "token_ids [1]"),
    ({"token_ids": (1 << 32,)}, "token_ids (4294967296,)"),
    ({"prompt_token_ids": [1]}, "prompt_token_ids [1]"),
    ({"prompt_token_ids": (None,)}, "prompt_token_ids (None,)"),
    ({"finish_reason": "eos"}, "finish_reason 'eos'; it must be 'stop' or 'length'"),
    ({"logprobs": (float("-inf"),)}, "logprobs (-inf,); it must be None or a tuple of finite numbers"),
]

CALL: dict[str, Callable[[Hooks], Any]] = {
    "lr_for_cycle": lambda hooks: hooks.lr_for_cycle(run=RUN, cycle=3, history=()),
    "generate": lambda hooks: list(hooks.generate(run=RUN, request=REQUEST)),
    "verify": lambda hooks: hooks.verify(run=RUN, prompts=[PROMPT], completions=[COMPLETION]),
    "reward": lambda hooks: hooks.reward(run=RUN, cycle=1, samples=[SAMPLE]),
    "select": lambda hooks: hooks.select(run=RUN, cycle=1, samples=[SAMPLE]),
    "train": lambda hooks: hooks.train(run=RUN, cycle=1, samples=[SAMPLE], lr=0.1),
    "on_run_start": lambda hooks: hooks.on_run_start(run=RUN, history=()),
    "on_cycle_end": lambda hooks: hooks.on_cycle_end(run=RUN, report=CycleReport(cycle=1), history=()),
    "on_run_end": lambda hooks: hooks.on_run_end(run=RUN, history=(), error=None),
}
OBSERVERS = ["on_run_start", "on_cycle_end", "on_run_end"]
WITH_HISTORY: dict[str, Callable[[Hooks], Any]] = {
    "lr_for_cycle": lambda hooks: hooks.lr_for_cycle(run=RUN, cycle=1, history=[REPORT]),
    "on_run_start": lambda hooks: hooks.on_run_start(run=RUN, history=[REPORT]),
    "on_cycle_end": lambda hooks: hooks.on_cycle_end(run=RUN, report=REPORT, history=[REPORT]),
    "on_run_end": lambda hooks: hooks.on_run_end(run=RUN, history=[REPORT], error=None),
}
"""Calls of the hooks that take `history`, with a list."""
VALID: dict[str, Any] = {
    "lr_for_cycle": 5e-5,
    "generate": [[COMPLETION]],
    "verify": [VERDICT],
    "reward": [0.25],
    "select": [SAMPLE],
    "train": STATS,
}


def returning(hook: str, answer: Any) -> object:
    """Return a plugin whose `hook` returns `answer`."""
    return SimpleNamespace(**{hook: hookimpl(lambda: answer)})


def raising(hook: str, error: BaseException) -> object:
    def fail() -> None:
        raise error

    return SimpleNamespace(**{hook: hookimpl(fail)})


def with_plugin(plugin: object, source: Source = ACME) -> Hooks:
    hooks = Hooks()
    hooks.register(plugin, source)
    return hooks


def specs() -> list[str]:
    return [name for name, value in vars(hookspecs).items() if hasattr(value, "halo_spec")]


def test_hooks_has_one_method_for_each_hook_with_its_arguments() -> None:
    assert sorted(CALL) == sorted(specs())
    assert len(specs()) == 9
    for name in specs():
        method = inspect.signature(getattr(Hooks, name)).parameters
        wanted = inspect.signature(getattr(hookspecs, name)).parameters
        assert list(method)[1:] == list(wanted), name
        assert all(p.kind is p.KEYWORD_ONLY for p in list(method.values())[1:]), name
        assert all(p.default is p.empty for p in wanted.values()), f"{name}: an argument with a default"


def test_the_run_view_is_implemented_and_documented(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
    run, _ = fake_run(tmp_path)
    for view, owner, prefix in ((RunView, run, ""), (LedgerView, run.ledger, "ledger.")):
        members = {name: value for name, value in vars(view).items() if not name.startswith("_")}
        assert members
        for name, value in members.items():
            assert hasattr(owner, name), name
            if name == "ledger":
                continue  # its members follow
            if isinstance(value, property):
                assert f"`{prefix}{name}`" in page or f"`{name}`" in page, name
                continue
            wanted = list(inspect.signature(value).parameters)[1:]
            assert list(inspect.signature(getattr(owner, name)).parameters) == wanted
            assert f"`{prefix}{name}({', '.join(wanted)})`" in page, name


@pytest.mark.parametrize("hook", specs())
def test_history_is_a_tuple_in_every_hook_that_takes_it(hook: str) -> None:
    takes_history = "history" in inspect.signature(getattr(hookspecs, hook)).parameters
    assert takes_history == (hook in WITH_HISTORY)
    if not takes_history:
        return
    seen: list[Any] = []

    @hookimpl
    def record(history: Sequence[CycleReport]) -> float:
        seen.append(history)
        return 0.1

    WITH_HISTORY[hook](with_plugin(SimpleNamespace(**{hook: record})))
    assert seen == [(REPORT,)]


def test_rewards_may_be_none() -> None:
    assert CALL["reward"](with_plugin(returning("reward", [None]))) == [None]


@pytest.mark.parametrize("hook", VALID)
def test_a_valid_answer_is_returned(hook: str) -> None:
    assert CALL[hook](with_plugin(returning(hook, VALID[hook]))) == VALID[hook]


def test_a_selector_may_weight_and_copy_samples() -> None:
    copied = replace(SAMPLE, completion=replace(COMPLETION), weight=-0.5)
    assert CALL["select"](with_plugin(returning("select", (copied,)))) == (copied,)


def test_every_context_of_a_batch_is_validated() -> None:
    batch = [replace(COMPLETION, prompt_token_ids=ids) for ids in ((1,), (1,), (-1,))]
    with pytest.raises(PluginError, match=r"prompt_token_ids \(-1,\)"):
        CALL["generate"](with_plugin(returning("generate", [batch])))


@pytest.mark.parametrize("hook", OBSERVERS)
def test_the_result_of_an_observer_is_ignored(hook: str) -> None:
    hooks = with_plugin(returning(hook, "anything"))
    hooks.register(returning(hook, None), OTHER)
    assert CALL[hook](hooks) is None


def test_every_observer_is_called() -> None:
    seen: list[str] = []
    hooks = Hooks()
    for source in (ACME, OTHER):
        hooks.register(recording("on_cycle_end", seen, source.name), source)
    CALL["on_cycle_end"](hooks)
    assert sorted(seen) == ["acme", "other"]


def recording(hook: str, seen: list[str], name: str, *, trylast: bool = False) -> object:
    """Return a plugin whose `hook` records that it was called."""
    return SimpleNamespace(**{hook: hookimpl(trylast=trylast)(lambda: seen.append(name))})


@pytest.mark.parametrize("hook", OBSERVERS)
def test_every_observer_is_called_even_if_others_raise(hook: str) -> None:
    seen: list[str] = []
    hooks = Hooks()
    hooks.register(recording(hook, seen, "builtin"), name="console")
    hooks.register(raising(hook, KeyError("early")), Source("plugin", "early", "early-tools", "1", "early:x"))
    hooks.register(recording(hook, seen, "last", trylast=True), OTHER)
    hooks.register(raising(hook, ZeroDivisionError("late\nmore")), ACME)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            CALL[hook](hooks)
        assert caught.value.__notes__ == [
            f"raised by plugin 'acme' (acme-tools 1.2) in hook {hook!r}",
            "plugin 'early' (early-tools 1) then raised KeyError: 'early'",
        ]
        caught.value.__notes__.clear()
    assert sorted(seen) == ["builtin", "builtin", "last", "last"]


@pytest.mark.parametrize("hook", OBSERVERS)
def test_a_wrapper_sees_the_exception_of_an_observer_and_may_suppress_it(hook: str) -> None:
    seen: list[str] = []

    @hookimpl(wrapper=True)
    def suppressing() -> Generator[None, Any, Any]:
        try:
            return (yield)
        except ZeroDivisionError as error:
            seen.append(f"suppressed {error}")

    hooks = with_plugin(raising(hook, ZeroDivisionError("it")))
    hooks.register(recording(hook, seen, "builtin"), name="console")
    hooks.register(SimpleNamespace(**{hook: suppressing}), OTHER)
    CALL[hook](hooks)
    assert seen == ["builtin", "suppressed it"]


@pytest.mark.parametrize("hook", OBSERVERS)
@pytest.mark.parametrize("before", [True, False])
def test_observers_are_called_even_if_a_wrapper_raises(hook: str, before: bool) -> None:
    seen: list[str] = []

    @hookimpl(wrapper=True)
    def failing() -> Iterator[None]:
        if before:
            raise LookupError("before")
        yield
        raise LookupError("after")

    hooks = Hooks()
    hooks.register(recording(hook, seen, "first"), name="console")
    hooks.register(SimpleNamespace(**{hook: failing}), OTHER)
    hooks.register(recording(hook, seen, "second"), ACME)
    with pytest.raises(LookupError, match="before" if before else "after") as caught:
        CALL[hook](hooks)
    assert "other-tools 3.4" in blame_of(caught.value)
    assert seen == ["second", "first"]


def test_an_observers_exception_is_noted_on_that_of_a_wrapper() -> None:
    @hookimpl(wrapper=True)
    def on_run_end() -> Iterator[None]:
        raise LookupError
        yield  # makes it a generator, as a wrapper must be

    hooks = with_plugin(raising("on_run_end", ZeroDivisionError("oops")))
    hooks.register(SimpleNamespace(on_run_end=on_run_end), OTHER)
    with pytest.raises(LookupError) as caught:
        CALL["on_run_end"](hooks)
    assert "plugin 'acme' (acme-tools 1.2) then raised ZeroDivisionError: oops" in caught.value.__notes__


def test_ctrl_c_in_an_observer_is_not_deferred() -> None:
    hooks = with_plugin(raising("on_cycle_end", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        CALL["on_cycle_end"](hooks)


@pytest.mark.parametrize(
    ("hook", "answer", "message"),
    [
        ("lr_for_cycle", float("nan"), "nan for cycle 3"),
        ("lr_for_cycle", float("inf"), "inf for cycle 3"),
        ("lr_for_cycle", -1e-5, "-1e-05 for cycle 3"),
        ("lr_for_cycle", 0, "0 for cycle 3"),
        ("lr_for_cycle", "5e-5", "'5e-5' for cycle 3"),
        ("lr_for_cycle", True, "True for cycle 3"),
        ("generate", 7, "int instead of batches"),
        ("generate", [None], "NoneType instead of a list"),
        ("generate", ["abc"], "str instead of a list"),
        ("generate", [["abc"]], "'abc' at position 0"),
        ("generate", [[Completion("q", 0, "x")]], "a completion for 'q', which was not requested"),
        ("verify", [], "0 results for 1 completions"),
        ("verify", [VERDICT, VERDICT], "2 results for 1 completions"),
        ("verify", [None], "None at position 0"),
        ("verify", [True], "True at position 0"),
        ("verify", VERDICT, "Verdict instead of a list"),
        ("verify", (v for v in [VERDICT]), "generator instead of a list"),
        ("verify", [Verdict("pass", Stage.CORRECT)], "status"),  # type: ignore[arg-type]
        ("verify", [Verdict(Status.PASS, "correct")], "stage"),  # type: ignore[arg-type]
        ("verify", [Verdict(Status.PASS, Stage.CORRECT, float("nan"))], "score"),
        ("verify", [Verdict(Status.PASS, Stage.CORRECT, 1.5)], "score"),
        *[("verify", [replace(VERDICT, **field)], message) for field, message in BAD_VERDICTS],
        *[("generate", [[replace(COMPLETION, **field)]], message) for field, message in BAD_COMPLETIONS],
        ("reward", [], "0 results for 1 samples"),
        ("reward", [0.1, 0.2], "2 results for 1 samples"),
        ("reward", ["1"], "'1' at position 0"),
        ("reward", [True], "True at position 0"),
        ("reward", [float("nan")], "nan for a completion of prompt 'p'"),
        ("reward", [float("-inf")], "-inf for a completion of prompt 'p'"),
        ("reward", "1", "str instead of a list"),
        ("reward", 1.0, "float instead of a list"),
        ("select", [COMPLETION], "at position 0"),
        (
            "select",
            [Sample(PROMPT, COMPLETION, VERDICT, 1.0, float("nan"))],
            "a weight of nan for prompt 'p'",
        ),
        ("select", [replace(SAMPLE, weight=None)], "a weight of None for prompt 'p'"),  # type: ignore[arg-type]
        ("select", [SAMPLE, SAMPLE], "completion 0 of prompt 'p', twice"),
        ("select", [SAMPLE, replace(SAMPLE, weight=2.0)], "completion 0 of prompt 'p', twice"),
        (
            "select",
            [replace(SAMPLE, prompt=Prompt("q"))],
            "completion 0 of prompt 'q', which was not among",
        ),
        ("select", [replace(SAMPLE, completion=replace(COMPLETION, index=1))], "completion 1 of prompt 'p'"),
        (
            "select",
            [replace(SAMPLE, completion=replace(COMPLETION, text="other"))],
            "completion 0 of prompt 'p', changed",
        ),
        ("select", {}, "dict instead of a list"),
        ("train", {}, "dict instead of TrainStats"),
        *[(hook, None, "None") for hook in VALID],
    ],
)
def test_an_unusable_answer_is_a_one_line_error_that_names_the_plugin(
    hook: str, answer: Any, message: str
) -> None:
    with pytest.raises(PluginError) as caught:
        CALL[hook](with_plugin(returning(hook, answer)))
    printed = str(caught.value)
    assert printed.startswith(f"hook {hook!r} returned ")
    assert message in printed
    assert "plugin 'acme' (acme-tools 1.2)" in printed
    assert "\n" not in printed
    assert caught.value.hint == "check what it returns"


def test_an_unusable_answer_of_a_driver_names_the_driver() -> None:
    hooks = Hooks()
    hooks.register(
        returning("lr_for_cycle", float("nan")), name="dispatch", drivers={"lr_for_cycle": [POLICY]}
    )
    with pytest.raises(PluginError, match=r"answered by lr_policy 'wild' \(wild-policies 0.1\)"):
        CALL["lr_for_cycle"](hooks)


def test_an_unusable_answer_names_all_its_plugins_outermost_first() -> None:
    hooks = with_plugin(returning("reward", [float("nan")]))
    hooks.register(SimpleNamespace(reward=hookimpl(wrapper=True)(pass_through)), OTHER)
    with pytest.raises(PluginError, match=r"answered by plugin 'other' .*, plugin 'acme'") as caught:
        CALL["reward"](hooks)
    assert caught.value.hint == "check what they return, outermost first"


def pass_through() -> Generator[None, Any, Any]:
    return (yield)


def test_no_answer() -> None:
    with pytest.raises(PluginError, match="hook 'reward' returned None; answered by no plugin"):
        CALL["reward"](Hooks())


def scaling(factor: float, offset: float) -> object:
    @hookimpl(wrapper=True)
    def reward(samples: Sequence[Sample]) -> Generator[None, list[float], list[float]]:
        rewards = yield
        return [factor * reward + offset for reward in rewards]

    return SimpleNamespace(reward=reward)


def test_later_wrappers_wrap_earlier_ones() -> None:
    hooks = Hooks()
    hooks.register(returning("reward", [1.0]), name="base")
    hooks.register(scaling(10, 0), ACME)
    hooks.register(scaling(1, 1), OTHER)
    assert CALL["reward"](hooks) == [11.0], "b(a(base)), not a(b(base)) = 20"


def test_later_plugins_answer_first_and_none_defers_to_earlier_ones() -> None:
    hooks = Hooks()
    hooks.register(returning("lr_for_cycle", 1.0), name="base")
    hooks.register(returning("lr_for_cycle", 2.0), ACME)
    assert CALL["lr_for_cycle"](hooks) == 2.0
    hooks.register(returning("lr_for_cycle", None), OTHER)
    assert CALL["lr_for_cycle"](hooks) == 2.0


def test_an_empty_answer_is_an_answer() -> None:
    hooks = with_plugin(returning("select", [SAMPLE]))
    hooks.register(returning("select", []), OTHER)
    assert CALL["select"](hooks) == []


def test_an_implementation_names_only_the_arguments_it_needs() -> None:
    got: dict[str, object] = {}

    @hookimpl
    def reward(cycle: int, samples: Sequence[Sample]) -> list[float]:
        got.update(cycle=cycle, samples=samples)
        return [1.0]

    CALL["reward"](with_plugin(SimpleNamespace(reward=reward)))
    assert got == {"cycle": 1, "samples": [SAMPLE]}


def test_a_misspelt_hook_is_rejected_with_the_nearest_name() -> None:
    with pytest.raises(
        PluginError, match=r"plugin 'acme' \(acme-tools 1.2\) implements 'on_cycle_ends'"
    ) as caught:
        with_plugin(returning("on_cycle_ends", None))
    assert caught.value.hint == "did you mean 'on_cycle_end'?"


def test_a_misspelt_hook_is_rejected_after_valid_plugins() -> None:
    hooks = with_plugin(returning("reward", [1.0]))
    with pytest.raises(PluginError, match="implements 'rewards'"):
        hooks.register(returning("rewards", [1.0]), OTHER)


def test_an_unknown_argument_is_rejected() -> None:
    @hookimpl
    def reward(sampels: Sequence[Sample]) -> list[float]:
        return []

    with pytest.raises(PluginError, match=r"\(acme-tools 1.2\) has an argument 'sampels'") as caught:
        with_plugin(SimpleNamespace(reward=reward))
    assert "\n" not in str(caught.value)


async def coroutine() -> None: ...


async def async_generator() -> AsyncIterator[list[Completion]]:
    yield []


@pytest.mark.parametrize("function", [coroutine, async_generator])
def test_coroutines_are_rejected(function: Any) -> None:
    with pytest.raises(PluginError, match="implements 'generate' as a coroutine function") as caught:
        with_plugin(SimpleNamespace(generate=hookimpl(function)))
    assert "async" in caught.value.hint


def test_a_wrapper_that_does_not_yield_is_rejected() -> None:
    with pytest.raises(PluginError, match="without a yield"):
        with_plugin(SimpleNamespace(reward=hookimpl(wrapper=True)(lambda: None)))


def test_a_plugin_listed_twice_is_rejected() -> None:
    hooks = with_plugin(returning("reward", [1.0]))
    with pytest.raises(PluginError, match="plugin 'acme' is listed twice"):
        hooks.register(returning("reward", [1.0]), ACME)


def test_two_files_may_have_the_same_name(tmp_path: Path) -> None:
    hooks = Hooks()
    hooks.register(returning("reward", [1.0]), name="base")
    for name, factor in (("a", 2), ("b", 3)):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "shape.py"
        path.write_text(
            "from halo_core import hookimpl\n@hookimpl(wrapper=True)\n"
            f"def reward():\n    rewards = yield\n    return [{factor} * r for r in rewards]\n"
        )
        loaded = load("plugin", str(path))
        hooks.register(loaded.value, loaded.source)
    assert CALL["reward"](hooks) == [6.0]


def test_registering_one_object_twice_is_a_plugin_error() -> None:
    plugin = returning("reward", [1.0])
    hooks = with_plugin(plugin)
    with pytest.raises(PluginError, match="cannot be registered"):
        hooks.register(plugin, OTHER)


def test_sources_are_in_order_without_builtin_ones() -> None:
    hooks = with_plugin(returning("reward", [1.0]))
    hooks.register(returning("reward", [1.0]), name="console")
    hooks.register(returning("select", []), OTHER)
    assert hooks.sources() == [ACME, OTHER]


@pytest.mark.parametrize("hook", CALL)
def test_an_exception_keeps_its_type_and_is_blamed_on_plugin_and_hook(hook: str) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        CALL[hook](with_plugin(raising(hook, ZeroDivisionError("oops"))))
    assert blame_of(caught.value) == f"raised by plugin 'acme' (acme-tools 1.2) in hook {hook!r}"


def test_the_innermost_plugin_is_blamed() -> None:
    hooks = with_plugin(raising("reward", KeyError("k")))
    hooks.register(SimpleNamespace(reward=hookimpl(wrapper=True)(pass_through)), OTHER)
    with pytest.raises(KeyError) as caught:
        CALL["reward"](hooks)
    assert "acme-tools" in blame_of(caught.value)
    assert "other-tools" not in blame_of(caught.value)


def test_a_wrapper_is_blamed_for_its_own_exception() -> None:
    @hookimpl(wrapper=True)
    def reward() -> Generator[None, Any, Any]:
        rewards = yield
        return rewards["no"]

    hooks = with_plugin(returning("reward", [1.0]))
    hooks.register(SimpleNamespace(reward=reward), OTHER)
    with pytest.raises(TypeError) as caught:
        CALL["reward"](hooks)
    assert "other-tools 3.4" in blame_of(caught.value)


def test_a_generator_is_blamed_for_an_exception_during_iteration() -> None:
    @hookimpl
    def generate() -> Iterator[list[Completion]]:
        yield [COMPLETION]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone") as caught:
        CALL["generate"](with_plugin(SimpleNamespace(generate=generate)))
    assert "acme-tools 1.2" in blame_of(caught.value)


def lazy_plugin() -> ModuleType:
    code = (
        "from halo_core import hookimpl\n"
        "@hookimpl(wrapper=True)\n"
        "def generate():\n"
        "    batches = yield\n"
        "    return ([c.nothing for c in batch] for batch in batches)\n"
    )
    module = ModuleType("lazy")
    exec(compile(code, "lazy.py", "exec"), vars(module))
    return module


def test_a_wrapper_is_blamed_for_an_exception_in_its_lazy_result() -> None:
    hooks = with_plugin(returning("generate", [[COMPLETION]]))
    hooks.register(lazy_plugin(), OTHER)
    with pytest.raises(AttributeError) as caught:
        CALL["generate"](hooks)
    assert "other-tools 3.4" in blame_of(caught.value)


def test_a_lazy_wrapper_is_not_blamed_for_an_inner_exception() -> None:
    @hookimpl
    def generate() -> Iterator[list[Completion]]:
        yield [COMPLETION]
        raise OSError("gone")

    hooks = with_plugin(SimpleNamespace(generate=generate))
    module = lazy_plugin()
    exec("def generate():\n    batches = yield\n    return (b for b in batches)", vars(module))
    vars(module)["generate"] = hookimpl(wrapper=True)(module.generate)
    hooks.register(module, OTHER)
    with pytest.raises(OSError, match="gone") as caught:
        CALL["generate"](hooks)
    assert "acme-tools" in blame_of(caught.value)


def test_a_builtin_is_never_blamed() -> None:
    hooks = Hooks()
    hooks.register(raising("reward", ValueError("x")), name="dispatch")
    with pytest.raises(ValueError, match="x") as caught:
        CALL["reward"](hooks)
    assert blame_of(caught.value) == ""


def test_only_the_first_blame_is_added() -> None:
    error = ValueError("x")
    add_blame(error, "one")
    add_blame(error, "two")
    assert error.__notes__ == ["raised by one"]


def test_a_driver_is_blamed_except_for_halo_errors() -> None:
    with pytest.raises(ValueError, match="x") as caught, blamed(POLICY):
        raise ValueError("x")
    assert blame_of(caught.value) == "raised by lr_policy 'wild' (wild-policies 0.1)"
    with pytest.raises(TrainingError) as meant, blamed(POLICY):
        raise TrainingError("x")
    assert blame_of(meant.value) == ""


def test_a_callable_object_can_be_a_hook() -> None:
    class Policy:
        @hookimpl
        def lr_for_cycle(self, cycle: int) -> float:
            return cycle / 10

    assert CALL["lr_for_cycle"](with_plugin(Policy())) == 0.3


class Watcher:
    watches_only = True

    def __init__(self, error: Exception, start: Exception | None = None) -> None:
        self.error, self.start = error, start

    @hookimpl
    def on_run_start(self) -> None:
        if self.start:
            raise self.start

    @hookimpl
    def on_cycle_end(self) -> None:
        raise self.error

    @hookimpl
    def on_run_end(self) -> None:
        raise self.error


def watch(tmp_path: Path, watcher: Watcher) -> tuple[list[CycleReport], list[str]]:
    """Run two cycles with `watcher`; return the reports and the printed notes."""
    notes: list[str] = []

    class Notes(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    run, hooks = fake_run(tmp_path, plugins=[watcher], progress=Notes())
    return run_cycles(run, hooks), notes


def test_an_exception_of_a_plugin_that_only_watches_is_a_warning(tmp_path: Path) -> None:
    reports, notes = watch(tmp_path, Watcher(ConnectionError("no route\nto host")))
    assert len(reports) == 3
    line = "raised ConnectionError in on_cycle_end: no route; the run continues"
    assert [line in note for note in notes] == [True, True, True, False]
    assert "plugin 'fake0' (fakes 0)" in notes[0]
    assert "in on_run_end" in notes[3]


@pytest.mark.parametrize(
    "watcher",
    [Watcher(RunError("disk full")), Watcher(ValueError(), start=ConnectionError("no route"))],
    ids=["a HaloError", "before the first cycle"],
)
def test_some_errors_of_a_plugin_that_only_watches_end_the_run(tmp_path: Path, watcher: Watcher) -> None:
    with pytest.raises((RunError, ConnectionError)):
        watch(tmp_path, watcher)


def test_the_first_plugin_with_an_unusable_answer_is_named(tmp_path: Path) -> None:
    hooks = with_plugin(returning("reward", [1.0]))
    hooks.register(scaling(float("nan"), 0), OTHER)
    hooks.register(scaling(2.0, 0), Source("plugin", "last", "last-tools", "5", "last:plugin"))
    with pytest.raises(PluginError, match=r"nan .*; answered by plugin 'other' \(other-tools 3.4\)$"):
        CALL["reward"](hooks)


def test_the_wrapper_that_emptied_a_selection_is_named(tmp_path: Path) -> None:
    @hookimpl(wrapper=True)
    def select() -> Generator[None, Any, list[Sample]]:
        yield
        return []

    run, hooks = fake_run(tmp_path, plugins=[SimpleNamespace(select=select)])
    message = r"^cycle 1: plugin 'fake0' \(fakes 0\) kept none of the \d+ that were selected$"
    with pytest.raises(TrainingError, match=message):
        run_cycles(run, hooks)
