import re
from pathlib import Path

import pytest

from fasthash.data import protocols

PROTOCOLS = protocols()
DOCUMENT = Path(__file__).parents[2] / "docs" / "data.md"


def test_names_are_distinct_and_sources_given():
    assert len({protocol.name for protocol in PROTOCOLS}) == len(PROTOCOLS)
    assert all(protocol.source and protocol.unknown and protocol.data for protocol in PROTOCOLS)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_counts_fit_the_rule(protocol):
    trained = protocol.labelled + protocol.unlabelled
    assert protocol.queries > 0
    assert trained > 0
    if protocol.items is None or protocol.database is None:
        assert protocol.chosen == "lists"
        return
    outside = {
        "all but queries": protocol.queries + protocol.validation,
        "all but queries and labelled": protocol.queries + protocol.validation + protocol.labelled,
        "queries": protocol.items - protocol.queries,
    }
    assert protocol.database == protocol.items - outside[protocol.searched]
    assert protocol.queries + protocol.validation + trained <= protocol.items
    if protocol.chosen == "per class":
        for part in ("queries", "validation", "labelled"):
            left = protocol.items - protocol.queries - protocol.validation
            assert getattr(protocol, part) in (left, getattr(protocol, part) // protocol.classes * protocol.classes)
    if protocol.chosen == "fixed":
        assert sum(protocol.query_classes) == protocol.queries
        assert protocol.labelled == protocol.items - protocol.queries
    if protocol.balanced:
        assert protocol.items % protocol.classes == 0


def test_the_published_sizes_are_there():
    """Queries, labelled, unlabelled and database of the table that papers quote, typed once more."""
    sizes = {p.name: (p.items, p.classes, p.queries, p.labelled, p.unlabelled, p.database) for p in PROTOCOLS}
    expected = {
        "cifar10-54k": (60_000, 10, 1_000, 5_000, 0, 54_000),
        "cifar10-59k": (60_000, 10, 1_000, 5_000, 0, 59_000),
        "cifar10-59k-full": (60_000, 10, 1_000, 59_000, 0, 59_000),
        "cifar10-50k": (60_000, 10, 10_000, 50_000, 0, 50_000),
        "cifar10-unsup": (60_000, 10, 10_000, 0, 5_000, 50_000),
        "cifar10-semi": (60_000, 10, 1_000, 5_000, 54_000, 54_000),
        "cifar10-semi-59k": (60_000, 10, 1_000, 5_000, 54_000, 59_000),
        "fashion-mnist": (70_000, 10, 10_000, 60_000, 0, 60_000),
        "nus21": (195_834, 21, 2_100, 10_500, 0, 193_734),
        "nus21-full": (195_834, 21, 2_100, 193_734, 0, 193_734),
        "nus21-semi": (195_834, 21, 2_100, 10_500, 183_234, 183_234),
        "nus81-m": (None, 81, 5_000, 10_000, 0, None),
        "nus10-1pct": (186_577, 10, 1_865, 5_000, 0, 184_712),
        "nus10-1pct-unsup": (186_577, 10, 1_865, 0, 15_000, 184_712),
        "nus10-5k": (186_577, 10, 5_000, 0, 5_000, 181_577),
        "mir24-5k": (20_015, 24, 2_000, 5_000, 0, 18_015),
        "mir24-10k": (20_015, 24, 2_000, 10_000, 0, 18_015),
        "mir24-unsup-10k": (20_015, 24, 2_000, 0, 10_000, 18_015),
        "mir24-unsup-15k": (20_015, 24, 2_000, 0, 15_000, 18_015),
        "mir38-a": (25_000, 38, 1_000, 4_000, 0, 20_000),
        "mir38-b": (25_000, 38, 1_700, 23_300, 0, 23_300),
        "mir38-semi": (25_000, 38, 1_000, 5_000, 19_000, 19_000),
        "imagenet100": (133_503, 100, 5_000, 13_000, 0, 128_503),
        "wikipedia": (2_866, 10, 693, 2_173, 0, 2_173),
        "wikipedia-693": (2_866, 10, 693, 2_173, 0, 693),
    }
    assert {name: sizes[name] for name in expected} == expected


def test_the_document_has_the_same_table():
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    counts = {row[0].strip("`"): [cell.replace(",", "") for cell in row[1:5]] for row in rows if len(row) > 5}

    def cells(protocol):
        numbers = (protocol.queries, protocol.labelled, protocol.unlabelled, protocol.database)
        return ["?" if number is None else str(number) if number else "-" for number in numbers]

    assert counts == {protocol.name: cells(protocol) for protocol in PROTOCOLS}
