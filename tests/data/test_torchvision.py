"""What needs torchvision; the rest of the data room works without it."""

import numpy as np
import pytest
import torch

from fasthash.data import Perturbation, TrainingSet, open_dataset

torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_transforms_draw_for_each_image_from_the_generator():
    image = torch.rand(1, 3, 8, 8, generator=generator(9))
    x = image.expand(16, 3, 8, 8)
    view = Perturbation(transforms=("RandomRotation(40)", "ColorJitter(0.4, hue=0.1)"))
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    a, b, c = view(x, generator(1)), view(x, generator(1)), view(x, generator(2))
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert len({tuple(one.flatten().tolist()) for one in a}) == 16
    assert torch.equal(x[0], image[0])


def test_transforms_of_the_default_generator_go_on():
    x = torch.rand(4, 3, 8, 8, generator=generator(9))
    view = Perturbation(transforms=("RandomRotation(40)",))
    torch.manual_seed(0)
    first, second = (view(x, torch.default_generator) for _ in range(2))
    assert not torch.equal(first, second)


def test_transforms_that_do_not_fit():
    x = torch.zeros(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"transforms must keep the shape \(3, 8, 8\) of images, got \(3, 4, 4\)"):
        Perturbation(transforms=("RandomCrop(4)",))(x, generator(0))
    with pytest.raises(ValueError, match=r"transforms must name one of torchvision.transforms.v2, got 'Nothing'"):
        Perturbation(transforms=("Nothing()",))(x, generator(0))


def test_data_sets_of_torchvision(tmp_path):
    numbers = np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    import hashlib
    import pickle

    held = {}
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        images = numbers.integers(0, 256, (20, 3072), dtype=np.uint8)
        held[name] = pickle.dumps({"data": images, "labels": [number] * 20})
    held["batches.meta"] = pickle.dumps({"label_names": list("abcdefghij")})
    sums = {name: hashlib.md5(content).hexdigest() for name, content in held.items()}
    for name, content in held.items():
        (folder / name).write_bytes(content)
    made = torchvision.datasets.CIFAR10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "train_list", [(name, sums[name]) for name in held if name.startswith("data")])
        patch.setattr(made, "test_list", [("test_batch", sums["test_batch"])])
        patch.setattr(made, "meta", {**made.meta, "md5": sums["batches.meta"]})
        found = open_dataset("torchvision/CIFAR10", tmp_path, size=32)
        test = made(tmp_path, train=False)
    assert (len(found.source), found.test, found.source.shape) == (120, 20, (3, 32, 32))
    assert found.labels.tolist() == [number for number in range(6) for _ in range(20)]
    assert found.classes == tuple("abcdefghij")
    x = found.source.take(torch.tensor([107]))[0]
    assert torch.equal(x, torch.from_numpy(test.data[7]).permute(2, 0, 1) / 255)
    data = TrainingSet(found.source, found.labels, range(100), [])
    assert data.batch(torch.arange(4)).x.shape == (4, 3, 32, 32)


def test_names_that_torchvision_does_not_have(tmp_path):
    with pytest.raises(ValueError, match="open_dataset: name: expected torchvision/NAME of a data set that it has"):
        open_dataset("torchvision/Nothing", tmp_path)


def test_files_that_are_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="open_dataset: root: expected the files of CIFAR10, got "):
        open_dataset("torchvision/CIFAR10", tmp_path)
