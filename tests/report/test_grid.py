"""Searches and pictures of the retrieval grids."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from report_runs import ITEMS, LABELS, QUERIES

from fasthash import hamming_distance
from fasthash.data import ArraySource
from fasthash.report import grid as grids
from fasthash.report import read_run
from fasthash.report.thumbnails import Album, png


def test_each_search_is_the_brute_force_one(make_run, items):
    measured = read_run(make_run("a")).measured[0]
    album = Album(items.dataset.source, 10**6)
    grid = grids.make_grid(measured, items, album, album.budget)
    assert sorted(grid.queries) == list(range(QUERIES))
    assert len(grid.nearest) == ITEMS  # all is reached from six queries
    rows = torch.cat([measured.codes["queries"], measured.codes["database"]])
    distances = hamming_distance(rows, rows).numpy()
    for row, found in grid.nearest.items():
        others = np.array([other for other in range(QUERIES, ITEMS) if other != row])
        nearest = others[np.argsort(distances[row, others], kind="stable")][:10]
        assert [item.row for item in found] == nearest.tolist()
        assert [item.distance for item in found] == distances[row, nearest].tolist()
        assert [item.relevant for item in found] == (LABELS[nearest] == LABELS[row]).tolist()


def test_pictures_stay_within_the_limit_and_are_there_for_all_that_is_shown(make_run, items):
    measured = read_run(make_run("a")).measured[0]
    whole = Album(items.dataset.source, 10**6)
    grids.make_grid(measured, items, whole, whole.budget)
    album = Album(items.dataset.source, whole.size // 2)
    grid = grids.make_grid(measured, items, album, album.budget)
    assert album.size <= whole.size // 2
    assert 0 < len(grid.nearest) < ITEMS
    assert {item.row for found in grid.nearest.values() for item in found} | set(grid.nearest) == set(album.pictures)


def test_codes_of_other_rows_are_refused(make_run, items):
    measured = read_run(make_run("a")).measured[0]
    measured.codes["database"] = measured.codes["database"][:-1]
    album = Album(items.dataset.source, 10**6)
    with pytest.raises(ValueError, match=r"codes/database\.safetensors must hold 60 codes of 16 bits, got 59"):
        grids.make_grid(measured, items, album, album.budget)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_png_holds_the_pixels(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    read = np.array(Image.open(io.BytesIO(png(pixels))))
    assert np.array_equal(read.reshape(pixels.shape), pixels)


def test_small_images_are_kept_and_large_ones_shrunk():
    small, large = np.zeros((2, 3, 8, 8), np.uint8), np.full((2, 3, 200, 100), 128, np.uint8)
    small[0, 1] = 255
    for images, size, kind in ((small, (8, 8), "PNG"), (large, (32, 64), "JPEG")):
        album = Album(ArraySource(images), 10**6)
        assert album.add([0])
        picture = Image.open(io.BytesIO(base64.b64decode(album.pictures[0].partition(",")[2])))
        assert (picture.size, picture.format) == (size, kind)
    assert album.size == len(album.pictures[0])


def test_multi_hot_relevance(items):
    labels = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]], dtype=np.uint8)
    object.__setattr__(items.dataset, "labels", labels)
    others = np.arange(5)
    assert items.relevant(0, others, "share").tolist() == [True, True, False, True, False]
    assert items.relevant(0, others, "identical").tolist() == [True, False, False, True, False]
    assert items.relevant(4, others, "identical").tolist() == [False] * 5
    assert (items.title(0), items.title(4)) == ("cat, <b>owl</b>", "no label")
