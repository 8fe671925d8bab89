import pytest
import torch

from fasthash.ops import pack
from fasthash.ops.reference import hamming_distance
from fasthash.teachers import far_window, near_count, near_far_lists, near_far_lists_of_codes


def points(n=30, d=5, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_rules_of_the_release():
    assert [near_count(n) for n in (1, 2, 3, 9, 24, 128)] == [1, 1, 1, 3, 8, 8]
    assert [far_window(128, bits) for bits in (12, 24, 32, 48)] == [(120, 4), (114, 10), (114, 10), (114, 10)]
    assert far_window(256, 12) == (228, 20)
    assert far_window(64, 48) == (57, 5)


@pytest.mark.parametrize("items", range(1, 12))
@pytest.mark.parametrize("window", [None, (120, 4), (0, 300), (9, 1)])
def test_windows_lie_within_the_batch(items, window):
    start, length = far_window(items, 48, window)
    assert start >= 0
    assert length >= 1
    assert start + length <= items


@pytest.mark.parametrize("window", [(0, 30), (25, 4), (29, 1)])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_lists_are_the_two_ends_of_the_sorted_batch(window, exclude_self):
    x = points()
    near, far = near_far_lists(x, 6, window, exclude_self=exclude_self)
    order = torch.cdist(x.double(), x.double()).sort(1).indices
    assert torch.equal(near, order[:, 1:7] if exclude_self else order[:, :6])
    assert torch.equal(far, order[:, window[0] : sum(window)])


@pytest.mark.parametrize(("dtype", "offset"), [(torch.float32, 100.0), (torch.float64, 1e7)])
def test_vectors_far_from_zero_keep_their_order(dtype, offset):
    x = points(300, 16).to(dtype) + offset
    near, far = near_far_lists(x, 20, (270, 20))
    order = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist").sort(1).indices
    # Neighbours in the order may lie as close as a rounding.
    assert (near == order[:, :20]).float().mean() > 0.999
    assert (far == order[:, 270:290]).float().mean() > 0.999


def test_rank_0_is_the_item_itself_and_ties_go_to_the_lower_place():
    near, far = near_far_lists(torch.full((5, 3), 0.3), 3, (3, 2))
    assert near.tolist() == [[0, 1, 2], [1, 0, 2], [2, 0, 1], [3, 0, 1], [4, 0, 1]]
    assert far.tolist() == [[3, 4], [3, 4], [3, 4], [2, 4], [2, 3]]


def test_no_gradient_and_no_low_precision_under_autocast():
    x = points().requires_grad_()
    plain = near_far_lists(x, 6, (25, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = near_far_lists(x, 6, (25, 4))
    for a, b in zip(plain, low, strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad


@pytest.mark.parametrize("bits", [12, 48])
@pytest.mark.parametrize("window", [(0, 30), (25, 4), (29, 1)])
def test_lists_by_codes_are_the_sorted_ends_up_to_ties(bits, window):
    z = points(d=bits)
    z[7] = z[3]
    z[:, 2] = 0
    near, far = near_far_lists_of_codes(z, 6, window)
    codes = pack(z).numpy()
    distance = torch.from_numpy(hamming_distance(codes, codes)).long()
    ends = distance.sort(1).values
    assert torch.equal(distance.gather(1, near), ends[:, :6])
    assert torch.equal(distance.gather(1, far), ends[:, window[0] : sum(window)])
    near, _ = near_far_lists_of_codes(z, 6, window, exclude_self=True)
    assert not (near == torch.arange(30)[:, None]).any()


@pytest.mark.parametrize("lists", [near_far_lists, near_far_lists_of_codes])
def test_few_items_give_places_without_one(lists):
    near, far = lists(points(2, 8), 3, (0, 2), exclude_self=True)
    assert near.tolist() == [[1, -1, -1], [0, -1, -1]]
    assert far.shape == (2, 2)


@pytest.mark.parametrize("lists", [near_far_lists, near_far_lists_of_codes])
def test_errors_name_the_argument(lists):
    with pytest.raises(ValueError, match=f"{lists.__name__}: k must be >= 1, got 0"):
        lists(points(), 0, (25, 4))
    for window in ((28, 3), (-1, 2), (5, 0)):
        with pytest.raises(ValueError, match=f"{lists.__name__}: window must lie within the 30 ranks of the batch"):
            lists(points(), 3, window)


def test_features_are_a_floating_matrix():
    with pytest.raises(TypeError, match=r"features must be a floating tensor, got torch\.uint8"):
        near_far_lists(points().byte(), 3, (25, 4))
    with pytest.raises(ValueError, match=r"features must have shape \(n, d\), got \(30,\)"):
        near_far_lists(points()[:, 0], 3, (25, 4))
