"""Links lead somewhere: to a file that is there, and to a heading in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from document_parts import DOCUMENTS, FOLDERS, ROOT, anchors, code_spans, links, name

# A file of the repository, as prose and docstrings name it.
MENTION = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w/.-]+\.(?:py|md|cu|cpp|h)\b")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links(path: Path) -> None:
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue  # another site
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{name(path)}: {link}: no such file"
        assert file.is_relative_to(ROOT), f"{name(path)}: {link}: outside of the repository"
        if anchor:
            assert anchor in anchors(file), f"{name(path)}: {link}: no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_files_that_are_named(path: Path) -> None:
    for span in code_spans(path):
        for mention in MENTION.findall(span):
            assert (ROOT / mention).exists(), f"{name(path)}: `{span}`: no such file"


def test_pages_that_sources_name() -> None:
    for path in (source for folder in FOLDERS for source in (ROOT / folder).rglob("*.py")):
        for mention in re.findall(r"(?<![\w./-])docs/[\w/]+\.md\b", path.read_text()):
            assert (ROOT / mention).exists(), f"{name(path)}: {mention}: no such page"


def test_the_map_names_every_page() -> None:
    pages = {path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")} - {ROOT / "docs/README.md"}
    named = {(ROOT / "docs" / link.partition("#")[0]).resolve() for link in links(ROOT / "docs/README.md")}
    assert pages <= named


def test_anchors_are_those_of_forges(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b_c`: d, 10^10\n\n```\n# no heading\n```\n\n## Two\n\n### Two\n## [Go](x.md) on\n")
    assert anchors(page) == {"a-b_c-d-1010", "two", "two-1", "go-on"}
