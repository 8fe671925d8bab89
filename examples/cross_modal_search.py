"""Search across modalities by codes that few labels have taught: texts by images, images by texts, and sounds by both.

Objects of eight kinds come as features of an image, a text and, for two thirds of them, a sound; a tenth of them are
labelled. SKDCH trains a branch for each modality. Prints mAP@all of every direction for the teacher, which saw the
labels of few, and for the student, which learns from those that the teacher gives to all. With --wikipedia the objects
are the Wikipedia pairs of image and text instead: wikipedia/wikipedia.npz in the folder that FASTHASH_DATA names. Needs
lightning-fabric.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import fasthash
from fasthash import data, evaluation, methods, training

BITS = 32


def made_objects() -> tuple[data.Modalities, Tensor, int]:
    """800 objects to learn from and to search in, then 200 queries: items, labels, and how many are no queries."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(1000) % 8
    sources = {}
    for name, size in {"image": 60, "text": 40, "sound": 30}.items():
        centres = torch.randn(8, size, generator=generator)
        sources[name] = centres[labels] + 2.2 * torch.randn(1000, size, generator=generator)
    present = {"sound": torch.arange(1000) % 3 > 0}
    return data.Modalities(sources, present), labels, 800


def wikipedia(folder: Path) -> tuple[data.Modalities, Tensor, int]:
    """2,173 pairs to learn from and to search in, then 693 queries."""
    arrays = np.load(folder / "wikipedia" / "wikipedia.npz")
    sources = {
        name: np.concatenate([arrays[f"{name}_train"], arrays[f"{name}_test"]]).astype(np.float32)
        for name in ("image", "text")
    }
    labels = np.concatenate([arrays["label_train"], arrays["label_test"]]).astype(np.int64)
    return data.Modalities(sources), torch.from_numpy(labels), len(arrays["label_train"])


def side(hasher: training.Hasher, items: data.Modalities, labels: Tensor) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Codes, labels and rows of each modality, without the objects that lack it."""
    found = {}
    for place, name in enumerate(items.names):
        rows = items.present[:, place].nonzero()[:, 0]
        found[name] = hasher.encode(items.modality(name).select(rows), modality=name), labels[rows], rows
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--wikipedia", action="store_true")
    arguments = parser.parse_args()
    items, labels, database = wikipedia(Path(os.environ["FASTHASH_DATA"])) if arguments.wikipedia else made_objects()
    labelled = database // 10
    learnt = data.TrainingSet(items, labels, range(labelled), range(labelled, database), standardise=True)
    method = methods.create(
        "skdch",
        bits=BITS,
        network={"hidden": 128},
        beta=None,
        lr=0.05,
        refine_lr=0.01,
        epochs=arguments.epochs,
        adversarial_rounds=2,
        selector_queries=40,
        refine_rounds=3,
    )
    with tempfile.TemporaryDirectory() as temporary:
        config = training.Config(temporary, accelerator="cpu")
        run = training.fit(method, learnt, config, progress=training.Silent())
        hashers = {
            name: training.load(run, method=dataclasses.replace(method, encode_with=name))
            for name in ("teacher", "student")
        }
    parts = (range(database, len(items)), range(database))
    for name, hasher in hashers.items():
        queries, found = (side(hasher, items.select(rows), labels[list(rows)]) for rows in parts)
        reports = evaluation.evaluate_directions(
            {key: (codes, of, rows + database) for key, (codes, of, rows) in queries.items()}, found, bits=BITS
        )
        scores = {direction: float(reports[direction].scores["mAP@all"]) for direction in reports}
        print(name)
        for direction, score in scores.items():
            print(f"  {direction:<14} {score:.4f}")
        print(f"  {'mean':<14} {sum(scores.values()) / len(scores):.4f}")

    # One query by hand: the five images that are nearest to a text.
    codes, query_labels, _ = queries["text"]
    images, image_labels, rows = found["image"]
    distances, nearest = fasthash.hamming_topk(codes[:1], images, 5)
    print(f"text of kind {int(query_labels[0])}: images {rows[nearest[0]].tolist()}", end=" ")
    print(f"of kinds {image_labels[nearest[0]].tolist()} at {distances[0].tolist()} bits")


if __name__ == "__main__":
    main()
