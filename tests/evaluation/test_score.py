"""The float that knows how it was made, and the words of each convention."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

from fasthash.evaluation import Score, mean_average_precision, precision_at, recall_at


@pytest.fixture
def problem(ranking):
    return ranking([0, 1, 1, 1, 2, 2, 3, 3], [1, 0, 1, 1, 0, 1, 0, 0])


def test_prints_in_full(problem):
    assert str(mean_average_precision(*problem, k=5)) == (
        "mAP@5[divisor=hits, ties=expected, empty=zero, relevance=share] = 0.8940 "
        "(best 0.9500, worst 0.8056; 0 of 1 queries empty)"
    )
    assert str(mean_average_precision(*problem, ties="index", empty="skip", divisor="min")) == (
        "mAP@all[divisor=min, ties=index, empty=skip, relevance=share] = 0.7708 (0 of 1 queries empty)"
    )
    assert str(precision_at(*problem, 3)) == (
        "P@3[ties=expected, relevance=share] = 0.7778 (best 1.0000, worst 0.6667; 0 of 1 queries empty)"
    )
    assert recall_at(*problem, 3, empty="skip").convention == "R@3[ties=expected, empty=skip, relevance=share]"


def test_a_window_beyond_the_database_is_clipped_and_said(problem):
    whole, clipped = mean_average_precision(*problem), mean_average_precision(*problem, k=5000, divisor="min")
    assert clipped == whole
    assert clipped.convention == ("mAP@8[divisor=min, ties=expected, empty=zero, relevance=share, clipped from k=5000]")
    assert "clipped" not in mean_average_precision(*problem, k=8).convention


def test_is_a_float(problem):
    score = mean_average_precision(*problem)
    assert isinstance(score, float)
    assert json.loads(json.dumps({"map": score})) == {"map": float(score)}
    assert f"{score:.3f}" == "0.864"
    assert type(score + 0) is float
    assert score.per_query.dtype == np.float64


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_keep_everything(problem, clone):
    score = mean_average_precision(*problem)
    again = clone(score)
    assert isinstance(again, Score)
    assert str(again) == str(score)
    assert again.per_query.tolist() == score.per_query.tolist()


@pytest.mark.parametrize("ties", ["expected", "index", "best", "worst"])
def test_empty_queries_score_zero_or_leave_the_mean(ties):
    codes = np.array([[False, True], [True, True]])
    arguments = codes, codes.copy(), np.array([0, 5]), np.array([0, 0])
    zero = mean_average_precision(*arguments, ties=ties)
    skip = mean_average_precision(*arguments, ties=ties, empty="skip")
    assert (zero, zero.empty, zero.empty_share) == (0.5, 1, 0.5)
    assert (skip, skip.empty) == (1.0, 1)
    assert zero.per_query.tolist() == [1.0, 0.0]
    assert np.isnan(skip.per_query[1])
