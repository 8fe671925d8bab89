"""`fasthash index` and `fasthash search` as a user types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import save_file

import fasthash
from fasthash import HammingIndex
from fasthash.cli import main


class Result(NamedTuple):
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capfdbinary, monkeypatch, tmp_path):
    """Runs a command in this process, in a folder of its own."""

    def call(*arguments: str) -> Result:
        monkeypatch.chdir(tmp_path)
        code = 0
        try:
            main(arguments)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
        out, err = capfdbinary.readouterr()
        return Result(code, out.decode(), err.decode())

    return call


@pytest.fixture
def vectors(tmp_path, rng):
    """Files of 2,500 codes of 20 bits in three forms, vectors, ids and 1,200 queries."""
    vectors = rng.standard_normal((2500, 20)).astype(np.float32)
    codes = fasthash.pack(vectors)
    np.save(tmp_path / "vectors.npy", vectors)
    np.savez(tmp_path / "parts.npz", first=codes[:1000], second=np.sign(vectors[1000:]).astype(np.int8))
    save_file({"codes": codes}, tmp_path / "codes.safetensors", metadata={"bits": "20"})
    np.save(tmp_path / "ids.npy", np.arange(2500)[::-1] * 2)
    np.save(tmp_path / "queries.npy", vectors[:1200] + 0.1)
    np.save(tmp_path / "packed.npy", fasthash.pack(vectors[:1200] + np.float32(0.1)))
    return vectors


def test_build_from_any_form(run, vectors, tmp_path) -> None:
    for codes in (["vectors.npy"], ["parts.npz:first", "parts.npz:second", "--bits", "20"], ["codes.safetensors"]):
        result = run("index", "build", "--codes", *codes, "--out", "a.fasthash", "--overwrite")
        assert result.returncode == 0, result.stderr
        assert result.stdout == "a.fasthash: HammingIndex(20 bits, 2,500 codes, cpu)\n"
        assert "\r" not in result.stderr, "a progress bar in a file"
        index = HammingIndex.load(tmp_path / "a.fasthash")
        np.testing.assert_array_equal(index.codes, fasthash.pack(vectors))
        np.testing.assert_array_equal(index.ids, np.arange(2500))


def test_add_and_info(run, vectors, tmp_path) -> None:
    run("index", "build", "--codes", "vectors.npy", "--ids", "ids.npy", "--documents", "vectors.npy", "--out", "a")
    assert run("index", "add", "--index", "a", "--codes", "vectors.npy").returncode == 1
    result = run("index", "add", "--index", "a", "--codes", "vectors.npy", "--documents", "vectors.npy", "--out", "b")
    assert result.stdout == "b: HammingIndex(20 bits, 5,000 codes, cpu, float16 documents)\n"
    again = run(
        "index", "add", "--index", "a", "--codes", "vectors.npy", "--documents", "vectors.npy", "--ids", "ids.npy"
    )
    assert again.returncode == 1
    assert "fasthash: HammingIndex.add: ids: expected ids that are all new, but id 0 is there already" in again.stderr
    assert len(HammingIndex.load(tmp_path / "a")) == 2500
    index = HammingIndex.load(tmp_path / "b")
    np.testing.assert_array_equal(index.ids, [*range(4998, -1, -2), *range(4999, 7499)])
    info = run("index", "info", "--index", "b", "--verify").stdout.split("\n")
    assert [line.split(None, 1) for line in info if line][:4] == [
        ["bits", "20"],
        ["codes", "5,000"],
        ["ids", "stored"],
        ["documents", "float16"],
    ]
    assert info[-2].split() == ["checksums", "all", "fit"]


def test_search_writes_what_the_index_finds(run, vectors, tmp_path) -> None:
    run("index", "build", "--codes", "vectors.npy", "--ids", "ids.npy", "--documents", "vectors.npy", "--out", "a")
    index = HammingIndex.load(tmp_path / "a")
    queries, packed = np.load(tmp_path / "queries.npy"), np.load(tmp_path / "packed.npy")
    np.save(tmp_path / "few.npy", index.ids[:3])
    np.save(tmp_path / "mask.npy", index.ids < 6)
    search = ("search", "--index", "a", "--queries")
    cases = [
        ((), ("distances", "ids"), index.search(packed, 10)),
        (("--k", "3"), ("distances", "ids"), index.search(packed, 3)),
        (("--k", "5", "--filter", "few.npy"), ("distances", "ids"), index.search(packed, 5, filter=index.ids[:3])),
        (("--k", "5", "--filter", "mask.npy"), ("distances", "ids"), index.search(packed, 5, filter=index.ids < 6)),
        (("--radius", "2"), ("offsets", "distances", "ids"), index.range_search(packed, 2)),
        (
            ("--rescore", "--k", "4", "--oversample", "2"),
            ("scores", "ids"),
            index.search_rescored(queries, 4, oversample=2),
        ),
    ]
    for options, names, expected in cases:
        result = run(*search, "queries.npy", *options, "--out", "found.npz")
        assert result.returncode == 0, result.stderr
        with np.load(tmp_path / "found.npz") as found:
            assert set(found) == set(names)
            for name, values in zip(names, expected, strict=True):
                np.testing.assert_array_equal(found[name], values)
        lines = [json.loads(line) for line in run(*search, "queries.npy", *options).stdout.splitlines()]
        assert [line["query"] for line in lines] == list(range(1200))
        flat = [id for line in lines for id in line["ids"]]
        assert flat == [id for id in expected[-1].ravel().tolist() if id >= 0]
        if "--rescore" not in options:
            assert run(*search, "packed.npy", *options, "--out", "found.jsonl").returncode == 0
            assert [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()] == lines


def test_no_queries(run, vectors, tmp_path) -> None:
    run("index", "build", "--codes", "vectors.npy", "--out", "a")
    np.save(tmp_path / "none.npy", np.zeros((0, 20), np.float32))
    assert run("search", "--index", "a", "--queries", "none.npy").stdout == ""
    cases = [
        ((), {"distances": (0, 10), "ids": (0, 10)}),
        (("--radius", "2"), {"offsets": (1,), "distances": (0,), "ids": (0,)}),
        (("--rescore", "--k", "3"), {"scores": (0, 3), "ids": (0, 3)}),
    ]
    for options, shapes in cases:
        assert run("search", "--index", "a", "--queries", "none.npy", *options, "--out", "b.npz").returncode == 0
        with np.load(tmp_path / "b.npz") as found:
            assert {name: found[name].shape for name in found} == shapes


def test_adding_again_is_refused_where_the_number_is_known(run, vectors, tmp_path) -> None:
    run("index", "build", "--codes", "vectors.npy", "--out", "a")
    add = ("index", "add", "--index", "a", "--codes", "vectors.npy", "--expect", "2500")
    assert run(*add).returncode == 0
    again = run(*add)
    assert again.returncode == 1
    assert "index add: --index: expected 2500 codes, as --expect says, got 5000 in a" in again.stderr
    assert len(HammingIndex.load(tmp_path / "a")) == 5000


ERRORS = [
    ("index build --codes vectors.npy --out ids.npy", "--out: expected a new file, got 'ids.npy', which is there"),
    ("index build --codes none.npy --out b", "index build: --codes: expected a file, got 'none.npy'"),
    ("index build --codes vectors.npy codes.safetensors --bits 25 --out b", "codes: expected 4 bytes a code"),
    ("index build --codes ids.npy --out b", "index build: --codes: expected a matrix in ids.npy, got shape (2500,)"),
    (
        "index build --codes signed.npy --out b",
        "--codes: expected packed codes (uint8), or signs, floats or bool of one",
    ),
    (
        "index build --codes vectors.npy --ids queries.npy --out b",
        "--ids: expected 2500 rows, one for each of the codes",
    ),
    ("index build --codes vectors.npy --documents vectors.npy --store int8 --out b", "documents: expected torch.int8"),
    ("index build --codes vectors.npy --out none/b", "none"),
    ("index add --index ids.npy --codes vectors.npy", "HammingIndex.load: ids.npy: expected an index file of fasthash"),
    ("index add --index none --codes vectors.npy", "index add: --index: expected a file, got 'none', which is not"),
    ("index info --index none", "index info: --index: expected a file, got 'none', which is not there"),
    ("search --index none --queries queries.npy", "search: --index: expected a file, got 'none', which is not there"),
    (
        "search --index a --queries queries.npy --oversample 3",
        "search: --oversample: expected --rescore beside it, got 3",
    ),
    (
        "search --index a --queries queries.npy --out b.csv",
        "search: --out: expected a file that ends in .jsonl or .npz",
    ),
    (
        "search --index a --queries queries.npy --radius 2 --rescore",
        "search: --rescore: expected no --radius beside it",
    ),
    ("search --index a --queries packed.npy --rescore", "search: --queries: expected floats for --rescore, got packed"),
    ("search --index a --queries ids.npy", "search: --queries: expected a matrix in ids.npy"),
    ("search --index a --queries queries.npy --filter ids.npy", "search: filter: expected ids of the index, got 4998"),
]


@pytest.mark.parametrize(("line", "text"), ERRORS)
def test_errors_are_one_line_and_leave_no_file(run, vectors, tmp_path, line, text) -> None:
    np.save(tmp_path / "signed.npy", np.full((3, 20), -100, np.int8))
    run("index", "build", "--codes", "vectors.npy", "--out", "a")
    before = sorted(path.name for path in tmp_path.iterdir())
    result = run(*line.split())
    assert result.returncode == 1
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("fasthash: ")
    assert text in message
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", ["index build", "index add", "index info", "search"])
def test_help_has_an_example(run, command) -> None:
    result = run(*command.split(), "--help")
    assert result.returncode == 0
    assert f"Example: fasthash {command} --" in " ".join(result.stdout.replace("│", " ").split())


def test_help_lists_the_commands(run) -> None:
    assert "index" in run("--help").stdout
    words = run("index", "--help").stdout
    for name in ("build", "add", "info"):
        assert name in words
    assert run("index").returncode == 2
    assert run("index", "nonsense").returncode == 2


def test_a_safetensors_file_without_width(run, tmp_path) -> None:
    save_file({"codes": np.zeros((3, 2), np.uint8)}, tmp_path / "c.safetensors")
    assert "HammingIndex(16 bits" in run("index", "build", "--codes", "c.safetensors", "--out", "a").stdout
    assert Path(tmp_path / "a").exists()
