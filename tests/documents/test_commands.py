"""Commands in documents and help texts are there, with the options they are given; those that are cheap run."""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from collections.abc import Callable
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from document_parts import DOCUMENTS, PROGRAMS, ROOT, blocks, code_spans, commands, name, prose, write_files

from fasthash import methods, training
from fasthash.cli import main, recipe, train
from fasthash.cli.commands import COMMANDS, GROUPS
from fasthash.methods import registry
from fasthash.networks import NetworkConfig

LINES = [
    (name(path), words)
    for path in DOCUMENTS
    for block in blocks(path)
    if block.is_commands
    for words in commands(block.text)
]
EXAMPLES = [
    ("help", words)
    for command in [*COMMANDS.values(), *(part for group in GROUPS.values() for part in group.values())]
    for line in re.findall(r"Example: (fasthash .*)", command.__doc__ or "")
    for words in commands(line)
]
EXAMPLES += [("help", words) for words in commands(train.EPILOG) if words[:2] == ["fasthash", "train"]]
OPTION = re.compile(r"--[a-z][\w.-]*")


@pytest.fixture
def only_parsed(monkeypatch, tmp_path):
    """`fasthash` reads its words and does nothing."""

    def idle(command: Callable[..., None]) -> Callable[..., None]:
        return functools.wraps(command)(lambda *args, **options: None)

    for group in (COMMANDS, *GROUPS.values()):
        for key, command in list(group.items()):
            monkeypatch.setitem(group, key, idle(command))
    monkeypatch.setattr(train, "_train", lambda *args: None)
    monkeypatch.setattr(train, "_resume", lambda *args: None)
    monkeypatch.setattr(recipe.Recipe, "read", lambda *args: recipe.Recipe(methods.create("pts3h")))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def method_of_the_page(monkeypatch, tmp_path):
    """The file that docs/extending.md has one write, and a registry that is put back."""
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    write_files(ROOT / "docs/extending.md", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("codewords", None)


def call(words: list[str]) -> None:
    """What the command line does with these words; help is no error."""
    try:
        main(words)
    except SystemExit as exit_:
        if exit_.code:
            pytest.fail(f"fasthash {' '.join(words)}: exit code {exit_.code}")


@functools.cache
def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _check_script(words: list[str]) -> None:
    """A script of the repository, and its options."""
    place = next(i for i, word in enumerate(words) if "/" in word)
    script = ROOT / words[place]
    assert script.exists(), words
    options = {word.partition("=")[0] for word in words[place + 1 :] if word.startswith("--")} - {"--help"}
    assert not options or all(f'"{option}"' in script.read_text() for option in options), words


def check(words: list[str], line: str) -> None:
    """One command, by its program; what runs it, such as taskset, is left out."""
    place = next((i for i, word in enumerate(words) if word in PROGRAMS), 0)
    program, rest = words[place], words[place + 1 :]
    if "fasthash" in words and program in ("fasthash", "torchrun"):
        until = next((i for i, word in enumerate(words) if word in (">", "|")), len(words))
        call(words[words.index("fasthash") + 1 : until])
    elif program == "make":
        assert {word for word in rest if "=" not in word} <= _make_targets(), line
    elif program == "pip":
        known = set(metadata("fasthash").get_all("Provides-Extra") or ())
        for extras in re.findall(r"\[(.+?)\]", " ".join(rest)):
            assert set(extras.split(",")) <= known, line
    elif program.endswith("python") or program == "torchrun":
        if any("/" in word for word in rest):  # else a script of the reader's own
            _check_script(rest)
    else:
        assert program in ("cmake", "export") or program.startswith("build/"), f"{line}: nothing checks this command"


@pytest.mark.usefixtures("only_parsed", "method_of_the_page")
@pytest.mark.parametrize(("where", "words"), LINES + EXAMPLES, ids=[f"{a}: {' '.join(b)}" for a, b in LINES + EXAMPLES])
def test_commands(where: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.MODULES, "codewords" if where == "docs/extending.md" else "")
    check(words, f"{where}: {' '.join(words)}")


def _help(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    return capsys.readouterr().out


@pytest.mark.usefixtures("only_parsed")
def test_options_in_the_prose(capsys: pytest.CaptureFixture[str]) -> None:
    """`fasthash command --option`; and `--option` alone, of whatever command or script there is."""
    known = {command: _help(capsys, command) for command in COMMANDS if command not in GROUPS}
    known |= {f"{group} {part}": _help(capsys, group, part) for group, parts in GROUPS.items() for part in parts}
    known["train"] += " --help" + "".join(_help(capsys, "train", method) for method in methods.available())
    options = {command: set(OPTION.findall(text)) for command, text in known.items()}
    scripts = "".join(
        path.read_text() for folder in ("benchmarks", "examples") for path in (ROOT / folder).glob("*.py")
    )
    everywhere = set().union(*options.values(), re.findall(r'"(--[a-z][\w-]*)"', scripts))
    for path in DOCUMENTS:
        for span in code_spans(path):
            words = span.split()
            if words[0] == "fasthash" and len(words) > 1:
                command = next((c for c in (" ".join(words[1:3]), *words[1:2]) if c in options or c in COMMANDS), None)
                assert command or words[1].startswith("--"), f"{name(path)}: `{span}`: no such command"
                mine = options.get(command, set())
            elif words[0].startswith("--"):
                mine = everywhere
            else:
                continue
            assert set(OPTION.findall(span)) <= mine | {"--help", "--version"}, (
                f"{name(path)}: `{span}`: no such option"
            )


def _fields(kind: Any) -> set[str]:
    """Names of a dataclass's options, those of nested ones also behind a point."""
    found = {field.name for field in dataclasses.fields(kind)}
    for field in dataclasses.fields(kind):
        value = getattr(kind, field.name, None)
        if dataclasses.is_dataclass(value):
            found |= {f"{field.name}.{inner}" for inner in _fields(value)}
    return found


@pytest.mark.parametrize("path", [*sorted((ROOT / "docs/methods").glob("*.md")), ROOT / "docs/networks.md"], ids=name)
def test_tables_of_options(path: Path) -> None:
    """Their first column names options of the method of the page."""
    if path.stem == "networks":
        known = _fields(NetworkConfig())
    else:
        pages = {"baselines": ("lsh", "pcah", "itq", "dpsh", "dsh", "hashnet"), "mah": ("mah", "adsh")}
        known = set().union(*(_fields(methods.create(method)) for method in pages.get(path.stem, (path.stem,))))
    for table in re.findall(r"^\| option \|.*\n\|[-| :]+\|\n((?:\|.*\n)+)", prose(path), re.MULTILINE):
        for cell in re.findall(r"^\|([^|]*)\|", table, re.MULTILINE):
            assert set(re.findall(r"`([\w.]+)`", cell)) <= known, f"{name(path)}: {cell}"


def test_options_of_a_run_that_the_page_on_training_lists() -> None:
    section = (ROOT / "docs/training.md").read_text().split("## More options\n")[1].split("\n## ")[0]
    listed = re.findall(r"^- `(\w+)`", section, re.MULTILINE)
    assert listed
    assert set(listed) <= {field.name for field in dataclasses.fields(training.Config)}


def _index_files(rng: np.random.Generator) -> None:
    for file, n in (("codes", 500), ("more", 50), ("queries", 5)):
        np.save(f"{file}.npy", rng.integers(0, 256, (n, 8), dtype=np.uint8))


def _evaluation_files(rng: np.random.Generator) -> None:
    codes = rng.integers(0, 256, (6_000, 2), dtype=np.uint8)
    np.savez("codes.npz", queries=codes[:200], database=codes[200:])
    labels = rng.integers(0, 10, 6_000)
    np.save("query_labels.npy", labels[:200])
    np.save("labels.npy", labels[200:])


def _own_features(rng: np.random.Generator) -> None:
    np.savez("mine.npz", features=rng.standard_normal((600, 12), dtype=np.float32), labels=np.arange(600) % 5)
    embeddings = rng.standard_normal((500, 384), dtype=np.float32)
    np.save("embeddings.npy", embeddings)
    np.save("queries.npy", embeddings[:3])


# Pages whose commands run one after another, on the files that they find there. Trainings are made short.
RUN: dict[str, Callable[[np.random.Generator], None]] = {
    "docs/evaluation.md": _evaluation_files,
    "docs/extending.md": lambda rng: None,
    "docs/index.md": _index_files,
    "docs/quickstart.md": _own_features,
}


@pytest.mark.slow
@pytest.mark.usefixtures("method_of_the_page")
@pytest.mark.parametrize("page", RUN)
def test_cheap_commands_run(page, tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    RUN[page](rng)
    for words in (words for where, words in LINES if where == page):
        if words[0] == "export":
            for setting in words[1:]:
                monkeypatch.setenv(*setting.split("="))
        elif words[:2] == ["fasthash", "train"] and "--help" not in words:
            call([*words[1:], "--epochs", "2"])
        else:
            call(words[1:])
