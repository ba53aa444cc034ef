"""Broken plugins, more than forty, each with the error that it must cause; `plugin/test_broken_plugins.py` tries them.

`REFUSED`: refused when the plugin is loaded, by `halo plugins check` and before a run starts. `BLAMED`: the error can
only be found while the plugin runs; it must name the plugin. `AUDITED`: the same, for what only `halo audit` calls.
"""

from __future__ import annotations

from dataclasses import dataclass

HEADER = """
from dataclasses import replace
from typing import ClassVar
from halo_core import (Attack, Completion, DataError, Generator, LRPolicy, Prompt, Reward, Selector, Stage, Status,
    Trainer, Verdict, Verifier, driver, hook_plugin, hookimpl)
"""
PASS = "return Verdict(Status.PASS, Stage.CORRECT, 1.0)"


@dataclass(frozen=True)
class Broken:
    """A plugin in a file that makes one mistake."""

    name: str
    kind: str
    """Kind of driver, or "plugin"."""
    code: str
    """Defines the class `X`, or with `whole` the module."""
    message: str
    """Part of the error message."""
    remedy: str
    """Part of the hint."""
    whole: bool = False
    """The plugin is the file itself, not a class in it."""


def _verifier(name: str, body: str, message: str, remedy: str, above: str = "@driver") -> Broken:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return Broken(name, "verifier", f"{above}\nclass X(Verifier):\n{lines}\n", message, remedy)


def _generator(name: str, method: str, message: str, remedy: str) -> Broken:
    generate = "    def generate(self, request, context): yield []\n"
    code = f"@driver\nclass X(Generator):\n{generate}    {method}\n"
    return Broken(name, "generator", code, message, remedy)


def _module(name: str, code: str, message: str, remedy: str) -> Broken:
    return Broken(name, "plugin", code, message, remedy, whole=True)


def _hooks(name: str, body: str, message: str, remedy: str, above: str = "") -> Broken:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return Broken(name, "plugin", f"{above}\nclass X:\n{lines}\n", message, remedy)


