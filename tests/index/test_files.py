"""Files: what was saved comes back, and what is not what was saved is refused."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import fasthash
from fasthash import HammingIndex
from fasthash.index.mapped import BLOCK

WAYS = [{}, {"mmap": True}, {"mmap": True, "verify": True}, {"verify": False}, {"mmap": True, "verify": False}]


def make(kind=None, ids="sequence", count=500, bits=20, seed=0) -> HammingIndex:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, bits)).astype(np.float32)
    documents = None
    if kind is not None:
        documents = (vectors * 20).astype(np.int8) if kind == "int8" else vectors
    index = HammingIndex(bits, documents=kind)
    numbers = {"sequence": None, "rising": np.arange(count) * 3, "any": rng.permutation(count) * 5}[ids]
    index.add(fasthash.pack(vectors), numbers, documents=documents)
    index.remove(index.ids[count // 2 : count // 2 + 3] if ids != "sequence" else [])
    return index


def assert_equal(got: HammingIndex, expected: HammingIndex) -> None:
    assert (got.bits, got.next_id, got.documents) == (expected.bits, expected.next_id, expected.documents)
    np.testing.assert_array_equal(got.ids, expected.ids)
    np.testing.assert_array_equal(got.codes, expected.codes)
    queries = expected.codes[:7]
    some = expected.ids[::-3][:40]
    for filter in (None, some):
        for a, b in zip(got.search(queries, 9, filter=filter), expected.search(queries, 9, filter=filter), strict=True):
            np.testing.assert_array_equal(a, b)
    floats = np.random.default_rng(9).standard_normal((3, got.bits)).astype(np.float32)
    for a, b in zip(got.search_rescored(floats, 5), expected.search_rescored(floats, 5), strict=True):
        np.testing.assert_array_equal(a, b)
    if got.documents:
        np.testing.assert_array_equal(got.reconstruct_documents(some), expected.reconstruct_documents(some))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("ids", ["sequence", "rising", "any"])
@pytest.mark.parametrize("kind", [None, "int8", "float16", "float32"])
def test_what_was_saved_comes_back(tmp_path, kind, ids, way) -> None:
    index = make(kind, ids)
    index.save(tmp_path / "a.fasthash")
    assert_equal(HammingIndex.load(tmp_path / "a.fasthash", **way), index)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("count", [0, 1])
def test_tiny_indexes(tmp_path, count, way) -> None:
    index = make("float16", count=count, bits=9)
    index.save(tmp_path / "a")
    loaded = HammingIndex.load(tmp_path / "a", **way)
    assert_equal(loaded, index)
    if not way.get("mmap"):
        loaded.add(index.codes, documents=np.zeros((count, 9), dtype=np.float32))
        assert len(loaded) == 2 * count


def test_numbering_goes_on_after_loading(tmp_path) -> None:
    index = make()
    index.remove(index.ids[400:])
    index.save(tmp_path / "a")
    loaded = HammingIndex.load(tmp_path / "a")
    loaded.add(index.codes[:1])
    assert loaded.ids[-1] == 500


def test_safetensors_reads_the_file(tmp_path) -> None:
    index = make("float16", "any")
    index.save(tmp_path / "a.safetensors")
    tables = load_file(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(tables["codes"], index.codes)
    np.testing.assert_array_equal(tables["ids"], index.ids)
    np.testing.assert_array_equal(tables["documents"], index.reconstruct_documents(index.ids))


def test_a_mapped_index_is_read_only_and_its_copy_is_not(tmp_path) -> None:
    index = make("float32", "any")
    index.save(tmp_path / "a")
    mapped = HammingIndex.load(tmp_path / "a", mmap=True)
    assert repr(mapped).endswith(f"mapped from {tmp_path / 'a'})")
    for change in (
        lambda: mapped.add(index.codes[:1], documents=np.zeros((1, 20), dtype=np.float32)),
        lambda: mapped.remove(index.ids[:1]),
        lambda: mapped.merge_from(index, offset=10_000),
    ):
        with pytest.raises(ValueError, match=r"mapped from .* and read-only; change its \.copy\(\)"):
            change()
    copy = mapped.copy()
    copy.remove(index.ids[:1])
    assert len(copy) == len(index) - 1
    mapped.save(tmp_path / "a")  # over itself
    assert_equal(mapped, index)
    assert_equal(HammingIndex.load(tmp_path / "a"), index)


def test_a_mapped_index_stays_when_its_file_is_replaced(tmp_path) -> None:
    first, second = make(seed=1), make(seed=2)
    first.save(tmp_path / "a")
    mapped = HammingIndex.load(tmp_path / "a", mmap=True)
    second.save(tmp_path / "a")
    assert_equal(mapped, first)
    assert_equal(HammingIndex.load(tmp_path / "a", mmap=True), second)
    (tmp_path / "a").unlink()
    assert_equal(mapped, first)


def flipped(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


@pytest.fixture
def large(tmp_path) -> tuple[HammingIndex, Path, int]:
    """An index whose documents take four blocks, its file, and where they begin."""
    index = make("float32", "any", count=4000, bits=256)
    index.save(tmp_path / "a")
    whole = (tmp_path / "a").read_bytes()
    return index, tmp_path / "a", whole.index(index.reconstruct_documents(index.ids[:1]).tobytes())


def test_a_mapped_document_is_checked_when_it_is_needed(large) -> None:
    """A damaged block does not harm searches that need none of it, and stops those that do."""
    index, path, start = large
    flipped(path, start + 2 * BLOCK + 5)
    mapped = HammingIndex.load(path, mmap=True)
    np.testing.assert_array_equal(mapped.search(index.codes[:3], 5)[1], index.search(index.codes[:3], 5)[1])
    row = (2 * BLOCK + 5) // 1024
    floats = index.reconstruct_documents(index.ids)
    far = mapped.search_rescored(floats[:1], 5, filter=index.ids[:900])
    np.testing.assert_array_equal(far, index.search_rescored(floats[:1], 5, filter=index.ids[:900]))
    near = index.ids[row : row + 1]
    for call in (
        lambda: mapped.search_rescored(floats[row : row + 1], 1, filter=near),
        lambda: mapped.reconstruct_documents(near),
        lambda: list(mapped.blocks()),
        mapped.copy,
        lambda: mapped.save(path.with_name("b")),
        lambda: HammingIndex.load(path),
        lambda: HammingIndex.load(path, mmap=True, verify=True),
    ):
        with pytest.raises(
            ValueError, match=rf"{path}: expected the documents .* bytes {2 * BLOCK} to {3 * BLOCK} do not fit"
        ):
            call()
    assert not path.with_name("b").exists()
    HammingIndex.load(path, verify=False)


@pytest.mark.parametrize("table", ["codes", "ids"])
def test_mapped_codes_and_ids_are_checked_by_the_first_search(tmp_path, table) -> None:
    index = make(None, "any")
    index.save(tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    flipped(tmp_path / "a", data.index(getattr(index, table).tobytes()) + 17)
    mapped = HammingIndex.load(tmp_path / "a", mmap=True)
    with pytest.raises(ValueError, match=f"expected the {table} that were saved"):
        mapped.search(index.codes[:1], 1)
    HammingIndex.load(tmp_path / "a", mmap=True, verify=False).search(index.codes[:1], 1)


def test_a_mapped_file_that_is_cut_is_noticed(tmp_path) -> None:
    """Reading behind its end would end the process."""
    index = make(count=5000)
    index.save(tmp_path / "a")
    mapped = HammingIndex.load(tmp_path / "a", mmap=True)
    os.truncate(tmp_path / "a", 4096)
    with pytest.raises(ValueError, match=r"expected .* bytes as when it was mapped, got 4096"):
        mapped.search(index.codes[:1], 1)


FOREIGN = {
    "empty": b"",
    "text": b"hello, this is no index at all" * 9,
    "zeros": bytes(4096),
    "json": (20).to_bytes(8, "little") + b'{"a": [1, 2, 3, 4]}  ',
    "deep": (4000).to_bytes(8, "little") + b"[" * 4000,
    "list": (2).to_bytes(8, "little") + b"[]",
}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_files(tmp_path, what, way) -> None:
    (tmp_path / "a").write_bytes(FOREIGN[what])
    with pytest.raises(ValueError, match=r"HammingIndex\.load: .*a: expected an index file of fasthash, got another"):
        HammingIndex.load(tmp_path / "a", **way)


def test_other_safetensors_and_later_versions(tmp_path, monkeypatch) -> None:
    from safetensors.numpy import save_file

    save_file({"codes": np.zeros((3, 2), np.uint8)}, tmp_path / "a", metadata={"bits": "16"})
    with pytest.raises(ValueError, match="expected an index file of fasthash, got another"):
        HammingIndex.load(tmp_path / "a")
    monkeypatch.setattr("fasthash.index.header.VERSION", 2)
    make().save(tmp_path / "b")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="expected version 1 of the format, got 2; a newer fasthash may read it"):
        HammingIndex.load(tmp_path / "b")


def test_a_link_stays(tmp_path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "there" / "b")
    for seed in (1, 2):
        make(seed=seed).save(tmp_path / "a")
        assert (tmp_path / "a").is_symlink()
        assert_equal(HammingIndex.load(tmp_path / "there" / "b"), make(seed=seed))


def test_missing_files_and_folders(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        HammingIndex.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        make().save(tmp_path / "none" / "a")
    with pytest.raises(ValueError, match="device: expected cpu or cuda, got meta"):
        HammingIndex.load(tmp_path / "none", mmap=True, device="meta")


SAVED = [(make("float16", "any", count=40, bits=20, seed=3), make("int8", "sequence", count=40, bits=13, seed=4))]


@settings(max_examples=200)
@given(
    which=st.integers(0, 1),
    change=st.sampled_from(["cut", "flip", "extend", "swap", "drop"]),
    at=st.floats(0, 1, exclude_max=True),
    amount=st.integers(1, 255),
    way=st.sampled_from([way for way in WAYS if way.get("verify") is not False]),
)
def test_altered_files_are_refused(tmp_path_factory, which, change, at, amount, way) -> None:
    """Whatever is cut, flipped, extended, exchanged or left out: an error, now or at first touch, no other result."""
    index = SAVED[0][which]
    path = tmp_path_factory.mktemp("fuzz") / "a"
    index.save(path)
    data = path.read_bytes()
    place = int(at * len(data))
    altered = {
        "cut": data[:place],
        "flip": data[:place] + bytes([data[place] ^ amount]) + data[place + 1 :],
        "extend": data[:place] + bytes([amount]) * amount + data[place:],
        "swap": data[:place] + data[place : place + 2 * amount][::-1] + data[place + 2 * amount :],
        "drop": data[:place] + data[place + amount :],
    }[change]
    if altered == data:
        return
    path.write_bytes(altered)
    with pytest.raises(ValueError, match="HammingIndex"):
        assert_equal(HammingIndex.load(path, **way).copy(), index)
    with contextlib.suppress(ValueError):  # unless no damaged document was needed
        assert_equal(HammingIndex.load(path, **way), index)


SAVER = """
import os, pathlib, signal, sys, time
import numpy as np
from fasthash import HammingIndex

