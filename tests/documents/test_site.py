"""The site is made without a warning, and its links lead somewhere."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from document_parts import ROOT

ROOMS = ("data", "distributed", "evaluation", "losses", "methods", "networks", "teachers", "training")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for tool in ("material", "mkdocstrings_handlers.python"):
        pytest.importorskip(tool, reason="the site is made with pip install 'fasthash[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT, env=environment)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_there_and_every_link_leads_to_one(site: Path) -> None:
    pages = {page: page.read_text() for page in site.rglob("*.html") if page.name != "404.html"}
    assert len(pages) > len(list((ROOT / "docs").rglob("*.md")))
    for page, text in pages.items():
        for link in re.findall(r"(?:href|src)=\"?([^\"\s>]+)", text):
            target, _, anchor = unquote(link).partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            file = (page.parent / target).resolve() if target else page
            file = file / "index.html" if file.is_dir() else file
            assert file.exists(), f"{page.relative_to(site)}: {link}"
            if anchor and file in pages:
                assert f'id="{anchor}"' in pages[file] or f"id={anchor}" in pages[file], f"{page}: {link}"


@pytest.mark.slow
@pytest.mark.parametrize("room", ["fasthash", *ROOMS])
def test_the_api_has_every_public_name(site: Path, room: str) -> None:
    module = importlib.import_module("fasthash" if room == "fasthash" else f"fasthash.{room}")
    shown = set(re.findall(r'<h2 id="(?:\w+\.)+(\w+)"', (site / "api" / room / "index.html").read_text()))
    assert set(module.__all__) - {"__version__"} <= shown
