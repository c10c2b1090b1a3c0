"""Exercise checks: a student's function is run on small fixed cases, and what differs is said in plain words.

    check("cosine", cosine)    prints "right: 3 cases" or raises Wrong: what was given, what was expected, and why it matters

An exercise is data: cases, the reference answer, and known mistakes. Where the student's answers equal those of a known
mistake on every case, the mistake is named. Where many answers are right (a split by chance), rules take the place of mistakes.
Not about: which exercises there are (checks_encoders.py: notebooks 00 to 03, checks_training.py: 04 and 05, checks_scores.py:
06 to 09, checks_reports.py: 10).
"""

from __future__ import annotations

import copy
import inspect
import itertools
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .checks_encoders import ENCODERS
from .checks_reports import REPORTS
from .checks_scores import SCORES
from .checks_training import TRAINING
from .config import InputError

ENDLESS = 1000  # items taken of a generator; every case asks for fewer


class Wrong(AssertionError):
    """An answer that is not right: at most three lines. Notebooks show these lines alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints: where the student's own function failed, its line is among the three."""
        return str(self).splitlines()


@dataclass(frozen=True)
class Exercise:
    """One exercise, as the tables have it.

    title, task  a few words; what goes in and comes out, with shapes and conventions
    notebook     "00" to "10"; minutes: about how long it takes; difficulty: 1 to 3
    cases        arguments of each call; each call gets a copy
    answer       the reference, of the package wherever it has one; its parameters' names are those in the messages. Where it
                 gives a tensor, a tensor is asked for (cells below call its methods); where an array, list and tensor do too
    mistakes     {what is wrong and why it matters: a function that makes the mistake}
    rules        where chance decides: {what is wrong and why it matters: function(result, *case) -> evidence, "" if the rule
                 is kept}. The answer then gives only kind and shape, and so do the mistakes; a seed is the last argument
    calls        rules that one call cannot show: function(student's function, result, *case) -> evidence
    tolerance    of numbers, relative and absolute
    """

    title: str
    task: str
    notebook: str
    minutes: int
    difficulty: int
    cases: Sequence[tuple]
    answer: Callable
    mistakes: Mapping[str, Callable] = field(default_factory=dict)
    rules: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    calls: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    tolerance: float = 1e-4


EXERCISES = {name: Exercise(**row) for name, row in (ENCODERS | TRAINING | SCORES | REPORTS).items()}


def check(exercise: str, function: Callable) -> None:
    """Run the student's function on the cases of an exercise; print "right: ..." or raise Wrong.

    The arguments of the case in a message are EXERCISES[exercise].cases[number - 1]. InputError: no such exercise.
    """
    if exercise not in EXERCISES:
        raise InputError(f"exercise {exercise!r} is unknown: give one of {', '.join(EXERCISES)}")
    if not callable(function):
        raise Wrong(f'{exercise}: this is {kind(function)}, not a function\nwrite check("{exercise}", {exercise}), no brackets')
    sought = EXERCISES[exercise]
    results = [attempt(function, case) for case in sought.cases]
    for number, (case, result) in enumerate(zip(sought.cases, results, strict=True), 1):
        place = f"{exercise}({described(sought.answer, case)}), case {number} of {len(sought.cases)}"
        if isinstance(result, Failure):
            lines, named = f"{place}: {result}".splitlines(), named_mistake(sought, results)
            raise Wrong("\n".join([*lines[:2], named] if named else lines)) from result.error
        found = difference(result, sought.answer(*copy.deepcopy(case)), sought.tolerance, not sought.rules)
        if found:
            lines = [f"{place}: gave {found[0]}", f"expected {found[1]}", named_mistake(sought, results)]
            raise Wrong("\n".join(line for line in lines if line))
        if unmoved := without_gradient(function, sought.answer, case, result):
            raise Wrong(f"{place}: the value is right, but no gradient reaches {' and '.join(unmoved)}\nThe loss moves all that "
                        "it compares, so nothing is detached: no .detach(), no .data, no no_grad().")  # fmt: skip
        if other := other_gradient(function, sought.answer, case, result, sought.tolerance):
            name, got, wanted = other
            raise Wrong(f"{place}: the value is right, but not the gradient of {name}: gave {got}\nexpected {wanted}\n"
                        "Part of the loss teaches nothing: is something detached in one of its terms?")  # fmt: skip
        if sought.rules:
            follow_rules(sought, place, function, case, result)
    print(f"right: {len(results)} cases")


# --------------------------------------------------------------------------------------------------------- one call


@dataclass(frozen=True)
class Failure:
    """A call without an answer."""

    text: str
    error: Exception | None = None

    def __str__(self) -> str:
        return self.text


