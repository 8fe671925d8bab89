"""Codes that a supervised method learned, where FASTHASH_DATA has them: few of them different, most of them tied."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from metric_oracles import average_precision, in_order

from fasthash import evaluation


@pytest.fixture
def codes():
    path = Path(os.environ.get("FASTHASH_DATA", "data")) / "hash-codes" / "cifar-10.npz"
    if not path.is_file():
        pytest.skip(f"no learned codes: {path} is not there; FASTHASH_DATA names another folder")
    arrays = np.load(path)
    return arrays["query_48"], arrays["database_48"]


def test_collapsed_codes(codes):
    queries, items = codes
    rng = np.random.default_rng(0)
    labels = np.unique(items, axis=0, return_inverse=True)[1].reshape(-1) % 10
    labels = np.where(rng.random(len(items)) < 0.2, rng.integers(0, 10, len(items)), labels)
    query_labels = rng.integers(0, 10, len(queries))
    report = evaluation.evaluate(queries, items, query_labels, labels, k=(1000,))
    names = {alarm.name for alarm in report.alarms}
    assert {"duplicate codes", "ties decide"} <= names
    assert report.database_bits.distinct < 100
    scores = {
        ties: evaluation.mean_average_precision(queries, items, query_labels, labels, k=1000, ties=ties)
        for ties in ("index", "best", "worst")
    }
    for i in (0, 7, 300):
        distances = np.bitwise_count(items ^ queries[i]).sum(axis=1).tolist()
        grades = (labels == query_labels[i]).astype(int).tolist()
        for ties, score in scores.items():
            definition = average_precision(in_order(distances, grades, ties), 1000, "hits")
            assert score.per_query[i] == pytest.approx(float(definition), abs=1e-9)
