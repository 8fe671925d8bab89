"""The page in a browser: it runs without a complaint, and a click on a result makes it the next query."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from fasthash.report import read_run, write_page

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

# What it prints about itself says nothing about the page.
COMPLAINT = re.compile(r"CONSOLE.*")


def browse(path, folder, *options):
    """Opens a page; gives the document as it then stands, and what the page's console said."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    command += [f"--user-data-dir={folder / 'profile'}", *options, path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, COMPLAINT.findall(done.stderr)


@pytest.fixture
def page(make_run, items, tmp_path):
    return write_page(
        [read_run(make_run(name, seed=s), items=items) for s, name in enumerate("ab")], tmp_path / "p.html"
    )


def test_it_runs_and_is_drawn(page, tmp_path):
    picture = tmp_path / "page.png"
    _, complaints = browse(page, tmp_path, f"--screenshot={picture}", "--window-size=1200,2000")
    assert complaints == []
    from PIL import Image

    colours = Image.open(picture).convert("RGB").getcolors(1 << 24)
    assert len(colours) > 100  # lines, frames, letters


def test_a_click_makes_a_result_the_query_and_back_goes_back(page, tmp_path):
    data = json.loads(re.search(r'data-for="walk-1">(.*?)</script>', page.read_text(), re.DOTALL)[1])
    clicks = {
        "once": 'place.querySelector(".found button").click();',
        "back": 'place.querySelector(".found button").click(); place.querySelector(".back").click();',
    }
    documents = {}
    for name, script in clicks.items():
        path = tmp_path / f"{name}.html"
        script = f'<script>{{ const place = document.querySelector("#walk-1 li"); {script} }}</script></body>'
        path.write_text(page.read_text().replace("</body>", script))
        document, complaints = browse(path, tmp_path, "--dump-dom")
        assert complaints == []
        place = re.search(r'<ol class="walk" id="walk-1">\s*<li data-query="(\d+)">(.*?)</li>', document, re.DOTALL)
        documents[name] = place[1], [int(row) for row in re.findall(r'data-row="(\d+)"', place[2])], place[2]
    first = re.search(r'id="walk-1">\s*<li data-query="(\d+)"', page.read_text())[1]
    clicked = str(data["nearest"][first][0][0])
    assert documents["once"][0] == clicked
    assert documents["once"][1] == [row for row, _, _ in data["nearest"][clicked]]
    assert 'class="back"' in documents["once"][2]
    assert documents["back"][:2] == (first, [row for row, _, _ in data["nearest"][first]])
    assert 'class="back"' not in documents["back"][2]
