import os
import selectors
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from fasthash.data import ArraySource, StoredViews, TrainingSet, cache_features, feature_cache
from fasthash.networks import MobileNetV2, NetworkConfig, build_network


class Counting(torch.nn.Module):
    """Two linear layers with dropout; says how many items went through, and stops at `fails_after`."""

    def __init__(self, fails_after=None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3))
        self.seen, self.fails_after = 0, fails_after

    def forward(self, x):
        if self.fails_after is not None and self.seen >= self.fails_after:
            raise KeyboardInterrupt
        self.seen += len(x)
        return self.layers(x)


@pytest.fixture
def items():
    return torch.randn(50, 6, generator=torch.Generator().manual_seed(1))


def everything(source):
    return torch.cat(list(source.blocks()))


def test_features_are_those_of_the_network_in_evaluation_mode(items, tmp_path):
    network = Counting().train()
    source = cache_features(items, network, folder=tmp_path, batch_size=16)
    assert network.layers[1].training
    expected = network.eval()(items).detach()
    torch.testing.assert_close(everything(source), expected, atol=1e-6, rtol=1e-5)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]
    assert isinstance(source, ArraySource)
    data = TrainingSet(source, torch.arange(50) % 5, range(10), range(10, 50))
    assert data.shape == (3,)
    torch.testing.assert_close(data.batch(torch.arange(50)).x, expected, atol=1e-6, rtol=1e-5)


def test_the_second_call_computes_nothing_and_any_change_something(items, tmp_path):
    cache_features(items, Counting(), folder=tmp_path)
    again = Counting()
    cache_features(items.clone(), again, folder=tmp_path)
    assert again.seen == 0
    changed = Counting()
    with torch.no_grad():
        changed.layers[2].bias[0] += 1
    other = Counting()
    other.layers[1] = torch.nn.Identity()
    for number, (x, network, options) in enumerate(
        [
            (items + 1, Counting(), {}),
            (items, changed, {}),
            (items, other, {}),
            (items, Counting(), {"key": "other"}),
            (items, Counting(), {"dtype": "float16"}),
        ]
    ):
        cache_features(x, network, folder=tmp_path, **options)
        assert len(list(tmp_path.glob("*.npy"))) == number + 2


def test_items_that_differ_where_a_quick_digest_does_not_look_are_others(items, tmp_path, monkeypatch):
    monkeypatch.setattr("fasthash.data.sources.arrays.DIGEST_BYTES", 64 * 8)
    many = items.repeat(4, 1)
    changed = many.clone()
    changed[2] += 1
    assert ArraySource(changed).digest() == ArraySource(many).digest()
    sources = [cache_features(x, Counting(), folder=tmp_path) for x in (many, changed)]
    assert not torch.equal(everything(sources[0])[2], everything(sources[1])[2])


def test_half_precision_halves_the_file(items, tmp_path):
    source = cache_features(items, Counting(), folder=tmp_path, dtype="float16")
    (path,) = tmp_path.glob("*.npy")
    assert np.load(path).dtype == np.float16
    torch.testing.assert_close(everything(source), Counting().eval()(items).detach(), atol=2e-3, rtol=2e-3)


def test_what_was_computed_before_a_stop_is_kept(items, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "SECONDS_BETWEEN_MARKS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        cache_features(items, Counting(fails_after=28), folder=tmp_path, batch_size=7)  # one batch asks for the width
    assert not list(tmp_path.glob("*.npy"))
    rest = Counting()
    source = cache_features(items, rest, folder=tmp_path, batch_size=7)
    assert rest.seen == 35  # rows 21 to 49 in five batches of 7
    torch.testing.assert_close(everything(source), Counting().eval()(items).detach(), atol=1e-6, rtol=1e-5)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]


