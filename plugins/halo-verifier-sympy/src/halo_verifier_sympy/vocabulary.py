"""The words that expressions are made of."""

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
NAMES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "ceiling": "ceil"}
"""Functions by another name."""
CALLS = FUNCTIONS | {"log", "log10", "sqrt", "cbrt", "surd"} | NAMES.keys()
"""What is followed by its argument."""
KEYWORDS = frozenset({"and", "or", "in", "union", "U"})
UNDEFINED = frozenset("fgh")
"""Letters that are functions, not factors, when a bracket follows at once."""
FENCES = {"lfloor": ("rfloor", "floor"), "lceil": ("rceil", "ceil")}
"""Opening brackets that are functions, with their closing ones."""
BEGINS = frozenset(
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
    | {"begin"}
    | FENCES.keys()
    | GREEK
    | CALLS
)
"""Commands that a factor may begin with."""
HIDDEN_CALL = re.compile("sin|cos|tan|log|ln|exp|sqrt|abs|lim")
"""What makes a run of letters a misspelt function rather than a product."""
DIFFERENTIAL = re.compile(r"([a-zA-Z]*)(d[a-z])")
