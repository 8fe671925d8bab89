"""Where the benchmarks find CIFAR-10: images, features of a frozen MobileNetV2, and that network's weights."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

DATA = Path(os.environ.get("FASTHASH_DATA", "../shared/data"))
IMAGES = DATA / "cifar10"
FEATURES = DATA / "features" / "cifar10_mobilenetv2.npz"
WEIGHTS = DATA / "weights" / "mobilenet_v2.npz"


def read_images() -> np.ndarray:
    """uint8 (60000, 32, 32, 3), the official training set first; the files are mosaics of 50 x 50 images."""
    from PIL import Image

    def tiles(path: Path) -> np.ndarray:
        mosaic = np.asarray(Image.open(path).convert("RGB"))
        return mosaic.reshape(50, 32, 50, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)

    return np.concatenate([tiles(path) for path in sorted(IMAGES.glob("images_*.webp"))])
