"""What a stranger meets: help, wrong words, completion, `fasthash info`."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sysconfig
import termios
from pathlib import Path

import numpy as np
import pytest

import fasthash
from fasthash.cli import main
from fasthash.cli.commands import COMMANDS, GROUPS

COMMAND = Path(sysconfig.get_path("scripts")) / "fasthash"
ALL = [[name] for name in COMMANDS if name not in GROUPS] + [[g, name] for g, group in GROUPS.items() for name in group]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    """Code, stdout, stderr of a command in this process."""
    code: int | str | None = 0
    try:
        main(arguments)
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr()
    return code, said.out, said.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--version") == (0, f"fasthash {fasthash.__version__}\n", "")


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "--help")
    assert (code, err) == (0, "")
    for word in (*COMMANDS, "exit codes:", "130", "examples:"):
        assert word in out
    assert call(capsys) == (2, out, "")
    code, out, _ = call(capsys, "index", "--help")
    assert code == 0
    assert all(name in out for name in GROUPS["index"])


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_of_a_command_has_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, *words, "--help")
    assert (code, err) == (0, "")
    examples = [line.partition("fasthash ")[2].split() for line in out.splitlines() if "fasthash " in line]
    assert any(example[: len(words)] == words for example in examples), out
    assert "(default: None)" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serach"], "got 'serach', did you mean search?"),
        (["index", "biuld"], "did you mean build?"),
        (["index"], ""),
        (["search", "--idnex", "a"], "fasthash search: --idnex: no such option, did you mean --index?"),
        (["search", "--index", "a"], "expected --queries, which is not there"),
        (["search", "--index", "a", "--queries", "b", "--k", "ten"], "--k"),
        (["evaluate", "--ties", "bets"], "'expected', 'index', 'best', 'worst'"),
        (["demo", "--seed", "x"], "--seed"),
        (["train", "pts3"], "got 'pts3', did you mean pts3h?"),
        (["train", "pts3h", "--btis", "3"], "--bits"),
        (["train", "--config"], "--config"),
        (["train", "--resume", "runs/a", "--bits", "3"], "--resume"),
        (["completion", "basic"], "bash"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_are_told_in_one_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, *arguments)
    assert code == 2
    if told:
        assert told in err
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("fasthash")
        assert "--help` tells more" in err


def test_words_as_tyro_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--a=b`, underscores, several values: the check before it refuses none of them."""
    codes, out = str(tmp_path / "codes.npy"), tmp_path / "a.fasthash"
    np.save(codes, np.eye(8, dtype=np.uint8))
    code, said, _ = call(capsys, "index", "build", "--codes", codes, codes, f"--out={out}")
    assert (code, "16 codes" in said) == (0, True)
    code, said, _ = call(capsys, "search", f"--index={out}", "--queries", codes, "--k=1")
    assert (code, len(said.splitlines())) == (0, 8)
    code, _, err = call(capsys, "evaluate", "--query_codes", "gone.npy")
    assert code != 2
    assert not err


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "info", "--json")
    rows = json.loads(out)
    assert rows["fasthash"] == fasthash.__version__
    assert rows["CPU_levels"] == fasthash.cpu_levels()
    assert rows["CPU_level"] in fasthash.cpu_levels()
    assert rows["CUDA_kernels"] == fasthash.build_info()["cuda"]
    assert rows["numpy"] == np.__version__
    _, out, _ = call(capsys, "info")
    last = out.splitlines()[-1]
    for value in (rows["fasthash"], rows["compiler"], rows["CPU_level"], rows["torch"], rows["system"]):
        assert value in last
    assert "None" not in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_in_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, script, _ = call(capsys, "completion", "bash")
    assert code == 0
    (tmp_path / "script").write_text(script)
    asks = r"""source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); COMP_LINE="$*"
    $(complete -p fasthash | sed -n 's/.*-F \([^ ]*\) .*/\1/p'); echo "${COMPREPLY[@]}" """

    def complete(*words: str) -> list[str]:
        call_bash = ["bash", "-c", asks, "bash", str(tmp_path / "script"), "fasthash", *words]
        result = subprocess.run(call_bash, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        return result.stdout.split()

    assert complete("sea") == ["search"]
    assert complete("index", "bu") == ["build"]
    assert complete("search", "--rad") == ["--radius"]
    assert "pts3h" in complete("train", "")


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", np.random.default_rng(0).integers(0, 256, (20_000, 8), dtype=np.uint8))
    names = [str(tmp_path / name) for name in ("codes.npy", "a.fasthash")]
    subprocess.run([COMMAND, "index", "build", "--codes", names[0], "--out", names[1]], check=True, capture_output=True)
    with subprocess.Popen(
        [COMMAND, "search", "--index", names[1], "--queries", names[0]], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["query"] == 0
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=120) == 0


def test_progress_is_drawn_on_a_terminal_only_and_ctrl_c_is_130(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (300_000, 8), dtype=np.uint8)
    np.save(tmp_path / "codes.npy", rows)
    names = ["--codes", str(tmp_path / "codes.npy"), "--out", str(tmp_path / "a.fasthash")]
    build = [COMMAND, "index", "build", "--overwrite", *names]
    assert subprocess.run(build, check=True, capture_output=True).stderr == b""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL, stderr=its)
    os.close(its)
    assert b"300000/300000" in _read(ours)

    digits = [COMMAND, "train", "pts3h", "--out", str(tmp_path / "run"), "--epochs", "100000", "--no-report"]
    with subprocess.Popen(digits, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "steps" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(timeout=120) == 130
    assert "Traceback" not in said
    assert f"fasthash train --resume {tmp_path / 'run'} goes on" in said


def _read(terminal: int) -> bytes:
    """What was written to a terminal whose other end is closed."""
    said = b""
    try:
        while part := os.read(terminal, 65536):
            said += part
    except OSError:  # the end of a terminal
        pass
    os.close(terminal)
    return said
