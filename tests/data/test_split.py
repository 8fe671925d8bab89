import dataclasses

import numpy as np
import pytest

from fasthash.data import load_digits, make_split


@pytest.fixture(scope="module")
def labels():
    return load_digits()[1]


def test_digits_semi_has_the_stated_counts_per_class(labels):
    split = make_split("digits-semi", labels, seed=3)
    assert split.counts() == {"queries": 300, "validation": 200, "database": 1297, "labelled": 100, "unlabelled": 1197}
    for part, per_class in (("queries", 30), ("validation", 20), ("labelled", 10)):
        assert np.bincount(labels.numpy()[getattr(split, part)]).tolist() == [per_class] * 10


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_disjoint_and_cover_everything(labels, seed):
    split = make_split("digits-semi", labels, seed=seed)
    everything = np.concatenate([split.queries, split.validation, split.labelled, split.unlabelled])
    assert np.array_equal(np.sort(everything), np.arange(1797))
    assert np.array_equal(split.database, np.sort(np.concatenate([split.labelled, split.unlabelled])))


def test_seed_decides(labels):
    a, b, c = (make_split("digits-semi", labels, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(a.queries, b.queries)
    assert not np.array_equal(a.queries, c.queries)


@pytest.mark.parametrize(
    ("one", "other"), [("queries", "database"), ("queries", "labelled"), ("validation", "unlabelled")]
)
def test_overlap_is_refused(labels, one, other):
    split = make_split("digits-semi", labels)
    leaking = np.append(getattr(split, one), getattr(split, other)[:2])
    with pytest.raises(ValueError, match=r"Split: .* must be disjoint, got 2 shared items"):
        dataclasses.replace(split, **{one: leaking})


def test_unknown_protocol_and_foreign_labels(labels):
    with pytest.raises(ValueError, match=r"make_split: protocol must be one of .*'digits-semi'.*got 'digits'"):
        make_split("digits", labels)
    with pytest.raises(ValueError, match=r"make_split: labels of digits-semi .* got \(1796,\)"):
        make_split("digits-semi", labels[1:])
