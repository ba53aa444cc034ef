"""Make the prompts in this directory: `python configs/real/make_prompts.py`.

Each task has training prompts and held-out prompts of other kinds: other functions, other situations, other tools. What
the model can gain on the held-out prompts is therefore a skill (answer with one function, calculate and box the result,
call a tool with its arguments) and no fact of the training prompts. The files are the same on every machine.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parent
Row = dict[str, Any]

_NUMBERS = [(0,), (3,), (-4,), (10,), (7,)]
_COUNTS = [(1,), (4,), (9,), (12,)]
_PAIRS = [(1, 2), (5, 3), (8, 4), (10, 10), (7, 12)]
_LISTS = [([1, 2, 3],), ([5],), ([4, -1, 7, 2],), ([2, 2, 9, 0],)]
_WORDS = [("hello",), ("a",), ("Banana",), ("one two",)]
_WORD_LISTS = [(["b", "aa", "ccc"],), (["x"],), (["pear", "fig", "apple"],)]

Function = tuple[str, str, Callable[..., object], Sequence[tuple[Any, ...]]]
TRAIN_FUNCTIONS: tuple[Function, ...] = (
    ("cube(x)", "x to the power of three", lambda x: x**3, _NUMBERS),
    ("half(x)", "x divided by two", lambda x: x / 2, _NUMBERS),
    ("successor(n)", "the integer after n", lambda n: n + 1, _NUMBERS),
    ("magnitude(x)", "the absolute value of x", abs, _NUMBERS),
    (
        "tens_digit(n)",
        "the tens digit of the integer n >= 0",
        lambda n: n // 10 % 10,
        [(0,), (37,), (128,), (905,)],
    ),
    ("minutes(h)", "the number of minutes in h hours", lambda h: 60 * h, _COUNTS),
    (
        "to_fahrenheit(c)",
        "c degrees Celsius in degrees Fahrenheit",
        lambda c: c * 9 / 5 + 32,
        [(0,), (100,), (-40,), (25,)],
    ),
    (
        "factorial(n)",
        "the product of the integers from 1 to n",
        lambda n: _product(range(1, n + 1)),
        [(1,), (3,), (5,), (6,)],
    ),
    (
        "sum_squares(n)",
        "the sum of the squares of the integers from 1 to n",
        lambda n: sum(k * k for k in range(n + 1)),
        _COUNTS,
    ),
    (
        "is_multiple_of_three(n)",
        "True if n is a multiple of 3, else False",
        lambda n: n % 3 == 0,
        [(0,), (3,), (7,), (12,)],
    ),
    ("is_negative(x)", "True if x is less than 0, else False", lambda x: x < 0, _NUMBERS),
    ("difference(a, b)", "a minus b", lambda a, b: a - b, _PAIRS),
    ("multiply(a, b)", "the product of a and b", lambda a, b: a * b, _PAIRS),
    ("remainder(a, b)", "the remainder of a divided by b", lambda a, b: a % b, _PAIRS),
    ("larger(a, b)", "the larger one of a and b", max, _PAIRS),
    ("mean_of_two(a, b)", "the mean of a and b", lambda a, b: (a + b) / 2, _PAIRS),
    ("rectangle_area(w, h)", "the area of a rectangle w wide and h high", lambda w, h: w * h, _PAIRS),
    ("are_equal(a, b)", "True if a and b are equal, else False", lambda a, b: a == b, _PAIRS),
    ("total(xs)", "the sum of the numbers in the list xs", sum, _LISTS),
    ("average(xs)", "the mean of the numbers in the list xs", lambda xs: sum(xs) / len(xs), _LISTS),
    ("ascending(xs)", "a list with the numbers of xs in ascending order", sorted, _LISTS),
    ("count_items(xs)", "the number of elements of the list xs", len, _LISTS),
    ("odds(xs)", "a list with the odd numbers of xs", lambda xs: [x for x in xs if x % 2], _LISTS),
    ("doubled(xs)", "a list with twice each number of xs", lambda xs: [2 * x for x in xs], _LISTS),
    ("without_first(xs)", "the list xs without its first element", lambda xs: xs[1:], _LISTS),
    ("unique_count(xs)", "how many different numbers the list xs has", lambda xs: len(set(xs)), _LISTS),
    (
        "spread(xs)",
        "the largest number of the list xs minus its smallest",
        lambda xs: max(xs) - min(xs),
        _LISTS,
    ),
    ("has_zero(xs)", "True if the list xs contains 0, else False", lambda xs: 0 in xs, _LISTS),
    ("shout(s)", "the string s in upper case", str.upper, _WORDS),
    ("first_letter(s)", "the first character of the string s", lambda s: s[0], _WORDS),
    ("twice(s)", "the string s written twice in a row", lambda s: s + s, _WORDS),
    ("count_a(s)", "how many letters a the string s has", lambda s: s.count("a"), _WORDS),
    ("without_spaces(s)", "the string s without its spaces", lambda s: s.replace(" ", ""), _WORDS),
    (
        "starts_with_b(s)",
        "True if the string s starts with the letter B, else False",
        lambda s: s.startswith("B"),
        _WORDS,
    ),
    ("joined(words)", "the strings in the list words, joined by commas", ",".join, _WORD_LISTS),
    (
        "longest(words)",
        "the longest string in the list words",
        lambda words: max(words, key=len),
        _WORD_LISTS,
    ),
)
HELDOUT_FUNCTIONS: tuple[Function, ...] = (
    ("quadruple(x)", "four times x", lambda x: 4 * x, _NUMBERS),
    ("predecessor(n)", "the integer before n", lambda n: n - 1, _NUMBERS),
    ("opposite(x)", "x with the opposite sign", lambda x: -x, _NUMBERS),
    ("is_even(n)", "True if n is even, else False", lambda n: n % 2 == 0, _NUMBERS),
    ("is_above_five(x)", "True if x is greater than 5, else False", lambda x: x > 5, _NUMBERS),
    ("seconds(m)", "the number of seconds in m minutes", lambda m: 60 * m, _COUNTS),
    ("sum_up_to(n)", "the sum of the integers from 1 to n", lambda n: n * (n + 1) // 2, _COUNTS),
    ("countdown(n)", "a list of the integers from n down to 1", lambda n: list(range(n, 0, -1)), _COUNTS),
    ("add(a, b)", "the sum of a and b", lambda a, b: a + b, _PAIRS),
    ("smaller(a, b)", "the smaller one of a and b", min, _PAIRS),
    ("divides(a, b)", "True if b is divisible by a, else False", lambda a, b: b % a == 0, _PAIRS),
    ("perimeter(w, h)", "the perimeter of a rectangle w wide and h high", lambda w, h: 2 * (w + h), _PAIRS),
    ("biggest(xs)", "the largest number in the list xs", max, _LISTS),
    ("final(xs)", "the last element of the list xs", lambda xs: xs[-1], _LISTS),
    ("backwards(xs)", "a list with the elements of xs in reverse order", lambda xs: xs[::-1], _LISTS),
    ("evens(xs)", "a list with the even numbers of xs", lambda xs: [x for x in xs if x % 2 == 0], _LISTS),
    (
        "positives(xs)",
        "a list with the numbers of xs greater than 0",
        lambda xs: [x for x in xs if x > 0],
        _LISTS,
    ),
    ("squares(xs)", "a list with the square of each number of xs", lambda xs: [x * x for x in xs], _LISTS),
    ("length(s)", "the number of characters of the string s", len, _WORDS),
    ("whisper(s)", "the string s in lower case", str.lower, _WORDS),
    ("last_letter(s)", "the last character of the string s", lambda s: s[-1], _WORDS),
    ("count_words(s)", "the number of words in the string s", lambda s: len(s.split()), _WORDS),
    ("with_mark(s)", "the string s followed by an exclamation mark", lambda s: s + "!", _WORDS),
    (
        "lengths(words)",
        "a list with the length of each string in the list words",
        lambda words: [len(word) for word in words],
        _WORD_LISTS,
    ),
)

Story = tuple[str, Callable[[int, int], int], bool]
TRAIN_STORIES: tuple[Story, ...] = (
    (
        "{who} has {a} {things} and gets {b} more. How many {things} does {who} have now?",
        lambda a, b: a + b,
        False,
    ),
    ("{who} had {a} {things} and gave away {b}. How many {things} are left?", lambda a, b: a - b, True),
    ("There are {a} boxes with {b} {things} each. How many {things} are there?", lambda a, b: a * b, False),
    (
        "{who} picks {a} {things} on Monday and {b} on Tuesday. How many {things} is that?",
        lambda a, b: a + b,
        False,
    ),
    ("One of the {things} costs {b} coins. How many coins do {a} {things} cost?", lambda a, b: a * b, False),
)
HELDOUT_STORIES: tuple[Story, ...] = (
    (
        "A bus carries {a} people. At a stop, {b} get off. How many people are on the bus now?",
        lambda a, b: a - b,
        True,
    ),
    ("A shelf has {a} rows of {b} books. How many books are on the shelf?", lambda a, b: a * b, False),
    (
        "A train drives {a} km before noon and {b} km after noon. How many km does it drive?",
        lambda a, b: a + b,
        False,
    ),
    ("{who} is {a} years old. How old will {who} be in {b} years?", lambda a, b: a + b, False),
    (
        "{who} reads {b} pages every day. How many pages does {who} read in {a} days?",
        lambda a, b: a * b,
        False,
    ),
    ("{who} has {a} euros and buys a book for {b} euros. How many euros are left?", lambda a, b: a - b, True),
)
_PEOPLE = ("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo")
_THINGS = ("apples", "pencils", "stamps", "marbles", "cards", "shells")

_SOLVED = (
    ("Ivan has 2 hens and buys 6 more. How many hens does Ivan have now?", r"2 + 6 = 8, so \boxed{8}"),
    ("There are 3 bags with 5 balls each. How many balls are there?", r"3 * 5 = 15, so \boxed{15}"),
    ("Olga had 9 coins and lost 4. How many coins are left?", r"9 - 4 = 5, so \boxed{5}"),
)

Tool = tuple[str, str, dict[str, Any], str, Sequence[tuple[Any, ...]]]
_TEXT, _INTEGER = {"type": "string"}, {"type": "integer"}
TRAIN_TOOLS: tuple[Tool, ...] = (
    (
        "set_timer",
        "start a timer",
        {"minutes": _INTEGER},
        "Set a timer for {} minutes.",
        [(5,), (12,), (30,), (45,)],
    ),
    (
        "get_weather",
        "get the weather",
        {"city": _TEXT},
        "What is the weather in {}?",
        [("Oslo",), ("Cairo",), ("Lima",), ("Rome",)],
    ),
    (
        "send_message",
        "send a message to a person",
        {"to": _TEXT, "text": _TEXT},
        'Send {} the message "{}".',
        [("Tom", "hello"), ("Eva", "I am late"), ("Max", "call me"), ("Lea", "good night")],
    ),
    (
        "play_music",
        "play music",
        {"genre": _TEXT, "volume": _INTEGER},
        "Play {} music at volume {}.",
        [("jazz", 30), ("rock", 70), ("folk", 15), ("soul", 50)],
    ),
    (
        "turn_on_light",
        "turn on a light",
        {"room": _TEXT},
        "Turn on the light in the {}.",
        [("kitchen",), ("garage",), ("hall",), ("office",)],
    ),
    (
        "buy_ticket",
        "buy train tickets",
        {"destination": _TEXT, "count": _INTEGER},
        "Buy tickets to {} for {} people.",
        [("Paris", 2), ("Madrid", 4), ("Vienna", 3), ("Prague", 5)],
    ),
)
HELDOUT_TOOLS: tuple[Tool, ...] = (
    ("set_alarm", "set an alarm", {"hour": _INTEGER}, "Wake me up at {} o'clock.", [(6,), (7,), (9,)]),
    (
        "translate_word",
        "translate a word",
        {"word": _TEXT, "language": _TEXT},
        'Translate "{}" into {}.',
        [("tree", "French"), ("water", "Spanish"), ("house", "German")],
    ),
    (
        "order_pizza",
        "order pizzas",
        {"kind": _TEXT, "count": _INTEGER},
        "Order {1} pizzas of the kind {0}.",
        [("margherita", 2), ("tuna", 3), ("salami", 5)],
    ),
    (
        "open_window",
        "open a window",
        {"room": _TEXT},
        "Open the window in the {}.",
        [("bedroom",), ("library",), ("studio",)],
    ),
    (
        "find_film",
        "find a film",
        {"title": _TEXT},
        'Find the film "{}".',
        [("Metropolis",), ("Vertigo",), ("Alien",)],
    ),
    (
        "add_to_list",
        "add something to the shopping list",
        {"item": _TEXT},
        "Put {} on the shopping list.",
        [("milk",), ("rice",), ("soap",)],
    ),
    (
        "set_heating",
        "set the temperature of a room",
        {"room": _TEXT, "degrees": _INTEGER},
        "Heat the {} to {} degrees.",
        [("bathroom", 22), ("cellar", 15), ("kitchen", 20)],
    ),
    ("call_person", "call a person", {"name": _TEXT}, "Call {}.", [("Nora",), ("Paul",), ("Iris",)]),
)

_CALLED = (
    (
        'Tools:\n- take a photo: {"name": "take_photo", "arguments": {"camera": STRING}}\n'
        '- book a hotel room: {"name": "book_room", "arguments": {"city": STRING, "nights": INTEGER}}\n\n'
        "Request: Book a room in Bern for 3 nights.",
        '{"name": "book_room", "arguments": {"city": "Bern", "nights": 3}}',
    ),
    (
        'Tools:\n- draw a picture: {"name": "draw_picture", "arguments": {"subject": STRING}}\n'
        '- count sheep: {"name": "count_sheep", "arguments": {"number": INTEGER}}\n\n'
        "Request: Draw a horse.",
        '{"name": "draw_picture", "arguments": {"subject": "horse"}}',
    ),
)


def _product(numbers: Sequence[int] | range) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


def functions(tasks: Sequence[Function]) -> Iterator[Row]:
    """Yield a prompt for each function; the expected values are those of the implementation here."""
    for signature, result, function, inputs in tasks:
        tests = [{"args": list(args), "expected": function(*args)} for args in inputs]
        yield {
            "prompt": f"Write a Python function {signature} that returns {result}.",
            "reference": {"entry_point": signature.partition("(")[0], "tests": tests},
        }


def stories(tasks: Sequence[Story], count: int, seed: int) -> Iterator[Row]:
    """Yield `count` word problems, one kind after the other, each with two numbers."""
    rng = random.Random(seed)
    for number in range(count):
        text, solve, falling = tasks[number % len(tasks)]
        a, b = rng.randrange(4, 20), rng.randrange(3, 13)
        if falling:
            a += b
        who, things = rng.choice(_PEOPLE), rng.choice(_THINGS)
        yield {
            "messages": _chat(_SOLVED, text.format(a=a, b=b, who=who, things=things)),
            "reference": {"answer": str(solve(a, b)), "units": False},
        }


def calls(tasks: Sequence[Tool], seed: int) -> Iterator[Row]:
    """Yield a prompt for each tool and its arguments; it lists the tool beside another one."""
    rng = random.Random(seed)
    for tool in tasks:
        name, _, parameters, text, cases = tool
        for values in cases:
            listed = [tool, rng.choice([other for other in tasks if other is not tool])]
            rng.shuffle(listed)
            lines = "\n".join(_line(other) for other in listed)
            arguments = dict(zip(parameters, values, strict=True))
            yield {
                "messages": _chat(_CALLED, f"Tools:\n{lines}\n\nRequest: {text.format(*values)}"),
                "reference": {
                    "tools": [_declaration(other) for other in listed],
                    "calls": [{"name": name, "arguments": arguments}],
                },
            }


def _chat(examples: Sequence[tuple[str, str]], question: str) -> list[dict[str, str]]:
    """Return a conversation: each of `examples`, a question and its answer, and then `question`."""
    turns = [
        (role, text) for pair in examples for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    return [{"role": role, "content": text} for role, text in (*turns, ("user", question))]


def _line(tool: Tool) -> str:
    name, purpose, parameters, _, _ = tool
    arguments = ", ".join(f'"{key}": {schema["type"].upper()}' for key, schema in parameters.items())
    return f'- {purpose}: {{"name": "{name}", "arguments": {{{arguments}}}}}'


def _declaration(tool: Tool) -> Row:
    name, purpose, parameters, _, _ = tool
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"name": name, "description": purpose, "parameters": schema}


def write(name: str, split: str, rows: Iterator[Row], place: Path = PLACE) -> None:
    """Write prompts to NAME_SPLIT.jsonl."""
    lines = [json.dumps({"id": f"{split}-{number:02}", **row}) for number, row in enumerate(rows)]
    (place / f"{name}_{split}.jsonl").write_text("\n".join(lines) + "\n")


def main(place: Path = PLACE) -> None:
    """Write the six files."""
    write("python", "train", functions(TRAIN_FUNCTIONS), place)
    write("python", "heldout", functions(HELDOUT_FUNCTIONS), place)
    write("word_problems", "train", stories(TRAIN_STORIES, 40, 1), place)
    write("word_problems", "heldout", stories(HELDOUT_STORIES, 36, 2), place)
    write("tool_calls", "train", calls(TRAIN_TOOLS, 1), place)
    write("tool_calls", "heldout", calls(HELDOUT_TOOLS, 2), place)


if __name__ == "__main__":
    main()
