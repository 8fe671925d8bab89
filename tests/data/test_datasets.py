import gzip
import os
import pickle
import struct

import numpy as np
import pytest
import torch

from fasthash.data import (
    Dataset,
    TrainingSet,
    as_source,
    dataset_names,
    load_digits,
    make_split,
    open_dataset,
    read_cifar10,
    read_idx,
)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def cifar10():
    """Labels and images of the right form and few bytes of information."""
    labels = (np.arange(60_000) % 10).astype(np.uint8)
    images = np.repeat((np.arange(60_000) % 251).astype(np.uint8)[:, None], 3072, 1)
    images[:, 1024:2048] ^= 1
    images[:, 1] ^= 2
    return images, labels


def write_cifar10(folder, images, labels, suffix, write):
    folder.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        rows = slice(number * 10_000, (number + 1) * 10_000)
        (folder / f"{name}{suffix}").write_bytes(write(images[rows], labels[rows]))


def as_records(images, labels):
    return np.concatenate([labels[:, None], images], 1).tobytes()


def as_pickle(images, labels):
    return pickle.dumps({b"data": images, b"labels": labels.tolist()}, protocol=3)


@pytest.mark.parametrize(
    ("inside", "suffix", "write"), [("", ".bin", as_records), ("cifar-10-batches-py", "", as_pickle)]
)
def test_cifar10_in_both_versions(tmp_path, cifar10, inside, suffix, write):
    write_cifar10(tmp_path / "root" / inside, *cifar10, suffix, write)
    found = open_dataset("cifar10", tmp_path / "root")
    assert (len(found.source), found.source.shape, found.test) == (60_000, (3, 32, 32), 10_000)
    assert found.labels.tolist() == cifar10[1].tolist()
    index = torch.tensor([0, 12_345, 59_999])
    expected = torch.from_numpy(cifar10[0][index.numpy()].reshape(-1, 3, 32, 32)) / 255
    assert torch.allclose(found.source.take(index), expected)
    assert {"cifar10-semi", "cifar10-59k"} <= set(found.protocols)
    assert not [name for name in found.protocols if not name.startswith("cifar10")]
    data = TrainingSet.from_split(found.source, found.labels, make_split("cifar10-semi", found.labels))
    assert (data.labelled, data.unlabelled, data.shape) == (5_000, 54_000, (3, 32, 32))


class Opens:
    def __reduce__(self):
        return (os.system, ("touch opened",))


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({b"data": Opens(), b"labels": []}, protocol=2),
        pickle.dumps({b"data": np.zeros((3, 3072), np.uint8), b"labels": [0] * 3}, protocol=3),
        pickle.dumps({b"data": np.zeros((10_000, 3072), np.uint8), b"labels": [10] * 10_000}, protocol=3),
        pickle.dumps([1], protocol=2),
        b"no pickle",
        b"",
    ],
)
def test_pickles_with_anything_else_are_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"read_cifar10: root: expected 10,000 images .* got .*data_batch_1'"):
        read_cifar10(tmp_path)
    assert not (tmp_path / "opened").exists()


def test_cifar10_files_that_are_missing_or_short(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"read_cifar10: root: expected data_batch_1\.bin to test_batch\.bin"):
        read_cifar10(tmp_path)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        (tmp_path / f"{name}.bin").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r"got .*data_batch_1\.bin'"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_mnist(tmp_path, packed):
    numbers = np.arange(70_000)
    images = np.repeat((numbers % 251).astype(np.uint8), 784).reshape(-1, 28, 28)
    images[:, 0, 1] = 9
    labels = (numbers % 10).astype(np.uint8)
    for part, rows in (("train", slice(60_000)), ("t10k", slice(60_000, None))):
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx(array[rows])
            path = tmp_path / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content, 1) if packed else content)
    found = open_dataset("fashion-mnist", tmp_path)
    assert (len(found.source), found.source.shape, found.test) == (70_000, (1, 28, 28), 10_000)
    assert found.labels.tolist() == labels.tolist()
    x = found.source.take(torch.tensor([61_000]))[0, 0]
    assert torch.allclose(x[0, :3] * 255, torch.tensor([61_000 % 251, 9.0, 61_000 % 251]))
    assert found.protocols == ("fashion-mnist", "fashion-mnist-semi", "fashion-mnist-unsup")
    split = make_split("fashion-mnist", found.labels)
    assert split.queries.tolist() == list(range(60_000, 70_000))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a", b""),
        ("a", idx(np.zeros((2, 3), np.uint8))[:-1]),
        ("a", idx(np.zeros((2, 3), np.uint8)) + b"1"),
        ("a", b"\0\0\x0d\1" + bytes(8)),
        ("a.gz", b"no gzip"),
        ("a.gz", gzip.compress(idx(np.zeros(9, np.uint8)))[:-9]),
    ],
)
def test_idx_files_of_another_form_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="read_idx: path: expected"):
        read_idx(tmp_path / name)


def test_mnist_files_that_are_missing_or_few(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected train-images-idx3-ubyte or train-images-idx3-ubyte\.gz in"):
        open_dataset("mnist", tmp_path)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(np.zeros((2, 28, 28), np.uint8)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.zeros(2, np.uint8)))
    with pytest.raises(ValueError, match="read_mnist: root: expected 60,000 and 10,000 images of 28 x 28"):
        open_dataset("mnist", tmp_path)