def test_a_mark_without_its_file_counts_nothing(items, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "SECONDS_BETWEEN_MARKS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        cache_features(items, Counting(fails_after=28), folder=tmp_path, batch_size=7)
    next(tmp_path.glob("*.part")).unlink()
    with pytest.raises(KeyboardInterrupt):
        cache_features(items, Counting(fails_after=7), folder=tmp_path, batch_size=7)
    source = cache_features(items, Counting(), folder=tmp_path, batch_size=7)
    torch.testing.assert_close(everything(source), Counting().eval()(items).detach(), atol=1e-6, rtol=1e-5)


SLOW = """
import sys, time, torch
from fasthash.data import cache_features, feature_cache
feature_cache.SECONDS_BETWEEN_MARKS = 0.0
class Slow(torch.nn.Module):
    def forward(self, x):
        time.sleep(0.02)
        print("batch", flush=True)
        return x * 2
items = torch.arange(600.0).reshape(300, 2)
found = torch.cat(list(cache_features(items, Slow(), folder=sys.argv[1], batch_size=4).blocks()))
assert torch.equal(found, items * 2)
print("whole", flush=True)
"""


def test_killed_and_gone_on_with(tmp_path):
    """Two processes at once, killed twice while one computes and the other waits: the file comes out whole."""
    for turn in range(3):
        runs = [
            subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], stdout=subprocess.PIPE, text=True, bufsize=1)
            for _ in range(2)
        ]
        try:
            if turn < 2:
                for _ in range(8):
                    next_line(runs)
                for run in runs:
                    os.kill(run.pid, signal.SIGKILL)
            texts = [run.communicate(timeout=120)[0] for run in runs]
        finally:
            for run in runs:
                run.kill()
    assert [run.returncode for run in runs] == [0, 0]
    assert all(text.endswith("whole\n") for text in texts)
    # Of 75 batches at least six were kept the first time and seven the second: one asks for the width, one may be lost.
    assert 0 < sum(text.count("batch") for text in texts) <= 75 - 6 - 7
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]


def next_line(runs):
    """A line of whichever process computes."""
    with selectors.DefaultSelector() as selector:
        for run in runs:
            selector.register(run.stdout, selectors.EVENT_READ)
        for key, _ in selector.select(timeout=60):
            return key.fileobj.readline()
    raise AssertionError("no process said anything")


def test_every_stored_view_is_computed(items, tmp_path):
    views = StoredViews([items, items.flip(0)])
    source = cache_features(views, Counting(), folder=tmp_path)
    assert source.views == 2
    index = torch.arange(50)
    torch.testing.assert_close(source.take(index, view=1), source.take(index.flip(0), view=0), atol=1e-6, rtol=1e-5)


def test_a_backbone_at_another_size_is_another_network(tmp_path):
    images = torch.rand(3, 3, 16, 16)
    for size in (32, 64):
        torch.manual_seed(0)
        cache_features(images, MobileNetV2(size=size), folder=tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 2
    network = build_network(NetworkConfig("cnn", (8,)), (3, 16, 16), 12)
    found = cache_features(images, network.backbone, folder=tmp_path)
    torch.testing.assert_close(everything(found), network.eval().features(images).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler for torch.compile")
def test_compiled_features_are_the_same(items, tmp_path):
    torch._dynamo.reset()
    source = cache_features(items, Counting().layers, folder=tmp_path, compiled=True)
    torch.testing.assert_close(everything(source), Counting().eval()(items).detach(), atol=1e-5, rtol=1e-4)


def test_no_items_and_errors(items, tmp_path):
    assert len(cache_features(items[:0], Counting(), folder=tmp_path)) == 0
    with pytest.raises(ValueError, match="cache_features: batch_size: expected >= 1, got 0"):
        cache_features(items, Counting(), folder=tmp_path, batch_size=0)
    with pytest.raises(ValueError, match='cache_features: dtype: expected "float32" or "float16", got \'int8\''):
        cache_features(items, Counting(), folder=tmp_path, dtype="int8")
    with pytest.raises(ValueError, match=r"cache_features: network: expected \(16, features\) .* got \(16, 6, 1\)"):
        cache_features(items, torch.nn.Unflatten(1, (6, 1)), folder=tmp_path)
    with pytest.raises(TypeError, match="ArraySource: x: expected a tensor or an array, got list"):
        cache_features([1.0], Counting(), folder=tmp_path)


def test_the_folder_is_the_cache_by_default(items, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTHASH_CACHE", str(tmp_path))
    cache_features(items, Counting())
    assert len(list((tmp_path / "features").glob("*.npy"))) == 1
