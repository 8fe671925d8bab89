import gc

import numpy as np
import pytest
import torch

from fasthash.data import Split, TrainingSet


def reachable_tensors(thing):
    """Every tensor that can be reached from an object through attributes, containers and views."""
    seen, queue, tensors = set(), [thing], []
    while queue:
        item = queue.pop()
        if id(item) in seen or isinstance(item, type):
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            tensors.append(item if item._base is None else item._base)
            continue
        queue.extend(gc.get_referents(item))
    return tensors


def test_labels_of_unlabelled_items_cannot_be_reached():
    labels = torch.arange(100, 120)
    data = TrainingSet(torch.randn(20, 3), labels, labelled=[4, 2], unlabelled=range(5, 15))
    assert data.labels.tolist() == [104, 102] + [-1] * 10
    for tensor in reachable_tensors(data):
        if not tensor.is_floating_point():
            assert not np.isin(tensor.numpy(), labels[5:15].numpy()).any()


def test_multi_hot_rows_are_zero():
    labels = torch.eye(6, dtype=torch.uint8)
    data = TrainingSet(torch.randn(6, 3), labels, labelled=[0, 1], unlabelled=[2, 3])
    assert data.labels.tolist() == [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0] * 6, [0] * 6]
    assert data.is_labelled.tolist() == [True, True, False, False]


def test_items_follow_their_rows_and_are_copies():
    x = np.arange(12, dtype=np.float64).reshape(6, 2)
    data = TrainingSet(x, np.arange(6), labelled=np.array([5, 0]), unlabelled=np.array([2]))
    x[:] = -1
    batch = data.batch(torch.tensor([0, 2]))
    assert batch.x.tolist() == [[10, 11], [4, 5]]
    assert batch.x.dtype == torch.float32
    assert (batch.labels.tolist(), batch.labelled) == ([5, -1], 1)
    assert (len(data), data.shape) == (3, (2,))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": torch.zeros(4, 2, dtype=torch.int64)}, TypeError, "x must be floating, got torch.int64"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, ValueError, r"labels must be \(4,\) or \(4, classes\)"),
        ({"unlabelled": [0, 2]}, ValueError, "must name each row once"),
        ({"labels": torch.tensor([0, -1, 0, 0])}, ValueError, "each item of labelled must have a label"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    good = {"x": torch.zeros(4, 2), "labels": torch.zeros(4, dtype=torch.int64), "labelled": [0, 1], "unlabelled": [2]}
    with pytest.raises(error, match=f"TrainingSet: .*{message}"):
        TrainingSet(**{**good, **change})


def test_labelled_images_without_a_label_join_the_unlabelled_ones():
    labels = torch.tensor([[1, 0], [0, 0], [0, 1], [1, 1], [0, 0]])
    split = Split("mine", None, queries=[0], validation=[], database=[4], labelled=[1, 2, 3], unlabelled=[4])
    data = TrainingSet.from_split(torch.arange(5.0)[:, None], labels, split)
    assert data.x[:, 0].tolist() == [2, 3, 4, 1]
    assert (data.labelled, data.unlabelled) == (2, 2)
    assert data.labels.tolist() == [[0, 1], [1, 1], [0, 0], [0, 0]]
    with pytest.raises(ValueError, match="each item of labelled must have a label"):
        TrainingSet.from_split(torch.zeros(5, 1), torch.tensor([0, -1, 0, 0, 0]), split)
    with pytest.raises(ValueError, match=r"TrainingSet: labels must be \(5,\) or \(5, classes\) like x, got \(3, 2\)"):
        TrainingSet.from_split(torch.zeros(5, 1), labels[:3], split)
