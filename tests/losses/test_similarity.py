import pytest
import torch

from fasthash.losses import label_similarity, row_similarity


def as_lists(*matrices):
    return [matrix.int().tolist() for matrix in matrices]


def test_class_ids_share_a_label_when_equal_and_labelled():
    similarity, known = label_similarity(torch.tensor([2, 0, 2, -1, -1]))
    assert as_lists(similarity, known) == [
        [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0] * 5, [0] * 5],
        [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0] * 5, [0] * 5],
    ]
    assert similarity.dtype == known.dtype == torch.bool


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_multi_hot_rows_share_a_label_when_one_class_is_in_both(dtype):
    labels = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 0, 0]]).to(dtype)
    similarity, known = label_similarity(labels)
    assert as_lists(similarity, known) == [
        [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]],
        [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]],
    ]


def test_two_sets_and_the_two_kinds_of_labels_agree():
    a, b = torch.tensor([0, 1, -1]), torch.tensor([1, -1, 0, 2])
    classes = torch.cat([torch.eye(3), torch.zeros(1, 3)])  # row -1 is the unlabelled one
    by_id, by_row = label_similarity(a, b), label_similarity(classes[a], classes[b])
    assert by_id[0].shape == (3, 4)
    assert (
        as_lists(*by_id)
        == as_lists(*by_row)
        == [
            [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
            [[1, 0, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0]],
        ]
    )


def test_many_shared_classes_under_autocast():
    labels = torch.ones(2, 1000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert label_similarity(labels)[0].all()


def test_empty_sets():
    similarity, known = label_similarity(torch.empty(0, dtype=torch.int64), torch.tensor([1, 2]))
    assert similarity.shape == known.shape == (0, 2)


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, (torch.zeros(2, 2, 2),), "labels must have shape"),
        (TypeError, (torch.tensor([0.0, 1.0]),), "must be integers, got torch.float32"),
        (TypeError, (torch.tensor([True, False]),), "must be integers, got torch.bool"),
        (ValueError, (torch.tensor([0, 1]), torch.zeros(2, 3)), r"other must have shape \(m,\)"),
        (
            ValueError,
            (torch.zeros(2, 3), torch.zeros(2, 4)),
            r"other must have shape \(m, 3\) like labels, got \(2, 4\)",
        ),
    ],
)
def test_errors_name_what_was_expected(error, arguments, message):
    with pytest.raises(error, match="label_similarity: .*" + message):
        label_similarity(*arguments)


@pytest.mark.parametrize("multi_hot", [False, True])
def test_others_of_each_row_are_as_in_the_matrix(multi_hot):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(-1, 3, (9,), generator=generator)
    if multi_hot:
        labels = (torch.rand(9, 4, generator=generator) < 0.3).long()
    others = torch.randint(0, 9, (9, 5), generator=generator)
    for rows, matrix in zip(row_similarity(labels, labels[others]), label_similarity(labels), strict=True):
        assert torch.equal(rows, matrix.gather(1, others))
    with pytest.raises(ValueError, match="row_similarity: others must have shape"):
        row_similarity(labels, labels)
