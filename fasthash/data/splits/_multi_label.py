"""Protocols of data sets whose items have any number of classes. Counts, rules and sources; no lists."""

from __future__ import annotations

from typing import Any

from fasthash.data.splits.protocol import Protocol

_NUS21: dict[str, Any] = {
    "data": "NUS-WIDE, the 195,834 images with one of the 21 most frequent concepts",
    "items": 195_834,
    "classes": 21,
    "multi_label": True,
    "chosen": "per class",
    "queries": 2_100,
}
_NUS10: dict[str, Any] = {
    "data": "NUS-WIDE, the 186,577 images with one of the 10 most frequent concepts",
    "items": 186_577,
    "classes": 10,
    "multi_label": True,
    "chosen": "uniform",
}
_MIR24: dict[str, Any] = {
    "data": "MIRFlickr-25K, the 20,015 images with one of the 24 labels",
    "items": 20_015,
    "classes": 24,
    "multi_label": True,
    "chosen": "uniform",
    "queries": 2_000,
    "database": 18_015,
}
_MIR38: dict[str, Any] = {
    "data": "MIRFlickr-25K, all 25,000 images, 38 labels (24 potential, 14 relevant)",
    "items": 25_000,
    "classes": 38,
    "multi_label": True,
    "some_without_label": True,
}
_DRAW = "Which items the authors drew."
_COUNTED = "Which items the authors drew, and for which of its classes an image counted."
_BUT_LABELLED: Any = "all but queries and labelled"

MULTI_LABEL = (
    Protocol(
        name="nus21",
        **_NUS21,
        labelled=10_500,
        database=193_734,
        source='DeepHash-pytorch, "nuswide_21", with lists',
        unknown=_COUNTED + " Users count 2,000 images too few in its list of the database.",
    ),
    Protocol(
        name="nus21-full",
        **_NUS21,
        labelled=193_734,
        database=193_734,
        source="ADSH, with lists; MAH, whose lists were not released",
        unknown=_COUNTED,
    ),
    Protocol(
        name="nus21-semi",
        **_NUS21,
        labelled=10_500,
        unlabelled=183_234,
        database=183_234,
        searched=_BUT_LABELLED,
        source="the usual counts; their use by SSDH (TCSVT 2017) and PTS3H is reconstructed",
        unknown=_COUNTED + " Neither paper's database is known.",
    ),
    Protocol(
        name="nus21-semi-193k",
        **_NUS21,
        labelled=10_500,
        unlabelled=183_234,
        database=193_734,
        source="the usual counts; their use by SSDH (TCSVT 2017) and PTS3H is reconstructed",
        unknown=_COUNTED + " Neither paper's database is known.",
    ),
    Protocol(
        name="nus81-m",
        data="NUS-WIDE, the 223,496 images of HashNet, 81 concepts",
        items=None,
        classes=81,
        multi_label=True,
        some_without_label=True,
        chosen="lists",
        queries=5_000,
        labelled=10_000,
        database=None,
        source="HashNet; DeepHash-pytorch",
        unknown="How many images the list of the database holds. Users report images without a label.",
    ),
    Protocol(
        name="nus10-1pct",
        **_NUS10,
        queries=1_865,
        labelled=5_000,
        database=184_712,
        source="UGACH, for the supervised methods beside it",
        unknown="The authors drew the queries from the test part of NUS-WIDE; here from all images.",
    ),
    Protocol(
        name="nus10-1pct-unsup",
        **_NUS10,
        queries=1_865,
        unlabelled=15_000,
        database=184_712,
        source="UGACH",
        unknown="The authors drew the queries from the test part of NUS-WIDE; here from all images.",
    ),
    Protocol(
        name="nus10-5k",
        **_NUS10,
        queries=5_000,
        unlabelled=5_000,
        database=181_577,
        source="SSDH_PyTorch; for DistillHash",
        unknown=_DRAW + " Whether DistillHash used it. The number of images is that of the usual form.",
    ),
    Protocol(
        name="mir24-5k",
        **_MIR24,
        labelled=5_000,
        source="UGACH, for the supervised methods beside it",
        unknown=_DRAW,
    ),
    Protocol(
        name="mir24-10k",
        **_MIR24,
        labelled=10_000,
        source="DCMH",
        unknown=_DRAW,
    ),
    Protocol(
        name="mir24-unsup-10k",
        **_MIR24,
        unlabelled=10_000,
        source="DistillHash; SSDH (Yang et al., IJCAI 2018), with lists",
        unknown=_DRAW,
    ),
    Protocol(
        name="mir24-unsup-15k",
        **_MIR24,
        unlabelled=15_000,
        source="UGACH",
        unknown=_DRAW,
    ),
    Protocol(
        name="mir24-semi",
        **_MIR24,
        labelled=4_000,
        unlabelled=1_000,
        source="SKDCH, reconstructed from the counts of UGACH",
        unknown="Whether SKDCH used MIRFlickr, and how many of its training items were labelled.",
    ),
    Protocol(
        name="mir38-a",
        **_MIR38,
        chosen="uniform",
        queries=1_000,
        labelled=4_000,
        database=20_000,
        searched=_BUT_LABELLED,
        source='DeepHash-pytorch, "mirflickr", with lists',
        unknown="The seed of its lists: for its numbers read them.",
    ),
    Protocol(
        name="mir38-b",
        **_MIR38,
        chosen="lists",
        queries=1_700,
        labelled=23_300,
        database=23_300,
        source="MAH",
        unknown="How its queries were chosen. 38 of them and 381 items of the database have no label.",
    ),
    Protocol(
        name="mir38-semi",
        **_MIR38,
        chosen="lists",
        queries=1_000,
        labelled=5_000,
        unlabelled=19_000,
        database=19_000,
        searched=_BUT_LABELLED,
        source="SSDH (Zhang and Peng, TCSVT 2017)",
        unknown="How they were chosen. A user quotes a database of 24,000 from the paper; the lists hold 19,000.",
    ),
)
