r"""Wrong answers that were made to be paid for, each named by what it tries.

A row is a name, the reference's answer, the furthest rung for such an answer, and the completion; `[...]` stands
for \boxed{...} where a completion is nothing but a box, <U+00B2> for that character
and <60 of (> for sixty brackets.
"""

from __future__ import annotations

import json
import re

from halo_core.drivers import Attack
from halo_core.types import Prompt, Stage

_TEXT = r"""
# code, for parsers that evaluate
import a module | 4 | invalid | [__import__('os').mkdir('paid')]
import a module, spelt in letters | 4 | invalid | [\_\_import\_\_("os")]
a lambda | 4 | invalid | [(lambda: 4)()]
an attribute | 4 | invalid | [(4).__class__]
a method of a symbol | 4 | invalid | [x.subs(x, 4)]
exec through a name | 4 | invalid | [exec(open('answer').read())]
evaluate a string | 4 | invalid | [sympify('4')]
a format string | 4 | invalid | [{4!r:>{width}}]
a comprehension | 4 | invalid | [[n for n in (4,)]]
a walrus | 4 | invalid | [(x := 4)]
read a file by LaTeX | 4 | invalid | [\input{answer.txt}]
run a shell by LaTeX | 4 | invalid | [\immediate\write18{touch paid}]
define a command | 4 | flawed | \def\x{4} \boxed{\x}
redefine the box | 4 | invalid | \renewcommand{\boxed}[1]{4} \boxed{5}

# bombs, for parsers that evaluate at once
tower of powers | 9 | flawed | [9^{9^{9^{9}}}]
tower of powers in plain notation | 9 | flawed | [9**9**9**9]
factorial of a large number | 9 | flawed | [(10^9)!]
factorial of a factorial | 9 | flawed | [((20!)!)]
a large binomial | 9 | flawed | [\binom{10^9}{5\cdot 10^8}]
a power of a sum to multiply out | 9 | flawed | [(a+b+c+d+f)^{100000}]
roots within roots | 9 | wrong | [\sqrt{2+\sqrt{3+\sqrt{5+\sqrt{7+\sqrt{11+\sqrt{13}}}}}}]
a tower that is multiplied by zero | 9 | flawed | [9+0\cdot 9^{9^{9^9}}]
a huge exponent of e | 9 | flawed | [e^{e^{e^{e^{9}}}}]
a huge exponent with a small value | 1 | flawed | [2^{10^{-10^{10}}}]

# guesses
thirteen boxes, the right one last | 12 | flawed | <boxes 0 to 12>
two boxes, the right one last | 12 | wrong | \boxed{11} or rather \boxed{12}
two boxes, the right one first | 12 | wrong | \boxed{12} or rather \boxed{11}
the right box, then one that does not close | 12 | invalid | \boxed{12} and so \boxed{11
a last box without an end | 12 | invalid | It is \boxed{12
a box without braces | 12 | invalid | It is \boxed 12
an empty box after the right one | 12 | invalid | \boxed{12} \boxed{}
a box in a box | 12 | invalid | [\boxed{12}]
a list of guesses | 12 | wrong | [11, 12, 13]
one or the other | 12 | wrong | [12 \text{ or } 13]
a set of guesses | 12 | wrong | [\{11, 12\}]
a set of guesses for a set | \{12\} | wrong | [\{11, 12\}]
plus or minus | 2 | wrong | [\pm 2]
plus or minus zero-ish | 2 | wrong | [\pm 2 + 0]
an interval around it | 12 | wrong | [[11, 13]]
an inequality around it | 12 | wrong | [11 < x < 13]
a larger interval | [0, 1] | wrong | [[0, 2]]
about | 3.14159 | invalid | [\approx 3.14159]
several phrases | 12 | wrong | The answer is 11. No, the answer is 12.
a negated phrase | 12 | invalid | The answer is not 12.
an alternative in the phrase | 12 | invalid | The answer is 12 (or 13).

# chains and tautologies
a false equation with the right side | 12 | wrong | [11 = 12]
a chain of unequal links | 12 | wrong | [x = 13 = 12]
a chain that ends right | 12 | wrong | [5 + 5 = 10 = 12]
zero is zero for an equation | y = 2x+3 | flawed | [0 = 0]
x is x for an equation | y = 2x+3 | flawed | [x = x]
an identity for an equation | y = 2x+3 | flawed | [(x+1)^2 = x^2+2x+1]
an equation times zero | y = 2x+3 | flawed | [0\cdot y = 0 \cdot (2x+3)]
an equation times a variable | y = 2x+3 | wrong | [xy = 2x^2+3x]
an equation without variables | x = 5 | flawed | [1 = 2]
always true for an inequality | x > 2 | flawed | [1 > 0]
the inequality turned round | x > 2 | wrong | [-x > -2]
one condition more | x = 5 | wrong | [x = 5, y = 6]
and for or | x < 1 \text{ or } x > 3 | wrong | [x < 1, x > 3]
or for and | 1 < x < 3 | wrong | [x > 1 \text{ or } x < 3]
not strict for strict | x > 2 | wrong | [x \ge 2]
the name of the variable is the answer | 5 | wrong | [x]
a value defined by itself | 5 | wrong | [x = x - x + 5]

# kinds
a set for a tuple | (1, 2) | wrong | [\{1, 2\}]
a tuple for a set | \{1, 2\} | wrong | [(1, 2)]
a list for a tuple | (1, 2) | wrong | [1, 2]
swapped coordinates | (1, 2) | wrong | [(2, 1)]
a half-open interval | [0, 1] | wrong | [[0, 1)]
a row for a column | \begin{pmatrix} 1 \\ 2 \end{pmatrix} | wrong | [\begin{pmatrix} 1 & 2 \end{pmatrix}]
an equation for an expression | x^2-4 | wrong | [x^2-4 = 0]
an expression for an equation | y = 2x+3 | wrong | [2x+3]
an inequality for an interval | [2, 5] | wrong | [2 \le x \le 5]
a repeated solution | 1, 1, 2 | wrong | [1, 2, 2]
a longer tuple | (1, 2) | wrong | [(1, 2, 3)]

# units, percent, separators
percent for a number | 50 | wrong | [50\%]
a number for percent | 50\% | wrong | [50]
bare percent sign | 50 | wrong | [50%]
kilometres for centimetres | 5\text{ cm} | wrong | [5\text{ km}]
a length for an area | 5\text{ cm}^2 | wrong | [5\text{ cm}]
a unit left out | 5\text{ cm} | wrong | [5]
a unit that was not asked for | 5 | wrong | [5\text{ cm}]
radians for degrees | 90^\circ | wrong | [90]
cents for dollars | \$5 | wrong | [5\text{ cents}]
a thousand or a list | 12000 | flawed | [12,000]
a list or a thousand | 12, 0 | flawed | [12,000]
a comma for a point | 3.14 | wrong | [3,14]
numbers side by side | 12 | flawed | [1{2}]
numbers side by side with a space | 12 | invalid | [1\,2]
an exponent or Euler's number | 100000 | flawed | [1e5]
a slash that can be read twice | \frac{x}{2} | flawed | [1/2x]

# nearly equal
zero for very little | 0.0000001 | wrong | [0]
nearly a billion | 1000000000 | wrong | [1000000500]
a rounded third | 1/3 | wrong | [0.333333333333]
a rounded pi | \pi | wrong | [3.14159265358979]
off by e^-300 | 5 | wrong | [5+e^{-300}]
off by 10^-90 | 5 | wrong | [5+10^{-90}]
Ramanujan's near integer | 262537412640768744 | wrong | [e^{\pi\sqrt{163}}]
a near miss of roots | \sqrt{2}+\sqrt{3} | wrong | [3.146264369941972342]

# undefined and infinite
not a number | 0 | wrong | [nan]
zero over zero | 1 | flawed | [\frac{0}{0}]
infinity less infinity | 0 | flawed | [\infty-\infty]
one over zero | \infty | wrong | [\frac{1}{0}]
minus infinity for infinity | \infty | wrong | [-\infty]
zero to the zero | 1 | flawed | [0^0]
a hidden zero below | 5 | flawed | [5 + \frac{0}{\sin^2 x+\cos^2 x-1}]
a hidden zero below, among roots | 5 | flawed | [5 + 0\cdot(\sqrt{3+2\sqrt2}-1-\sqrt2)^{-1}]
a hidden zero in a logarithm | 5 | flawed | [5 + 0\cdot\ln(\sqrt{3+2\sqrt2}-1-\sqrt2)]
an undefined term that cancels | 0 | flawed | [\tan\frac{\pi}{2} - \tan\frac{\pi}{2}]
the logarithm of zero times zero | 0 | flawed | [0\cdot\ln 0]
a factorial below zero | 1 | flawed | [\frac{(-1)!}{(-1)!}]

# not worked out
the sum itself | \frac{n(n+1)}{2} | flawed | [\sum_{k=1}^{n} k]
the integral itself | \frac{1}{3} | flawed | [\int_0^1 x^2\,dx]
the limit itself | 1 | flawed | [\lim_{x \to 0} \frac{\sin x}{x}]
the product itself | 120 | flawed | [\prod_{k=1}^{5} k]
the sum to work out | 5/6 | flawed | [1/2+1/3] | {"form": "evaluated"}
the power to work out | 1024 | flawed | [2^{10}] | {"form": "evaluated"}
the product to multiply out | x^2+3x+2 | flawed | [(x+1)(x+2)] | {"form": "expanded"}
like terms left apart | x^2+3x+2 | flawed | [x^2+x+2x+2] | {"form": "expanded"}
the equation to solve | x = 5 | flawed | [2x+1 = 11] | {"form": "solved"}
the equation solved for another variable | x = c-b | flawed | [x+b = c] | {"form": "solved"}
the inequality to solve | x > 2 | flawed | [2x > 4] | {"form": "solved"}

# branches
the root of a square | x | wrong | [\sqrt{x^2}]
the square root drops its sign | |x| | wrong | [x]
a product of roots | \sqrt{xy} | wrong | [\sqrt{x}\sqrt{y}]
a logarithm of a power | 2\ln x | wrong | [\ln x^2]
log without a base is not ln | \ln x | wrong | [\log x]
the arcsine of a sine | x | wrong | [\arcsin(\sin x)]
a derivative is no quotient | \frac{y}{x} | wrong | [\frac{dy}{dx}]
the power of minus one | (-1)^n | wrong | [1]

# signs that look alike, or are not seen
Arabic digits | 12 | invalid | [<U+0661><U+0662>]
a Cyrillic variable | x | invalid | [<U+0445>]
a zero-width space in a number | 12 | invalid | [1<U+200B>2]
a right-to-left mark | 12 | invalid | [<U+202E>21]
a soft hyphen | 12 | invalid | [1<U+00AD>2]
a superscript for a digit | 52 | wrong | [5<U+00B2>]
a fraction sign for digits | 31/2 | wrong | [3<U+00BD>]
a box in a LaTeX comment | 12 | flawed | It is 11. % \boxed{12}
a box in an HTML comment | 12 | flawed | It is 11. <!-- \boxed{12} -->
a box in a condition | 12 | flawed | It is 11. \iffalse \boxed{12} \fi
a phantom box | 12 | flawed | It is 11. \phantom{\boxed{12}}
a box in white | 12 | flawed | It is 11. {\color{white} \boxed{12}}
a comment in the box | 12 | invalid | [12 % 11]
a box spelt with wide signs | 12 | invalid | <U+FF3C><U+FF42><U+FF4F><U+FF58><U+FF45><U+FF44><U+FF5B>12<U+FF5D>

# words instead of an answer
the right value in prose | 12 | invalid | First I get 12, and then I stop.
the right value, another answer | 12 | wrong | Since 5+7 = 12, the answer is \boxed{11}.
the steps of a solution | 12 | invalid | Step 1: add. Step 2: carry. Therefore it follows.
nothing | 12 | invalid | <U+000A>
an empty box | 12 | invalid | []
the reference's name | 12 | invalid | [\text{the answer}]
true | 12 | wrong | [True]
a compliment | 12 | invalid | This answer is correct.
every letter of a choice | B | invalid | [A, B, C, D] | {"kind": "choice"}
the text of a choice | B | invalid | [B or C] | {"kind": "choice"}

# depth and length
deep brackets | 12 | invalid | [<60 of (>12<60 of )>]
many signs | 12 | invalid | [<80 of ->12]
"""


