"""Words with a meaning in expressions."""

from __future__ import annotations

import re

from halo_verifier_sympy.tree import FUNCTIONS

GREEK = frozenset(
    re.findall(
        r"\w+",
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
        "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell",
    )
)
ALIASES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "ceiling": "ceil"}
"""Other names of functions."""
FUNCTION_WORDS = FUNCTIONS | {"log", "log10", "sqrt", "cbrt", "surd"} | ALIASES.keys()
"""Words that are followed by an argument."""
KEYWORDS = frozenset({"and", "or", "in", "union", "U"})
UNDEFINED = frozenset("fgh")
"""Letters that are functions, not factors, directly before a bracket."""
FENCES = {"lfloor": ("rfloor", "floor"), "lceil": ("rceil", "ceil")}
"""Opening brackets that denote functions, with the closing bracket and the function."""
FACTOR_COMMANDS = frozenset(
    {
        "frac",
        "binom",
        "sum",
        "prod",
        "int",
        "lim",
        "pi",
        "infty",
        "emptyset",
        "varnothing",
        "mathbf",
        "boldsymbol",
    }
    | {"begin", "vec", "hat", "bar", "tilde"}
    | FENCES.keys()
    | GREEK
    | FUNCTION_WORDS
)
"""Commands that can start a factor."""
HIDDEN_CALL = re.compile("sin|cos|tan|log|ln|exp|sqrt|abs|lim")
"""Marks a run of letters as a misspelt function rather than a product."""
DIFFERENTIAL = re.compile(r"([a-zA-Z]*)(d[a-z])")
