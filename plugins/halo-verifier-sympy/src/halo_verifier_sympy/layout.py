r"""Parser of what LaTeX lays out in two dimensions: matrices and arrays."""

from __future__ import annotations

from halo_verifier_sympy.commands import CommandParser
from halo_verifier_sympy.cursor import require_value
from halo_verifier_sympy.tree import Tree, Unreadable

_MATRICES = (
    "pmatrix",
    "bmatrix",
    "matrix",
    "smallmatrix",
    "psmallmatrix",
    "bsmallmatrix",
    "Bmatrix",
    "array",
)
_WITHOUT_BRACKETS = (["array"], ["matrix"], ["smallmatrix"])


class LayoutParser(CommandParser):
    """Parses environments."""

    def _environment(self) -> Tree:
        self._expect("{")
        name = self._advance().text
        starred = self._accept("*")
        self._expect("}")
        if starred and self._accept("["):
            self._advance()
            self._expect("]")
        if name not in _MATRICES:
            raise Unreadable(f"an unknown environment: {name[:20]}")
        if name == "array":
            self._columns()
        rows = [[self._cell()]]
        while not self._next_is_command("end"):
            if self._accept("&"):
                rows[-1].append(self._cell())
            else:
                self._expect(r"\\")
                if not self._next_is_command("end"):
                    rows.append([self._cell()])
        self._advance()
        closing = ["{", name, *["*" for _ in range(starred)], "}"]
        if [self._advance().text for _ in closing] != closing:
            raise Unreadable("a matrix that is not closed")
        if len({len(row) for row in rows}) > 1:
            raise Unreadable("a matrix with rows of different lengths")
        return ("matrix", tuple(map(tuple, rows)))

    def _cell(self) -> Tree:
        return require_value(self.expression())

    def _columns(self) -> None:
        """Skip the columns of an array, such as {cc|c}; `normalise` has removed the space between them."""
        self._expect("{")
        while not self._accept("}"):
            token = self._advance()
            if token.text != "|" and (token.kind != "letters" or set(token.text) - set("lcr")):
                raise Unreadable("an array with unusual columns")

    def _array_in_brackets(self) -> Tree | None:
        r"""Parse an array in brackets, as in \left[\begin{array}{cc} ... \end{array}\right]; None for other tokens."""
        closing = {"(": ")", "[": "]"}.get(self._next.text)
        braced = (
            self._peek().text == "{"
        )  # \left[ {\begin{array} ... \end{array}} \right], as word processors write it
        start = self._position + 1 + braced
        inner = [token.text for token in self._tokens[start : start + 3]]
        if closing is None or inner[:2] != ["begin", "{"] or inner[2:] not in _WITHOUT_BRACKETS:
            return None
        self._position += 2 + braced
        matrix = self._environment()
        if braced:
            self._expect("}")
        self._expect(closing)
        return matrix