def attempt(function: Callable, case: tuple) -> Any:
    """The function's answer to a copy of the case, a generator's as a list; Failure where there is none."""
    given = copy.deepcopy(case)
    try:
        result = function(*given)
        if inspect.isgenerator(result):
            result = list(itertools.islice(result, ENDLESS))
    except NotImplementedError as error:
        return Failure("not written yet\nreplace the line `raise NotImplementedError`", error)
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return Failure(f"raised an error\n{shortened(said, 120)}\n{line_of(function, error)}".strip(), error)
    for name, before, after in zip(names(function, case), case, given, strict=True):
        if difference(after, before, 0.0):
            return Failure(
                f"changed its input {name} in place\nwhoever calls it still needs the old values: compute new ones "
                "(x = x / n instead of x /= n, a copy before writing into it)"
            )
    if result is None:
        return Failure("gave None\ndoes every way through the function end in `return`?")
    return result


def gradients(function: Callable, case: tuple, result: Any) -> dict[int, Tensor | None]:
    """{number of an argument that is learnt: the loss's gradient, None where none comes}; {} where there is nothing to learn."""
    learnt = [i for i, value in enumerate(case) if isinstance(value, Tensor) and value.requires_grad]
    if not learnt or not getattr(result, "requires_grad", False):
        return {}
    given = copy.deepcopy(case)
    return dict(zip(learnt, torch.autograd.grad(function(*given), [given[i] for i in learnt], allow_unused=True), strict=True))


def without_gradient(function: Callable, answer: Callable, case: tuple, result: Any) -> list[str]:
    """Names of the arguments that are learnt but get no gradient of the loss; [] where the result is none to learn from."""
    return [names(answer, case)[i] for i, gradient in gradients(function, case, result).items() if gradient is None]


def other_gradient(function: Callable, answer: Callable, case: tuple, result: Any, tolerance: float) -> tuple | None:
    """None, or (name, given, expected) of the first argument whose gradient is not that of the answer."""
    given = gradients(function, case, result)
    wanted = gradients(answer, case, result) if given else {}
    for i, gradient in given.items():
        if found := difference(gradient, wanted[i], tolerance):
            return names(answer, case)[i], *found
    return None


def line_of(function: Callable, error: Exception) -> str:
    """The line of the student's function in which it failed, "" where it was not even entered."""
    file = getattr(getattr(function, "__code__", None), "co_filename", "")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not frames:
        return ""
    return f"in line {frames[-1].lineno - function.__code__.co_firstlineno + 1}: {shortened(frames[-1].line or '', 100)}"


def names(function: Callable, case: tuple) -> list[str]:
    """A name for each argument: the function's own where it has so many."""
    try:
        own = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a function of C has none
        own = []
    return [own[i] if i < len(own) else str(i + 1) for i in range(len(case))]


# ------------------------------------------------------------------------------------------- an answer and another one


def difference(given: Any, wanted: Any, tolerance: float, values: bool = True, where: str = "") -> tuple[str, str] | None:
    """None, or (what was given, what was expected) at the first place that differs. values False: kind and shape only.

    where  words for the place of this part: "at [0][1]", "in the first of the two returned".
    """
    at, inside = f" {where}" if where else "", where or "at "
    if isinstance(wanted, (str, set)):
        return None if isinstance(given, type(wanted)) and given == wanted else (f"{quoted(given)}{at}", quoted(wanted))
    if isinstance(wanted, dict):
        if not isinstance(given, dict) or given.keys() != wanted.keys():
            return f"{kind(given)}{at}", kind(wanted)
        parts = [(f"{inside}[{name!r}]", given[name], wanted[name]) for name in wanted]
    elif isinstance(wanted, (list, tuple)):
        if not isinstance(given, (list, tuple)) or len(given) != len(wanted):
            return f"{kind(given)}{at}", kind(wanted)
        two = isinstance(wanted, tuple) and len(wanted) == 2  # what `return a, b` gives
        places = TWO if two else [f"{inside}[{i}]" for i in range(len(wanted))]
        parts = list(zip(places, given, wanted, strict=True))
    else:
        return number_difference(given, wanted, tolerance, values, at)
    each = (difference(part, other, tolerance, values, place) for place, part, other in parts)
    return next((found for found in each if found), None)