def save_for_ever(path, pipe):
    index = HammingIndex(64, documents="float32")
    codes = np.random.default_rng(0).integers(0, 256, (20_000, 8), dtype=np.uint8)
    index.add(codes, documents=np.full((20_000, 64), 1.0, np.float32))
    while True:
        index.add(codes[:1000], documents=np.full((1000, 64), 2.0, np.float32))
        index.save(path)
        os.write(pipe, len(index).to_bytes(8, "little"))

path = pathlib.Path(sys.argv[1]) / "a"
rng = np.random.default_rng(0)
for _ in range(20):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        save_for_ever(path, write)
    os.close(write)
    told = os.read(read, 8)
    time.sleep(rng.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(read, 8):
        told = more
    os.close(read)
    for file in path.parent.iterdir():
        found = len(HammingIndex.load(file))
        assert file != path or found - int.from_bytes(told, "little") in (0, 1000), (found, told)
print("whole")
"""


def test_kill_while_saving_leaves_whole_files(tmp_path) -> None:
    """Killed twenty times at any moment: every file that is found is whole, and is the last saved or the next."""
    result = subprocess.run([sys.executable, "-c", SAVER, tmp_path], capture_output=True, text=True, timeout=200)
    assert result.stdout == "whole\n", result.stderr


def test_a_full_disk_leaves_the_old_file(tmp_path) -> None:
    """The file may grow no further than the old one: the kernel's answer is that of a full disk."""
    make(count=500).save(tmp_path / "a")
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from fasthash import HammingIndex\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "index = HammingIndex(64)\n"
        "index.add(np.zeros((10000, 8), np.uint8))\n"
        "index.save(sys.argv[1])\n"
    )
    result = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "OSError" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert_equal(HammingIndex.load(tmp_path / "a"), make(count=500))


