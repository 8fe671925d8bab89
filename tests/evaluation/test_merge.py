"""Equal rows are counted once where that pays, and nothing shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthash import evaluation
from fasthash.evaluation import merge
from fasthash.evaluation.inputs import prepare


@pytest.fixture
def collapsed(monkeypatch):
    """2,000 items and 1,000 queries on 12 codes, with class ids or label sets; merging is tried from 256 rows on."""
    monkeypatch.setattr(merge, "_SAMPLE", 128)

    def make(multi: bool, bits: int = 24):
        rng = np.random.default_rng(0)
        centres = rng.integers(0, 256, (12, bits // 8), dtype=np.uint8)
        codes = [centres[rng.integers(0, 12, n) ** 2 // 12] for n in (1_000, 2_000)]
        sets = rng.random((7, 9)) < 0.3
        ids = [rng.integers(-1, 7, n) for n in (1_000, 2_000)]
        return (*codes, *(sets[i] for i in ids)) if multi else (*codes, *ids)

    return make


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("bits", [8, 24, 96])
@pytest.mark.parametrize("ties", ["expected", "index"])
def test_nothing_shows(collapsed, monkeypatch, multi, bits, ties):
    problem = collapsed(multi, bits)
    inputs = prepare("test", *problem, None, None)
    layers = list(merge.database_layers(inputs))
    assert sum(len(layer.codes) for layer in layers) < 600
    assert sum(layer.weight * len(layer.codes) for layer in layers) == 2_000
    different, merged = merge.different_queries(inputs)
    assert len(different.queries) <= 12 * 8
    assert np.array_equal(different.queries[merged.inverse], inputs.queries)
    assert np.array_equal(different.query_labels[merged.inverse], inputs.query_labels)

    report = evaluation.evaluate(*problem, k=(10, 700), ties=ties)
    by_rank = evaluation.precision_recall_curve(*problem, by="rank", points=(1, 50, 700), ties=ties)
    monkeypatch.setattr(merge, "_merge", lambda *_: None)
    plain = evaluation.evaluate(*problem, k=(10, 700), ties=ties)
    one_by_one = evaluation.precision_recall_curve(*problem, by="rank", points=(1, 50, 700), ties=ties)
    assert by_rank.precision == pytest.approx(one_by_one.precision, rel=1e-12)
    assert by_rank.recall == pytest.approx(one_by_one.recall, rel=1e-12)
    assert len(plain.scores) == len(report.scores)
    for name, score in plain.scores.items():
        assert report[name].per_query == pytest.approx(score.per_query, abs=1e-13), name
        assert float(report[name]) == pytest.approx(float(score), rel=1e-12)
        assert report[name].empty == score.empty
    for name, curve in plain.curves.items():
        assert report.curves[name].precision == pytest.approx(curve.precision, rel=1e-12)
        assert report.curves[name].recall == pytest.approx(curve.recall, rel=1e-12)
    assert np.array_equal(report.distances.relevant, plain.distances.relevant)
    assert np.array_equal(report.distances.irrelevant, plain.distances.irrelevant)


def test_blocks_are_merged_each_for_itself(collapsed, monkeypatch):
    problem = collapsed(False)
    expected = evaluation.mean_average_precision(*problem)
    monkeypatch.setattr(merge, "_BLOCK_ROWS", 1_800)
    layers = list(merge.database_layers(prepare("test", *problem, None, None)))
    assert [len(layer.codes) for layer in layers if layer.first == 1_800] == [200]  # too few to try
    assert np.array_equal(evaluation.mean_average_precision(*problem).per_query, expected.per_query)


def test_tensors_are_merged_too(collapsed):
    problem = collapsed(True)
    tensors = [torch.from_numpy(x) for x in problem]
    assert sum(len(layer.codes) for layer in merge.database_layers(prepare("test", *tensors, None, None))) < 600
    expected = evaluation.mean_average_precision(*problem)
    assert np.array_equal(evaluation.mean_average_precision(*tensors).per_query, expected.per_query)


@pytest.mark.parametrize("what", ["different codes", "exclude", "grades", "few rows"])
def test_what_is_not_merged(collapsed, what):
    queries, items, query_labels, labels = collapsed(False)
    options = {}
    if what == "different codes":
        items = np.random.default_rng(0).integers(0, 256, (2_000, 8), dtype=np.uint8)
        queries = items[:10]
        query_labels = query_labels[:10]
    if what == "exclude":
        options["exclude"] = np.zeros(1_000, dtype=np.int64)
    if what == "few rows":
        items, labels = items[:200], labels[:200]
    inputs = prepare("test", queries, items, query_labels, labels, None, options.get("exclude"))
    if what == "grades":
        inputs = prepare("test", queries[:2], items, None, None, None, None, grades=np.zeros((2, 2_000), np.uint8))
        assert merge.different_queries(inputs) == (inputs, None)
        return
    assert [layer.weight for layer in merge.database_layers(inputs)] == [1]


def test_rows_whose_hashes_meet_are_not_mixed_up(collapsed, monkeypatch):
    problem = collapsed(False)
    expected = evaluation.mean_average_precision(*problem)
    monkeypatch.setattr(merge, "row_hashes", lambda words: words[:, 0] % 5)
    assert [layer.weight for layer in merge.database_layers(prepare("test", *problem, None, None))] == [1]
    assert np.array_equal(evaluation.mean_average_precision(*problem).per_query, expected.per_query)
