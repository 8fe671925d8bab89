import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from fasthash.data import (
    ImageFiles,
    StoredViews,
    TrainingSet,
    draw_split,
    open_dataset,
    read_image_folder,
    read_image_lists,
)
from fasthash.data.sources.images import fitted
from fasthash.data.sources.torchvision import TorchvisionImages


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two classes, one of them with a folder below and with files that are no images."""
    for number, name in enumerate(("zebra/1.png", "ant/deep/2.PNG", "ant/1.png", "zebra/0.png")):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(8, 8, number)).save(path)
    (tmp_path / "images" / "ant" / "notes.txt").write_text("no image")
    (tmp_path / "images" / "ant" / ".hidden.png").write_text("no image")
    (tmp_path / "images" / ".cache").mkdir()
    return tmp_path / "images"


def test_images_of_the_size_are_read_as_they_are(folder):
    source = ImageFiles([folder / "zebra/1.png", folder / "ant/1.png"], size=8)
    assert (source.shape, len(source), source.random) == ((3, 8, 8), 2, False)
    x = source.take(torch.tensor([1, 0, 1]))
    expected = torch.from_numpy(np.stack([picture(8, 8, n) for n in (2, 0, 2)])).permute(0, 3, 1, 2) / 255
    assert torch.equal(x, expected)
    assert source.take(torch.tensor([], dtype=torch.int64)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (24, 16)])
def test_other_images_are_scaled_to_cover_and_cut_in_the_middle(tmp_path, height, width):
    # A slope of 4 a column and 2 a row, which scaling by half keeps: each pixel lies in the middle of two by two.
    rows, columns = np.mgrid[:height, :width]
    slope = (4 * columns + 2 * rows).astype(np.uint8)
    Image.fromarray(np.stack([slope] * 3, 2)).save(tmp_path / "a.png")
    x = ImageFiles([tmp_path / "a.png"], size=8).take(torch.tensor([0]))[0] * 255
    top, left = (height - 16) / 2 + 0.5, (width - 16) / 2 + 0.5
    rows, columns = np.mgrid[:8, :8]
    expected = torch.from_numpy(4 * (2 * columns + left) + 2 * (2 * rows + top))
    assert (x - expected).abs()[:, 1:-1, 1:-1].max() <= 1.5
    assert ImageFiles([tmp_path / "a.png"], size=(4, 6)).take(torch.tensor([0])).shape == (1, 3, 4, 6)


def test_grey(folder):
    paths = [folder / "ant/1.png"]
    x = ImageFiles(paths, size=8, channels=1).take(torch.tensor([0]))
    expected = np.asarray(Image.fromarray(picture(8, 8, 2)).convert("L")) / np.float32(255)
    assert torch.equal(x[0, 0], torch.from_numpy(expected))


def test_random_views_follow_the_seed_and_the_item_only(folder):
    paths = [*folder.rglob("[0-9].*")]
    source = ImageFiles(paths, size=8, crop=0.3)
    index, seeds = torch.arange(4), torch.tensor([5, 6, 7, 8])
    views = source.take(index, seeds=seeds)
    assert torch.equal(source.take(index.flip(0), seeds=seeds.flip(0)), views.flip(0))
    assert not torch.equal(source.take(index, seeds=seeds + 1), views)
    plain = source.take(index)
    assert torch.equal(plain, ImageFiles(paths, size=8).take(index))
    assert not torch.equal(plain, views)
    assert torch.equal(ImageFiles(paths, size=8).take(index, seeds=seeds), plain)
    threaded = ImageFiles(paths, size=8, crop=0.3, workers=2)
    assert torch.equal(threaded.take(index, seeds=seeds), views)


def test_images_of_any_size_are_cut():
    numbers = np.random.default_rng(0)
    sizes = [(499, 602), (602, 499), (1, 1), *numbers.integers(1, 700, (400, 2)).tolist()]
    for number, size in enumerate(sizes):
        image = Image.new("L", size, 255)
        for shape in ((1, 28, 28), (1, 9, 14)):
            for seed, crop in ((None, 0.0), (number, 1.0), (number, 0.2)):
                assert (fitted(image, shape, crop, seed) == 255).all(), (size, shape)


def test_a_training_set_reads_two_random_views(folder):
    source = ImageFiles([*folder.rglob("[0-9].*")], size=8, crop=0.3)
    data = TrainingSet(source, None, [], range(4))
    batch = data.batch(torch.arange(4), step=1)
    assert len(batch.views) == 2
    assert (batch.views[0] != batch.views[1]).flatten(1).any(1).all()
    again = data.batch(torch.arange(4), step=1)
    assert all(torch.equal(a, b) for a, b in zip(batch.views, again.views, strict=True))
    shares = [data.batch(torch.arange(4), step=1, rank=rank, ranks=2).views[1] for rank in (0, 1)]
    assert torch.equal(torch.cat(shares), batch.views[1])
    both = TrainingSet(StoredViews([source, source]), None, [], range(4)).batch(torch.arange(4))
    assert (both.views[0] != both.views[1]).flatten(1).any(1).all()


@pytest.mark.parametrize("full", [False, True])
def test_digests_tell_files_apart(folder, tmp_path, full):
    def digest(paths, size=8):
        return ImageFiles(paths, size=size).digest(full=full)

    paths = sorted(folder.rglob("[0-9].*"))
    before = digest(paths)
    assert digest(paths) == before
    assert digest(paths, size=9) != before
    assert digest(paths[::-1]) != before
    shutil.copytree(folder, tmp_path / "copy")
    copies = sorted((tmp_path / "copy").rglob("[0-9].*"))
    assert (digest(copies) == before) == full  # the content is the same, the place is not
    content, found = paths[0].read_bytes(), paths[0].stat()
    paths[0].write_bytes(content[::-1])
    os.utime(paths[0], ns=(found.st_atime_ns, found.st_mtime_ns))
    assert (digest(paths) != before) == full
    paths[0].write_bytes(content)
    os.utime(paths[0], ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert (digest(paths) == before) == full


class Part:
    """A data set as those of torchvision are, with its images in an array or not."""

    def __init__(self, images, listed):
        self.images, self.targets = images, [0] * len(images)
        if listed:
            self.data = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, number):
        return Image.fromarray(self.images[number]), 0


@pytest.mark.parametrize("listed", [False, True])
def test_digests_of_data_sets_of_torchvision(listed):
    images = np.stack([picture(8, 8, n) for n in range(3)])

    def digests(images):
        source = TorchvisionImages([Part(images, listed)], size=8)
        return source.digest(), source.digest(full=True)

    quick, full = digests(images)
    assert digests(images.copy()) == (quick, full)
    images[1, 2, 3] ^= 1
    changed = digests(images)
    assert (changed[0] != quick) == listed
    assert changed[1] != full


def test_folders_of_classes(folder):
    paths, labels, classes = read_image_folder(folder)
    assert [path.relative_to(folder).as_posix() for path in paths] == [
        "ant/1.png",
        "ant/deep/2.PNG",
        "zebra/0.png",
        "zebra/1.png",
    ]
    assert (labels.tolist(), classes) == ([0, 0, 1, 1], ("ant", "zebra"))
    found = open_dataset("folder", folder, size=8)
    assert (found.source.shape, found.labels.tolist(), found.classes) == ((3, 8, 8), [0, 0, 1, 1], classes)
    assert torch.equal(found.source.take(torch.tensor([3])), ImageFiles(paths[3:], size=8).take(torch.tensor([0])))


def test_images_beside_the_classes_have_no_label(folder):
    for name in ("b.png", "a.PNG", ".hidden.png"):
        (folder / name).write_bytes((folder / "ant" / "1.png").read_bytes())
    (folder / "notes.txt").write_text("no image")
    paths, labels, classes = read_image_folder(folder)
    assert [path.name for path in paths[4:]] == ["a.PNG", "b.png"]
    assert (labels.tolist(), classes) == ([0, 0, 1, 1, -1, -1], ("ant", "zebra"))
    split = draw_split(labels, queries=2, labelled=2)
    assert split.unlabelled.tolist() == [4, 5]
    assert open_dataset("folder", folder, size=8).source.paths == tuple(map(str, paths))


def test_lists(folder, tmp_path):
    (tmp_path / "train.txt").write_text("zebra/1.png 0 1 1\nant/1.png 1 0 0\n\n")
    (tmp_path / "test.txt").write_text("zebra/0.png 0 0 0\nzebra/1.png 0 1 1\n")
    names, labels = read_image_lists([tmp_path / "train.txt", tmp_path / "test.txt"])
    assert names == ["zebra/1.png", "ant/1.png", "zebra/0.png"]
    assert (labels.tolist(), labels.dtype) == ([[0, 1, 1], [1, 0, 0], [0, 0, 0]], np.uint8)
    (tmp_path / "ids.txt").write_text("zebra/1.png 12\nant/1.png 0\n")
    found = open_dataset("list", folder, lists=[tmp_path / "ids.txt"], size=8)
    assert (found.labels.tolist(), found.labels.dtype) == ([12, 0], np.int64)
    assert torch.equal(
        found.source.take(torch.tensor([1]))[0].mul(255).byte().permute(1, 2, 0), torch.from_numpy(picture(8, 8, 2))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1\nb 1 0\n", r"a path and a class id in line 2 of .*list.txt', got 'b 1 0'"),
        ("a 1 0\nb 1\n", "a path and 2 values 0 or 1 in line 2"),
        ("a 1 2\n", "a path and 2 values 0 or 1 in line 1"),
        ("a\n", "a path and a class id in line 1"),
        ("a -1\n", "a path and a class id in line 1"),
        ("a 1\na 2\n", "expected one label for 'a', got two that differ"),
        ("\n", "expected at least one line, got none"),
    ],
)
def test_lists_of_another_form_are_refused(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError, match=f"^read_image_lists: files: .*{message}"):
        read_image_lists([tmp_path / "list.txt"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size: expected pixels >= 1, got 0"),
        ({"size": 8, "channels": 2}, "channels: expected 1 or 3, got 2"),
        ({"size": 8, "crop": 1.5}, "crop: expected a share from 0 to 1, got 1.5"),
        ({"size": 8, "workers": -1}, "workers: expected a number >= 0, got -1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=f"ImageFiles: {message}"):
        ImageFiles([], **options)


def test_files_that_are_no_images(folder, tmp_path):
    with pytest.raises(ValueError, match=r"ImageFiles.take: paths: expected an image, got .*notes\.txt"):
        ImageFiles([folder / "ant/notes.txt"], size=8).take(torch.tensor([0]))
    with pytest.raises(FileNotFoundError, match="read_image_folder: root: expected a folder"):
        read_image_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="expected a sub-folder each class, got none"):
        read_image_folder(folder / "zebra")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="expected images in each sub-folder, got none in 'empty'"):
        read_image_folder(folder)
    with pytest.raises(ValueError, match="read_image_lists: files: expected at least one path in a sequence"):
        open_dataset("list", folder)
