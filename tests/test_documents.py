"""The code in README and docs runs, and prints what the document says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
# A Python block, and the plain block after it, if one follows at once: its output.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)\)")
CASES = [(path, code, output) for path in DOCUMENTS for code, output in BLOCK.findall(path.read_text())]


def test_the_readme_has_an_example_with_its_output() -> None:
    assert any(path.name == "README.md" and output for path, _, output in CASES)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "code", "output"), CASES, ids=[path.name for path, _, _ in CASES])
def test_python_blocks(path: Path, code: str, output: str, tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    if output:
        assert result.stdout == output


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "csrc/README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), f"{path.name}: {target}"
