import pytest
import torch

from fasthash.teachers import feature_knn_graph, neighbour_table


def points(n, d=3, seed=0):
    """Whole numbers, so that distances are exact and tie."""
    return torch.randint(0, 4, (n, d), generator=torch.Generator().manual_seed(seed)).float()


def dense(x, y, k, itself):
    distance = torch.cdist(x.double(), y.double()).square().round()
    if itself:
        distance.fill_diagonal_(torch.inf)
    return distance.sort(dim=1, stable=True).indices[:, :k]


@pytest.mark.parametrize("rows", [1, 7, 40, 100])
@pytest.mark.parametrize("columns", [1, 7, 40, 100])
def test_blocks_give_the_sorted_distance_with_ties_to_the_lower_index(rows, columns):
    x = points(40)
    graph = feature_knn_graph(x, 5, rows=rows, columns=columns)
    assert torch.equal(graph, dense(x, x, 5, itself=True))
    y = points(25, seed=1)
    graph = feature_knn_graph(x, 5, database=y, rows=rows, columns=columns)
    assert torch.equal(graph, dense(x, y, 5, itself=False))


@pytest.mark.parametrize(("dtype", "offset"), [(torch.float32, 100.0), (torch.float64, 1e7)])
@pytest.mark.parametrize("itself", [True, False])
def test_vectors_far_from_zero_keep_their_order(dtype, offset, itself):
    numbers = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 16, generator=numbers, dtype=torch.float64).to(dtype) + offset for n in (300, 400))
    graph = feature_knn_graph(x, 20, database=None if itself else y, rows=128, columns=128)
    other = (x if itself else y).double()
    distance = torch.cdist(x.double(), other, compute_mode="donot_use_mm_for_euclid_dist")
    if itself:
        distance.fill_diagonal_(torch.inf)
    # Neighbours in the order may lie as close as a rounding.
    assert (graph == distance.sort(1).indices[:, :20]).float().mean() > 0.999


def test_identical_items_never_hold_themselves():
    graph = feature_knn_graph(torch.ones(5, 2), 4, columns=2)
    assert graph.tolist() == [[j for j in range(5) if j != i] for i in range(5)]


def test_too_few_items_give_minus_one():
    assert feature_knn_graph(points(3), 4)[:, 2:].tolist() == [[-1, -1]] * 3
    assert feature_knn_graph(points(2), 3, database=points(0)).tolist() == [[-1] * 3] * 2
    assert feature_knn_graph(points(0), 3).shape == (0, 3)


def test_half_and_bfloat16_features():
    x = points(20)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert torch.equal(feature_knn_graph(x.to(dtype), 3), feature_knn_graph(x, 3))


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match=r"features must be floating, got torch\.int64 and torch\.int64"):
        feature_knn_graph(points(3).long(), 1)
    with pytest.raises(ValueError, match=r"got \(3, 3\) and \(3, 2\)"):
        feature_knn_graph(points(3), 1, database=points(3, 2))
    with pytest.raises(ValueError, match="feature_knn_graph: rows must be >= 1, got 0"):
        feature_knn_graph(points(3), 1, rows=0)


def test_the_table_begins_with_the_item_itself_also_among_twins():
    features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]).repeat(3, 1)
    table = neighbour_table(features, 4)
    assert torch.equal(table[:, 0], torch.arange(9))
    assert torch.equal(table[:, 1:], feature_knn_graph(features, 3))
    assert table[4].tolist() == [4, 1, 7, 0]


def test_rows_of_zeros_are_no_near_neighbours():
    """Cosines of 0.8, 0.6 and 0.3 to the first; zeros would come before the last by Euclidean distance."""
    cosines = torch.tensor([1.0, 0.8, 0.6, 0.3])
    features = torch.stack([cosines, (1 - cosines**2).sqrt()], 1)
    features = torch.cat([torch.zeros(2, 2), features])
    table = neighbour_table(features, 6)
    assert table[2].tolist() == [2, 3, 4, 5, 0, 1]
    assert table[0, :2].tolist() == [0, 1]


def test_a_table_without_neighbours_is_refused():
    with pytest.raises(ValueError, match="neighbour_table: k must be >= 2, got 1"):
        neighbour_table(points(4), 1)
