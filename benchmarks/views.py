"""Features of random views of CIFAR-10 images, so that teacher and student can see two of them.

    python benchmarks/views.py OUT [--views 3] [--threads 1]

Writes OUT/view1.npy, ...: uint8 (60000, 1280), value * 255 / 6, in the order and scale of the shared features of the
plain images (`features/cifar10_mobilenetv2.npz`). View 1 mirrors every image; each further view takes a window of 0.7
to 1 of the side at a random place, mirrors every second image, and changes brightness and contrast by up to a fifth.
About eight minutes a view on one core. A view that is there already is left alone.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from cifar10 import WEIGHTS, read_images
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from fasthash.networks import MobileNetV2

SIDE, BATCH, QUANTUM = 224, 16, 6 / 255


def random_view(images: Tensor, view: int, generator: Generator) -> Tensor:
    """Images (n, 3, h, w) in [0, 1] -> one view (n, 3, 224, 224) of each; view 0 is the plain scaling."""
    n = len(images)
    size, mirror = torch.ones(n), torch.full((n,), -1.0 if view == 1 else 1.0)
    corner, gain, offset = torch.zeros(n, 2), torch.ones(n), torch.zeros(n)
    if view > 1:
        size = 0.7 + 0.3 * torch.rand(n, generator=generator)
        mirror = 1.0 - 2.0 * torch.randint(2, (n,), generator=generator)
        corner = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - size)[:, None]
        gain = 0.8 + 0.4 * torch.rand(n, generator=generator)
        offset = 0.2 * (2 * torch.rand(n, generator=generator) - 1)
    maps = torch.zeros(n, 2, 3)
    maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = size * mirror, size, corner
    grid = affine_grid(maps, [n, 3, SIDE, SIDE], align_corners=False)
    scaled = grid_sample(images, grid, padding_mode="border", align_corners=False)
    mean = scaled.mean((1, 2, 3), keepdim=True)
    changed = mean + gain[:, None, None, None] * (scaled - mean) + (offset[:, None, None, None] if view > 1 else 0)
    return changed.clamp(0, 1)


def write_view(path: Path, view: int, images: np.ndarray, threads: int) -> None:
    """Features of one view of all images, by a temporary file."""
    import torch._inductor.config as inductor

    # Frozen weights let the compiler choose layouts and fuse: a third of the time of plain calls.
    inductor.freezing, inductor.cpp.threads = True, threads
    network = torch.compile(MobileNetV2(size=None).load_arrays(WEIGHTS).eval().to(memory_format=torch.channels_last))
    generator = Generator().manual_seed(view)
    temporary = path.with_suffix(".tmp")
    features = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(images), MobileNetV2.features))
    began = time.perf_counter()
    for start in range(0, len(images), BATCH):
        part = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2).float() / 255
        x = random_view(part, view, generator).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            found = network(x)
        features[start : start + BATCH] = (found / QUANTUM).round().clamp(0, 255).to(torch.uint8).numpy()
    features.flush()
    os.replace(temporary, path)
    print(f"{path}: {len(images)} items in {time.perf_counter() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = read_images()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for view in range(1, arguments.views + 1):
        path = arguments.out / f"view{view}.npy"
        if not path.exists():
            write_view(path, view, images, arguments.threads)


if __name__ == "__main__":
    main()
