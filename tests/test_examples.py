"""The examples run, and what they print bears out what they claim."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(*command: str) -> str:
    result = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_semantic_search() -> None:
    pytest.importorskip("sklearn")
    printed = run(str(EXAMPLES / "semantic_search.py"))
    hamming, codes4, codes16, int8_4, int8_16 = map(float, re.findall(r"(\d\.\d{3})$", printed, re.MULTILINE))
    assert 0.3 < hamming < codes4 <= codes16 < int8_4 < int8_16
    assert int8_16 > 0.8


@pytest.mark.slow
def test_sharded_search() -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3")
    printed = run(*torchrun, str(EXAMPLES / "sharded_search.py"))
    # Processes write at the same time: the ends of their lines may come in any order.
    assert sorted(re.findall(r"rank (\d): 66,667 of 200,001 codes", printed)) == ["0", "1", "2"]
    assert printed.count("as one machine:") == printed.count("True") == 1


@pytest.mark.slow
def test_low_bit_codes() -> None:
    pytest.importorskip("sklearn")
    printed = run(str(EXAMPLES / "low_bit_codes.py"))
    scores = {
        (name, int(bits)): float(score) for name, bits, score in re.findall(r"(\w+), +(\d+) .*? (\d\.\d+) ", printed)
    }
    assert 0.5 < scores["ADSH", 4] < scores["MAH", 4] < scores["MAH", 8] < scores["MAH", 16]
    share, largest = re.search(r"(\d\.\d+) show .* distance (\d+)", printed).groups()
    assert float(share) > 0.8
    assert int(largest) <= 8


@pytest.mark.slow
def test_distillhash() -> None:
    pytest.importorskip("sklearn")
    printed = run(str(EXAMPLES / "distillhash.py"))
    pairs = {
        name: [float(x) for x in numbers.split()]
        for name, numbers in re.findall(r"^(noisy|distilled(?:, \d+ neighbours)?) +([\d. ]+)$", printed, re.MULTILINE)
    }
    assert list(pairs) == ["noisy", *(f"distilled{more}" for more in ("", *(f", {k} neighbours" for k in (10, 5, 2))))]
    noisy, kept = pairs["noisy"], pairs["distilled"]
    assert noisy[0] + noisy[3] == pytest.approx(1, abs=0.002)
    assert kept[0] < noisy[0]
    assert kept[3] < noisy[3]
    # On these digits what is kept is more often right, of both signs, and neighbours say so without labels.
    assert kept[2] > noisy[2] + 0.05
    assert kept[5] > noisy[5] + 0.005
    assert kept[1] > noisy[1] + 0.02
    assert kept[4] > noisy[4] + 0.005
    scores = dict(re.findall(r"^(lsh|pcah|itq|distillhash) +(\d\.\d{3})$", printed, re.MULTILINE))
    assert float(scores["distillhash"]) > float(scores["lsh"]) + 0.05


@pytest.mark.slow
def test_cross_modal_search() -> None:
    pytest.importorskip("lightning_fabric")
    printed = run(str(EXAMPLES / "cross_modal_search.py"))
    directions = [f"{a}->{b}" for a, b in permutations(("image", "text", "sound"), 2)]
    assert re.findall(r"\w+->\w+", printed) == directions * 2
    teacher, student = map(float, re.findall(r"mean +(\d\.\d{4})", printed))
    assert 0.2 < teacher < student - 0.05
    distances = re.search(r"at \[(.*)\] bits", printed)
    assert distances is not None
    found = [int(d) for d in distances[1].split(", ")]
    assert len(found) == 5
    assert found == sorted(found)


@pytest.mark.slow
def test_image_folder() -> None:
    pytest.importorskip("PIL")
    pytest.importorskip("sklearn")
    printed = run(str(EXAMPLES / "image_folder.py"), "--epochs", "10")
    assert "1,797 images, 100 of them trained on with a label" in printed
    score = re.search(r"mAP (\d\.\d+) of codes", printed)
    assert score is not None
    assert 0.7 < float(score[1]) <= 1
    (digit,) = re.findall(r"nearest to (\d)/\d{4}\.png:", printed)
    found = re.findall(r"^ +(\d+) bits  (?:(\d)/)?\d{4}\.png$", printed, re.MULTILINE)
    assert len(found) == 5
    assert [int(distance) for distance, _ in found] == sorted(int(distance) for distance, _ in found)
    assert {named for _, named in found} <= {digit, ""}


@pytest.mark.slow
def test_million_vectors(tmp_path: Path) -> None:
    printed = run(str(EXAMPLES / "million_vectors.py"), "--number", "60000")
    assert "60,000 vectors of 256 values" in printed
    assert "codes 2 MB, vectors as float32 61 MB" in printed
    codes, rescored, more = map(float, re.findall(r"recall@10 (\d\.\d+)$", printed, re.MULTILINE))
    assert 0.2 < codes < rescored <= more
    assert more > 0.95
    vectors = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float16)
    np.save(tmp_path / "own.npy", vectors)
    assert "500 vectors of 64 values" in run(
        str(EXAMPLES / "million_vectors.py"), "--vectors", str(tmp_path / "own.npy")
    )
