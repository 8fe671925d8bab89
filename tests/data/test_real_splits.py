"""The named splits on real data sets, where FASTHASH_DATA has them."""

import gzip

import numpy as np
import pytest

from fasthash.data import make_split, protocols


def need(path):
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def names(start):
    return [p.name for p in protocols() if p.data.startswith(start)]


@pytest.mark.parametrize("name", names("CIFAR-10"))
def test_cifar10(real_data, name):
    labels = np.load(need(real_data / "cifar10" / "labels.npy"))
    split = make_split(name, labels, seed=0)
    assert np.bincount(labels[split.queries]).tolist() == [len(split.queries) // 10] * 10
    assert np.bincount(labels[split.database]).tolist() == [len(split.database) // 10] * 10
    # A draw over all images takes about a sixth of its queries from the official test part.
    assert (split.queries >= 50_000).mean() == pytest.approx(1 / 6, abs=0.04)


@pytest.mark.parametrize("name", names("Fashion-MNIST"))
def test_fashion_mnist(real_data, name):
    parts = []
    for part in ("train", "t10k"):
        with gzip.open(need(real_data / "fashion-mnist" / f"{part}-labels-idx1-ubyte.gz")) as file:
            parts.append(np.frombuffer(file.read()[8:], np.uint8))
    labels = np.concatenate(parts)
    split = make_split(name, labels, seed=0)
    assert np.bincount(labels[split.queries]).tolist() == [len(split.queries) // 10] * 10
    if name == "fashion-mnist":
        assert split.queries.tolist() == list(range(60_000, 70_000))


@pytest.mark.parametrize("name", names("Wikipedia"))
def test_wikipedia(real_data, name):
    with np.load(need(real_data / "wikipedia" / "wikipedia.npz")) as file:
        train, test = file["label_train"], file["label_test"]
    split = make_split(name, np.concatenate([train, test]))
    assert split.queries.tolist() == list(range(2_173, 2_866))
    assert split.labelled.tolist() == list(range(2_173))
    assert np.array_equal(split.database, split.queries if name == "wikipedia-693" else split.labelled)
    with pytest.raises(ValueError, match="items of each class among the last 693"):
        make_split(name, np.concatenate([test, train]))
