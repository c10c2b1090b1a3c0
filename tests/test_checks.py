"""Exercise checks: solutions as a student would write them pass, plausible wrong answers are refused with a telling word."""

import random
import time

import answers_scores  # noqa: F401, adds its answers
import answers_training  # noqa: F401
import numpy as np
import pytest
import torch
from answers import SOLUTIONS, WRONG
from answers_encoders import cosine, expert_attention, mean_pool, pair_letters, recall_at_1, top_captions
from answers_reports import beam_step
from torch.nn.functional import cross_entropy

from keepfit_mini import metrics
from keepfit_mini.checks import EXERCISES, Wrong, attempt, check, without_gradient
from keepfit_mini.checks_reports import best_pairs
from keepfit_mini.config import InputError


@pytest.mark.parametrize("exercise", EXERCISES)
def test_solution_passes(exercise, capsys):
    check(exercise, SOLUTIONS[exercise])
    assert capsys.readouterr().out == f"right: {len(EXERCISES[exercise].cases)} cases\n"


@pytest.mark.parametrize("exercise, function, telling", WRONG)
def test_wrong_answer_is_named(exercise, function, telling):
    with pytest.raises(Wrong) as caught:
        check(exercise, function)
    message = str(caught.value)
    assert all(word in message for word in telling), message
    assert len(message.splitlines()) <= 3


@pytest.mark.parametrize("exercise", EXERCISES)
def test_two_wrong_answers_or_more_here_and_in_the_table(exercise):
    assert sum(param.values[0] == exercise for param in WRONG) >= 2
    row = EXERCISES[exercise]
    assert len(row.mistakes) >= 2 or len(row.rules) >= 2
    assert row.notebook in {f"{n:02}" for n in range(11)} and row.difficulty in (1, 2, 3) and row.minutes > 0
    assert row.task.startswith(f"{exercise}(")


@pytest.mark.parametrize("exercise, message", [(name, m) for name, row in EXERCISES.items() for m in row.mistakes])
def test_each_known_mistake_is_refused_in_its_own_words(exercise, message):
    with pytest.raises(Wrong) as caught:
        check(exercise, EXERCISES[exercise].mistakes[message])
    assert str(caught.value).splitlines()[-1] == message


def test_cases_are_left_alone_and_all_checks_are_quick():
    before, start = {name: repr(row.cases) for name, row in EXERCISES.items()}, time.perf_counter()
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    for name, function in SOLUTIONS.items():
        check(name, function)
    assert time.perf_counter() - start < 5
    assert {name: repr(row.cases) for name, row in EXERCISES.items()} == before
    assert torch.equal(torch.get_rng_state(), state[0]) and np.random.get_state()[1].tolist() == state[1]
    assert random.getstate() == state[2]


# -------------------------------------------------------------------------------------------------------- the machinery


def refused(exercise, function):
    with pytest.raises(Wrong) as caught:
        check(exercise, function)
    return str(caught.value)


def test_what_a_refusal_says():
    half = refused("aca", lambda truth, guess: 0.5)
    assert half.splitlines() == ["aca(truth (9,), guess (9,)), case 1 of 2: gave 0.5", "expected 0.4444"]
    first, second = refused("cosine", lambda a, b: cosine(a, b) + torch.tensor([0, 0, 1])[:, None]).splitlines()
    assert first.startswith("cosine(a (3, 4), b (3, 4)), case 1 of 3: gave ") and first.endswith("at [2, 0]")
    assert second.endswith("there; 3 of 9 values differ")


def test_no_answer():
    def stub(a, b):
        raise NotImplementedError

    def broken(a, b):
        rows = len(a)
        return rows["first"]

    assert "gave None" in refused("cosine", lambda a, b: None)
    assert "not written yet" in refused("cosine", stub)
    message = refused("cosine", broken)
    assert "TypeError: 'int' object" in message and 'in line 3: return rows["first"]' in message
    assert "TypeError" in refused("cosine", lambda a: a)
    assert "not a function" in refused("cosine", cosine(torch.eye(2), torch.eye(2)))


def test_the_cause_of_an_error_is_kept():
    with pytest.raises(Wrong) as caught:
        check("cosine", lambda a, b: a / 0 @ b)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_wrong_kinds_and_shapes():
    shapes = refused("cosine", lambda a, b: a[:, :1])
    assert "gave shape (3, 1)" in shapes and "expected shape (3, 3)" in shapes
    assert "gave a str" in refused("cosine", lambda a, b: "0.5")
    assert "gave a list of 2" in refused("cosine", lambda a, b: [[1.0], [1.0, 2.0]])
    assert "a tuple of 3" in refused("shift", lambda words: (words, words, words))
    assert "gave a bool" in refused("softmax_axis", lambda weights: False)
    assert "a dict of B" in refused("pair_letters", lambda caption, panels: {"B": caption})
    assert "at ['B']" in refused("pair_letters", lambda c, p: {**pair_letters(c, p), "B": "no"})
    second = refused("expert_attention", lambda V, K, T: (expert_attention(V, K, T)[0], V @ K.T))
    assert "in the second of the two returned, at [0, 0]" in second
    assert "an array (4, 4) of float32 in the second of the two returned" in refused(
        "expert_attention", lambda V, K, T: (expert_attention(V, K, T)[0], expert_attention(V, K, T)[1].numpy())
    )
    assert "'no' at [0][1]" in refused("top_captions", lambda w, c, k: [[row[0], "no"] for row in top_captions(w, c, 2)])


