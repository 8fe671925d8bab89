import numpy as np
import pytest
import torch

from fasthash.losses import graph_contrastive, label_similarity, neighbour_consistency
from fasthash.ops import hamming_distance, pack, reference
from fasthash.teachers import knn_graph, knn_with_ties, pseudo_similarity


def staircase(bits):
    """Codes 0..bits: the i-th has its first i bits set, so that |i - j| is the distance of i and j."""
    return pack(torch.tril(torch.ones(bits + 1, bits), diagonal=-1))


@pytest.mark.parametrize(("bits", "near", "far"), [(12, 1, 5), (24, 3, 10), (32, 4, 13), (48, 7, 20)])
def test_thresholds_in_bits(bits, near, far):
    similarity, known = pseudo_similarity(staircase(bits), bits)
    distance = torch.arange(bits + 1)
    assert torch.equal(similarity[0], distance <= near)
    assert torch.equal(known[0], (distance <= near) | (distance >= far))
    assert torch.equal(similarity, similarity.T)


def test_thresholds_at_exact_multiples():
    # 0.29 * 100 is 28.999999999999996 and 0.55 * 100 is 55.00000000000001 in floats
    similarity, known = pseudo_similarity(staircase(100), 100, near=0.29, far=0.55)
    assert similarity[0].sum() == 30
    assert known[0].nonzero().flatten().tolist() == [*range(30), *range(55, 101)]


def test_worked_example_through_the_losses(student, teacher):
    similarity, known = pseudo_similarity(pack(teacher), 2)
    assert known.all()
    assert similarity.int().tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert float(graph_contrastive(student, similarity, known)) == pytest.approx(0.1148900, abs=2e-7)
    assert float(neighbour_consistency(student, teacher, similarity)) == pytest.approx(0.0314594, abs=5e-8)


@pytest.mark.parametrize("multi_hot", [False, True])
def test_labels_overrule_codes_where_both_are_labelled(multi_hot):
    codes = staircase(12)[[0, 0, 12, 12, 3]]
    ids = torch.tensor([0, 1, 0, -1, 1])
    labels = torch.cat([torch.eye(2), torch.zeros(1, 2)])[ids] if multi_hot else ids
    similarity, known = pseudo_similarity(codes, 12, labels=labels)
    by_label, labelled = label_similarity(labels)
    by_codes, sure = pseudo_similarity(codes, 12)
    assert torch.equal(similarity, torch.where(labelled, by_label, by_codes))
    assert torch.equal(known, labelled | sure)
    assert similarity[0].int().tolist() == [1, 0, 1, 0, 0]  # labels, but for the unlabelled item 3: far
    assert known[3].int().tolist() == [1, 1, 1, 1, 1]
    assert known[0, 4]
    assert not sure[0, 4]


def test_hidden_labels_leave_the_codes_alone():
    codes = staircase(12)
    for a, b in zip(
        pseudo_similarity(codes, 12), pseudo_similarity(codes, 12, labels=torch.full((13,), -1)), strict=True
    ):
        assert torch.equal(a, b)


def test_pseudo_similarity_errors():
    codes = staircase(12)
    with pytest.raises(ValueError, match=r"codes must have shape \(n, 3\) for bits=24, got \(13, 2\)"):
        pseudo_similarity(codes, 24)
    with pytest.raises(ValueError, match=r"got near=0\.5, far=0\.4 at bits=12"):
        pseudo_similarity(codes, 12, near=0.5)
    with pytest.raises(ValueError, match="labels must have 13 rows"):
        pseudo_similarity(codes, 12, labels=torch.tensor([0, 1]))


def test_knn_is_the_sorted_distance_without_the_item_itself():
    codes = np.random.default_rng(0).integers(0, 256, (30, 1), dtype=np.uint8)  # short codes, many ties
    distance = reference.hamming_distance(codes, codes)
    np.fill_diagonal(distance, 99)
    expected = np.argsort(distance, axis=1, kind="stable")[:, :8]
    graph = knn_graph(torch.from_numpy(codes), 8)
    assert graph.dtype == torch.int64
    np.testing.assert_array_equal(graph.numpy(), expected)


def test_knn_never_holds_the_item_itself_even_if_all_codes_are_identical():
    graph = knn_graph(torch.zeros(5, 6, dtype=torch.uint8), 4)
    assert graph.tolist() == [[j for j in range(5) if j != i] for i in range(5)]


def test_knn_with_too_few_items_holds_minus_one():
    graph = knn_graph(staircase(2), 4)
    assert graph.tolist() == [[1, 2, -1, -1], [0, 2, -1, -1], [1, 0, -1, -1]]


@pytest.mark.parametrize("far", [0.3, 0.9])
def test_nearest_neighbours_in_place_of_the_threshold(far):
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 3), dtype=np.uint8))
    similarity, known = pseudo_similarity(codes, 24, far=far, k=4)
    graph = knn_graph(codes, 4).tolist()
    distance = reference.hamming_distance(codes.numpy(), codes.numpy())
    for i in range(30):
        for j in range(30):
            assert bool(similarity[i, j]) == (i == j or j in graph[i] or i in graph[j])
            assert bool(known[i, j]) == (bool(similarity[i, j]) or distance[i, j] >= far * 24)


def test_nearest_neighbours_of_few_items():
    similarity, known = pseudo_similarity(staircase(2), 2, k=8)
    assert similarity.all()
    assert known.all()
    assert pseudo_similarity(staircase(2)[:0], 2, k=8)[0].shape == (0, 0)


@pytest.mark.parametrize(("k", "items"), [(1, 40), (7, 40), (60, 40), (3, 0)])
def test_lists_with_ties_hold_all_that_are_as_near_as_the_last(k, items):
    codes = pack(torch.rand(40, 5, generator=torch.Generator().manual_seed(0)) < 0.5)
    database = codes[:items]
    found = knn_with_ties(codes, database, k)
    for row, distances in zip(found.tolist(), hamming_distance(codes, database).tolist(), strict=True):
        order = sorted(range(items), key=lambda j: (distances[j], j))
        last = distances[order[min(k, items) - 1]] if items else -1
        expected = [j for j in order if distances[j] <= last]
        assert row == expected + [-1] * (len(row) - len(expected))
