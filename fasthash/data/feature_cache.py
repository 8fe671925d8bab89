"""Features of a frozen network, computed once and kept in a file from which training reads them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from fasthash.data.sources import ArraySource, Source, StoredViews, as_source, cache_folder, map_array

# Work that a kill can cost.
SECONDS_BETWEEN_MARKS = 10.0


def cache_features(
    x: Any,
    network: nn.Module,
    *,
    folder: str | os.PathLike[str] | None = None,
    key: str = "",
    batch_size: int = 16,
    dtype: Literal["float32", "float16"] = "float32",
    compiled: bool = False,
) -> Source:
    """A source of the features that a network gives for the items of another source.

    The first call computes them, in evaluation mode and a batch at a time, into a .npy file. A call that was killed is
    gone on with by the next, and later calls map the file. Its name stands for all that the items hold (the full
    `Source.digest`, for which every call reads them), the
    network's weights, buffers and layers as they print themselves, dtype and `key`.

    Args:
        x: items: a source, tensor or array; all stored views of a source, not its random ones.
        network: (n, *shape) -> (n, features), such as `HashNetwork.backbone`; it stays on its device.
        folder: of the files; None = features in `cache_folder`.
        key: whatever else decides about the features and does not print, such as a constant inside a forward.
        batch_size: items at once.
        dtype: of the file; "float16" halves it.
        compiled: let torch.compile fold the weights in. That takes a C++ compiler and some time at first, and pays for
            many items: MobileNetV2 at 224 pixels then takes about 10 ms an image on one core, else 13 to 18 ms.

    Returns:
        float32 features (features,) of each item, in as many views as x has stored.

    Raises:
        TypeError: x is no source, tensor or array.
        ValueError: batch_size below 1, an unknown dtype, or a network that does not give (n, features).

    Example:
        >>> import tempfile
        >>> import torch
        >>> from fasthash.data import TrainingSet, cache_features
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     features = cache_features(torch.rand(40, 3, 8, 8), network, folder=folder)
        ...     TrainingSet(features, torch.arange(40) % 10, range(20), range(20, 40)).spec
        ItemSpec(shape=(5,), classes=10, modalities=())
    """
    if batch_size < 1:
        raise ValueError(f"cache_features: batch_size: expected >= 1, got {batch_size}")
    if dtype not in ("float32", "float16"):
        raise ValueError(f'cache_features: dtype: expected "float32" or "float16", got {dtype!r}')
    source = as_source(x)
    folder = cache_folder() / "features" if folder is None else Path(folder)
    identity = (source.digest(full=True), _network_digest(network), dtype, key)
    views: list[Source] = []
    for view in range(source.views):
        name = hashlib.blake2b(repr((*identity, view)).encode(), digest_size=16).hexdigest()
        path = folder / f"{name}.npy"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(path.with_suffix(".lock")):
                if not path.exists():
                    _fill(path, source, view, _Extractor(network, batch_size, compiled), dtype)
        views.append(ArraySource(map_array(path)))
    return views[0] if len(views) == 1 else StoredViews(views)


def _network_digest(network: nn.Module) -> str:
    state = hashlib.blake2b(repr(network).encode(), digest_size=16)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process at a time go on; one that is killed lets the next one in."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        lock.unlink(missing_ok=True)


class _Extractor:
    """A network in evaluation mode, called with batches of one size only, for which it may be compiled."""

    def __init__(self, network: nn.Module, batch_size: int, compiled: bool) -> None:
        self._network, self._size, self._compiled = network, batch_size, compiled
        self._call: Callable[[Tensor], Tensor] = torch.compile(network) if compiled else network
        self._device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """(b, *shape), b up to the batch size -> (b, features)."""
        modes = {module: module.training for module in self._network.modules()}
        self._network.eval()
        padded = torch.cat([x, x[-1:].expand(self._size - len(x), *x.shape[1:])]).to(self._device)
        try:
            if self._compiled:
                import torch._inductor.config as inductor

                with inductor.patch(freezing=True):
                    found = self._call(padded)
            else:
                found = self._call(padded)
        finally:
            for module, training in modes.items():
                module.training = training
        if found.ndim != 2 or len(found) != self._size:
            raise ValueError(
                f"cache_features: network: expected ({self._size}, features) for {self._size} items, "
                f"got {tuple(found.shape)}"
            )
        return found[: len(x)].float().cpu()

    @property
    def size(self) -> int:
        """Items at once."""
        return self._size


def _fill(path: Path, source: Source, view: int, features: _Extractor, dtype: str) -> None:
    """Write the file of one view, or the rest of one that was begun, and only then give it its name."""
    part, mark = path.with_suffix(".part"), path.with_suffix(".json")
    if part.exists() and mark.exists():
        done: int = json.loads(mark.read_text())["items"]
        file = np.lib.format.open_memmap(part, "r+")
    else:
        done = 0
        mark.unlink(missing_ok=True)
        width = features(torch.zeros(1, *source.shape)).shape[1]
        file = np.lib.format.open_memmap(part, "w+", np.dtype(dtype), (len(source), width))
    marked = time.monotonic()
    for start in range(done, len(source), features.size):
        rows = torch.arange(start, min(start + features.size, len(source)))
        file[rows.numpy()] = features(source.take(rows, view=view)).numpy()
        if time.monotonic() - marked >= SECONDS_BETWEEN_MARKS:
            # The items first: the mark never counts one that a crash of the machine could take back.
            file.flush()
            temporary = mark.with_suffix(".tmp")
            temporary.write_text(json.dumps({"items": int(rows[-1]) + 1}))
            os.replace(temporary, mark)
            marked = time.monotonic()
    file.flush()
    os.replace(part, path)
    mark.unlink(missing_ok=True)
