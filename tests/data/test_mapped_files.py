import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fasthash.data import ArraySource, array_names, cache_folder, map_array

X = np.arange(24, dtype=np.float32).reshape(6, 4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("FASTHASH_CACHE", str(folder))
    return folder


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.savez_compressed(tmp_path / "x.npz", features=X, **{"more/labels": np.arange(6)})
    save_file({"features": torch.from_numpy(X), "labels": torch.arange(6)}, tmp_path / "x.safetensors")
    return tmp_path


@pytest.mark.parametrize(("name", "key"), [("x.npy", None), ("x.npz", "features"), ("x.safetensors", "features")])
def test_every_kind_gives_its_array(files, name, key):
    array = map_array(files / name, key)
    assert np.array_equal(array, X)
    source = ArraySource(array)
    assert source.take(torch.tensor([4, 1])).tolist() == X[[4, 1]].tolist()
    assert source.digest() == ArraySource(X).digest()


def test_names(files):
    assert array_names(files / "x.npy") == ()
    assert array_names(files / "x.npz") == ("features", "more/labels")
    assert sorted(array_names(files / "x.safetensors")) == ["features", "labels"]
    assert map_array(files / "x.npz", "more/labels").tolist() == list(range(6))


def test_arrays_of_files_are_mapped(files):
    code = """
import sys
import numpy as np
import torch
from fasthash.data import ArraySource, map_array

def own():  # pages of the file itself count as RssFile
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon:")).split()[1])

folder = sys.argv[1]
torch.arange(2).sum()
for name, key in (("y.npy", None), ("y.npz", "y"), ("y.safetensors", "y")):
    before = own()
    source = ArraySource(map_array(f"{folder}/{name}", key))
    source.take(torch.arange(0, len(source), 1000))
    print(own() - before)
"""
    y = np.zeros((200_000, 64), np.float32)  # 51 MB
    np.save(files / "y.npy", y)
    np.savez_compressed(files / "y.npz", y=y)
    save_file({"y": torch.from_numpy(y)}, files / "y.safetensors")
    found = subprocess.run([sys.executable, "-c", code, files], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    grown = [int(line) for line in found.stdout.split()]
    assert len(grown) == 3
    assert max(grown) < y.nbytes / 2


def test_npz_is_unpacked_once_and_anew_when_it_changes(files, cache):
    map_array(files / "x.npz", "features")
    (unpacked,) = (cache / "arrays").iterdir()
    before = unpacked.stat().st_mtime_ns
    map_array(files / "x.npz", "features")
    assert [path.stat().st_mtime_ns for path in (cache / "arrays").iterdir()] == [before]
    np.savez_compressed(files / "x.npz", features=X + 1)
    assert np.array_equal(map_array(files / "x.npz", "features"), X + 1)
    os.utime(files / "x.npz", ns=(0, 0))
    assert np.array_equal(map_array(files / "x.npz", "features"), X + 1)
    assert len([*(cache / "arrays").iterdir()]) == 3


def test_a_broken_archive_leaves_nothing(files, cache):
    with zipfile.ZipFile(files / "x.npz") as members:
        place = members.getinfo("features.npy").header_offset
    content = bytearray((files / "x.npz").read_bytes())
    content[place + 60 : place + 70] = bytes(10)
    (files / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"map_array: path: expected a readable \.npz file, got .*x\.npz"):
        map_array(files / "x.npz", "features")
    assert [*(cache / "arrays").iterdir()] == []


def test_objects_are_refused(files):
    np.savez(files / "o.npz", o=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="map_array: path: expected a readable"):
        map_array(files / "o.npz", "o")


def test_the_cache_folder(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("FASTHASH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "fasthash"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the XDG rule: such values are left out of account
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "fasthash"


@pytest.mark.parametrize(
    ("name", "key", "error", "message"),
    [
        ("y.npy", None, FileNotFoundError, "path: expected a file, got .*y.npy"),
        ("x.csv", None, ValueError, r"path: expected a file that ends in \.npy, \.npz, \.safetensors, got"),
        ("x.npy", "features", ValueError, r"key: expected None with a \.npy file, got 'features'"),
        ("x.npz", "labels", ValueError, "key: expected one of features, more/labels of .*x.npz', got 'labels'"),
        ("x.npz", None, ValueError, "key: expected one of .* got None"),
        ("x.safetensors", "y", ValueError, "key: expected one of .* got 'y'"),
        ("bad.npy", None, ValueError, r"path: expected a readable \.npy file"),
        ("bad.npz", "x", ValueError, r"path: expected a readable \.npz file"),
        ("bad.safetensors", "x", ValueError, r"path: expected a readable \.safetensors file"),
    ],
)
def test_errors(files, name, key, error, message):
    for kind in ("npy", "npz", "safetensors"):
        (files / f"bad.{kind}").write_bytes(b"no array")
    with pytest.raises(error, match=message):
        map_array(files / name, key)
