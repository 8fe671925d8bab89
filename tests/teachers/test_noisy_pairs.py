import itertools

import numpy as np
import pytest
import torch

from fasthash.teachers import histogram_threshold, pair_distances, quantile_threshold


def distances(n=5000, seed=0):
    """Two humps: few near pairs, many around 0.7."""
    rng = np.random.default_rng(seed)
    near, far = rng.normal(0.2, 0.04, n // 20), rng.normal(0.7, 0.08, n)
    return torch.from_numpy(np.concatenate([near, far]).clip(0, 2)).float()


def test_distances_by_hand():
    features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    torch.testing.assert_close(pair_distances(features), torch.tensor([0.2, 1.0, 0.4]))
    expected = [1 - float(features[i] @ features[j]) for i, j in itertools.combinations(range(3), 2)]
    assert pair_distances(features).tolist() == pytest.approx(expected)


def test_the_histogram_rule_as_its_release_has_it():
    """100 bins, the fullest one's left edge, a Gaussian fitted to the left part and its mirror image."""
    found = distances().double().numpy()
    counts, edges = np.histogram(found, bins=np.arange(0, 1.01, 0.01))
    middle = edges[counts.argmax()]
    left = found[found <= middle]
    mirrored = np.concatenate([left, 2 * middle - left])
    assert mirrored.mean() == pytest.approx(middle)
    threshold = histogram_threshold(distances())
    assert threshold == pytest.approx(mirrored.mean() - 2 * mirrored.std(), abs=1e-5)
    assert 0.3 < threshold < 0.6
    assert histogram_threshold(torch.full((9,), 1.5)) == pytest.approx(1.5)


def test_a_quantile_leaves_that_share_below():
    found = distances()
    for share in (0.001, 0.05, 0.5, 0.999):
        below = int((found < quantile_threshold(found, share)).sum())
        assert abs(below - share * len(found)) <= 1
    assert quantile_threshold(torch.tensor([3.0]), 0.99) == 3


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="histogram_threshold: distances must be at least one, got none"):
        histogram_threshold(torch.empty(0))
    with pytest.raises(ValueError, match="quantile_threshold: distances must be at least one, got none"):
        quantile_threshold(torch.empty(0), 0.5)
    with pytest.raises(ValueError, match=r"quantile_threshold: share must lie in \(0, 1\), got 1"):
        quantile_threshold(torch.ones(2), 1)
