"""DistillHash on scikit-learn's digits: no label is read in training; labels then tell how right the pairs were.

Prints how many pairs of each sign the noisy labels and the distilled ones hold and how many of those are right, and the
mAP of the codes beside LSH, PCA hashing and ITQ on the same items. Needs scikit-learn.
"""

from __future__ import annotations

import tempfile

from fasthash import data, methods, training
from fasthash.evaluation import mean_average_precision
from fasthash.teachers import PairAccuracy

BITS = 32
# A tenth of the pairs is near, and probabilities are fitted to those noisy labels.
OPTIONS = {
    "noisy": "quantile",
    "share": 0.1,
    "loss_noisy": "likelihood",
    "calibrate": True,
    "balance": 1.0,
    "loss_final": "l2",
    "noisy_epochs": 10,
    "epochs": 20,
}


def line(name: str, pairs: PairAccuracy) -> str:
    """Share and precision of pairs of each sign."""
    return (
        f"{name:<28}{pairs.near:>9.3f}{pairs.near_precision:>11.3f}"
        f"{pairs.decided - pairs.near:>11.3f}{pairs.far_precision:>11.3f}"
    )


def main() -> None:
    """Train, look at the pairs, and compare the codes."""
    images, labels = data.load_digits()
    split = data.make_split("digits-semi", labels, seed=0)
    items = data.TrainingSet(images, None, [], split.database, standardise=True)
    with tempfile.TemporaryDirectory() as folder:
        scores = {}
        for name, options in {"lsh": {}, "pcah": {}, "itq": {}, "distillhash": OPTIONS}.items():
            method = methods.create(name, bits=BITS, **options)
            config = training.Config(f"{folder}/{name}")
            run = training.fit(method, items, config, progress=training.Silent())
            hasher = training.load(run)
            queries, database = hasher.encode(images[split.queries]), hasher.encode(images[split.database])
            scores[name] = mean_average_precision(
                queries, database, labels[split.queries], labels[split.database], bits=BITS
            )
        assert isinstance(method, methods.DistillHash)
        pairs = method.accuracy(run.tensors(), items, labels[items.rows], n_neighbors=(10, 5, 2))

    print(f"{'pairs':<28}{'similar':>9}{'precision':>11}{'dissimilar':>11}{'precision':>11}")
    for name, found in pairs.items():
        print(line(name, found))
    print(f"\nmAP of {len(split.queries)} queries in {len(split.database):,} items, {BITS} bits")
    for name, score in scores.items():
        print(f"{name:<12}{float(score):.3f}")


if __name__ == "__main__":
    main()
