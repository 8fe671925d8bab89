"""The page as a file: what it says, and what it must not do."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser

import pytest
import torch

from fasthash.data import ArraySource, Dataset
from fasthash.report import Items, read_run, write_page
from fasthash.training import Run

VOID = {"meta", "img"}


class Page(HTMLParser):
    """Collects the elements, the text outside script and style, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.texts.append(data)


@pytest.fixture
def page(tmp_path):
    """Reads runs and gives the page and its text."""

    def make(*folders, items="its items were not given", **names):
        records = [read_run(folder, items=items, name=names.get(folder.name)) for folder in folders]
        text = write_page(records, tmp_path / "out" / "page.html").read_text(encoding="utf-8")
        return Page(text), text

    return make


def test_one_run_is_told_in_full(make_run, items, page):
    folder = make_run("first")
    found, _ = page(folder, items=items)
    report = read_run(folder).measured[0].reports[""]
    for score in report.scores.values():
        assert f"{score.convention} {float(score):.4f}" in found.text
    for alarm in report.alarms:
        assert all(text in found.text for text in (alarm.name, alarm.seen, alarm.why, alarm.remedy))
    for text in (items.split.digest, "c0ffee and changes", "a processor, 2 cores", "0.7500 at step 30", "torch 2.13.0"):
        assert text in found.text
    assert "mAP@k" in found.text
    assert "Correlation of bits" in found.text
    titles = [text for tag, text in re.findall(r"<(title)>([^<]*)</title>", _) if tag]
    assert "step 10: 0.1" in titles
    assert len([1 for tag, given in found.elements if tag == "li" and "data-query" in given]) == 6


def test_nothing_is_loaded_from_elsewhere(make_run, items, page):
    found, text = page(make_run("a"), make_run("b", seed=1), items=items)
    for tag, given in found.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (given.get(name) or "#").startswith(("#", "data:image/")), (tag, name)
    assert not [tag for tag, _ in found.elements if tag in ("link", "iframe", "object", "embed", "base", "form")]
    text = re.sub(r"data:image/png;base64,[\w+/=]*", "", text)
    text = text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|XMLHttp|import\(", text)
    policy = next(g["content"] for t, g in found.elements if t == "meta" and "http-equiv" in g)
    assert policy.startswith("default-src 'none'")


def test_hostile_names_stay_text(make_run, items, page):
    name = "<script>alert(1)</script>\"'&"
    folder = make_run("hostile", method="<img src=x>", note="</script><script>alert(2)</script>")
    lines = (folder / "metrics.jsonl").read_text().replace('"pair"', '"<svg onload=1>"')
    (folder / "metrics.jsonl").write_text(lines)
    found, text = page(folder, items=items, hostile=name)
    assert found.text.count(name) >= 3
    assert html.escape("</script><script>alert(2)</script>") in text
    assert "alert(" not in "".join(re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL))
    assert [given for tag, given in found.elements if tag == "script"][-1] == {}
    assert len([1 for tag, _ in found.elements if tag == "script"]) == 2  # the grid's data, and the page's own
    assert not [1 for _, given in found.elements if "onload" in given or given.get("src") == "x"]
    data = re.search(r'class="grid" data-for="[^"]*">(.*?)</script>', text, re.DOTALL)
    assert "<b>owl</b>" in json.loads(data[1])["titles"].values()
    assert "<b>owl" not in text


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("report.json", "not measured: there is no report.json"),
        ("environment.json", "Machine and versions are not known: there is no environment.json"),
        ("metrics.jsonl", "No history: there is no metrics.jsonl"),
        ("checkpoints/60/state.json", "Whether training finished, and its best score, are not known"),
        ("codes", "No correlation of bits: the codes of this report are not in the run folder"),
    ],
)
def test_what_is_missing_is_said_in_its_place(make_run, items, page, without, said):
    found, _ = page(make_run("whole"), make_run("part", without=(without,)), items=items)
    assert said in found.text


def test_a_run_without_anything_but_its_config(make_run, page):
    parts = ("report.json", "environment.json", "metrics.jsonl", "checkpoints/60/state.json", "codes")
    found, _ = page(make_run("bare", without=parts))
    assert "No pictures: its items were not given" in found.text
    assert "No validation scores" in found.text


def test_vectors_have_no_pictures(make_run, items, page):
    vectors = Items(Dataset("v", ArraySource(torch.zeros(66, 4)), items.dataset.labels), items.split)
    found, _ = page(make_run("a"), items=vectors)
    assert "No pictures: its items are no images" in found.text


def test_directions_stand_beside_each_other(make_run, page):
    folders = [make_run("a"), make_run("b", seed=1), make_run("one kind", seed=2)]
    for folder in folders[:2]:
        report = json.loads((folder / "report.json").read_text())
        (folder / "report.json").write_text(json.dumps({"image->text": report, "text->image": report}))
        for kind in ("queries", "database"):
            codes, bits = Run(folder).codes(kind)
            for name in ("image", "text"):
                Run(folder).save_codes(f"{kind}-{name}", codes, bits)
    found, text = page(*folders)
    assert found.text.count("Precision by rank") == 3  # two directions, and that of the third run
    assert "a, text->image" in found.text
    assert "equal directions" in found.text
    assert text.count("Correlation of bits") == 5


def test_a_page_is_replaced_whole(make_run, tmp_path):
    record = read_run(make_run("a"))
    out = tmp_path / "page.html"
    out.write_text("old")
    write_page([record], out)
    assert out.read_text().startswith("<!doctype html>")
    assert not list(tmp_path.glob("*.tmp"))
    with pytest.raises(ValueError, match="write_page: records: expected at least one run, got none"):
        write_page([], out)
