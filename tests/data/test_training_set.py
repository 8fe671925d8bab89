import gc

import numpy as np
import pytest
import torch

from fasthash.data import Split, StoredViews, TrainingSet, TwoStreamSampler


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


def test_views_follow_seed_and_step_and_the_place_in_a_repeated_plan():
    x = torch.arange(8.0)[:, None]
    data = TrainingSet(StoredViews([x, x + 100, x + 200]), None, [], range(8))

    def views(**where):
        return torch.stack(data.batch(torch.arange(8), **where).views)[..., 0].tolist()

    # Of a run that is not repeated they stay what they were: runs can be made again.
    assert views(seed=5, step=3) == [
        [0.0, 101.0, 2.0, 103.0, 4.0, 105.0, 206.0, 7.0],
        [200.0, 1.0, 102.0, 3.0, 104.0, 205.0, 106.0, 107.0],
    ]
    forms = [{}, {"seed": 1}, {"step": 1}, {"place": (0, 1, 0)}, {"place": (0, 0, 1)}, {"place": (0, 0, 1), "step": 1}]
    assert len({str(views(**form)) for form in forms}) == len(forms)
    assert views(place=(0, 1, 0)) == views(place=(0, 1, 0))


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


def test_without_labels_are_the_same_items_at_the_same_places():
    x = torch.arange(12.0).view(6, 2)
    data = TrainingSet(x, torch.arange(6), labelled=[5, 0], unlabelled=[2], standardise=True)
    bare = data.without_labels()
    assert (bare.labelled, bare.unlabelled, bare.labels.tolist()) == (0, 3, [-1] * 3)
    assert bare.rows.tolist() == [5, 0, 2]
    assert torch.equal(bare.take(torch.arange(3)), data.take(torch.arange(3)))
    pairs = TrainingSet(x, None, [], range(6), pairs=[[4, 1, 1]]).without_labels()
    assert pairs.pairs is None
    assert pairs.rows.tolist()[:2] in ([1, 4], [4, 1])


def test_items_follow_their_rows_and_are_no_copies():
    x = np.arange(12, dtype=np.float64).reshape(6, 2)
    data = TrainingSet(x, np.arange(6), labelled=np.array([5, 0]), unlabelled=np.array([2]))
    batch = data.batch(torch.tensor([0, 2]))
    assert batch.x.tolist() == [[10, 11], [4, 5]]
    assert batch.x.dtype == torch.float32
    assert (batch.labels.tolist(), batch.labelled) == ([5, -1], 1)
    assert (len(data), data.shape) == (3, (2,))
    x[:] = -1
    assert data.take(torch.tensor([1])).tolist() == [[-1, -1]]
    assert not any(tensor.is_floating_point() for tensor in reachable_tensors(data))


