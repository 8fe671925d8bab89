"""Splits of one's own data, and of a protocol with fewer labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthash.data import draw_split, keep_labelled

LABELS = np.repeat(np.arange(4), 25)


def counts(split, part):
    return np.bincount(LABELS[getattr(split, part)], minlength=4).tolist()


def test_parts_are_drawn_evenly_and_the_rest_is_unlabelled():
    split = draw_split(LABELS, queries=20, labelled=12, validation=8, seed=3)
    assert counts(split, "queries") == [5] * 4
    assert counts(split, "validation") == [2] * 4
    assert counts(split, "labelled") == [3] * 4
    assert split.counts() == {"queries": 20, "validation": 8, "database": 72, "labelled": 12, "unlabelled": 60}
    assert np.array_equal(split.database, np.union1d(split.labelled, split.unlabelled))


def test_draws_depend_on_the_seed_only_and_reach_every_item():
    first = draw_split(LABELS, queries=20, labelled=12, seed=3)
    assert draw_split(torch.from_numpy(LABELS), queries=20, labelled=12, seed=3).digest == first.digest
    drawn = [draw_split(LABELS, queries=20, labelled=12, seed=seed) for seed in range(60)]
    assert len({split.digest for split in drawn}) == 60
    # Each item is labelled in 12 % of the splits on average: none is out of reach of any part.
    for part in ("queries", "labelled"):
        assert set(np.concatenate([getattr(split, part) for split in drawn]).tolist()) == set(range(100))


def test_items_without_a_label_are_unlabelled():
    labels = LABELS.copy()
    labels[::5] = -1
    split = draw_split(labels, queries=8, labelled=8)
    assert set(np.flatnonzero(labels < 0)) <= set(split.unlabelled)
    multi_hot = np.zeros((30, 3), int)
    multi_hot[:20, 1] = 1
    split = draw_split(multi_hot, queries=3, labelled=5)
    assert max(split.queries.max(), split.labelled.max()) < 20
    assert split.counts()["unlabelled"] == 22


@pytest.mark.parametrize(("others", "unlabelled"), [("drop", 60), ("unlabelled", 68)])
def test_fewer_labels(others, unlabelled):
    split = draw_split(LABELS, queries=20, labelled=12, validation=8)
    few = keep_labelled(split, LABELS, 4, others=others)
    assert counts(few, "labelled") == [1] * 4
    assert set(few.labelled) < set(split.labelled)
    assert len(few.unlabelled) == unlabelled
    for part in ("queries", "validation", "database"):
        assert np.array_equal(getattr(few, part), getattr(split, part))
    assert len({keep_labelled(split, LABELS, 4, seed=seed).digest for seed in range(20)}) > 10


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="draw_split: queries: expected a multiple of 4 classes, at most 25 of each"):
        draw_split(LABELS, queries=10, labelled=4)
    with pytest.raises(ValueError, match=r"draw_split: labelled: expected .* at most 5 of each, got 24"):
        draw_split(LABELS, queries=80, labelled=24)
    with pytest.raises(TypeError, match="draw_split: labels: expected integer class ids"):
        draw_split(LABELS.astype(float), queries=4, labelled=4)
    split = draw_split(LABELS, queries=20, labelled=12)
    with pytest.raises(ValueError, match="keep_labelled: labelled: expected a multiple of 4 classes, at most 3"):
        keep_labelled(split, LABELS, 16)
    with pytest.raises(ValueError, match="keep_labelled: others must be"):
        keep_labelled(split, LABELS, 4, others="hide")
