from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from halo_core import hookspecs
from halo_core.errors import PluginError, TrainingError
from halo_core.hookspecs import LedgerView, RunView, hookimpl
from halo_core.plugin.blame import add_blame, blame_of, blamed
from halo_core.plugin.discovery import Source, load
from halo_core.plugin.manager import Hooks
from halo_core.testing import fake_run
from halo_core.types import (
    Completion,
    CycleReport,
    Prompt,
    Sample,
    SamplingRequest,
    Stage,
    Status,
    TrainStats,
    Verdict,
)

ACME = Source("plugin", "acme", "acme-tools", "1.2", "acme:plugin")
OTHER = Source("plugin", "other", "other-tools", "3.4", "other:plugin")
POLICY = Source("lr_policy", "wild", "wild-rates", "0.1", "wild:Wild")
RUN: Any = SimpleNamespace()
PROMPT = Prompt("p", "task")
COMPLETION = Completion("p", 0, "text")
VERDICT = Verdict(Status.PASS, Stage.CORRECT, 1.0)
SAMPLE = Sample(PROMPT, COMPLETION, VERDICT, 1.0)
ROUND = SamplingRequest(cycle=1, split="train", prompts=(PROMPT,), samples_per_prompt=1, seed=0)
STATS = TrainStats(
    lr=0.1,
    steps=1,
    samples=1,
    tokens=1,
    loss_first=1.0,
    loss_last=0.5,
    lr_peak=0.1,
    lr_sum=0.1,
    grad_norm_median=0.1,
    clipped_fraction=0.0,
    update_norm=0.1,
)

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

ASK: dict[str, Callable[[Hooks], Any]] = {
    "lr_for_cycle": lambda hooks: hooks.lr_for_cycle(run=RUN, cycle=3, history=()),
    "generate": lambda hooks: list(hooks.generate(run=RUN, request=ROUND)),
    "verify": lambda hooks: hooks.verify(run=RUN, prompts=[PROMPT], completions=[COMPLETION]),
    "reward": lambda hooks: hooks.reward(run=RUN, cycle=1, samples=[SAMPLE]),
    "select": lambda hooks: hooks.select(run=RUN, cycle=1, samples=[SAMPLE]),
    "train": lambda hooks: hooks.train(run=RUN, cycle=1, samples=[SAMPLE], lr=0.1),
    "on_run_start": lambda hooks: hooks.on_run_start(run=RUN, history=()),
    "on_cycle_end": lambda hooks: hooks.on_cycle_end(run=RUN, report=CycleReport(cycle=1), history=()),
    "on_run_end": lambda hooks: hooks.on_run_end(run=RUN, history=(), error=None),
}
OBSERVERS = ["on_run_start", "on_cycle_end", "on_run_end"]
USABLE: dict[str, Any] = {
    "lr_for_cycle": 5e-5,
    "generate": [[COMPLETION]],
    "verify": [VERDICT],
    "reward": [0.25],
    "select": [SAMPLE],
    "train": STATS,
}


def answering(hook: str, answer: Any) -> object:
    """A plugin whose `hook` returns `answer`."""
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


def test_the_facade_has_one_method_for_each_hook_with_its_arguments() -> None:
    assert sorted(ASK) == sorted(specs())
    assert len(specs()) == 9
    for name in specs():
        facade = inspect.signature(getattr(Hooks, name)).parameters
        wanted = inspect.signature(getattr(hookspecs, name)).parameters
        assert list(facade)[1:] == list(wanted), name
        assert all(p.kind is p.KEYWORD_ONLY for p in list(facade.values())[1:]), name
        assert all(p.default is p.empty for p in wanted.values()), f"{name}: an argument with a default"


