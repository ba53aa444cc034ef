"""Ready recipes: from the columns of well-known data sets to prompts with the references of halo's verifiers.

A recipe is a function of a row, its place for messages, and the directory of databases; it returns a prompt's keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from halo_core.data.recipes import calls, maths, programs, queries
from halo_core.data.recipes.reading import Recipe
from halo_core.errors import ConfigError, did_you_mean

RECIPES: Mapping[str, Recipe] = {
    "gsm8k": maths.gsm8k,
    "math": maths.math,
    "humaneval": programs.humaneval,
    "mbpp": programs.mbpp,
    "apps": programs.apps,
    "taco": programs.apps,
    "spider": queries.spider,
    "bird": queries.bird,
    "bfcl": calls.bfcl,
    "xlam": calls.xlam,
}


def recipe(name: str) -> Callable[[Mapping[str, Any], str, str], dict[str, Any]]:
    """Return the recipe `name`. Raises a `ConfigError` for an unknown name."""
    if name not in RECIPES:
        hint = did_you_mean(name, RECIPES) or f"known recipes: {', '.join(RECIPES)}"
        raise ConfigError(f"data.recipe: there is no recipe {name!r}", hint=hint)
    return RECIPES[name]
