"""Each alarm fires when it should and holds its peace when it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthash.evaluation import alarms, evaluate
from fasthash.evaluation.bit_statistics import bit_statistics
from fasthash.evaluation.score import Score

BITS = 16


@pytest.fixture
def healthy():
    """32-bit codes near one centre a class: good, not perfect, and in no order."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 700)
    centres = np.array([np.roll(np.arange(32) % 2, i) ^ (np.arange(32) // 8 == i) for i in range(4)]).astype(bool)
    codes = np.where(rng.random((700, 32)) < 0.2, rng.random((700, 32)) < 0.5, centres[labels])
    return codes[:100], codes[100:], labels[:100], labels[100:]


def raised(problem, **options) -> dict[str, alarms.Alarm]:
    report = evaluate(*problem, **{"k": (), "radius": 6, **options})
    return {alarm.name: alarm for alarm in report.alarms}


def test_healthy_codes_raise_none(healthy):
    assert raised(healthy) == {}
    assert raised(healthy, ties="index") == {}


def test_every_alarm_says_what_why_and_what_to_do(healthy):
    queries, items, *labels = healthy
    alarm = raised((queries & [False] + [True] * 31, items, *labels))["constant bits"]
    assert alarm.seen == "1 of 32 bits are equal in all query codes: 0"
    assert str(alarm) == f"warning: constant bits: {alarm.seen}. {alarm.why} {alarm.remedy}"


@pytest.mark.parametrize("side", ["query", "database"])
def test_constant_and_unbalanced_bits(healthy, side):
    queries, items, *labels = (x.copy() for x in healthy)
    codes = queries if side == "query" else items
    codes[:, [3, 30]] = True
    found = raised((queries, items, *labels))
    assert f"2 of 32 bits are equal in all {side} codes: 3, 30" in found["constant bits"].seen
    assert "unbalanced bits" not in found
    codes[:2, 3] = False
    found = raised((queries, items, *labels))
    assert "codes: 30" in found["constant bits"].seen
    assert f"of the {side} codes: 3" in found["unbalanced bits"].seen


def test_balance_at_the_threshold():
    for share, fires in ((0.04, True), (0.05, False), (0.95, False), (0.96, True), (0.5, False)):
        codes = np.packbits(np.arange(100)[:, None] < 100 * share, axis=1)
        assert (alarms.unbalanced_bits("query", bit_statistics(codes, 1)) is not None) == fires, share


def test_duplicate_codes(healthy):
    queries, items, query_labels, labels = healthy
    few = items[np.arange(len(items)) % 11]
    found = raised((queries, few, query_labels, labels))
    assert "11 different codes among 600 in the database (duplicate rate 0.9817" in found["duplicate codes"].seen
    assert "9.2% of the items" in found["duplicate codes"].seen
    assert "fewer codes than classes" not in found


def test_duplicates_of_short_codes_are_to_be_expected():
    rng = np.random.default_rng(0)
    random = rng.integers(0, 256, (5_000, 1), dtype=np.uint8)  # all 256 codes occur, and no more can
    assert alarms.duplicate_codes(bit_statistics(random, 8)) is None
    assert alarms.duplicate_codes(bit_statistics(random & 0b11111000, 8)) is not None


def test_fewer_codes_than_classes(healthy):
    queries, items, query_labels, labels = healthy
    for codes, fires in ((3, True), (4, False)):
        problem = queries, items[np.arange(len(items)) % codes], query_labels, labels
        assert ("fewer codes than classes" in raised(problem)) == fires
    multi = [np.eye(4, dtype=int)[x] for x in (query_labels, labels)]
    alarm = raised((queries, items[np.arange(len(items)) % 3], *multi))["fewer codes than classes"]
    assert alarm.seen == "3 different codes for 4 classes in the database"


def test_equal_average_precision(healthy):
    queries, items, query_labels, labels = healthy
    balanced = np.arange(600) % 4
    same = raised((queries, np.broadcast_to(items[0], items.shape), query_labels, balanced))
    assert same["equal AP"].seen.startswith("all 100 queries have AP 0.25")
    assert same["equal AP"].level == "warning"
    perfect = raised((items[:2], items, np.array([0, 0]), np.zeros(600, int)))
    assert perfect["equal AP"].level == "hint"
    assert "equal AP" not in raised((queries[:1], items, query_labels[:1], labels))


def test_near_chance(healthy):
    queries, items, query_labels, labels = healthy
    equal = raised((queries, np.broadcast_to(items[0], items.shape), query_labels, labels))
    assert "chance level" in equal
    rng = np.random.default_rng(0)
    random = rng.integers(0, 256, (20_000, 4), dtype=np.uint8), rng.integers(0, 4, 20_000)
    assert "chance level" in raised((random[0][:100], random[0], random[1][:100], random[1]))


def test_chance_at_the_threshold():
    for value, fires in ((0.1, True), (0.1009, True), (0.1011, False), (0.0989, False), (float("nan"), False)):
        score = Score(value, np.array([value]), 0, "mAP")
        assert (alarms.near_chance(score, 0.1) is not None) == fires


def test_ties_decide(healthy):
    queries, items, query_labels, labels = healthy
    coarse = raised((queries[:, :6], items[:, :6], query_labels, labels))
    assert "ties decide" in coarse
    for spread, fires in ((0.019, False), (0.021, True)):
        score = Score(0.5, np.array([0.5]), 0, "mAP", best=0.5 + spread, worst=0.5)
        assert (alarms.ties_decide(score) is not None) == fires


@pytest.mark.parametrize("multi", [False, True])
def test_sorted_database(healthy, multi):
    queries, items, query_labels, labels = healthy
    forms = (np.eye(4, dtype=int)[query_labels], np.eye(4, dtype=int)) if multi else (query_labels, np.arange(4))
    order = np.argsort(labels, kind="stable")
    sorted_problem = queries, items[order], forms[0], forms[1][labels[order]]
    found = raised(sorted_problem, ties="index")
    assert "the 600 database items come in 4 runs of equal labels" in found["sorted database"].seen
    assert "sorted database" not in raised(sorted_problem, ties="expected")
    assert "sorted database" not in raised((queries, items, forms[0], forms[1][labels]), ties="index")


def test_few_items_of_many_classes_are_not_sorted():
    assert alarms.sorted_database(np.arange(50)) is None
    assert alarms.sorted_database(np.zeros(50, int)) is None
    assert alarms.sorted_database(np.repeat(np.arange(25), 3)) is not None


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_zeros_at_the_sign_step(healthy, side, kind):
    problem = [kind(x * 2.0 - 1) if x.dtype == bool else kind(x) for x in healthy]
    assert "zeros at the sign step" not in raised(problem)
    problem[side][:2, 5] = 0
    alarm = raised(problem)["zeros at the sign step"]
    name, rows = (("query", 100), ("database", 600))[side]
    assert alarm.seen.startswith(f"2 of {32 * rows:,} entries of the {name} codes are 0")


def test_zeros_of_0_1_codes_are_bits(healthy):
    problem = [x.astype(np.float32) if x.dtype == bool else x for x in healthy]
    assert raised(problem) == {}
    problem = [x.astype(np.int8) if x.dtype == bool else x for x in healthy]
    assert raised(problem) == {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_overlap_of_features(healthy, dtype, kind):
    rng = np.random.default_rng(0)
    features = (rng.random((700, 5)) * 200).astype(dtype)
    queries, items = features[:100].copy(), features[100:]
    problem = [kind(x) for x in healthy]
    options = {"database_features": kind(items)}
    assert "overlap" not in raised(problem, query_features=kind(queries), **options)
    queries[[3, 50, 99]] = items[[7, 7, 599]]
    alarm = raised(problem, query_features=kind(queries), **options)["overlap"]
    assert alarm.seen == "3 of 100 queries have the same features as an item of the database"
    own = kind(np.zeros(100, dtype=np.int64))  # whoever names rows knows of them
    assert "overlap" not in raised(problem, query_features=kind(queries), exclude=own, **options)


def test_features_that_do_not_fit(healthy):
    a, b = np.zeros((100, 3)), np.zeros((600, 4))
    with pytest.raises(ValueError, match=r"evaluate: query_features: expected shapes \(q, d\) and \(n, d\)"):
        evaluate(*healthy, query_features=a, database_features=b)
    with pytest.raises(TypeError, match="evaluate: database_features: expected float64 as the queries, got float32"):
        evaluate(*healthy, query_features=a, database_features=b[:, :3].astype(np.float32))


def test_small_recall(healthy):
    queries, items, *labels = healthy
    far = raised((queries, ~items, *labels), radius=2)
    assert far["small recall"].level == "hint"
    assert "recall within radius 2 is 0.0000 at 32 bits" in far["small recall"].seen
    assert "small recall" not in raised((queries[:, :16], ~items[:, :16], *labels), radius=2)


def test_equal_directions():
    assert alarms.equal_directions({"a->b": 0.1, "b->a": 0.1 + 1e-7}) is not None
    assert alarms.equal_directions({"a->b": 0.1, "b->a": 0.1 + 1e-5}) is None
    assert alarms.equal_directions({"a->b": 0.1}) is None