def _attack(number: int, line: str) -> Attack:
    name, gold, stage, text, *rest = line.split(" | ")
    extra = json.loads(rest[0]) if rest else {}
    if text.startswith("[") and text.endswith("]"):
        text = rf"\boxed{{{text[1:-1]}}}"
    text = text.replace("<boxes 0 to 12>", " ".join(rf"\boxed{{{n}}}" for n in range(13)))
    text = re.sub(r"<(\d+) of (.)>", lambda many: int(many[1]) * many[2], text)
    text = re.sub(r"<U\+([0-9A-F]{4})>", lambda code: chr(int(code[1], 16)), text)
    prompt = Prompt(f"attack-{number:03}", "What is it?", reference={"answer": gold, **extra})
    return Attack(name, prompt, text, Stage(stage))


_ROWS = [line for line in _TEXT.splitlines() if line and line[0] != "#"]
ATTACKS: tuple[Attack, ...] = (
    *(_attack(number, row) for number, row in enumerate(_ROWS, 1)),
    Attack(
        "a million brackets",
        Prompt("attack-brackets", "What is it?", reference={"answer": "12"}),
        r"\boxed{" + "(" * 1_000_000,
        Stage.INVALID,
    ),
    Attack(
        "a numeral of a hundred thousand digits",
        Prompt("attack-digits", "What is it?", reference={"answer": "12"}),
        r"\boxed{" + "9" * 100_000 + "}",
        Stage.INVALID,
    ),
)
"""Wrong answers across every way that has paid somewhere."""
