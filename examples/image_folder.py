"""Semi-supervised hashing of one's own images: a sub-folder for each class, images without a label beside them.

    python examples/image_folder.py photos --labels 200

does in Python what one command does:

    fasthash train pts3h --data folder --root photos --items.size 32 --labels 200 --bits 48 --network.backbone cnn

--labels says how many labelled images may be trained on; other labelled ones are queries and answers. Without a
folder, it writes 1,797 handwritten digits as one, 1,000 of them without a label. Prints mAP of the codes, and the files
that are nearest to one image. Needs pillow, lightning-fabric and, for the digits, scikit-learn.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from fasthash import HammingIndex, data, evaluation, methods, training


def write_digits(folder: Path) -> None:
    """Images of 8 x 8 pixels, a sub-folder a digit; the last 1,000 without."""
    images, labels = data.load_digits()
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / str(int(label)) if number < 797 else folder
        place.mkdir(exist_ok=True, parents=True)
        Image.fromarray((image[0] * 255).byte().numpy()).save(place / f"{number:04}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--size", type=int, help="side that images are scaled to; default 32, digits 8")
    parser.add_argument("--epochs", type=float, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "digits"
        if arguments.folder is None:
            write_digits(folder)

        images = data.open_dataset("folder", folder, size=arguments.size or (32 if arguments.folder else 8))
        labels = images.labels
        split = data.draw_split(labels, queries=20 * len(images.classes), labelled=arguments.labels)
        items = data.TrainingSet.from_split(images.source, labels, split)
        method = methods.create("pts3h", preset="digits", bits=48, epochs=arguments.epochs)
        run = training.fit(method, items, training.Config(f"{temporary}/run"), progress=training.Silent())

        codes = training.load(run).encode(images.source).numpy()
        known = split.database[labels[split.database] >= 0]  # whether the others are answers is not known
        sides = [codes[split.queries], codes[known], labels[split.queries], labels[known]]
        print(f"{len(codes):,} images, {len(split.labelled)} of them trained on with a label")
        print(f"mAP {evaluation.mean_average_precision(*sides, bits=48):.3f} of codes of 48 bits")

        index = HammingIndex(48)
        index.add(codes[split.database], ids=split.database)
        distances, rows = index.search(codes[split.queries[:1]], k=5)
        paths = [Path(path).relative_to(folder) for path in images.source.paths]
        print(f"nearest to {paths[split.queries[0]]}:")
        for distance, row in zip(distances[0], rows[0], strict=True):
            print(f"  {distance:2} bits  {paths[row]}")


if __name__ == "__main__":
    main()
