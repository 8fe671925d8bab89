from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from split_labels import PROTOCOLS, synthetic_labels

from fasthash.data import load_digits, make_split
from fasthash.data.splits.draw import Shuffle

RULED = [name for name, protocol in PROTOCOLS.items() if protocol.chosen != "lists"]
DRAWN = [name for name in RULED if PROTOCOLS[name].chosen != "fixed"]
LABELS = {name: synthetic_labels(name) for name in RULED}
TRAINED = ("labelled", "unlabelled")


def shares(a, b):
    return len(np.intersect1d(a, b))


@settings(max_examples=40)
@given(st.sampled_from(RULED), st.integers(0, 2**64 - 1))
def test_parts_are_disjoint_and_have_the_published_counts(name, seed):
    protocol, split = PROTOCOLS[name], make_split(name, LABELS[name], seed)
    assert split.counts() == {
        "queries": protocol.queries,
        "validation": protocol.validation,
        "database": protocol.database,
        "labelled": protocol.labelled,
        "unlabelled": protocol.unlabelled,
    }
    apart = [split.queries, split.validation, split.labelled, split.unlabelled]
    assert len(np.unique(np.concatenate(apart))) == sum(map(len, apart))
    rows = np.arange(protocol.items)
    left_out = {
        "all but queries": [split.queries, split.validation],
        "all but queries and labelled": [split.queries, split.validation, split.labelled],
        "queries": [np.setdiff1d(rows, split.queries)],
    }
    assert np.array_equal(split.database, np.setdiff1d(rows, np.concatenate(left_out[protocol.searched])))
    assert split.same_items == (protocol.searched == "queries")


@settings(max_examples=20)
@given(st.sampled_from(RULED), st.integers(0, 2**32), st.integers(0, 2**32))
def test_the_seed_and_nothing_else_decides(name, one, other):
    first, again, second = (make_split(name, LABELS[name], seed) for seed in (one, one, other))
    assert first.digest == again.digest
    drawn = name in DRAWN
    assert (first.digest != second.digest) == (drawn and one != other)
    assert first.seed == (one if drawn else None)


@pytest.mark.parametrize("name", [name for name in DRAWN if PROTOCOLS[name].chosen == "per class"])
def test_each_class_gives_the_same_number(name):
    protocol, labels = PROTOCOLS[name], LABELS[name]
    split = make_split(name, labels, seed=5)
    for part in ("queries", "validation", "labelled", "unlabelled"):
        each, rest = divmod(getattr(protocol, part), protocol.classes)
        rows = getattr(split, part)
        if protocol.multi_label:
            assert labels[rows].sum(0).min() >= each
        elif not rest:
            assert np.bincount(labels[rows], minlength=protocol.classes).tolist() == [each] * protocol.classes
        else:
            assert name == "digits-semi"


def test_an_image_of_several_classes_counts_for_the_one_that_drew_it():
    labels = np.zeros((195_834, 21), dtype=bool)
    labels[:, 0] = True  # every image has the first class, so that no later one may find its quota met by luck
    labels[np.arange(len(labels)), np.arange(len(labels)) % 21] = True
    split = make_split("nus21", labels, seed=0)
    only = labels[split.queries]
    assert only[:, 0].all()
    others = only[:, 1:].sum(0)
    assert (others >= 100).all()
    # The 100 of the first class are uniform over all images: about 5 of each other class among them.
    assert 2_000 <= others.sum() <= 2_100


def test_uniform_draws_follow_the_classes_only_by_chance():
    labels = LABELS["mir38-a"]
    split = make_split("mir38-a", labels, seed=1)
    empty = ~labels.any(1)
    assert 0 < empty[split.labelled].sum() < 2 * 4_000 * empty.mean()
    assert np.abs(labels[split.labelled].mean(0) - labels.mean(0)).max() < 0.02


def test_variants_of_one_seed_share_queries_and_labelled_items():
    splits = [make_split(name, LABELS["cifar10-54k"], 4) for name in ("cifar10-54k", "cifar10-59k", "cifar10-semi")]
    assert len({tuple(split.queries) for split in splits}) == 1
    assert len({tuple(split.labelled) for split in splits}) == 1


def test_draws_never_change():
    """Papers quote these: a failure here is a broken promise, not a value to update. From NumPy 2.4's `permutation`."""
    digits = load_digits()[1]
    assert [make_split("digits-semi", digits, seed).digest for seed in range(3)] == [
        "f65889b82a2a62f7ec0be17283ef5b4a",
        "772f9b701384d118e281353408e6ee4b",
        "a3c93be0d182f4add732787185d5d6e5",
    ]
    labels = np.arange(60_000) % 10
    assert make_split("cifar10-semi", labels, 0).digest == "381bc369916ff47416002dee0afdc350"
    assert make_split("cifar10-semi", labels, 0, validation=500).digest == "94e932caecbda4552dbc8409c896ada7"
    hot = np.zeros((25_000, 38), np.uint8)
    assert make_split("mir38-a", hot, 0).digest == "f93036fc3a0a215b269ee56550440b22"
    assert Shuffle(7)(np.arange(8)).tolist() == [0, 6, 7, 2, 4, 5, 1, 3]
    shuffle = Shuffle(7)
    assert [shuffle(np.arange(3)).tolist() for _ in range(3)] == [[0, 2, 1], [1, 2, 0], [0, 1, 2]]


def test_shuffles_are_uniform():
    shuffle = Shuffle(0)
    orders = Counter(tuple(shuffle(np.arange(4))) for _ in range(24_000))
    assert len(orders) == 24
    # Chi-squared with 23 degrees of freedom: above 50 once in a thousand.
    assert sum((count - 1_000) ** 2 / 1_000 for count in orders.values()) < 50
    assert [shuffle(np.arange(count)).tolist() for count in (0, 1)] == [[], [0]]


