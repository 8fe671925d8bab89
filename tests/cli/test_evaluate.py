"""`fasthash evaluate` and `fasthash audit` as a user types them, and the files that they read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import save_file

from fasthash.cli import main
from fasthash.cli.arrays import read_array, read_bits
from fasthash.evaluation import audit, evaluate

COMMAND = Path(sysconfig.get_path("scripts")) / "fasthash"


class Result(NamedTuple):
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command in this process, in a folder: starting Python and torch for each takes seconds."""

    def call(folder: Path, *arguments: str) -> Result:
        monkeypatch.chdir(folder)
        code = 0
        try:
            main(arguments)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    labels = rng.random((150, 6)) < 0.3
    bits = labels @ rng.standard_normal((6, 12)) + rng.standard_normal((150, 12)) > 0
    codes = np.packbits(bits, axis=1)
    return codes[:30], codes[30:], labels[:30], labels[30:]


@pytest.fixture
def folder(problem, tmp_path):
    queries, items, query_labels, labels = problem
    np.savez(tmp_path / "codes.npz", queries=queries, database=items)
    save_file({"queries": queries, "database": items}, tmp_path / "codes.safetensors", metadata={"bits": "12"})
    np.save(tmp_path / "query_labels.npy", query_labels)
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "queries.npy", queries)
    return tmp_path


def files(codes: str) -> list[str]:
    return [
        *("--query-codes", f"{codes}:queries", "--database-codes", f"{codes}:database"),
        *("--query-labels", "query_labels.npy", "--database-labels", "labels.npy"),
    ]


def test_evaluate_prints_the_report_and_writes_it(run, problem, folder):
    result = run(
        folder,
        *("evaluate", *files("codes.npz"), "--bits", "12", "--k", "5", "20", "--radius", "3", "--ties", "index"),
        *("--json", "report.json", "--markdown", "report.md", "--plots", "pictures"),
    )
    assert result.returncode == 0, result.stderr
    report = evaluate(*problem, bits=12, k=(5, 20), radius=3, ties="index")
    printed = result.stdout.splitlines()
    for score in report.scores.values():
        line = next(line for line in printed if line.startswith(score.convention))
        assert f"{score:.4f}" in line
    data = json.loads((folder / "report.json").read_text())
    assert {name: score["value"] for name, score in data["scores"].items()} == {
        name: float(score) for name, score in report.scores.items()
    }
    assert report["mAP@all"].convention in (folder / "report.md").read_text()
    assert len(list((folder / "pictures").glob("*.png"))) == 5


def test_the_width_comes_from_the_file(run, folder):
    named = run(folder, "evaluate", *files("codes.npz"), "--bits", "12", "--k", "5")
    stated = run(folder, "evaluate", *files("codes.safetensors"), "--k", "5")
    assert stated.returncode == 0, stated.stderr
    assert stated.stdout.splitlines()[1:] == named.stdout.splitlines()[1:]
    assert " 12 bits; " in stated.stdout.splitlines()[0]
    unknown = run(folder, "evaluate", *files("codes.npz"), "--k", "5")
    assert "4 of 16 bits are equal in all query codes: 12, 13, 14, 15" in unknown.stdout


def test_one_array_for_both_sides_meets_itself_not(run, folder):
    same = ["--query-codes", "queries.npy", "--database-codes", "queries.npy"]
    labels = ["--query-labels", "query_labels.npy", "--database-labels", "query_labels.npy"]
    result = run(folder, "evaluate", *same, *labels, "--bits", "12", "--k", "5")
    assert "30 queries do not meet a row of their own" in result.stdout


def test_strict_fails_on_warnings_only(run, folder):
    broken = run(folder, "evaluate", *files("codes.npz"), "--k", "5", "--strict")
    assert broken.returncode == 3
    assert "warning: constant bits" in broken.stdout
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    codes = np.packbits((rng.random((400, 32)) < 0.1) ^ (labels[:, None] ^ np.arange(32) % 2 > 0), axis=1)
    np.savez(folder / "good.npz", queries=codes[:50], database=codes[50:])
    np.save(folder / "query_labels.npy", labels[:50])
    np.save(folder / "labels.npy", labels[50:])
    good = run(folder, "evaluate", *files("good.npz"), "--radius", "6", "--k", "5", "--strict")
    assert good.returncode == 0, good.stdout + good.stderr


def test_audit_prints_the_table_and_writes_it(run, problem, folder):
    features = np.random.default_rng(1).standard_normal((150, 4))
    np.savez(folder / "features.npz", q=features[:30], d=features[30:])
    result = run(
        folder,
        *("audit", *files("codes.safetensors"), "--k", "20", "--json", "audit.json"),
        *("--query-features", "features.npz:q", "--database-features", "features.npz:d"),
    )
    assert result.returncode == 0, result.stderr
    expected = audit(*problem, bits=12, k=20, features=(features[:30], features[30:]))
    assert result.stdout.rstrip("\n") == str(expected)
    assert json.loads((folder / "audit.json").read_text()) == expected.to_dict()


