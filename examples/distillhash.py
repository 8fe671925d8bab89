"""DistillHash on scikit-learn's digits: no label is read in training; labels then tell how right the pairs were.

Prints how many pairs of each sign the noisy labels and the distilled ones hold, how far noisy labels of neighbouring
pairs agree with them, how many are right, and the mAP of the codes beside LSH, PCA hashing and ITQ on the same items.
Needs scikit-learn.
"""

from __future__ import annotations

import tempfile

from fasthash import data, methods, training
from fasthash.evaluation import mean_average_precision
from fasthash.teachers import PairAccuracy, PairAgreement

BITS = 32
EPOCHS = {"noisy_epochs": 40, "epochs": 80}  # about the steps that the preset has on 5,000 items
HEADER = (("similar", 9), ("agreement", 11), ("right", 11), ("dissimilar", 12), ("agreement", 11), ("right", 11))


def line(name: str, pairs: PairAccuracy, agreement: PairAgreement) -> str:
    """Share of the pairs of each sign, how far noisy labels around them agree, and how many are right."""
    near = f"{pairs.near:>9.3f}{agreement.near_agreement:>11.3f}{pairs.near_precision:>11.3f}"
    return f"{name:<26}{near}{agreement.far:>12.3f}{agreement.far_agreement:>11.3f}{pairs.far_precision:>11.3f}"


def main() -> None:
    """Train, look at the pairs, and compare the codes."""
    images, labels = data.load_digits()
    split = data.make_split("digits-semi", labels, seed=0)
    items = data.TrainingSet(images, None, [], split.database, standardise=True)
    with tempfile.TemporaryDirectory() as folder:
        scores = {}
        for name in ("lsh", "pcah", "itq", "distillhash"):
            options = {"preset": "features-unsup", **EPOCHS} if name == "distillhash" else {}
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
        agreement = method.agreement(run.tensors(), items, n_neighbors=(10, 5, 2))

    sides = "".join(f"{word:>{width}}" for word, width in HEADER)
    print(f"{'pairs':<26}{sides}")
    for name, found in pairs.items():
        print(line(name, found, agreement[name]))
    print(f"\nmAP of {len(split.queries)} queries in {len(split.database):,} items, {BITS} bits")
    for name, score in scores.items():
        print(f"{name:<12}{float(score):.3f}")


if __name__ == "__main__":
    main()
