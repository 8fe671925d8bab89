"""How pure noisy and distilled pairs of DistillHash are, over its options: a CSV row for each seed and setting.

    python benchmarks/distilled_pairs.py [--data NAME ...] [--seeds 0 1 2] [--further] [--table DOCUMENT]

For the training items of `method_unsupervised.py`: shares of the pairs that are called similar and dissimilar, how far
noisy labels of neighbouring pairs agree with them, which needs no label, and how many are right, which labels tell.
Measures what has no row in results/distilled_pairs.csv yet. The preset was chosen by agreement on seed 100, which has
no row.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from method_unsupervised import CIFAR10, FASHION, PRESET, load
from methods import read
from report import fill
from tables import table
from torch import Tensor
from torch.nn.functional import normalize

from fasthash import methods, training
from fasthash.teachers import block_accuracy, neighbour_agreement, noisy_signs

RESULTS = Path(__file__).parent / "results" / "distilled_pairs.csv"
BITS = 32
ROWS = 128  # of a block of pairs, as neighbour_agreement takes them
NEIGHBOURS = (10, 5, 2)
NOISY, DISTILLED = "noisy", "distilled"  # by the preset
# Further trainings of the first network.
FURTHER: dict[str, dict[str, Any]] = {
    'estimator="sign"': {"estimator": "sign"},
    'loss_noisy="likelihood"': {"loss_noisy": "likelihood"},
    "noisy_epochs=2": {"noisy_epochs": 2.0},
    "noisy_epochs=50": {"noisy_epochs": 50.0},
    "n_neighbors=5, order=3": {"n_neighbors": 5, "order": 3},
}
FIGURES = ("similar", "similar agreement", "similar right", "dissimilar", "dissimilar agreement", "dissimilar right")
COLUMNS = ("data", "seed", "pairs", *FIGURES)
HEADER = ("", "seeds", "similar", "agreement", "right", "dissimilar", "agreement", "right")


def settings(protocol: str, seed: int, further: bool) -> tuple[dict[str, list[Tensor]], dict[str, Tensor]]:
    """Blocks of signs by name, and tensors of a run; the neighbours and the threshold are those of all."""
    found: dict[str, list[Tensor]] = {}
    for name, changed in (FURTHER if further else {"": {}}).items():
        method, tensors = trained(protocol, seed, **changed)
        found[f"{DISTILLED}, {name}" if name else DISTILLED] = list(method.distilled(tensors))
        if name:
            continue
        for count in NEIGHBOURS:
            found[f"{DISTILLED}, n_neighbors={count}"] = list(method.distilled(tensors, count))
        both = tensors["calibration"]  # (a, b) for similar and for dissimilar pairs
        for name, calibration in {
            "balance=0.5": torch.stack([both[0], both.mean(0)]),
            "balance=0": both[[0, 0]],
            "calibrate=False, balance=0": torch.tensor([[1.0, 0.0]] * 2),
        }.items():
            found[f"{DISTILLED}, {name}"] = list(method.distilled(tensors | {"calibration": calibration}))
    return found, tensors


def trained(protocol: str, seed: int, **options: Any) -> tuple[methods.DistillHash, dict[str, Tensor]]:
    """The method, and the tensors of a run that goes one step beyond distilling."""
    method = methods.create("distillhash", preset=PRESET, bits=BITS, epochs=0.01, **options)
    with tempfile.TemporaryDirectory() as folder:
        config = training.Config(f"{folder}/run", seed=seed, accelerator="cpu")
        run = training.fit(method, load(protocol, seed).training, config, progress=training.Silent())
        return cast(methods.DistillHash, method), run.tensors()


def measure(protocol: str, seed: int, further: bool) -> Iterator[dict[str, Any]]:
    """The rows of a seed."""
    items = load(protocol, seed)
    true = torch.from_numpy(items.labels)[items.training.rows]
    signs, tensors = settings(protocol, seed, further)
    features = normalize(items.training.take(torch.arange(len(items.training))).flatten(1))
    threshold = tensors["threshold"]
    if not further:
        signs[NOISY] = [noisy_signs(block, features, threshold) for block in features.split(ROWS)]
    agreement = neighbour_agreement(signs, features, tensors["neighbours"][:, 1:6], threshold, rows=ROWS)
    for name, blocks in signs.items():
        right, guess = block_accuracy(blocks, true), agreement[name]
        similar = (guess.near, guess.near_agreement, right.near_precision)
        figures = (*similar, guess.far, guess.far_agreement, right.far_precision)
        rounded = {column: f"{figure:.5f}" for column, figure in zip(FIGURES, figures, strict=True)}
        yield {"data": protocol, "seed": str(seed), "pairs": name, **rounded}


def append(path: Path, row: dict[str, str]) -> None:
    """One more row."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def tables(rows: list[dict[str, str]]) -> dict[str, str]:
    """Means over the seeds that there are, noisy labels first, with the number of seeds."""
    made = {}
    for protocol in (CIFAR10, FASHION):
        by_name: dict[str, list[list[float]]] = {}
        for row in rows:
            if row["data"] == protocol:
                by_name.setdefault(row["pairs"], []).append([float(row[name]) for name in FIGURES])
        lines = [
            [name, str(len(by_name[name])), *(f"{value:.3f}" for value in np.mean(by_name[name], 0))]
            for name in sorted(by_name, key=[NOISY, *by_name].index)
        ]
        made[f"pairs {protocol}"] = table(HEADER, lines)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=[CIFAR10, FASHION], help="protocols")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--further", action="store_true", help="other trainings of the first network too")
    parser.add_argument("--csv", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, help="a document to put the tables into")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for protocol in arguments.data:
            for further in (False, True) if arguments.further else (False,):
                one = f"{DISTILLED}, {next(iter(FURTHER))}" if further else NOISY
                rows = read(arguments.csv)
                if any((row["data"], row["seed"], row["pairs"]) == (protocol, str(seed), one) for row in rows):
                    continue
                for row in measure(protocol, seed, further):
                    append(arguments.csv, row)
                    print(*row.values(), flush=True)
    made = tables(read(arguments.csv))
    if arguments.table:
        print(f"{arguments.table}: {', '.join(fill(arguments.table, made)) or 'no tables'}")
    else:
        print("\n\n".join(made.values()))


if __name__ == "__main__":
    main()