def number_difference(given: Any, wanted: Any, tolerance: float, values: bool, at: str) -> tuple[str, str] | None:
    """`difference` of numbers, arrays and tensors. Where a tensor is expected, neither a list nor an array will do."""
    numbers, target = array(given), array(wanted)
    needs_tensor = isinstance(wanted, Tensor) and wanted.ndim and not isinstance(given, Tensor)
    if numbers is None or needs_tensor or numbers.dtype.kind not in KINDS[target.dtype.kind]:
        stay = needs_tensor and isinstance(given, np.ndarray)
        return f"{kind(given)}{at}", kind(wanted) + ": stay in torch, the next cells need a tensor" * stay
    if numbers.shape != target.shape:
        return f"shape {numbers.shape}{at}", f"shape {target.shape}"
    if isinstance(wanted, Tensor) and wanted.requires_grad and not getattr(given, "requires_grad", False):
        return f"{kind(given)} without a gradient{at}", "a loss to learn from: all of it in torch, no .item(), no .detach()"
    nothing = np.isnan(numbers) & ~np.isnan(target)
    off = nothing if nothing.any() else ~np.isclose(numbers, target, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not off.any() or not (values or nothing.any()):
        return None
    first = tuple(int(i) for i in np.argwhere(off)[0])
    place = f"{at}{',' if at else ''} at {list(first)}" if first else at
    many = f" there; {off.sum()} of {off.size} values differ" if first else ""
    return f"{written(numbers[first])}{place}", f"{written(target[first])}{many}"


TWO = ("in the first of the two returned", "in the second of the two returned")
KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "fiu"}  # kind of number expected -> kinds that will do


def array(value: Any) -> np.ndarray | None:
    """Numbers as an array; None where they are none, or rows of different lengths."""
    try:
        numbers = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return numbers if numbers.dtype.kind in KINDS else None


def named_mistake(sought: Exercise, results: Sequence) -> str:
    """The message of the known mistake whose answers equal the student's on every case, or "". Of chance: in kind and shape."""
    for message, mistake in sought.mistakes.items():
        others = [attempt(mistake, case) for case in sought.cases]
        if all(alike(*pair, sought.tolerance, not sought.rules) for pair in zip(results, others, strict=True)):
            return message
    return ""


def alike(result: Any, other: Any, tolerance: float, values: bool = True) -> bool:
    if isinstance(result, Failure) or isinstance(other, Failure):
        return isinstance(result, Failure) and isinstance(other, Failure)
    return difference(result, other, tolerance, values) is None


def follow_rules(sought: Exercise, place: str, function: Callable, case: tuple, result: Any) -> None:
    """Wrong: a rule is broken, the same seed gives something else, another seed the same, or a rule of more calls is broken."""
    for message, broken in sought.rules.items():
        if evidence := broken(array(result), *case):
            raise Wrong(f"{place}: {evidence}\n{message}")
    if not alike(attempt(function, case), result, 0.0):
        raise Wrong(f"{place}: two calls with one seed gave different answers\nTake every draw from a generator of that seed: "
                    "a run that cannot be repeated cannot be compared.")  # fmt: skip
    if alike(attempt(function, (*case[:-1], case[-1] + 1)), result, 0.0):
        raise Wrong(f"{place}: seeds {case[-1]} and {case[-1] + 1} gave the same answer\nThe seed is not used: five seeds would "
                    "then be one run, five times, and their spread nothing.")  # fmt: skip
    for message, broken in sought.calls.items():
        if evidence := broken(function, array(result), *case):
            raise Wrong(f"{place}: {evidence}\n{message}")


# ------------------------------------------------------------------------------------------------------------- words


def described(answer: Callable, case: tuple) -> str:
    """A case in a few words: image (4, 8), scale 5.0."""
    return ", ".join(f"{name} {argument(value)}" for name, value in zip(names(answer, case), case, strict=True))


def argument(value: Any) -> str:
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim:
        return str(tuple(value.shape))
    if isinstance(value, (list, tuple)) and len(repr(value)) > 30:
        return f"of {len(value)}"
    return shortened(repr(value), 40) if isinstance(value, (str, list, tuple)) else written(value)


def kind(value: Any) -> str:
    """What something is: "a dict of A, B", "a tuple of 2", "a tensor (3, 4) of float32"."""
    if isinstance(value, (Tensor, np.ndarray)):
        name = "a tensor" if isinstance(value, Tensor) else "an array"
        return f"{name} {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, dict):
        return f"a dict of {shortened(', '.join(map(str, value)), 40) or 'nothing'}"
    if isinstance(value, (list, tuple, set)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def written(value: Any) -> str:
    """A number with four digits that count, as Python writes it."""
    number = array(value)
    return f"{float(number):.4g}" if number is not None and number.dtype.kind == "f" else str(number)


def quoted(value: Any) -> str:
    if isinstance(value, str):
        return shortened(repr(str(value)), 80)  # numpy's strings look like Python's
    return shortened(repr(value), 80) if isinstance(value, set) else kind(value)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
