import itertools
import math

import pytest
import torch

from fasthash.ops import hamming_distance, pack
from fasthash.teachers import distil_pairs, neighbour_table
from fasthash.teachers.distil import distance_tables

CODES = ["1111", "1110", "0000", "0001", "1100"]


def softplus(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


def rule(theta, low, high):
    """T of one pair as the paper's probabilities have it, in logits."""
    if softplus(theta) > math.log(2) + softplus(low):
        return 1
    return -1 if softplus(-theta) > math.log(2) + softplus(-high) else 0


def outputs(n=40, bits=12, scale=1.0, seed=0):
    """h of clusters of items, and a neighbour table of other features, which are near them but not the same."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, bits, generator=generator)
    z = centres[torch.arange(n) % 4] + 0.5 * torch.randn(n, bits, generator=generator)
    noise = 0.3 * torch.randn(n, bits, generator=generator)
    features = torch.nn.functional.normalize(z + noise)
    return torch.tanh(scale * z), neighbour_table(features, 8)


def brute_force(theta, positive, negative, order=1):
    """T by loops over all pairs of neighbours."""
    n = len(theta)
    distilled = torch.zeros(n, n, dtype=torch.int8)
    for i, j in itertools.product(range(n), repeat=2):
        low = sorted(theta[a][b] for a in positive[i] for b in positive[j])[order - 1]
        high = sorted(theta[a][b] for a in negative[i] for b in negative[j])[-order]
        distilled[i, j] = rule(theta[i][j], low, high)
    return distilled


def distil(h, table, skip=2, count=6, **options):
    return torch.cat(list(distil_pairs(h, table, (skip, skip + count), (0, count), **options)))


def code_example():
    codes = pack(torch.tensor([[int(bit) for bit in code] for code in CODES]))
    distance = hamming_distance(codes, codes)
    return codes, distance.sort(dim=1, stable=True).indices


@pytest.mark.parametrize(
    ("theta", "low", "high", "label"), [(2, 1, 9, 1), (1.5, 1, 9, 0), (-3, -9, -1, -1), (-1.5, -9, -1, 0)]
)
def test_the_rule_on_the_worked_pairs(theta, low, high, label):
    """Items 0 and 1 are the pair; all other pairs of neighbours have their product from items 2 and 3, or 4 and 5."""
    assert rule(theta, low, high) == label
    eta, r_neg, r_pos = (torch.tensor(float(x)).sigmoid() for x in (theta, low, -high))
    assert label == int(eta > (1 + r_neg) / 2) - int(eta < (1 - r_pos) / 2)
    # Coordinates of their own for each product.
    h = torch.zeros(6, 100)
    for first, product in ((0, theta), (2, low), (4, high)):
        coordinates = slice(first * 16, first * 16 + 32)
        h[first, coordinates] = math.sqrt(2 * abs(product) / 32)
        h[first + 1, coordinates] = math.copysign(1, product) * math.sqrt(2 * abs(product) / 32)
    table = torch.tensor([[2, 4], [3, 5], [0, 0], [0, 0], [0, 0], [0, 0]])
    assert torch.cat(list(distil_pairs(h, table, (0, 1), (1, 2))))[0, 1] == label


@pytest.mark.parametrize("packed", [True, False])
def test_five_codes_by_hand(packed):
    codes, table = code_example()
    assert table[:, 0].tolist() == list(range(5))
    expected = [[1, 0, -1, 0, 0], [0, 1, 0, -1, 0], [-1, 0, 1, 1, 0], [0, -1, 1, 1, 0], [0, 0, 0, 0, 1]]
    signs = torch.tensor([[2.0 * int(bit) - 1 for bit in code] for code in CODES])
    options = {"bits": 4} if packed else {}
    found = distil_pairs(codes if packed else signs, table, (1, 3), (0, 2), **options)
    assert torch.cat(list(found)).tolist() == expected


@pytest.mark.parametrize("bits", [4, 5, 16, 31, 64])
def test_tables_are_the_logit_form_of_codes(bits):
    largest, smallest = distance_tables(bits)
    half = bits / 2
    for of_neighbours, d in itertools.product(range(bits + 1), repeat=2):
        theta, neighbours = half - d, half - of_neighbours
        assert (d <= largest[of_neighbours]) == (rule(theta, neighbours, math.inf) == 1)
        assert (d >= smallest[of_neighbours]) == (rule(theta, math.inf, neighbours) == -1)
        if bits % 2 == 0:
            x = of_neighbours
            assert largest[x] == (x - 1 if x < half else half - 2 if x == half else half - 1)
            assert smallest[x] == (half + 1 if x < half else half + 2 if x == half else x + 1)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("scale", [0.7, 2.0])
def test_blocks_equal_brute_force_over_all_pairs_of_neighbours(scale, order):
    h, table = outputs(scale=scale)
    theta = (h.double() @ h.double().T / 2).tolist()
    expected = brute_force(theta, table[:, 2:].tolist(), table[:, :6].tolist(), order)
    found = distil(h, table, order=order)
    assert torch.equal(found, expected)
    assert {-1, 0, 1} == set(found.unique().tolist())


def test_logits_are_the_probability_form():
    h, table = outputs(scale=0.6)
    eta = (h.double() @ h.double().T / 2).sigmoid()
    near, far = (eta[rows[:, None, :, None], rows[None, :, None, :]] for rows in (table[:, 2:], table[:, :6]))
    r_neg, r_pos = near.amin((2, 3)), (1 - far).amin((2, 3))
    expected = (eta > (1 + r_neg) / 2).int() - (eta < (1 - r_pos) / 2).int()
    assert torch.equal(distil(h, table).int(), expected)


@pytest.mark.parametrize("bits", [12, 13])
@pytest.mark.parametrize("calibration", [(1.0, 0.0), (0.4, -0.7)])
def test_codes_in_whole_numbers_equal_signs_in_floats(bits, calibration):
    h, table = outputs(bits=bits)
    signs = torch.where(h > 0, 1.0, -1.0)
    found = distil(pack(h), table, bits=bits, calibration=calibration)
    assert torch.equal(found, distil(signs, table, calibration=calibration))
    assert found.any()


@pytest.mark.parametrize("bits", [None, 12])
def test_each_sign_may_have_its_calibration(bits):
    h, table = outputs(scale=2.0)
    h = h if bits is None else pack(h)
    # The second has pairs of both signs, which are dropped.
    for one, other in (((0.9, -1.0), (0.5, 2.0)), ((0.5, 9.0), (0.5, -9.0))):
        positive, negative = (distil(h, table, bits=bits, calibration=c) for c in (one, other))
        found = distil(h, table, bits=bits, calibration=one, negative_calibration=other)
        assert torch.equal(found, (positive > 0).to(torch.int8) - (negative < 0).to(torch.int8))
        assert not torch.equal(positive, negative)


@pytest.mark.parametrize("rows", [1, 7, 40, 100])
@pytest.mark.parametrize("order", [1, 2])
def test_block_size_changes_nothing_and_labels_are_symmetric(rows, order):
    h, table = outputs()
    found = distil(h, table, rows=rows, order=order)
    assert torch.equal(found, distil(h, table, order=order))
    assert torch.equal(found, found.T)


def test_signs_follow_theta_and_fewer_neighbours_never_keep_more():
    h, table = outputs(n=60, scale=0.7)
    theta = h @ h.T
    before = torch.ones(60, 60, dtype=torch.bool)
    kept = []
    for count in (6, 4, 2, 1):
        found = distil(h, table, count=count)
        assert (theta[found > 0] > 0).all()
        assert (theta[found < 0] < 0).all()
        assert not ((found != 0) & ~before).any()
        before = found != 0
        kept.append(int(before.sum()))
    assert kept[0] > kept[-1] > 0


def test_a_distilled_label_is_the_bayes_label_under_constant_flip_rates():
    """eta = (1 - r_pos - r_neg) q + r_neg exactly, handed over as products of two coordinates."""
    generator = torch.Generator().manual_seed(0)
    q = torch.rand(400, generator=generator, dtype=torch.float64)
    r_pos, r_neg = 0.2, 0.1
    theta = ((1 - r_pos - r_neg) * q + r_neg).logit()
    # Items i and 400 + i have the product 2 theta_i in their own coordinate.
    scale = (theta.abs() * 2).sqrt()
    h = torch.zeros(800, 400, dtype=torch.float64)
    places = torch.arange(400)
    h[places, places], h[400 + places, places] = scale, scale * theta.sign()
    # Neighbour pairs of item pair (i, 400 + i) are pairs (j, 400 + j) and mixed ones of theta 0.
    drawn = torch.randint(400, (400, 3), generator=generator)
    table = torch.cat([torch.cat([places[:, None], drawn], 1), 400 + torch.cat([places[:, None], drawn], 1)])
    found = torch.cat(list(distil_pairs(h, table, (0, 4), (0, 4))))[places, 400 + places]
    assert (q[found > 0] > 0.5).all()
    assert (q[found < 0] < 0.5).all()
    assert (found > 0).sum() > 20
    assert (found < 0).sum() > 20


def test_equal_codes_keep_no_positive_pair():
    table = torch.arange(6)[:, None].roll(1) + torch.zeros(6, 2, dtype=torch.int64)
    assert not torch.cat(list(distil_pairs(torch.ones(6, 80), table, (0, 2), (0, 2)))).any()


def test_errors_name_the_argument():
    h, table = outputs()
    for wrong, kind, message in (
        ({"outputs": h.int()}, TypeError, "outputs must be floating, or uint8 codes, got torch.int32"),
        ({"outputs": pack(h)}, ValueError, "bits must be given with packed codes and with them alone, got None"),
        ({"bits": 12}, ValueError, "bits must be given with packed codes and with them alone, got 12"),
        ({"neighbours": table.int()}, TypeError, "neighbours must be torch.int64, got torch.int32"),
        ({"neighbours": table[:5]}, ValueError, r"neighbours must have shape \(40, ranks\), got \(5, 8\)"),
        ({"neighbours": table - 1}, ValueError, "neighbours must name places from 0 to 39, got -1 to 38"),
        ({"positive": (2, 9)}, ValueError, r"positive must lie within the 8 ranks of neighbours, got \(2, 9\)"),
        ({"negative": (3, 3)}, ValueError, r"negative must lie within the 8 ranks of neighbours, got \(3, 3\)"),
        ({"calibration": (0.0, 1.0)}, ValueError, r"calibration must have a slope > 0, got 0\.0"),
        ({"negative_calibration": (-1.0, 0.0)}, ValueError, r"negative_calibration must have a slope > 0, got -1\.0"),
        ({"order": 65}, ValueError, r"order must lie in \[1, 64\], got 65"),
        ({"rows": 0}, ValueError, "rows must be >= 1, got 0"),
    ):
        with pytest.raises(kind, match=f"distil_pairs: {message}"):
            distil_pairs(**{"outputs": h, "neighbours": table, "positive": (0, 8), "negative": (0, 8), **wrong})
