"""Laws that hold on any data: order of the database, bounds, self-exclusion, code forms, blocks, kinds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthash.evaluation import (
    acg_at,
    mean_average_precision,
    mean_average_precision_within_radius,
    ndcg_at,
    precision_at,
    precision_recall_curve,
    precision_within_radius,
    recall_at,
    recall_within_radius,
    stream,
    ties,
    weighted_average_precision,
)

METRICS = {
    "map": mean_average_precision,
    "map@20": lambda *a, **o: mean_average_precision(*a, k=20, **o),
    "map@20 skip": lambda *a, **o: mean_average_precision(*a, k=20, empty="skip", **o),
    "map@20 index": lambda *a, **o: mean_average_precision(*a, k=20, ties="index", **o),
    "p@20": lambda *a, **o: precision_at(*a, 20, **o),
    "r@20": lambda *a, **o: recall_at(*a, 20, **o),
    "p within 3": lambda *a, **o: precision_within_radius(*a, 3, **o),
    "r within 3": lambda *a, **o: recall_within_radius(*a, 3, **o),
    "map within 3": lambda *a, **o: mean_average_precision_within_radius(*a, 3, **o),
    "map of 20 hits": lambda *a, **o: mean_average_precision(*a, k=20, window="relevant", **o),
    "map identical": lambda *a, **o: mean_average_precision(*a, relevance="identical", **o),
    "ndcg@20": lambda *a, **o: ndcg_at(*a, 20, **o),
    "ndcg@20 index": lambda *a, **o: ndcg_at(*a, 20, ties="index", **o),
    "acg@20": lambda *a, **o: acg_at(*a, 20, **o),
    "wap@20": lambda *a, **o: weighted_average_precision(*a, 20, **o),
}
INDEX = ("map@20 index", "ndcg@20 index")
WITHIN = ("p within 3", "r within 3", "map within 3")


@pytest.fixture(params=METRICS)
def name(request):
    return request.param


@pytest.fixture
def metric(name):
    return METRICS[name]


def equal(a, b):
    return np.allclose(a.per_query, b.per_query, rtol=0, atol=1e-13, equal_nan=True) and a.empty == b.empty


@pytest.mark.parametrize("multi", [False, True])
def test_order_of_the_database_matters_to_index_only(random_problem, name, metric, multi):
    queries, items, query_labels, labels = random_problem(1, multi=multi)
    order = np.random.default_rng(0).permutation(len(items))
    same = equal(
        metric(queries, items, query_labels, labels), metric(queries, items[order], query_labels, labels[order])
    )
    assert same == (name not in INDEX)


@pytest.mark.parametrize("divisor", ["relevant", "min"])
@pytest.mark.parametrize("k", [None, 5, 60])
def test_best_and_worst_bound_the_others(random_problem, divisor, k):
    best, expected, index, worst = (
        mean_average_precision(*random_problem(2), k=k, divisor=divisor, ties=policy)
        for policy in ("best", "expected", "index", "worst")
    )
    for middle in (expected, index):
        assert (best.per_query >= middle.per_query - 1e-13).all()
        assert (middle.per_query >= worst.per_query - 1e-13).all()
    assert best > expected > worst
    assert expected.best == float(best)
    assert expected.worst == float(worst)


def test_excluding_oneself_is_deleting_the_row(random_problem, metric):
    _, items, _, labels = random_problem(4, items=60)
    scores = metric(items, items, labels, labels)
    for i in range(0, 60, 7):
        keep = np.arange(60) != i
        assert equal(metric(items[[i]], items[keep], labels[[i]], labels[keep]), metric(
            items[[i]], items, labels[[i]], labels, exclude=np.array([i])
        ))  # fmt: skip
        alone = metric(items[[i]], items[keep], labels[[i]], labels[keep]).per_query[0]
        assert scores.per_query[i] == pytest.approx(alone, abs=1e-13, nan_ok=True)
    assert not equal(scores, metric(items, items, labels, labels, exclude=None))
    assert equal(metric(items, items.copy(), labels, labels), metric(items, items, labels, labels, exclude=None))


def test_forms_of_codes_agree(random_problem, metric):
    queries, items, query_labels, labels = random_problem(5)
    q, d = (np.unpackbits(codes, axis=1) for codes in (queries, items))
    packed = metric(queries, items, query_labels, labels)
    forms = [
        (q > 0, d > 0),
        (q * 2.0 - 1, d * 2.0 - 1),
        (q.astype(np.int8) * 2 - 1, d.astype(np.int8)),
        (q.astype(np.float16), d.astype(np.int64)),
        (queries, d > 0),
    ]
    for a, b in forms:
        assert equal(metric(a, b, query_labels, labels), packed)


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.float32, torch.uint8])
def test_tensors_agree_with_arrays(random_problem, metric, dtype):
    queries, items, query_labels, labels = random_problem(6, multi=True)
    codes = [
        torch.from_numpy(c if dtype == torch.uint8 else np.unpackbits(c, axis=1)).to(dtype) for c in (queries, items)
    ]
    for label_dtype in (torch.int64, torch.bool, torch.float32):
        targets = [torch.from_numpy(x).to(label_dtype) for x in (query_labels, labels)]
        score = metric(*codes, *targets)
        assert isinstance(score.per_query, np.ndarray)
        assert equal(score, metric(queries, items, query_labels, labels))
    assert equal(metric(codes[1], codes[1], targets[1], targets[1]), metric(items, items, labels, labels))


def test_layout_and_flags_of_the_inputs_do_not_matter(random_problem, name, metric):
    queries, items, query_labels, labels = random_problem(10)
    plain = metric(queries, items, query_labels, labels)
    signs = np.unpackbits(items, axis=1) * 2.0 - 1
    for array in (queries, items, query_labels, labels, signs):
        array.flags.writeable = False
    assert equal(metric(queries, items, query_labels, labels), plain)
    # Reversing the database, here by negative strides, may change index order and nothing else.
    assert equal(metric(queries, signs[::-1].astype(">f4"), query_labels, labels[::-1].astype(">i4")), plain) == (
        name not in INDEX
    )
    wide = torch.from_numpy(np.repeat(signs, 2, axis=1))
    tensors = [torch.from_numpy(x.copy()) for x in (queries, query_labels, labels)]
    assert equal(metric(tensors[0], wide[:, ::2], tensors[1], tensors[2].to(torch.int8)), plain)


@pytest.mark.parametrize("bits", [12, 9, 3])
def test_spare_bits_do_not_count(name, metric, bits):
    rng = np.random.default_rng(bits)
    q, d = rng.random((10, bits)) < 0.5, rng.random((90, bits)) < 0.5
    query_labels, labels = rng.integers(0, 3, 10), rng.integers(0, 3, 90)
    packed = metric(np.packbits(q, axis=1), np.packbits(d, axis=1), query_labels, labels, bits=bits)
    assert equal(packed, metric(q, d, query_labels, labels))
    assert equal(packed, metric(np.packbits(q, axis=1), d, query_labels, labels))
    # Repeating each bit eight times makes whole bytes and the same ranking.
    if name not in WITHIN:
        assert equal(packed, metric(q.repeat(8, axis=1), d.repeat(8, axis=1), query_labels, labels))


def test_blocks_of_queries_change_nothing(random_problem, metric, monkeypatch):
    problem = random_problem(7, queries=23)
    whole, curve = metric(*problem), precision_recall_curve(*problem)
    monkeypatch.setattr(stream, "_BLOCK_BINS", 4 * 17)
    monkeypatch.setattr(stream, "_BLOCK_GRADES", 4 * 17 * 2)
    monkeypatch.setattr(ties, "_MAX_TERMS", 50)
    exclude = np.arange(23)
    assert equal(metric(*problem), whole)
    assert precision_recall_curve(*problem).precision == pytest.approx(curve.precision, abs=1e-14)
    blocked = metric(*problem, exclude=exclude)
    monkeypatch.undo()
    assert equal(blocked, metric(*problem, exclude=exclude))


@pytest.mark.parametrize("metric", [precision_within_radius, recall_within_radius])
def test_doubling_the_database_leaves_radius_metrics_alone(random_problem, metric):
    queries, items, query_labels, labels = random_problem(8)
    doubled = metric(queries, items.repeat(2, axis=0), query_labels, labels.repeat(2), 4)
    assert equal(metric(queries, items, query_labels, labels, 4), doubled)


def test_items_without_labels_are_relevant_to_nothing(random_problem, metric):
    queries, items, _, labels = random_problem(9)
    none = np.full(len(queries), -1)
    score = metric(queries, items, none, labels)
    assert np.nansum(score.per_query) == 0
    no_sets = metric(queries, items, np.zeros((len(queries), 4)), np.ones((len(items), 4)))
    assert np.nansum(no_sets.per_query) == 0


def test_no_queries_and_no_items():
    codes, labels = np.zeros((5, 2), np.uint8), np.zeros(5, int)
    for policy in ("expected", "index"):
        score = mean_average_precision(codes[:0], codes, labels[:0], labels, ties=policy)
        assert np.isnan(score)
        assert score.per_query.shape == (0,)
        for empty, value in (("zero", 0.0), ("skip", np.nan)):
            score = mean_average_precision(codes, codes[:0], labels, labels[:0], k=3, ties=policy, empty=empty)
            assert float(score) == pytest.approx(value, nan_ok=True)
            assert score.empty == 5
    assert precision_within_radius(codes, codes[:0], labels, labels[:0]).empty_share == 1
    assert np.isnan(precision_recall_curve(codes[:0], codes, labels[:0], labels, empty="skip").precision).all()
