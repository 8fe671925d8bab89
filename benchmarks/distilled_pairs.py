"""How pure noisy and distilled pairs of DistillHash are, over its options.

    python benchmarks/distilled_pairs.py [--seeds 0 1 2] [--only WORD ...] [--table DOCUMENT]

For the training items of `method_unsupervised.py`: shares of the pairs that are called similar and dissimilar, how far
noisy labels of neighbouring pairs agree with them, which needs no label, and how many are right, which labels tell.
Options were chosen by agreement on seed 100, whose figures are not in the document. Means over the seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from method_unsupervised import CIFAR10, FASHION, PRESET, load
from report import fill
from tables import table

from fasthash import methods, training

BITS = 32
NEIGHBOURS = (10, 5, 2)
# Beside the preset, whose labels are "distilled".
CHANGED: dict[str, dict[str, Any]] = {
    "calibrate=False, balance=0": {"calibrate": False, "balance": 0.0},
    "balance=0": {"balance": 0.0},
    "balance=0.5": {"balance": 0.5},
    'estimator="sign"': {"estimator": "sign"},
    'loss_noisy="likelihood"': {"loss_noisy": "likelihood"},
    "noisy_epochs=2": {"noisy_epochs": 2.0},
    "noisy_epochs=50": {"noisy_epochs": 50.0},
    "n_neighbors=5, order=3": {"n_neighbors": 5, "order": 3},
    "n_neighbors=5, order=13": {"n_neighbors": 5, "order": 13},
}
OTHER_SHARE: dict[str, dict[str, Any]] = {"share=0.05": {"share": 0.05}}
HEADER = ("", "similar", "agreement", "right", "dissimilar", "agreement", "right")
Row = tuple[float, float, float, float, float, float]


def measure(protocol: str, seed: int, only: list[str]) -> Iterator[tuple[str, Row]]:
    """Names and figures of noisy labels and of distilled ones by the options."""
    items = load(protocol, seed)
    true = torch.from_numpy(items.labels)[items.training.rows]
    for name, options in {"": {}, **CHANGED, **OTHER_SHARE}.items():
        if only and name not in only:
            continue
        # What the final network learns is all that is looked at: one step of it.
        method = methods.create("distillhash", preset=PRESET, bits=BITS, epochs=0.01, **options)
        assert isinstance(method, methods.DistillHash)
        with tempfile.TemporaryDirectory() as folder:
            config = training.Config(f"{folder}/run", seed=seed, accelerator="cpu")
            tensors = training.fit(method, items.training, config, progress=training.Silent()).tensors()
        counts = () if options else NEIGHBOURS
        agreement = method.agreement(tensors, items.training, counts)
        right = method.accuracy(tensors, items.training, true, counts)
        for kind, found in agreement.items():
            if kind == "noisy" and name and name not in OTHER_SHARE:
                continue
            yield (
                ", ".join(part for part in (kind, name) if part),
                (
                    found.near,
                    found.near_agreement,
                    right[kind].near_precision,
                    found.far,
                    found.far_agreement,
                    right[kind].far_precision,
                ),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", nargs="+", default=[CIFAR10, FASHION], help="protocols")
    parser.add_argument("--only", nargs="+", default=[], help="these options alone; '' = the preset")
    parser.add_argument("--table", type=Path, help="a document to put the tables into")
    arguments = parser.parse_args()
    made = {}
    for protocol in arguments.data:
        rows: dict[str, list[Row]] = {}
        for seed in arguments.seeds:
            for name, row in measure(protocol, seed, arguments.only):
                rows.setdefault(name, []).append(row)
                print(protocol, seed, name, *(f"{value:.4f}" for value in row), flush=True)
        lines = [[name, *(f"{value:.3f}" for value in np.mean(found, 0))] for name, found in rows.items()]
        made[f"pairs {protocol}"] = table(HEADER, lines)
    if arguments.table:
        print(f"{arguments.table}: {', '.join(fill(arguments.table, made)) or 'no tables'}")
    else:
        print("\n\n".join(made.values()))


if __name__ == "__main__":
    main()
