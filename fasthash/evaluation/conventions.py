"""The conventions behind published numbers called mAP, by name, with the arguments that reproduce each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Convention:
    """One way to compute mAP.

    Attributes:
        letter: its name here, A to J.
        arguments: of `mean_average_precision`, without k and the arrays.
        windowed: whether it looks at a window of k.
        rule: what it does.
        seen_in: public code that does so.
    """

    letter: str
    arguments: dict[str, Any]
    windowed: bool
    rule: str
    seen_in: str

    def call(self, k: int) -> dict[str, Any]:
        """The arguments with this window."""
        return {"k": k if self.windowed else None, **self.arguments}


_ALL = (
    Convention(
        "A",
        {"empty": "zero"},
        False,
        "whole ranking, / R; queries without relevant items score 0",
        "DCMH, SSAH, DJSRH (full), BMC-SDNU ports, ADSH, MAH",
    ),
    Convention(
        "B",
        {"divisor": "hits", "empty": "zero"},
        True,
        "first k ranks, / hits in the window; no hit scores 0",
        'DJSRH top-k, DeepHash-pytorch, DSDH_PyTorch, MAH "top 5000"',
    ),
    Convention(
        "C",
        {"divisor": "hits", "empty": "skip"},
        True,
        "as B, but queries without a hit leave the mean",
        "thulab/DeepHash",
    ),
    Convention(
        "D",
        {"window": "relevant"},
        True,
        "first min(k, R) relevant items of the full ranking, / min(k, R)",
        "torchcmh, a CPAH port, clip-based-cross-modal-hash",
    ),
    Convention(
        "E",
        {"empty": "skip"},
        False,
        "as A, but queries without relevant items leave the mean",
        "UGACH, SCH-GAN, UKD teacher, SKDCH",
    ),
    Convention(
        "F",
        {"relevance": "identical"},
        False,
        "as A, but only equal label sets are relevant (with a database of all modalities together)",
        "MGAH",
    ),
    Convention(
        "G",
        {},
        True,
        "as B, equal distances ordered by real-valued inner products (needs features)",
        "thulab/DeepHash re-rank",
    ),
    Convention("H", {}, False, "area under the precision-recall curve, under the name of mAP", "ITQ-style Matlab code"),
    Convention("I", {"divisor": "min"}, True, "first k ranks, / min(k, R)", "textbook AP@k"),
    Convention("J", {"divisor": "relevant"}, True, "first k ranks, / R", "ranx"),
)

CONVENTIONS = {convention.letter: convention for convention in _ALL}
"""All of them by letter."""
