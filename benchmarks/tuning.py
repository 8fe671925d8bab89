"""How the presets for features of CIFAR-10 were chosen: options on splits that share no query with the reported ones.

    python benchmarks/tuning.py [--labels 500] [--splits 2] [--bits 12 48] [--only WORD ...]

A tuning split draws from the items that are queries in none of the seeds 0 to 4 of "cifar10-semi": 2,000 queries, 500
or 5,000 labelled items, the rest unlabelled and the database. Its labels choose options, so a user with 500 labels and
no others could not have chosen as finely. Data and views come from where `methods.py` has them.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from method_semi import CIFAR10, SEEDS, read

from fasthash import data, evaluation, methods, training

QUERIES, CLASSES = 2000, 10
# What is changed in the preset of a method; the first line of each method changes nothing.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "dpsh": [{}],
    "pts3h": [
        {},
        {"g_pair": 0.0},
        {"g_graph": 0.0},
        {"g_graph": 0.0, "g_pair": 20.0},
        {"near": 0.15, "far": 0.40},
        {"graph_loss": "margin"},
        {"graph": "knn"},
        {"graph_scope": "bank"},
        {"g_nb": 5.0},
        {"g_point": 1.0},
        {"q_unlabelled": True},
        {"encode_with": "teacher"},
    ],
    "ssdh": [
        {},
        {"pseudo_loss": "contrastive", "w_pseudo": 1.0, "teacher": False, "q": 0.0, "ramp": 0.0},
        {"pseudo_loss": "contrastive"},
        {"teacher": False},
        {"q": 0.0},
        {"w_pair": 0.0},
        {"graph": "backbone"},
        {"graph_scope": "bank"},
        {"w_pseudo": 10.0},
        {"w_pseudo": 100.0},
        {"encode_with": "teacher"},
    ],
}


def tuning_split(labels: np.ndarray, count: int, seed: int) -> data.Split:
    """2,000 queries, `count` labelled items, the rest; none of them a query of a reported split."""
    reported = np.concatenate([data.make_split("cifar10-semi", labels, seed=s).queries for s in range(SEEDS)])
    free = np.random.default_rng(1000 + seed).permutation(np.setdiff1d(np.arange(len(labels)), reported))
    parts: list[list[np.ndarray]] = [[], [], []]
    for number in range(CLASSES):
        cuts = np.cumsum([QUERIES // CLASSES, count // CLASSES])
        for part, rows in zip(parts, np.split(free[labels[free] == number], cuts), strict=True):
            part.append(rows)
    queries, labelled, unlabelled = (np.concatenate(part) for part in parts)
    return data.Split("tuning", seed, queries, [], unlabelled, labelled, unlabelled)


@lru_cache(maxsize=1)
def items(count: int, seed: int) -> tuple[data.Split, data.TrainingSet, torch.Tensor]:
    """A split, what is trained on, and all labels."""
    source, labels, _ = read(CIFAR10, count)
    split = tuning_split(labels, count, seed)
    return split, data.TrainingSet.from_split(source, labels, split, standardise=True), torch.from_numpy(labels)


def score(method: methods.Method, count: int, seed: int) -> float:
    """mAP@all, expected over ties, of one run."""
    split, trained_on, labels = items(count, seed)
    with tempfile.TemporaryDirectory() as folder:
        config = training.Config(f"{folder}/run", seed=seed, accelerator="cpu")
        hasher = training.load(training.fit(method, trained_on, config, progress=training.Silent()))
    codes = hasher.encode(trained_on.source)
    return float(
        evaluation.mean_average_precision(
            codes[split.queries], codes[split.database], labels[split.queries], labels[split.database], bits=method.bits
        )
    )


def variants(count: int) -> Iterator[tuple[str, methods.Method]]:
    """All of `OPTIONS`, by a name that says what is changed."""
    for name, changes in OPTIONS.items():
        preset = methods.create(name, preset=f"{CIFAR10}-{count}")
        for change in changes:
            yield " ".join([name, *(f"{k}={v}" for k, v in change.items())]), dataclasses.replace(preset, **change)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=500, choices=(500, 5000))
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--bits", type=int, nargs="+", default=[12, 48])
    parser.add_argument("--only", nargs="+", default=[], help="variants whose names hold all of these words")
    arguments = parser.parse_args()
    for name, method in variants(arguments.labels):
        if not set(arguments.only) <= set(name.split()):
            continue
        for bits in arguments.bits:
            changed = dataclasses.replace(method, bits=bits)
            found = [score(changed, arguments.labels, seed) for seed in range(arguments.splits)]
            print(f"{name:<60} {bits:>3} bits  {np.mean(found):.4f}  {[round(x, 4) for x in found]}", flush=True)


if __name__ == "__main__":
    main()
