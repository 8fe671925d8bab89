"""The audit: each row is the function call that it prints, and the range holds what it says."""

from __future__ import annotations

import numpy as np
import pytest

from fasthash import evaluation
from fasthash.evaluation import CONVENTIONS, audit, mean_average_precision, precision_recall_curve


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("k", [1, 30, 5000])
def test_rows_are_the_calls_that_they_print(random_problem, multi, k):
    problem = random_problem(0, multi=multi)
    features = np.random.default_rng(0).standard_normal((212, 4))
    features = features[:12], features[12:]
    result = audit(*problem, k=k, features=features)
    assert [row.convention.letter for row in result.rows] == list("ABCDEFGHIJ") == list(CONVENTIONS)
    for row in result.rows:
        assert row.convention is CONVENTIONS[row.convention.letter]
        if row.convention.letter == "H":
            assert row.by_index == precision_recall_curve(*problem, average="micro").area
            continue
        options = eval(f"dict({row.arguments})", {"features": features})
        assert options["k"] == (k if row.convention.windowed else None)
        if row.convention.letter == "G":
            assert row.by_index == float(mean_average_precision(*problem, **options))
            assert row.expected is None
            continue
        expected = mean_average_precision(*problem, **options)
        by_index = mean_average_precision(*problem, **options, ties="index")
        assert (row.by_index, row.expected) == pytest.approx((float(by_index), float(expected)), abs=1e-13)
        assert (row.best, row.worst) == pytest.approx((expected.best, expected.worst), abs=1e-13, nan_ok=True)
        assert row.empty == by_index.empty
    assert result.queries == 12
    assert ("k=5000 is more than the 200 database codes: windows end there" in result.notes) == (k == 5000)


def test_conventions_differ_as_they_should(random_problem):
    rows = {row.convention.letter: row for row in audit(*random_problem(1), k=30).rows}
    assert rows["C"].by_index > rows["B"].by_index > rows["J"].by_index
    assert rows["E"].by_index > rows["A"].by_index
    assert rows["I"].by_index >= rows["J"].by_index
    assert rows["A"].expected != rows["A"].by_index


def test_the_table_and_its_range(random_problem):
    result = audit(*random_problem(2), k=30)
    assert "G" not in [row.convention.letter for row in result.rows]
    assert "G needs features" in result.notes
    low, high = result.range
    text = str(result)
    assert f"an mAP from {low:.4f} to {high:.4f}" in text
    for row in result.rows:
        line = next(line for line in text.splitlines() if line.startswith(f"{row.convention.letter}  {row.arguments}"))
        for value in (row.by_index, row.expected, row.best, row.worst):
            if value is not None:
                assert f"{value:.4f}" in line
                assert low <= value <= high
        assert f"{row.convention.letter}: {row.convention.rule}" in text


def test_tied_codes_move_a_lot():
    """All items on one code, sorted by class: index order prints 1 for one query and little for the other."""
    codes, labels = np.zeros((2_000, 2), np.uint8), np.repeat([0, 1], 1_000)
    row = audit(codes[:1], codes, labels[:1], labels, k=100).rows[0]
    assert (row.by_index, row.best) == (1, 1)
    assert row.expected == pytest.approx(0.5, abs=0.01)
    assert row.worst == pytest.approx(0.307, abs=0.001)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        ({"bits": 7}, ValueError, "query_codes: expected 1 bytes a code for bits=7, got 2"),
        ({"features": np.zeros((12, 2))}, TypeError, "rerank: expected a pair"),
    ],
)
def test_bad_options(random_problem, options, error, message):
    with pytest.raises(error, match=f"^audit: {message}"):
        audit(*random_problem(0), **options)


def test_audit_is_plain_data(random_problem):
    data = audit(*random_problem(3)).to_dict()
    assert data["rows"][0]["convention"]["letter"] == "A"
    assert isinstance(data["rows"][0]["by_index"], float)
    assert evaluation.audit is audit