CHECK = f"def check(self, prompt, completion):\n    {PASS}\n"
REFUSED = [
    # Drivers: the class
    _verifier("no @driver", CHECK, "is not decorated: X has no options", "write @driver", above=""),
    Broken(
        "an undecorated subclass with an option",
        "verifier",
        f"@driver\nclass Base(Verifier):\n    def check(self, prompt, completion):\n        {PASS}\n"
        "class X(Base):\n    level: int = 1\n",
        "declares 'level' in X, which is not an option",
        "write @driver above class X",
    ),
    _verifier("a missing method", "pass", "does not implement 'check'", "define check(self, prompt"),
    _verifier(
        "a misspelt abstract method",
        CHECK.replace("check", "chek"),
        "does not implement 'check'",
        "did you mean 'check' where it defines 'chek'?",
    ),
    _verifier(
        "a misspelt optional method",
        CHECK + "def refrences(self, prompt):\n    return []",
        "has a method 'refrences', which is never called",
        "did you mean 'references'?",
    ),
    _verifier("an async check", f"async {CHECK}", "has an async method 'check'", "write def check"),
    _verifier(
        "a check that yields",
        CHECK.replace("return", "yield"),
        "has a method 'check' that yields",
        "return the value",
    ),
    _verifier(
        "a missing argument",
        CHECK.replace(", completion", ""),
        "cannot be called: too many positional arguments",
        "write def check(self, prompt, completion)",
    ),
    _verifier(
        "an argument too many",
        CHECK.replace("completion", "completion, run"),
        "cannot be called: missing a required argument: 'run'",
        "write def check(self, prompt, completion)",
    ),
    _verifier(
        "an argument that is never passed",
        CHECK.replace("completion", "completion, run=None"),
        "has an argument 'run' of 'check', which is never passed",
        "write def check(self, prompt, completion)",
    ),
    _verifier(
        "arguments in the wrong order",
        CHECK.replace("prompt, completion", "completion, prompt"),
        "has the arguments of 'check' in another order",
        "write def check(self, prompt, completion)",
    ),
    _verifier("no self", CHECK.replace("self, ", ""), "cannot be called", "write def check(self, prompt"),
    _verifier("a property", f"@property\n{CHECK}", "has 'check' as a property", "write def check"),
    _verifier(
        "an option with the name of a method",
        CHECK + "references: tuple[str, ...] = ()",
        "has 'references' as a value (tuple), not as a method",
        "write def references(self, prompt)",
    ),
    _verifier(
        "references that return one string",
        CHECK + "def references(self, prompt) -> str:\n    return 'yes'",
        "has a method 'references' that returns one str",
        "return a list",
    ),
    _verifier(
        "attacks that yield",
        CHECK + "def attacks(self):\n    yield Attack('a', Prompt('p', 'q'), 'no')",
        "has a method 'attacks' that yields",
        "return the value",
    ),
    _verifier("a label that is not text", CHECK + "valid_label = None", "has a valid_label", "valid_label ="),
    _verifier(
        "a constructor", CHECK + "def __init__(self): self.n = 0", "X.__init__ would never be called", ""
    ),
    _verifier(
        "a default of another type",
        CHECK + "level: int = 'high'",
        "level: input should be a valid integer",
        "",
    ),
    _verifier(
        "an unknown type", CHECK + "level: 'Missing' = 1", "has an option whose type is unknown", "import"
    ),
    _verifier("an exception while constructed", CHECK + "def __post_init__(self): {}['x']", "KeyError", ""),
    Broken(
        "a misspelt keyword",
        "lr_policy",
        "@driver\nclass X(LRPolicy):\n    def lr(self, *, cycle, cycles, histroy=None, **rest): return 1e-3\n",
        "has an argument 'histroy' of 'lr', which is never passed",
        "write def lr(self, *, cycle, cycles, history)",
    ),
    Broken(
        "positional arguments for keywords",
        "lr_policy",
        "@driver\nclass X(LRPolicy):\n    def lr(self, step): return 1e-3\n",
        "has lr(self, step), which cannot be called",
        "write def lr(self, *, cycle, cycles, history)",
    ),
    Broken(
        "a selector without its context",
        "selector",
        "@driver\nclass X(Selector):\n    def select(self, samples): return samples\n",
        "has select(self, samples), which cannot be called",
        "write def select(self, samples, context)",
    ),
    Broken(
        "an async trainer",
        "trainer",
        "@driver\nclass X(Trainer):\n    async def train(self, samples, context): ...\n",
        "has an async method 'train'",
        "write def train(self, samples, context)",
    ),
    _generator(
        "a misspelt method of a generator",
        "def weights_change(self, weights, context): ...",
        "has a method 'weights_change', which is never called",
        "did you mean 'weights_changed'?",
    ),
    _generator(
        "weights as two arguments",
        "def weights_changed(self, directory, hash, context): ...",
        "which cannot be called: missing a required argument: 'context'",
        "write def weights_changed(self, weights, context)",
    ),
    _generator(
        "close without its context",
        "def close(self): ...",
        "has close(self), which cannot be called",
        "write def close(self, context)",
    ),
    _generator(
        "an async open",
        "async def open(self, context): ...",
        "has an async method 'open'",
        "write def open(self, context)",
    ),
    Broken(
        "another kind",
        "reward",
        "@driver\nclass X(Verifier): ...\n",
        "is not a Reward",
        "Reward",
    ),
    Broken("a function", "reward", "def X(sample): return 1.0\n", "is not a Reward", "Reward"),
    Broken("an exit while imported", "reward", "import sys; sys.exit(0)\n", "ends the process", "__main__"),
    # Hook plugins
    _module("no hook", "def helper(): ...\n", "implements no hook", "mark its functions with @hookimpl"),
    _hooks("no hook in the class", "def helper(self): ...", "implements no hook", "mark its functions"),
    _module(
        "hooks in a class that was not named",
        "class Shape:\n    @hookimpl\n    def on_run_start(self, run): ...\n",
        "has hooks in its class Shape, which was not named",
        "name the class: ",
    ),
    _module(
        "a forgotten @hookimpl",
        "def reward(samples): return [0.0 for _ in samples]\n",
        "defines 'reward' without @hookimpl",
        "write @hookimpl above reward",
    ),
    _hooks(
        "a forgotten @hookimpl beside a hook",
        "@hookimpl\ndef on_run_start(self, run): ...\ndef on_run_end(self): ...",
        "defines 'on_run_end' without @hookimpl",
        "write @hookimpl above on_run_end",
    ),
    _module(
        "a misspelt hook",
        "@hookimpl\ndef on_cycle_ends(report): ...\n",
        "implements 'on_cycle_ends', which is not a hook",
        "did you mean 'on_cycle_end'?",
    ),
    _module(
        "a misspelt optional hook",
        "@hookimpl(optionalhook=True)\ndef on_cycle_ends(report): ...\n",
        "implements 'on_cycle_ends', which is not a hook",
        "did you mean 'on_cycle_end'?",
    ),
    _module(
        "a misspelt argument",
        "@hookimpl(wrapper=True)\ndef reward(sampels):\n    return (yield)\n",
        "has an argument 'sampels' of 'reward', which does not exist",
        "did you mean 'samples'?",
    ),
    _module(
        "a misspelt argument with a default",
        "@hookimpl(wrapper=True)\ndef reward(sampels=None):\n    return (yield)\n",
        "has an argument 'sampels' of 'reward', which does not exist",
        "did you mean 'samples'?",
    ),
    _module(
        "an argument with a default",
        "@hookimpl(wrapper=True)\ndef reward(samples=()):\n    return (yield)\n",
        "has a default for the argument 'samples' of 'reward'",
        "remove the default",
    ),
    _module(
        "keyword arguments",
        "@hookimpl(wrapper=True)\ndef reward(**arguments):\n    return (yield)\n",
        "has the argument '**arguments' of 'reward', which is never passed",
        "name the arguments that it needs",
    ),
    _module(
        "a keyword-only argument",
        "@hookimpl(wrapper=True)\ndef reward(*, samples):\n    return (yield)\n",
        "has the keyword-only argument 'samples' of 'reward', which is never passed",
        "name the arguments that it needs",
    ),
    _hooks(
        "a hook without self",
        "@hookimpl(wrapper=True)\ndef reward(samples):\n    return (yield)",
        "has a method 'reward' without self",
        "write def reward(self, samples, ...)",
    ),
    _module(
        "an async hook",
        "@hookimpl\nasync def on_cycle_end(report): ...\n",
        "implements 'on_cycle_end' as a coroutine function",
        "use def",
    ),
    _module(
        "an observer that yields",
        "@hookimpl\ndef on_cycle_end(report):\n    print(report)\n    yield\n",
        "implements 'on_cycle_end' with a yield, but not as a wrapper",
        "write @hookimpl(wrapper=True)",
    ),
    _module(
        "a wrapper without a yield",
        "@hookimpl(wrapper=True)\ndef reward(samples): return [1.0 for _ in samples]\n",
        "has a wrapper of 'reward' without a yield",
        "write answer = yield once",
    ),
    _module(
        "a wrapper in the old form",
        "@hookimpl(hookwrapper=True)\ndef reward(samples):\n    yield\n",
        "has an old wrapper of 'reward'",
        "write @hookimpl(wrapper=True)",
    ),
    _hooks(
        "an option without a decorator",
        "factor: float = 2.0\n@hookimpl(wrapper=True)\ndef reward(self):\n    return (yield)",
        "declares 'factor' in X, which is not an option",
        "write @hook_plugin above class X",
    ),
    _hooks(
        "a constructor with arguments",
        "def __init__(self, factor): ...\n@hookimpl\ndef on_run_start(self): ...",
        "has a constructor that needs arguments",
        "@hook_plugin",
    ),
    Broken(
        "an abstract class",
        "plugin",
        "from abc import ABC, abstractmethod\nclass X(ABC):\n    @hookimpl\n    def on_run_start(self): ...\n"
        "    @abstractmethod\n    def target(self): ...\n",
        "does not implement 'target'",
        "name a subclass",
    ),
    _hooks(
        "a plugin that acts and claims to watch",
        "watches_only = True\n@hookimpl(wrapper=True)\ndef reward(self):\n    return (yield)",
        "has watches_only = True, but 'reward' acts on the run",
        "remove watches_only",
    ),
    Broken(
        "a function as a plugin",
        "plugin",
        "@hookimpl\ndef X(run): ...\n",
        "is a function, not a plugin",
        "name the module or the class",
    ),
]
WRAPPER = "@hookimpl(wrapper=True)\n"
BLAMED = [
    _verifier(
        "check_prompt raises",
        CHECK + "def check_prompt(self, prompt):\n    prompt.reference['number']",
        "KeyError: 'number'",
        "--debug",
    ),
    _verifier(
        "check_prompt returns whether the prompt is usable",
        CHECK + "def check_prompt(self, prompt):\n    return False",
        "check_prompt of verifier 'X'",
        "raise a DataError",
    ),
    _verifier(
        "references return one string, without an annotation",
        CHECK + "def references(self, prompt):\n    return 'yes'",
        "references of verifier 'X'",
        "a list of str",
    ),
    _verifier(
        "a fingerprint with an address",
        CHECK + "def fingerprint(self):\n    return repr(object())",
        "the fingerprint of verifier 'X'",
        "not an object without a __repr__",
    ),
    _verifier(
        "a fingerprint of None", CHECK + "def fingerprint(self): ...", "the fingerprint of", "versions"
    ),
    _verifier("preflight raises", CHECK + "def preflight(self): 1 / 0", "ZeroDivisionError", "--debug"),
    _verifier("a demo of another type", CHECK + "def demo(self): return {}", "demo of verifier 'X'", "Demo"),
    _verifier("check raises", CHECK.replace(PASS, "1 / 0"), "raised ZeroDivisionError", ""),
    _verifier("check exits", CHECK.replace(PASS, "raise SystemExit"), "raised SystemExit", ""),
    Broken(
        "a policy without an answer",
        "lr_policy",
        "@driver\nclass X(LRPolicy):\n    def lr(self, *, cycle, cycles, history): ...\n",
        "hook 'lr_for_cycle' returned None; answered by lr_policy 'X'",
        "check what it returns",
    ),
    Broken(
        "a selector that selects nothing",
        "selector",
        "@driver\nclass X(Selector):\n    def select(self, samples, context): ...\n",
        "hook 'select' returned None; answered by selector 'X'",
        "check what it returns",
    ),
    _hooks(
        "a wrapper that yields twice",
        WRAPPER + "def reward(self):\n    yield\n    yield",
        "the wrapper of 'reward' in plugin 'X'",
        "exactly one yield",
    ),
    _hooks(
        "a wrapper that may not yield",
        WRAPPER + "def reward(self, cycle):\n    if cycle > 9:\n        yield",
        "ended before its yield",
        "exactly one yield",
    ),
    _hooks(
        "a wrapper without a return",
        WRAPPER + "def reward(self):\n    rewards = yield",
        "hook 'reward' returned None; answered by plugin 'X'",
        "check what it returns",
    ),
    _hooks(
        "a wrapper that drops rewards",
        WRAPPER + "def reward(self):\n    return (yield)[1:]",
        "answered by plugin 'X'",
        "check what it returns",
    ),
    _hooks(
        "a wrapper that selects nothing",
        WRAPPER + "def select(self):\n    yield\n    return []",
        "plugin 'X'",
        "change the plugin",
    ),
    _hooks(
        "an exit in a hook",
        "@hookimpl\ndef on_cycle_end(self):\n    raise SystemExit",
        "called sys.exit(None)",
        "raise an error of halo_core",
    ),
    _hooks(
        "an exception in an observer",
        "@hookimpl\ndef on_cycle_end(self):\n    1 / 0",
        "ZeroDivisionError",
        "--debug",
    ),
    _hooks(
        "state in a frozen plugin",
        "@hookimpl\ndef on_cycle_end(self):\n    self.seen = 1",
        "FrozenInstanceError: cannot assign to field 'seen'",
        "--debug",
        above="@driver",
    ),
]
AUDITED = [
    _verifier("attacks raise", CHECK + "def attacks(self): return [1 / 0]", "ZeroDivisionError", "--debug"),
    _verifier(
        "attacks that are texts",
        CHECK + "def attacks(self): return ['GOTO 10']",
        "attacks of verifier 'X'",
        "a list of Attack",
    ),
    _verifier(
        "mutants that are one text",
        CHECK + "def mutants(self, prompt): return 'no'",
        "mutants of verifier 'X'",
        "a list of str",
    ),
    _verifier(
        "copied answers of None",
        CHECK + "def copied_answers(self, prompt): ...",
        "copied_answers of verifier 'X'",
        "a list of str",
    ),
]
