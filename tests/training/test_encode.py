"""Items of any kind on their way to codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fasthash import methods
from fasthash.data import ArraySource, TrainingSet, map_array
from fasthash.training import Config, Hasher, Silent, Validation, fit, load

SMALL = {"bits": 12, "network": {"widths": (16,)}, "epochs": 2, "batch_size": 16, "labelled": 8}


@pytest.fixture(scope="module")
def hasher():
    torch.manual_seed(0)
    return Hasher(nn.Linear(6, 12), 12)


def test_uint8_and_sources_are_read_as_training_reads_them(hasher):
    x = np.random.default_rng(0).integers(0, 256, (50, 6), np.uint8)
    assert np.array_equal(hasher.encode(x), hasher.encode((x * np.float32(1 / 255)).astype(np.float32)))
    centred = ArraySource(x, scale=1 / 255, offset=-0.5)
    codes = hasher.encode(centred, batch_size=7)
    assert isinstance(codes, torch.Tensor)
    assert torch.equal(codes, hasher.encode(torch.from_numpy(x) / 255 - 0.5))
    assert not np.array_equal(codes.numpy(), hasher.encode(x))
    some = centred.select([3, 1, 3])
    assert torch.equal(hasher.encode(some), codes[[3, 1, 3]])
    with pytest.raises(ValueError, match=r"Source\.select: rows: expected \(n,\) from 0 to 49"):
        centred.select([50])


def test_mapped_arrays_are_read_a_batch_at_a_time(hasher, tmp_path, monkeypatch):
    x = np.random.default_rng(0).standard_normal((40, 6), np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped, sizes = map_array(tmp_path / "x.npy"), []
    take = ArraySource.take

    def watched(self, index, **options):
        sizes.append(len(index))
        return take(self, index, **options)

    monkeypatch.setattr(ArraySource, "take", watched)
    assert np.array_equal(hasher.encode(mapped, batch_size=16), hasher.encode(x))
    assert sizes == [16, 16, 8, 40]


def test_what_was_standardised_in_training_is_so_in_validation_and_encoding(tmp_path):
    x = 100 + 50 * torch.randn(72, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(72) % 3
    rows = (range(20), range(20, 60))
    items = TrainingSet(x, labels, *rows, standardise=True)
    by_hand = (x - items.standardisation.mean) / items.standardisation.deviation
    parts = (labels[60:], labels[:20])
    method = methods.create("dpsh", **SMALL)

    def train(name, items, x):
        validation = Validation(x[60:], parts[0], x[:20], parts[1])
        config = Config(str(tmp_path / name), accelerator="cpu", validate_every=3)
        return fit(method, items, config, validation=validation, progress=Silent())

    run = train("run", items, x)
    other = train("other", TrainingSet(by_hand, labels, *rows), by_hand)
    scores, expected = ([line.get("validation_mAP") for line in r.metrics()] for r in (run, other))
    assert scores == expected
    codes = load(run).encode(x)
    assert torch.equal(codes, load(other).encode(by_hand))
    assert torch.equal(codes, load(run).encode(items.source))  # standardised already
    different = ArraySource(x).standardised()
    for wrong in (run, other):
        with pytest.raises(ValueError, match=r"Hasher\.encode: x must be plain or standardised as the training items"):
            load(wrong).encode(different)


@pytest.mark.parametrize("standardise", [False, True])
def test_arrays_are_read_as_the_training_items_were(tmp_path, standardise):
    x = np.random.default_rng(1).integers(0, 256, (60, 4, 4, 3), np.uint8)
    source = ArraySource(x, scale=6 / 255, offset=-3.0, channels_last=True)
    items = TrainingSet(source, np.arange(60) % 3, range(20), range(20, 60), standardise=standardise)
    config = Config(str(tmp_path / "run"), accelerator="cpu")
    validation = Validation(x[:9], np.arange(9) % 3, x[9:], np.arange(51) % 3)
    run = fit(methods.create("dpsh", **SMALL), items, config, validation=validation, progress=Silent())
    expected = load(run).encode(source)
    assert np.array_equal(load(run).encode(x), expected)
    assert torch.equal(load(run).encode(torch.from_numpy(x)), expected)
    scaled = x.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(6 / 255) - 3
    assert np.array_equal(load(run).encode(scaled), expected)
    assert not np.array_equal(load(run).encode(np.ascontiguousarray(scaled + 3) / 6), expected)
    (score,) = [line["validation_mAP"] for line in run.metrics() if "validation_mAP" in line]
    by_hand = Validation(source.select(range(9)), np.arange(9) % 3, source.select(range(9, 60)), np.arange(51) % 3)
    assert score == by_hand.score(load(run, which="last").network, 12, items.standardisation)


def test_items_of_another_shape_are_refused(tmp_path):
    items = TrainingSet(torch.randn(60, 6), torch.arange(60) % 3, range(20), range(20, 60))
    run = fit(methods.create("dpsh", **SMALL), items, Config(str(tmp_path / "run")), progress=Silent())
    with pytest.raises(ValueError, match=r"x must have items of shape \(6,\), as in training, got \(5,\)"):
        load(run).encode(torch.randn(3, 5))
