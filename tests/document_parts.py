"""The documents of the project, and their parts: blocks of code, commands, links, headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("benchmarks", "csrc", "docs", "examples", "fasthash", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\w+\.py)\n")  # the first line of a block that stands for a file of this name
# What a command begins with, after settings of variables.
PROGRAMS = ("fasthash", "make", "python", ".venv/bin/python", "torchrun", "pip", "cmake", "export")


def name(path: Path) -> str:
    """A document's name in messages and in the names of tests."""
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block; `output` is that of a Python block, the plain block that follows at once if it is no commands."""

    language: str
    text: str
    output: str = ""

    @property
    def file(self) -> str | None:
        """The file that it stands for."""
        found = FILE.match(self.text)
        return found[1] if found else None

    @property
    def is_commands(self) -> bool:
        """Whether it holds commands, by its first line."""
        words = next(iter(commands(self.text)), [])
        return not self.language and bool(words) and words[0] in PROGRAMS


def blocks(path: Path) -> list[Block]:
    """The blocks of a document in their order."""
    text = path.read_text()
    found: list[Block] = []
    end = -1
    for match in FENCE.finditer(text):
        follows = text[end : match.start()] == "\n\n"
        block = Block(match[1], match[2])
        if not block.language and not block.is_commands and follows and found[-1].language == "python":
            block = Block("python", found.pop().text, block.text)
        found.append(block)
        end = match.end()
    return found


def write_files(path: Path, folder: Path) -> None:
    """Write the files that a document's blocks stand for."""
    for block in blocks(path):
        if block.file:
            (folder / block.file).write_text(block.text)


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a block in words, without settings of variables before them."""
    for line in text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quotation mark in what is no command
            words = []
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            del words[0]
        if words:
            yield words


def prose(path: Path) -> str:
    """A document without its blocks."""
    return FENCE.sub("", path.read_text())


def code_spans(path: Path) -> list[str]:
    """What stands between backticks in the prose."""
    return [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose(path))]


def links(path: Path) -> list[str]:
    """Where links and pictures lead."""
    text = re.sub(r"`[^`]*`", "", prose(path))
    return re.findall(r"\]\(\s*<?([^\s)>]+)", text) + re.findall(r"(?:href|src)=\"([^\"]+)\"", text)


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as forges make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", prose(path), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        plain = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (anchor := f"{plain}-{number}" if number else plain) in found:
            number += 1
        found.add(anchor)
    return found