def test_the_run_that_hooks_see_is_there_and_in_the_documentation(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("hook", USABLE)
def test_a_usable_answer_comes_back(hook: str) -> None:
    assert ASK[hook](with_plugin(answering(hook, USABLE[hook]))) == USABLE[hook]


def test_a_selector_may_weigh_and_copy_what_it_chooses() -> None:
    copied = replace(SAMPLE, completion=replace(COMPLETION), weight=-0.5)
    assert ASK["select"](with_plugin(answering("select", (copied,)))) == (copied,)


def test_the_second_context_of_a_batch_is_looked_at_too() -> None:
    batch = [replace(COMPLETION, prompt_token_ids=ids) for ids in ((1,), (1,), (-1,))]
    with pytest.raises(PluginError, match=r"prompt_token_ids \(-1,\)"):
        ASK["generate"](with_plugin(answering("generate", [batch])))


@pytest.mark.parametrize("hook", OBSERVERS)
def test_what_an_observer_returns_is_ignored(hook: str) -> None:
    hooks = with_plugin(answering(hook, "anything"))
    hooks.register(answering(hook, None), OTHER)
    assert ASK[hook](hooks) is None


def test_every_observer_is_called() -> None:
    seen: list[str] = []
    hooks = Hooks()
    for source in (ACME, OTHER):
        hooks.register(
            SimpleNamespace(on_cycle_end=hookimpl(lambda source=source: seen.append(source.name))), source
        )
    ASK["on_cycle_end"](hooks)
    assert sorted(seen) == ["acme", "other"]


def noting(hook: str, seen: list[str], name: str, **options: bool) -> object:
    """A plugin whose `hook` says that it was called."""
    return SimpleNamespace(**{hook: hookimpl(**options)(lambda: seen.append(name))})


@pytest.mark.parametrize("hook", OBSERVERS)
def test_every_observer_is_called_though_others_raise(hook: str) -> None:
    seen: list[str] = []
    hooks = Hooks()
    hooks.register(noting(hook, seen, "builtin"), name="console")
    hooks.register(raising(hook, KeyError("early")), Source("plugin", "early", "early-tools", "1", "early:x"))
    hooks.register(noting(hook, seen, "very last", trylast=True), OTHER)
    hooks.register(raising(hook, ZeroDivisionError("late\nmore")), ACME)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            ASK[hook](hooks)
        assert caught.value.__notes__ == [
            f"raised by plugin 'acme' (acme-tools 1.2) in hook {hook!r}",
            "plugin 'early' (early-tools 1) then raised KeyError: 'early'",
        ]
        caught.value.__notes__.clear()
    assert sorted(seen) == ["builtin", "builtin", "very last", "very last"]


@pytest.mark.parametrize("hook", OBSERVERS)
def test_a_wrapper_meets_what_the_observers_raise_and_may_forgive_it(hook: str) -> None:
    seen: list[str] = []

    @hookimpl(wrapper=True)
    def forgiving():
        try:
            return (yield)
        except ZeroDivisionError as error:
            seen.append(f"forgave {error}")

    hooks = with_plugin(raising(hook, ZeroDivisionError("it")))
    hooks.register(noting(hook, seen, "told"), name="console")
    hooks.register(SimpleNamespace(**{hook: forgiving}), OTHER)
    ASK[hook](hooks)
    assert seen == ["told", "forgave it"]


@pytest.mark.parametrize("hook", OBSERVERS)
@pytest.mark.parametrize("before", [True, False])
def test_observers_are_called_though_a_wrapper_raises(hook: str, before: bool) -> None:
    seen: list[str] = []

    @hookimpl(wrapper=True)
    def failing():
        if before:
            raise LookupError("before")
        yield
        raise LookupError("after")

    hooks = Hooks()
    hooks.register(noting(hook, seen, "first"), name="console")
    hooks.register(SimpleNamespace(**{hook: failing}), OTHER)
    hooks.register(noting(hook, seen, "second"), ACME)
    with pytest.raises(LookupError, match="before" if before else "after") as caught:
        ASK[hook](hooks)
    assert "other-tools 3.4" in blame_of(caught.value)
    assert seen == ["second", "first"]


def test_an_observer_that_fails_beside_a_wrapper_that_fails_is_in_its_notes() -> None:
    @hookimpl(wrapper=True)
    def on_run_end():
        raise LookupError
        yield  # what makes it a wrapper

    hooks = with_plugin(raising("on_run_end", ZeroDivisionError("oops")))
    hooks.register(SimpleNamespace(on_run_end=on_run_end), OTHER)
    with pytest.raises(LookupError) as caught:
        ASK["on_run_end"](hooks)
    assert "plugin 'acme' (acme-tools 1.2) then raised ZeroDivisionError: oops" in caught.value.__notes__


def test_ctrl_c_in_an_observer_is_not_kept_waiting() -> None:
    hooks = with_plugin(raising("on_cycle_end", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        ASK["on_cycle_end"](hooks)


@pytest.mark.parametrize(
    ("hook", "answer", "says"),
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
        ("verify", [Verdict("pass", Stage.CORRECT)], "status"),
        ("verify", [Verdict(Status.PASS, "correct")], "stage"),
        ("verify", [Verdict(Status.PASS, Stage.CORRECT, float("nan"))], "score"),
        ("verify", [Verdict(Status.PASS, Stage.CORRECT, 1.5)], "score"),
        *[("verify", [replace(VERDICT, **field)], says) for field, says in BAD_VERDICTS],
        *[("generate", [[replace(COMPLETION, **field)]], says) for field, says in BAD_COMPLETIONS],
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
        ("select", [replace(SAMPLE, weight=None)], "a weight of None for prompt 'p'"),
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
        *[(hook, None, "None") for hook in USABLE],
    ],
)
def test_an_unusable_answer_is_one_line_that_names_who_gave_it(hook: str, answer: Any, says: str) -> None:
    with pytest.raises(PluginError) as caught:
        ASK[hook](with_plugin(answering(hook, answer)))
    message = str(caught.value)
    assert message.startswith(f"hook {hook!r} returned ")
    assert says in message
    assert "plugin 'acme' (acme-tools 1.2)" in message
    assert "\n" not in message
    assert caught.value.hint == "check what it returns"


def test_a_driver_behind_a_builtin_is_named_for_its_answer() -> None:
    hooks = Hooks()
    hooks.register(
        answering("lr_for_cycle", float("nan")), name="dispatch", drivers={"lr_for_cycle": [POLICY]}
    )
    with pytest.raises(PluginError, match=r"answered by lr_policy 'wild' \(wild-rates 0.1\)"):
        ASK["lr_for_cycle"](hooks)


def test_all_who_may_have_spoilt_an_answer_are_named_outermost_first() -> None:
    hooks = with_plugin(answering("reward", [float("nan")]))
    hooks.register(SimpleNamespace(reward=hookimpl(wrapper=True)(passing_on)), OTHER)
    with pytest.raises(PluginError, match=r"answered by plugin 'other' .*, plugin 'acme'") as caught:
        ASK["reward"](hooks)
    assert caught.value.hint == "check what they return, outermost first"


def passing_on():
    return (yield)


def test_nobody_answers() -> None:
    with pytest.raises(PluginError, match="hook 'reward' returned None; answered by nobody"):
        ASK["reward"](Hooks())


def scaling(factor: float, offset: float) -> object:
    @hookimpl(wrapper=True)
    def reward(samples: Sequence[Sample]):
        rewards = yield
        return [factor * reward + offset for reward in rewards]

    return SimpleNamespace(reward=reward)


def test_a_later_wrapper_wraps_an_earlier_one() -> None:
    hooks = Hooks()
    hooks.register(answering("reward", [1.0]), name="base")
    hooks.register(scaling(10, 0), ACME)
    hooks.register(scaling(1, 1), OTHER)
    assert ASK["reward"](hooks) == [11.0], "b(a(base)), not a(b(base)) = 20"


def test_a_later_plugin_answers_first_and_none_passes_on() -> None:
    hooks = Hooks()
    hooks.register(answering("lr_for_cycle", 1.0), name="base")
    hooks.register(answering("lr_for_cycle", 2.0), ACME)
    assert ASK["lr_for_cycle"](hooks) == 2.0
    hooks.register(answering("lr_for_cycle", None), OTHER)
    assert ASK["lr_for_cycle"](hooks) == 2.0


def test_an_empty_answer_is_an_answer() -> None:
    hooks = with_plugin(answering("select", [SAMPLE]))
    hooks.register(answering("select", []), OTHER)
    assert ASK["select"](hooks) == []


def test_an_implementation_names_only_the_arguments_it_wants() -> None:
    got = {}

    @hookimpl
    def reward(cycle: int, samples: Sequence[Sample]) -> list[float]:
        got.update(cycle=cycle, samples=samples)
        return [1.0]

    ASK["reward"](with_plugin(SimpleNamespace(reward=reward)))
    assert got == {"cycle": 1, "samples": [SAMPLE]}


def test_a_misspelt_hook_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        PluginError, match=r"plugin 'acme' \(acme-tools 1.2\) implements 'on_cycle_ends'"
    ) as caught:
        with_plugin(answering("on_cycle_ends", None))
    assert caught.value.hint == "did you mean 'on_cycle_end'?"


def test_a_misspelt_hook_is_found_after_good_plugins_too() -> None:
    hooks = with_plugin(answering("reward", [1.0]))
    with pytest.raises(PluginError, match="implements 'rewards'"):
        hooks.register(answering("rewards", [1.0]), OTHER)


def test_an_argument_that_the_hook_does_not_have_is_refused() -> None:
    @hookimpl
    def reward(sampels: Sequence[Sample]) -> list[float]:
        return []

    with pytest.raises(PluginError, match=r"\(acme-tools 1.2\) cannot be registered: .*sampels") as caught:
        with_plugin(SimpleNamespace(reward=reward))
    assert "\n" not in str(caught.value)


async def coroutine() -> None: ...


async def async_generator():
    yield []


@pytest.mark.parametrize("function", [coroutine, async_generator])
def test_coroutines_are_refused(function: Any) -> None:
    with pytest.raises(PluginError, match="hook 'generate' is a coroutine function") as caught:
        with_plugin(SimpleNamespace(generate=hookimpl(function)))
    assert "async" in caught.value.hint


def test_a_wrapper_that_does_not_yield_is_refused() -> None:
    with pytest.raises(PluginError, match="cannot be registered"):
        with_plugin(SimpleNamespace(reward=hookimpl(wrapper=True)(lambda: None)))


def test_a_plugin_is_listed_once() -> None:
    hooks = with_plugin(answering("reward", [1.0]))
    with pytest.raises(PluginError, match="plugin 'acme' is listed twice"):
        hooks.register(answering("reward", [1.0]), ACME)


def test_two_files_may_have_the_same_name(tmp_path: Path) -> None:
    hooks = Hooks()
    hooks.register(answering("reward", [1.0]), name="base")
    for name, factor in (("a", 2), ("b", 3)):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "shape.py"
        path.write_text(
            "from halo_core import hookimpl\n@hookimpl(wrapper=True)\n"
            f"def reward():\n    rewards = yield\n    return [{factor} * r for r in rewards]\n"
        )
        loaded = load("plugin", str(path))
        hooks.register(loaded.value, loaded.source)
    assert ASK["reward"](hooks) == [6.0]


def test_two_equal_plugins_of_one_class_are_no_crash() -> None:
    plugin = answering("reward", [1.0])
    hooks = with_plugin(plugin)
    with pytest.raises(PluginError, match="cannot be registered"):
        hooks.register(plugin, OTHER)


def test_sources_in_order_without_the_builtin_ones() -> None:
    hooks = with_plugin(answering("reward", [1.0]))
    hooks.register(answering("reward", [1.0]), name="console")
    hooks.register(answering("select", []), OTHER)
    assert hooks.sources() == [ACME, OTHER]


@pytest.mark.parametrize("hook", ASK)
def test_an_exception_keeps_its_type_and_names_plugin_distribution_version_and_hook(hook: str) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        ASK[hook](with_plugin(raising(hook, ZeroDivisionError("oops"))))
    assert blame_of(caught.value) == f"raised by plugin 'acme' (acme-tools 1.2) in hook {hook!r}"


def test_the_innermost_plugin_is_blamed_not_the_wrapper_around_it() -> None:
    hooks = with_plugin(raising("reward", KeyError("k")))
    hooks.register(SimpleNamespace(reward=hookimpl(wrapper=True)(passing_on)), OTHER)
    with pytest.raises(KeyError) as caught:
        ASK["reward"](hooks)
    assert "acme-tools" in blame_of(caught.value)
    assert "other-tools" not in blame_of(caught.value)


def test_a_wrapper_is_blamed_for_what_it_does_itself() -> None:
    @hookimpl(wrapper=True)
    def reward():
        rewards = yield
        return rewards["no"]

    hooks = with_plugin(answering("reward", [1.0]))
    hooks.register(SimpleNamespace(reward=reward), OTHER)
    with pytest.raises(TypeError) as caught:
        ASK["reward"](hooks)
    assert "other-tools 3.4" in blame_of(caught.value)


def test_a_generator_is_blamed_for_what_it_raises_while_it_runs() -> None:
    @hookimpl
    def generate():
        yield [COMPLETION]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone") as caught:
        ASK["generate"](with_plugin(SimpleNamespace(generate=generate)))
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


def test_a_wrapper_is_blamed_for_what_it_left_to_be_done_later() -> None:
    hooks = with_plugin(answering("generate", [[COMPLETION]]))
    hooks.register(lazy_plugin(), OTHER)
    with pytest.raises(AttributeError) as caught:
        ASK["generate"](hooks)
    assert "other-tools 3.4" in blame_of(caught.value)


def test_a_lazy_wrapper_is_not_blamed_for_what_is_further_in() -> None:
    @hookimpl
    def generate():
        yield [COMPLETION]
        raise OSError("gone")

    hooks = with_plugin(SimpleNamespace(generate=generate))
    module = lazy_plugin()
    exec("def generate():\n    batches = yield\n    return (b for b in batches)", vars(module))
    module.generate = hookimpl(wrapper=True)(module.generate)
    hooks.register(module, OTHER)
    with pytest.raises(OSError, match="gone") as caught:
        ASK["generate"](hooks)
    assert "acme-tools" in blame_of(caught.value)


def test_a_builtin_is_never_blamed() -> None:
    hooks = Hooks()
    hooks.register(raising("reward", ValueError("x")), name="dispatch")
    with pytest.raises(ValueError, match="x") as caught:
        ASK["reward"](hooks)
    assert blame_of(caught.value) == ""


def test_the_first_blame_stays() -> None:
    error = ValueError("x")
    add_blame(error, "one")
    add_blame(error, "two")
    assert error.__notes__ == ["raised by one"]


def test_a_driver_is_blamed_but_not_for_what_is_meant_for_the_user() -> None:
    with pytest.raises(ValueError, match="x") as caught, blamed(POLICY):
        raise ValueError("x")
    assert blame_of(caught.value) == "raised by lr_policy 'wild' (wild-rates 0.1)"
    with pytest.raises(TrainingError) as meant, blamed(POLICY):
        raise TrainingError("x")
    assert blame_of(meant.value) == ""


def test_a_callable_object_can_be_a_hook() -> None:
    class Policy:
        @hookimpl
        def lr_for_cycle(self, cycle: int) -> float:
            return cycle / 10

    assert ASK["lr_for_cycle"](with_plugin(Policy())) == 0.3
