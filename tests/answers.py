"""Answers to the exercises as students would write them: @solution for a right one, @wrong for a plausible wrong one.

The answers stand in answers_*.py, one file for each of keepfit_mini/checks_*.py; test_checks.py asks the checks about them.
"""

import pytest

SOLUTIONS, WRONG = {}, []


def solution(function):
    SOLUTIONS[function.__name__] = function
    return function


def wrong(exercise, *telling):
    """The wrong answer that follows; words of its message."""

    def keep(function):
        WRONG.append(pytest.param(exercise, function, telling, id=f"{exercise}: {telling[0]}"))
        return function

    return keep
