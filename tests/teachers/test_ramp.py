import math

import pytest

from fasthash.teachers import rampup_weight


def test_worked_sequence():
    weights = [rampup_weight(epoch, 4, 20.0) for epoch in range(6)]
    assert weights == pytest.approx([0, 1.2011, 5.7301, 14.6323, 20, 20], abs=5e-5)


def test_fractions_of_epochs():
    assert rampup_weight(0.999, 4, 20.0) == 0
    assert rampup_weight(2.5, 4, 1.0) == pytest.approx(math.exp(-5 * 0.375**2))


def test_without_a_ramp_the_first_epoch_is_still_supervised():
    assert [rampup_weight(epoch, 0, 3.0) for epoch in range(3)] == [0, 3, 3]


@pytest.mark.parametrize("arguments", [(-1, 4), (1, -4)])
def test_negative_times_are_refused(arguments):
    with pytest.raises(ValueError, match=f"must be >= 0, got {arguments[0]} and {arguments[1]}"):
        rampup_weight(*arguments, 1.0)
