"""Codes of four to sixteen bits for handwritten digits: MAH, whose lengths learn together, beside ADSH of one length.

The database is what is trained on: its codes are learnt, queries go through the network. With four bits there are
sixteen codes, so whole classes tie; mAP is the one expected over the order of ties. Needs scikit-learn.
"""

from __future__ import annotations

import tempfile

from fasthash import data, hamming_topk, methods, training
from fasthash.evaluation import mean_average_precision

DATABASE = 1497  # of 1,797 images; the others are queries
OPTIONS = {
    "network": {"widths": (256,)},
    "optimiser": {"lr": 0.01},
    "num_samples": 500,
    "outer_iters": 20,
    "milestones": (10,),
}


def train(folder: str, name: str, bits: int, seed: int) -> training.Hasher:
    """A trained run of these images."""
    images, labels = data.load_digits()
    items = data.TrainingSet(images, labels, range(DATABASE), [])
    config = training.Config(f"{folder}/{name}-{bits}-{seed}", seed=seed)
    return training.load(
        training.fit(methods.create(name, bits=bits, **OPTIONS), items, config, progress=training.Silent())
    )


def score(hasher: training.Hasher, bits: int) -> float:
    """mAP of the queries over the learnt codes of this length."""
    images, labels = data.load_digits()
    codes = hasher.encode(images[DATABASE:], length=bits), hasher.database_codes(bits)
    return mean_average_precision(*codes, labels[DATABASE:], labels[:DATABASE], bits=bits)


def main() -> None:
    images, labels = data.load_digits()
    together, alone = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(3):
            hasher = train(folder, "mah", 4, seed)
            together.append([score(hasher, bits) for bits in hasher.lengths])
            alone.append(score(train(folder, "adsh", 4, seed), 4))
    for place, bits in enumerate(hasher.lengths):
        print(f"MAH,  {bits:2} bits: mAP {sum(scores[place] for scores in together) / 3:.3f} over 3 seeds")
    print(f"ADSH,  4 bits: mAP {sum(alone) / 3:.3f} over 3 seeds")
    # Packed codes of any length are searched like all others.
    distances, rows = hamming_topk(hasher.encode(images[DATABASE:], length=8), hasher.database_codes(8), 10)
    share = (labels[:DATABASE][rows] == labels[DATABASE:, None]).float().mean()
    print(
        f"of the ten nearest by 8 bits, {share:.3f} show the digit asked for; largest distance {int(distances.max())}"
    )


if __name__ == "__main__":
    main()