def test_file_systems_without_nameless_files(tmp_path, monkeypatch) -> None:
    real = os.open

    def without(path, flags, *arguments, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "not supported")
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", without)
    index = make()
    index.save(tmp_path / "a")
    index.save(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert_equal(HammingIndex.load(tmp_path / "a"), index)
    monkeypatch.setattr(os, "fsync", lambda descriptor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(seed=5).save(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    monkeypatch.undo()
    assert_equal(HammingIndex.load(tmp_path / "a"), index)


def test_saving_while_others_add(tmp_path) -> None:
    """Each file holds a prefix of whole blocks."""
    from threading import Thread

    rows = np.arange(40_000, dtype=">u4").view(np.uint8).reshape(-1, 4)
    index = HammingIndex(32)

    def add() -> None:
        for first in range(0, 40_000, 100):
            index.add(rows[first : first + 100])

    thread = Thread(target=add)
    thread.start()
    while True:
        last = not thread.is_alive()
        index.save(tmp_path / "a")
        loaded = HammingIndex.load(tmp_path / "a")
        assert len(loaded) % 100 == 0
        np.testing.assert_array_equal(loaded.codes, rows[: len(loaded)])
        assert loaded.next_id == len(loaded)
        if last:
            break
    thread.join()
    assert len(loaded) == 40_000


def test_loading_to_a_device_that_torch_lacks(tmp_path) -> None:
    make().save(tmp_path / "a")
    if torch.cuda.is_available():
        with pytest.raises(ValueError, match="device: expected cpu for a mapped index"):
            HammingIndex.load(tmp_path / "a", mmap=True, device="cuda")
    else:
        with pytest.raises(ValueError, match="torch sees no GPU"):
            HammingIndex.load(tmp_path / "a", device="cuda")
