"""`fasthash audit`: one set of codes under every convention that public code follows."""

from __future__ import annotations

import json as text
from pathlib import Path

from fasthash.cli.arrays import read_bits
from fasthash.cli.evaluate import FEATURES, read_all, read_features
from fasthash.evaluation import audit


def run(
    files: tuple[str, str, str, str],
    bits: int | None,
    features: tuple[str | None, str | None],
    k: int,
    json: str | None,
) -> None:
    """Read, audit, print and write."""
    arrays = read_all("audit", files)
    real = read_features("audit", features)
    pair = (real[FEATURES[0]], real[FEATURES[1]]) if real else None
    result = audit(*arrays, bits=read_bits(*files[:2]) if bits is None else bits, k=k, features=pair)
    print(result)
    if json is not None:
        Path(json).write_text(text.dumps(result.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