HELD_OUT = {
    "cifar10-54k": 500,
    "cifar10-50k": 1_000,
    "wikipedia": 200,
    "wikipedia-693": 200,
    "nus21": 777,
    "mir38-a": 9,
}


@pytest.mark.parametrize(("name", "count"), HELD_OUT.items(), ids=HELD_OUT)
def test_validation_comes_out_of_the_labelled_part(name, count):
    labels = LABELS[name]
    whole, split = make_split(name, labels, 2), make_split(name, labels, 2, validation=count)
    assert len(split.validation) == count
    assert np.array_equal(split.queries, whole.queries)
    assert np.array_equal(split.unlabelled, whole.unlabelled)
    assert np.array_equal(np.union1d(split.labelled, split.validation), whole.labelled)
    assert shares(split.validation, split.labelled) == 0
    assert np.array_equal(split.database, np.setdiff1d(whole.database, split.validation))
    assert shares(whole.database, split.validation) == (count if whole.in_database()["labelled"] else 0)
    if labels.ndim == 1:
        assert np.bincount(labels[split.validation]).tolist() == [count // 10] * 10
    assert split.digest == make_split(name, labels, 2, validation=count).digest
    assert split.digest != make_split(name, labels, 3, validation=count).digest
    assert split.seed == 2


def test_labels_may_be_torch_and_one_hot():
    ids = LABELS["cifar10-54k"]
    expected = make_split("cifar10-54k", ids, 1).digest
    hot = np.eye(10)[ids]
    forms = [torch.from_numpy(ids), ids.astype(np.uint8), hot, hot.astype(bool), torch.from_numpy(hot).to(torch.uint8)]
    assert {make_split("cifar10-54k", form, 1).digest for form in forms} == {expected}


IDS = LABELS["cifar10-54k"]
ONE_MOVED = np.where(np.arange(60_000) == 0, (IDS[0] + 1) % 10, IDS)
HOT = LABELS["mir24-5k"]
CIFAR10 = r"expected class ids \(60000,\) from 0 to 9 of CIFAR-10"
MIR24 = r"expected multi-hot labels \(20015, 24\) of MIRFlickr"


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("cifar10-54k", IDS[1:], rf"{CIFAR10}.*, got shape \(59999,\)$"),
        (
            "cifar10-54k",
            LABELS["fashion-mnist"],
            r"got shape \(70000,\): the form of fashion-mnist, fashion-",
        ),
        ("cifar10-54k", np.where(IDS == 3, 4, IDS), "got 9 different ids from 0 to 9"),
        ("cifar10-54k", IDS + 1, "got 10 different ids from 1 to 10"),
        ("cifar10-54k", IDS - 1, "got 10 different ids from -1 to 8"),
        ("cifar10-54k", ONE_MOVED, "got classes of 5999 to 6001 items, not all 6000"),
        ("cifar10-54k", np.ones((60_000, 10)), "got rows without exactly one class"),
        ("cifar10-54k", np.zeros((60_000, 10)), "got rows without exactly one class"),
        (
            "mir24-5k",
            LABELS["mir38-a"],
            rf"{MIR24}.*, got shape \(25000, 38\): the form of mir38-a, mir38-b, ",
        ),
        ("mir38-a", HOT, r"got shape \(20015, 24\): the form of mir24-5k, "),
        ("mir24-5k", HOT.argmax(1), rf"{MIR24}.*, got shape \(20015,\)$"),
        ("mir24-5k", HOT & (np.arange(20_015) > 2)[:, None], "got 3 items without a label"),
        ("mir24-5k", HOT * 2, "got values that are not 0 or 1"),
        (
            "nus21",
            np.eye(21, dtype=bool)[np.zeros(195_834, int)],
            "expected 100 items of class 1 for the queries of nus21, got 0",
        ),
        ("wikipedia", LABELS["wikipedia"][::-1], r"expected \[34, 88, .*\] items of each class among the last 693"),
    ],
)
def test_labels_of_another_form_are_refused(name, labels, message):
    with pytest.raises(ValueError, match=f"^make_split: labels: .*{message}"):
        make_split(name, labels)


@pytest.mark.parametrize("labels", [IDS.astype(float), IDS.astype(str), IDS > 4])
def test_labels_of_another_kind_are_refused(labels):
    with pytest.raises(TypeError, match="make_split: labels: expected integer class ids or multi-hot rows, got"):
        make_split("cifar10-54k", labels)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("cifar10", {}, ValueError, "protocol: expected one of cifar10-54k, .*; got 'cifar10'"),
        ("mir38-b", {}, ValueError, "protocol: expected one with a rule, got 'mir38-b'"),
        ("cifar10-54k", {"seed": -1}, ValueError, "seed: expected an integer >= 0, got -1"),
        ("cifar10-54k", {"seed": 0.5}, TypeError, "seed: expected an integer, got float"),
        ("cifar10-54k", {"validation": -1}, ValueError, "validation: expected an integer >= 0, got -1"),
        ("cifar10-54k", {"validation": 55}, ValueError, "validation: .* multiple of 10 .*, got 55 of 5000"),
        ("cifar10-54k", {"validation": 5_000}, ValueError, "validation: .* multiple of 10 .*, got 5000 of 5000"),
        ("cifar10-unsup", {"validation": 10}, ValueError, "validation: expected 0 .*, which labels no item, got 10"),
        ("digits-semi", {"validation": 10}, ValueError, "validation: expected 0 .* its own validation part, got 10"),
    ],
)
def test_options_are_checked(name, options, error, message):
    with pytest.raises(error, match=f"^make_split: {message}"):
        make_split(name, LABELS.get(name), **options)
