"""The expected term of convention D, whatever the size of the bucket."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import pytest

from fasthash.evaluation.first_hits import expected_first_hits


@pytest.mark.parametrize("items", range(2, 8))
def test_is_the_mean_over_all_places_of_the_relevant_items(items):
    for relevant in range(2, items + 1):
        for wanted in range(1, relevant):
            for before, relevant_before in ((0, 0), (5, 2), (3, 3)):
                sums = [
                    sum(Fraction(relevant_before + j + 1, before + p + 1) for j, p in enumerate(places[:wanted]))
                    for places in combinations(range(items), relevant)
                ]
                value = expected_first_hits(items, relevant, before, relevant_before, wanted)
                assert value == pytest.approx(float(sum(sums) / len(sums)), abs=1e-13)


@pytest.mark.parametrize(("items", "relevant", "wanted"), [(300, 90, 50), (300, 90, 1), (300, 90, 89), (200, 199, 100)])
def test_is_the_sum_over_places_and_hits_before(items, relevant, wanted):
    """The double sum that defines it, in fractions."""
    before, relevant_before = 100, 30
    total = sum(
        Fraction(comb(i - 1, y) * comb(items - i, relevant - 1 - y), comb(items, relevant))
        * Fraction(relevant_before + y + 1, before + i)
        for i in range(1, items + 1)
        for y in range(min(wanted, i))
    )
    value = expected_first_hits(items, relevant, before, relevant_before, wanted)
    assert value == pytest.approx(float(total), rel=1e-11)


def test_a_bucket_of_a_whole_database_keeps_its_digits():
    """Wanting all but none of the others gives nearly the whole bucket: sums grow with every wanted item."""
    values = [expected_first_hits(54_000, 5_400, 0, 0, wanted) for wanted in (1, 2_000, 5_000, 5_399)]
    assert values == sorted(values)
    # Place i of the bucket has precision close to 0.1, and the first m hits add about m of that.
    assert values[2] == pytest.approx(500, rel=0.01)