@pytest.mark.parametrize("kind", ["ids", "multi-hot"])
@pytest.mark.parametrize("source", ["array", "uint8", "standardised", "views"])
def test_true_labels_of_unlabelled_items_change_no_byte(kind, source):
    numbers = np.random.default_rng(0)
    x = numbers.integers(0, 256, (30, 5), dtype=np.uint8)
    items = {"array": x / 255, "uint8": x, "standardised": x, "views": StoredViews([x, 255 - x, x // 2])}[source]
    labels = numbers.integers(0, 4, 30) if kind == "ids" else numbers.integers(0, 2, (30, 4)) | np.eye(30, 4, dtype=int)
    labels[:10] = np.arange(10) % 4 if kind == "ids" else np.arange(4) < 2
    other = labels.copy()
    other[10:] = 3 - labels[10:] if kind == "ids" else 1 - labels[10:]
    written = []
    for known in (labels, other):
        data = TrainingSet(items, known, range(10), range(10, 30), standardise=source == "standardised")
        sampler = TwoStreamSampler(10, 20, batch_size=8, labelled=2)
        batches = [data.batch(sampler.batch(step), step=step, seed=7) for step in range(12)]
        fields = [t.numpy().tobytes() for b in batches for t in (*b.views, b.labels, b.index)]
        written.append((fields, data.digest(), data.spec))
    assert written[0] == written[1]
    changed = labels.copy()
    changed[0] = 1 - changed[0]
    assert TrainingSet(items, changed, range(10), range(10, 30)).digest() != written[0][1]


def test_without_labels():
    data = TrainingSet(torch.randn(4, 2), None, labelled=[], unlabelled=[3, 1])
    assert (data.labels.tolist(), data.spec.classes, len(data)) == ([-1, -1], 0, 2)
    with pytest.raises(ValueError, match="labelled: expected items with a label"):
        TrainingSet(torch.randn(4, 2), None, labelled=[0], unlabelled=[3, 1])


def test_arrays_that_torch_does_not_take():
    labels = np.arange(4, dtype=">i4")[::-1]
    labels.flags.writeable = False
    x = np.arange(8, dtype=">f4").reshape(4, 2)[::-1]
    data = TrainingSet(x, labels, labelled=np.array([1, 0], ">i2"), unlabelled=np.array([], np.float64))
    assert data.labels.tolist() == [2, 3]
    assert data.take(torch.tensor([0, 1])).tolist() == [[4, 5], [6, 7]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": torch.zeros(4, 2, dtype=torch.int64)}, TypeError, "ArraySource: x: .* got int64"),
        ({"x": [[0.0], [1.0]]}, TypeError, "ArraySource: x: expected a tensor or an array, got list"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, ValueError, r"labels: expected \(4,\) or \(4, classes\)"),
        ({"labels": torch.zeros(4)}, TypeError, "labels: expected integer class ids .* got torch.float32"),
        ({"labels": [True] * 4}, TypeError, "labels: expected integer class ids .* got torch.bool"),
        ({"labels": torch.full((4, 2), 2)}, ValueError, "labels: expected multi-hot rows of 0 and 1"),
        ({"labels": torch.full((4, 2), 0.5)}, ValueError, "labels: expected multi-hot rows of 0 and 1"),
        ({"unlabelled": [0, 2]}, ValueError, "expected each row once"),
        ({"unlabelled": [4]}, ValueError, "unlabelled: expected rows from 0 to 3, got 4 to 4"),
        ({"labelled": [-1]}, ValueError, "labelled: expected rows from 0 to 3, got -1 to -1"),
        ({"labelled": [0.0]}, TypeError, "labelled: expected integer rows, got torch.float"),
        ({"labelled": [True, False]}, TypeError, "labelled: expected integer rows, got torch.bool"),
        ({"labelled": [[0]]}, ValueError, r"labelled: expected shape \(items,\), got \(1, 1\)"),
        ({"labels": torch.tensor([0, -1, 0, 0])}, ValueError, "labelled: expected items with a label"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    good = {"x": torch.zeros(4, 2), "labels": torch.zeros(4, dtype=torch.int64), "labelled": [0, 1], "unlabelled": [2]}
    with pytest.raises(error, match=message):
        TrainingSet(**{**good, **change})


def test_shares_of_processes_make_the_whole_batch():
    numbers = torch.Generator().manual_seed(0)
    views = StoredViews([torch.randn(20, 3, generator=numbers) for _ in range(4)])
    data = TrainingSet(views, torch.arange(20), range(8), range(8, 20))
    index = torch.tensor([5, 2, 0, 7, 12, 19, 8, 9])
    whole = data.batch(index, step=3, seed=1)
    shares = [data.batch(index, step=3, seed=1, rank=rank, ranks=2) for rank in range(2)]
    for view in range(2):
        assert torch.equal(torch.cat([share.labelled_x(view) for share in shares]), whole.labelled_x(view))
        assert torch.equal(torch.cat([share.unlabelled_x(view) for share in shares]), whole.unlabelled_x(view))
    for share in shares:
        assert torch.equal(share.labels, whole.labels)
        assert (share.labelled, share.labelled_here) == (4, 2)
    with pytest.raises(ValueError, match="expected labelled and unlabelled items in multiples of 3 processes, got 4"):
        data.batch(index, ranks=3)


def test_views_are_two_of_each_item_and_follow_seed_and_step():
    views = StoredViews([torch.full((50, 1), float(number)) for number in range(3)])
    data = TrainingSet(views, None, [], range(50))
    index = torch.arange(50)
    drawn = torch.stack(
        [torch.cat(data.batch(index, step=step, seed=seed).views, 1) for seed in (0, 1) for step in range(8)]
    )
    assert (drawn[:, :, 0] != drawn[:, :, 1]).all()
    counts = torch.stack([(drawn == number).float().mean((0, 1)) for number in range(3)])
    assert torch.allclose(counts, torch.full((3, 2), 1 / 3), atol=0.07)
    assert len({tuple(step.flatten().tolist()) for step in drawn}) == 16
    assert torch.equal(torch.cat(data.batch(index, step=5, seed=1).views, 1), drawn[13])


def test_labelled_images_without_a_label_join_the_unlabelled_ones():
    labels = torch.tensor([[1, 0], [0, 0], [0, 1], [1, 1], [0, 0]])
    split = Split("mine", None, queries=[0], validation=[], database=[4], labelled=[1, 2, 3], unlabelled=[4])
    data = TrainingSet.from_split(torch.arange(5.0)[:, None], labels, split)
    assert data.take(torch.arange(4))[:, 0].tolist() == [2, 3, 4, 1]
    assert (data.labelled, data.unlabelled) == (2, 2)
    assert data.labels.tolist() == [[0, 1], [1, 1], [0, 0], [0, 0]]
    with pytest.raises(ValueError, match="labelled: expected items with a label"):
        TrainingSet.from_split(torch.zeros(5, 1), torch.tensor([0, -1, 0, 0, 0]), split)
    with pytest.raises(
        ValueError, match=r"TrainingSet: labels: expected \(5,\) or \(5, classes\) like x, got \(3, 2\)"
    ):
        TrainingSet.from_split(torch.zeros(5, 1), labels[:3], split)
