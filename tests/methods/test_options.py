import math

import numpy as np
import pytest

from fasthash.methods._options import check_choice, check_count, check_range


def test_ends_belong_to_an_interval_or_not():
    check_range("M", "[0, 1]", a=0, b=1, c=0.5, d=None, e=np.float32(0.5))
    check_range("M", "(0, inf)", a=1e-300, b=1e300)
    for interval, value in (("(0, 1]", 0), ("[0, 1)", 1), ("[0, 1]", math.nan), ("(0, inf)", math.inf), ("[0, 1]", -1)):
        with pytest.raises(ValueError, match=r"M: near must lie in .*, got"):
            check_range("M", interval, far=0.5, near=value)
    for wrong in ("0.5", True, [1]):
        with pytest.raises(TypeError, match="M: near must be a number, got"):
            check_range("M", "[0, 1]", near=wrong)


def test_counts_are_whole_numbers():
    check_count("M", 1, a=1, b=None, c=np.int64(3))
    with pytest.raises(ValueError, match="M: bits must be >= 1, got 0"):
        check_count("M", 1, a=1, bits=0)
    for wrong in (1.0, "1", True):
        with pytest.raises(TypeError, match="M: bits must be a whole number, got"):
            check_count("M", 1, bits=wrong)


def test_choices_are_named():
    check_choice("M", ("a", "b"), x="a", y="b")
    with pytest.raises(ValueError, match="M: y must be one of 'a', 'b', got 'c'"):
        check_choice("M", ("a", "b"), x="a", y="c")