def test_digits():
    found = open_dataset("digits")
    images, labels = load_digits()
    assert torch.equal(found.source.take(torch.arange(1797)), images)
    assert found.labels.tolist() == labels.tolist()
    assert found.protocols == ("digits-semi",)


X = np.random.default_rng(0).integers(0, 256, (9, 4), dtype=np.uint8)
Y = np.arange(9) % 3


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTHASH_CACHE", str(tmp_path / "cache"))
    np.savez(tmp_path / "all.npz", features=X, labels=Y, flipped=255 - X, hot=np.eye(3)[Y], half=Y / 2)
    np.savez(tmp_path / "other.npz", first=X, second=Y)
    np.save(tmp_path / "x.npy", X / np.float32(255))
    np.save(tmp_path / "y.npy", Y.astype(np.uint8))
    np.save(tmp_path / "images.npy", np.zeros((9, 5, 6, 3), np.uint8))
    return tmp_path


def test_features(files):
    found = open_dataset("features", files / "all.npz", scale=1, offset=2)
    assert torch.equal(found.source.take(torch.arange(9)), torch.from_numpy(X.astype(np.float32) + 2))
    assert (found.labels.tolist(), found.labels.dtype) == (Y.tolist(), np.int64)
    assert found.protocols == ()
    hot = open_dataset("features", files / "all.npz", labels="hot")
    assert (hot.labels.tolist(), hot.labels.dtype) == (np.eye(3)[Y].tolist(), np.uint8)
    mixed = open_dataset("features", files / "x.npy", labels=f"{files}/other.npz:second")
    assert mixed.labels.tolist() == Y.tolist()
    assert open_dataset("features", files / "x.npy", labels=str(files / "y.npy")).labels.tolist() == Y.tolist()
    named = open_dataset("features", files / "other.npz", key="first", labels="second")
    assert torch.equal(named.source.take(torch.arange(9)), as_source(X).take(torch.arange(9)))
    images = open_dataset("features", files / "images.npy", labels=str(files / "y.npy"), channels_last=True)
    assert images.source.shape == (3, 5, 6)


def test_views_of_features(files):
    found = open_dataset("features", files / "all.npz", views=["flipped", f"{files}/other.npz:first"], scale=1)
    assert found.source.views == 3
    assert torch.equal(found.source.take(torch.arange(9), view=1), torch.from_numpy(255 - X).float())
    assert torch.equal(found.source.take(torch.arange(9), view=2), torch.from_numpy(X).float())


@pytest.mark.parametrize(
    ("name", "root", "options", "error", "message"),
    [
        ("svhn", "x", {}, ValueError, "name: expected one of digits, .*torchvision/NAME, got 'svhn'"),
        ("digits/x", None, {}, ValueError, "name: expected one of"),
        ("torchvision", "x", {}, ValueError, "name: expected one of"),
        ("digits", "x", {}, TypeError, "root: expected None with 'digits', got 'x'"),
        ("cifar10", None, {}, TypeError, "root: expected a path with 'cifar10', got None"),
        ("cifar10", "x", {"size": 3}, TypeError, "options: expected none with 'cifar10', got size"),
        ("features", "x", {"size": 3}, TypeError, "options: expected key, labels, .* with 'features', got size"),
        ("features", "other.npz", {}, TypeError, "key: expected one of first, second, got None"),
        ("features", "other.npz", {"key": "first"}, TypeError, "labels: expected one of first, second, got None"),
        ("features", "x.npy", {}, TypeError, "labels: expected one of another file, got None"),
        ("features", "all.npz", {"labels": "half"}, TypeError, "labels: expected integer class ids .* got float64"),
        ("features", "all.npz", {"labels": "features"}, TypeError, r"labels: .* got uint8 of shape \(9, 4\)"),
    ],
)
def test_errors(files, name, root, options, error, message):
    with pytest.raises(error, match=f"^open_dataset: {message}"):
        open_dataset(name, files / root if root and root.endswith(("npz", "npy")) else root, **options)


def test_labels_and_items_must_be_as_many():
    with pytest.raises(ValueError, match="Dataset: labels: expected one for each of 9 items, got 8"):
        Dataset("mine", as_source(X), Y[:8])
    with pytest.raises(TypeError, match=r"Dataset: labels: expected int64 \(n,\) or uint8 \(n, classes\), got float64"):
        Dataset("mine", as_source(X), Y / 2)


def test_names():
    assert {"digits", "cifar10", "features", "folder", "list", "torchvision/NAME"} <= set(dataset_names())


def test_real_fashion_mnist(real_data):
    found = open_dataset("fashion-mnist", real_data / "fashion-mnist")
    assert np.bincount(found.labels).tolist() == [7_000] * 10
    assert 0.27 < float(found.source.take(torch.arange(0, 70_000, 70)).mean()) < 0.30
    assert found.protocols == ("fashion-mnist", "fashion-mnist-semi", "fashion-mnist-unsup")


def test_real_features(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTHASH_CACHE", str(tmp_path))
    found = open_dataset("features", real_data / "features" / "cifar10_mobilenetv2.npz", scale=6 / 255)
    assert (len(found.source), found.source.shape) == (60_000, (1280,))
    split = make_split("cifar10-semi", found.labels)
    data = TrainingSet.from_split(found.source, found.labels, split, standardise=True)
    x = torch.cat([*data.blocks(size=4096)])
    assert len(x) == 59_000
    assert abs(float(x.mean())) < 1e-4
    assert "cifar10-semi" in found.protocols