@pytest.mark.parametrize("command", ["evaluate", "audit"])
def test_help_shows_an_example(run, tmp_path, command):
    result = run(tmp_path, command, "--help")
    assert result.returncode == 0
    assert f"Example: fasthash {command} --query-codes" in result.stdout


@pytest.mark.parametrize("command", ["evaluate", "audit"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--query-codes": "gone.npy"}, "--query-codes: expected a file, got 'gone.npy', which is not there"),
        (
            {"--query-codes": "codes.npz"},
            "--query-codes: expected codes.npz:KEY with KEY one of database, queries, got no",
        ),
        ({"--database-labels": "codes.npz:x"}, "--database-labels: expected codes.npz:KEY with KEY one of .* got 'x'"),
        ({"--query-labels": "labels.npy"}, "query_labels: expected 30 rows, one a code, got 120"),
        ({"--query-labels": "labels.csv"}, "--query-labels: expected a file that ends in .npy, .npz, .safetensors"),
        ({"--query-labels": "text.npy"}, "--query-labels: expected a readable .npy file, got 'text.npy': "),
        ({"--query-labels": "pickle.npy"}, "--query-labels: expected a readable .npy file, got 'pickle.npy': "),
        ({"--bits": "13"}, "query_codes: expected zeros in the 3 spare low bits"),
        ({"--query-features": "queries.npy"}, "--database-features: expected a file beside --query-features, got none"),
        ({"--json": "no/folder/report.json"}, "No such file or directory"),
    ],
)
def test_an_error_is_one_line(run, folder, command, changes, message):
    (folder / "text.npy").write_text("1, 2, 3")
    np.save(folder / "pickle.npy", np.array([{}]), allow_pickle=True)
    codes = np.load(folder / "codes.npz")
    np.savez(
        folder / "codes.npz",
        queries=codes["queries"] | 4 if "--bits" in changes else codes["queries"],
        database=codes["database"],
    )
    arguments = dict(zip(*[iter(files("codes.npz"))] * 2, strict=True)) | changes
    result = run(folder, command, *(word for pair in arguments.items() for word in pair))
    assert result.returncode == 1, result.stdout
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(f"fasthash: {command}: " if "No such" not in message else "fasthash: ")

    assert re.search(message, line)


@pytest.mark.slow
def test_the_installed_command_exits_with_these_codes(folder):
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=280, cwd=folder)

    assert call("evaluate", *files("codes.npz"), "--k", "5", "--strict").returncode == 3
    missing = call("evaluate", *files("gone.npz"))
    assert missing.returncode == 1
    assert missing.stderr.startswith("fasthash: evaluate: --query-codes: expected a file, got 'gone.npz'")
    assert missing.stderr.count("\n") == 1
    assert call("evaluate", "--nonsense").returncode == 2


def test_a_file_not_named_is_missed(run, tmp_path):
    result = run(tmp_path, "evaluate", "--query-codes", "a.npy")
    assert result.returncode == 1
    assert "evaluate: --database-codes: expected a file, or --run in place of all, got none" in result.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        *(("audit", words) for words in ([], ["--query-codes", "a.npy"], ["--nonsense"], ["--k", "x"])),
        ("evaluate", ["--nonsense"]),
        ("evaluate", ["--k", "x"]),
    ],
)
def test_wrong_words_are_refused(run, tmp_path, command, words):
    result = run(tmp_path, command, *words)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr + result.stdout


def test_arrays_come_as_they_were_saved(tmp_path):
    x = np.arange(12, dtype=np.int16).reshape(3, 4)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "one.npz", x)
    save_file({"x": x, "y": x + 1}, tmp_path / "two.safetensors")
    for name in ("x.npy", "one.npz", "two.safetensors:x"):
        read = read_array("test", "codes", str(tmp_path / name))
        assert read.dtype == np.int16
        assert np.array_equal(read, x)
    assert np.array_equal(read_array("test", "codes", str(tmp_path / "two.safetensors:y")), x + 1)


def test_widths_that_differ_are_refused(tmp_path):
    x = np.zeros((2, 2), np.uint8)
    for bits in (12, 16):
        save_file({"x": x}, tmp_path / f"{bits}.safetensors", metadata={"bits": str(bits)})
    assert read_bits(str(tmp_path / "12.safetensors:x"), str(tmp_path / "12.safetensors")) == 12
    assert read_bits("codes.npy") is None
    with pytest.raises(ValueError, match="one width"):
        read_bits(str(tmp_path / "12.safetensors"), str(tmp_path / "16.safetensors"))
