"""Two reports side by side: the intervals are those of a plain bootstrap, and they cover what they say."""

from __future__ import annotations

import numpy as np
import pytest

from fasthash.evaluation import compare, evaluate


@pytest.fixture
def report():
    def make(noise: float, seed: int = 0, queries: int = 60, **options):
        rng = np.random.default_rng(7)
        labels = rng.integers(0, 3, 400)
        centres = rng.random((3, 16)) < 0.5
        rng = np.random.default_rng(seed)
        codes = np.where(rng.random((400, 16)) < noise, rng.random((400, 16)) < 0.5, centres[labels])
        return evaluate(codes[:queries], codes[queries:], labels[:queries], labels[queries:], **{"k": (10,), **options})

    return make


def test_a_report_equals_itself(report):
    result = compare(report(0.5), report(0.5))
    assert not result.left_out
    for difference in result.differences.values():
        assert (difference.difference, difference.low, difference.high, difference.clear) == (0, 0, 0, False)


def test_differences_and_their_direction(report):
    a, b = report(0.9), report(0.4)
    result = compare(a, b, names=("noisy", "clean"))
    d = result.differences["mAP@all"]
    assert (d.a, d.b) == (float(a["mAP@all"]), float(b["mAP@all"]))
    assert d.difference == pytest.approx(d.b - d.a)
    assert d.difference > 0.1
    assert 0 < d.low < d.difference < d.high
    assert d.clear
    back = compare(b, a).differences["mAP@all"]
    assert (back.low, back.high) == pytest.approx((-d.high, -d.low), abs=0.01)
    table = str(result)
    assert "noisy" in table
    assert "clean" in table
    assert "95% interval" in table
    assert "2,000 resamples, seed 0" in table
    assert next(line for line in table.splitlines() if line.startswith("mAP@all")).endswith(" *")


@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_intervals_are_those_of_a_plain_bootstrap(report, empty):
    """The same draws, one resample at a time."""
    a, b = report(0.9, empty=empty, radius=1), report(0.7, empty=empty, radius=1)
    result = compare(a, b, resamples=200, confidence=0.8, seed=5)
    rng = np.random.default_rng(5)
    draws = rng.integers(0, 60, (200, 60))
    for name in ("mAP@all", "precision within radius 1"):
        means = [
            [
                np.nanmean(x[name].per_query[rows]) if np.isfinite(x[name].per_query[rows]).any() else np.nan
                for x in (a, b)
            ]
            for rows in draws
        ]
        low, high = np.nanquantile(np.diff(means, axis=1), [0.1, 0.9])
        assert (result.differences[name].low, result.differences[name].high) == pytest.approx((low, high), abs=1e-12)
    assert result.confidence == 0.8
    again = compare(a, b, resamples=200, confidence=0.8, seed=5)
    assert str(again) == str(result)
    assert str(compare(a, b, resamples=200, confidence=0.8, seed=6)) != str(result)


def test_blocks_of_draws_change_nothing(report, monkeypatch):
    import sys

    a, b = report(0.9), report(0.6)
    whole = compare(a, b, resamples=150)
    monkeypatch.setattr(sys.modules["fasthash.evaluation.compare"], "_BLOCK", 60 * 7)
    blocked = compare(a, b, resamples=150)
    for name, difference in whole.differences.items():
        assert blocked.differences[name].low == pytest.approx(difference.low, abs=1e-12)
        assert blocked.differences[name].high == pytest.approx(difference.high, abs=1e-12)


def test_pairs_are_what_makes_intervals_narrow(report):
    """Differences of paired queries vary less than the scores themselves."""
    a, b = report(0.6, seed=1), report(0.6, seed=1, radius=3)
    difference = compare(a, b).differences["mAP@all"]
    assert difference.high - difference.low == 0
    other = compare(a, report(0.6, seed=2)).differences["mAP@all"]
    assert other.high - other.low > 0


def test_metrics_of_other_conventions_are_left_out(report):
    result = compare(report(0.6), report(0.6, k=(20,), ties="index"))
    assert "mAP@all" in result.left_out
    assert "mAP@10" in result.left_out
    assert "mAP@20" in result.left_out
    assert set(result.differences) == {"precision within radius 2", "recall within radius 2"}
    assert "not comparable: mAP@all, mAP@10" in str(result)


def test_other_queries_are_refused(report):
    a = report(0.6)
    with pytest.raises(ValueError, match="compare: b: expected a report of the same 60 queries, got 50 queries"):
        compare(a, report(0.6, queries=50))
    rng = np.random.default_rng(0)
    codes, labels = rng.random((400, 16)) < 0.5, rng.integers(0, 3, 400)
    other = evaluate(codes[:60], codes[60:], labels[:60], labels[60:])
    with pytest.raises(ValueError, match="got 60 queries with other labels"):
        compare(a, other)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"resamples": 99}, ValueError, "resamples: expected at least 100, got 99"),
        ({"confidence": 1.0}, ValueError, "confidence: expected a number between 0 and 1, got 1.0"),
        ({"confidence": 0}, ValueError, "confidence: expected a number between 0 and 1"),
    ],
)
def test_bad_options(report, options, error, message):
    with pytest.raises(error, match=f"^compare: {message}"):
        compare(report(0.5), report(0.5), **options)


def test_only_reports_are_compared(report):
    with pytest.raises(TypeError, match="compare: b: expected a RetrievalReport, got float"):
        compare(report(0.5), 0.5)
