"""The Python in README and docs runs, and prints what the document says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from document_parts import DOCUMENTS, ROOT, Block, blocks, name

PAGES = [path for path in DOCUMENTS if any(block.language == "python" for block in blocks(path))]
# Runs the files it is given one after another, each as a program of its own, and tells what they print. A file that the
# page names is imported, as the blocks after it do.
RUNNER = """
import contextlib, importlib, io, json, runpy, sys
sys.path.insert(0, "")
printed = []
for file in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        if file.startswith("block_"):
            runpy.run_path(file, run_name="__main__")
        else:
            importlib.import_module(file.removesuffix(".py"))
    printed.append(out.getvalue())
print(json.dumps(printed))
"""


def test_the_readme_has_an_example_with_its_output() -> None:
    assert any(block.output for block in blocks(ROOT / "README.md"))


def test_blocks_are_of_a_known_language() -> None:
    """Anything else would not be looked at."""
    found = {(block.language, name(path)) for path in DOCUMENTS for block in blocks(path)}
    assert {language for language, _ in found} <= {"", "python", "toml"}


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=name)
def test_python(path: Path, tmp_path: Path) -> None:
    """The blocks of a page share a folder and nothing else."""
    found: list[tuple[str, Block]] = []
    for number, block in enumerate(block for block in blocks(path) if block.language == "python"):
        file = block.file or f"block_{number}.py"
        (tmp_path / file).write_text(block.text)
        found.append((file, block))
    command = [sys.executable, "-c", RUNNER, *(file for file, _ in found)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for (file, block), printed in zip(found, json.loads(result.stdout), strict=True):
        assert printed == block.output, f"{name(path)}, {file}:\n{block.text}"