def test_not_a_number():
    message = refused("mean_pool", lambda hidden, mask: mean_pool(hidden, mask) / torch.tensor([1.0, 0.0, 1.0])[:, None] * 0)
    assert "gave nan at [1, 0]" in message
    assert "gave nan" in refused("aca", lambda truth, guess: float("nan"))
    assert "an array (12, 4) of float64" in refused("expert_batches", lambda n, b, s, seed: np.full((s, b), np.nan))


def test_other_kinds_that_will_do(capsys):
    """A number of any library, numpy's strings, and where no tensor is expected tensor, array and list."""
    check("recall_at_1", lambda similarity: torch.tensor(recall_at_1(similarity)))
    check("recall_at_1", lambda similarity: np.float32(recall_at_1(similarity)))
    assert capsys.readouterr().out == "right: 4 cases\n" * 2
    check("top_captions", lambda w, c, k: [[np.str_(caption) for caption in row] for row in top_captions(w, c, k)])
    check("top_captions", lambda w, c, k: [list(np.array(c)[row.argsort(descending=True)[:k].numpy()]) for row in w])
    check("beam_step", lambda *case: torch.tensor(beam_step(*case)))
    check("beam_step", lambda *case: np.array(beam_step(*case)))
    assert capsys.readouterr().out == "right: 3 cases\n" * 2 + "right: 5 cases\n" * 2
    assert "gave 'no'" in refused("top_captions", lambda w, c, k: [[np.str_("no")] * k] * len(w))


def test_the_calibration_error_of_the_table_is_the_package_s():
    for case in EXERCISES["calibration_error"].cases:
        assert EXERCISES["calibration_error"].answer(*case[:2]) == pytest.approx(metrics.calibration_error(*case[:2]))


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_loss_of_the_table_moves_all_that_is_learnt(exercise):
    row = EXERCISES[exercise]
    for case in row.cases:
        if any(getattr(value, "requires_grad", False) for value in case):
            assert not without_gradient(row.answer, row.answer, case, row.answer(*case))


def test_a_gradient_that_is_not_whole():
    lines = refused("revision_loss", lambda R, T: (((R - T) ** 2).mean() + ((R - T.detach()) ** 2).mean()) / 2).splitlines()
    assert "the value is right, but not the gradient of T: gave " in lines[0] and "at [0, 0]" in lines[0]
    assert lines[1].endswith("there; 12 of 12 values differ") and "in one of its terms" in lines[2]


def test_an_error_of_a_known_mistake_is_named_in_place_of_its_line():
    def fixed(scores, log_probs, width):
        return best_pairs(torch.stack([scores[b] + log_probs[b] for b in range(width)]), width)

    def broken(scores, log_probs, width):
        return best_pairs(scores[:, None] + log_probs[: 1 / (len(scores) - 1)], width)

    assert refused("beam_step", fixed).splitlines()[-1].startswith("Only the first `width` beams are looked at")
    assert "in line 2: return best_pairs" in refused("beam_step", broken)


@pytest.mark.parametrize("salt", range(10))
def test_chance_is_not_refused(salt):
    """Right answers with other generators: no rule is broken by luck."""

    def with_salt(solution):
        return lambda *case: solution(*case[:-1], f"{salt} {case[-1]}")  # random.Random takes a string

    for exercise in ("split_by_patient", "expert_batches", "support_set"):
        check(exercise, with_salt(SOLUTIONS[exercise]))


def test_right_answers_of_another_form_have_the_same_gradient():
    check("soft_clip_loss", lambda V, T, s, Y: (cross_entropy(s * V @ T.T, Y) + cross_entropy(s * T @ V.T, Y)).double() / 2)
    check("revision_loss", lambda R, T: torch.dist(R, T).square() / T.numel())
    check("total_loss", lambda public, expert, revision, weight: torch.stack([public, expert, weight * revision]).sum())
    check("next_word_loss", lambda x, y, pad: cross_entropy(x.transpose(1, 2), y, ignore_index=pad))


def test_a_hash_of_the_student_s_own_is_left_alone():
    """Numbers have the same hash in every Python, and so has what does not come from the builtin."""
    split = SOLUTIONS["split_by_patient"]
    check("split_by_patient", lambda patients, share, seed: split(patients, share, hash((seed, 7))))
    assert "started anew" in refused("split_by_patient", lambda patients, share, seed: split(patients, share, hash(f"{seed}")))


def test_unknown_exercise():
    with pytest.raises(InputError, match="'cosines' is unknown: give one of cosine"):
        check("cosines", cosine)


def test_a_call_gets_copies():
    case = (torch.ones(2), ["a"])
    assert "changed its input names in place" in str(attempt(lambda x, names: names.append("b"), case))
    assert case[1] == ["a"]


def test_a_notebook_shows_the_lines_alone():
    """IPython asks an exception for these lines in place of a traceback."""
    with pytest.raises(Wrong) as caught:
        check("cosine", lambda a, b: a @ b.T)
    lines = caught.value._render_traceback_()
    assert len(lines) == 3 and lines[0].startswith("cosine(") and "no normalisation" in lines[2]
