"""Tables that grow by rows while others read them."""

from __future__ import annotations

import numpy as np
import torch

_TORCH_TO_NUMPY: dict[torch.dtype, type[np.generic]] = {
    torch.uint8: np.uint8,
    torch.int8: np.int8,
    torch.int64: np.int64,
    torch.float16: np.float16,
    torch.float32: np.float32,
}

_BLOCK = 1 << 16  # rows


def numpy_dtype(dtype: torch.dtype) -> type[np.generic]:
    """The same dtype for NumPy, of those that tables have."""
    return _TORCH_TO_NUMPY[dtype]


def allocate(rows: int, width: int | None, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """An unwritten table (rows, width), or (rows,) for no width.

    NumPy asks the kernel for large pages, which torch does not: first writes of a large table are several times faster.
    """
    shape = (rows,) if width is None else (rows, width)
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.empty(shape, dtype=_TORCH_TO_NUMPY[dtype]))


def _write(rows: torch.Tensor, block: torch.Tensor) -> None:
    """A plain copy. Torch would wake its threads for it, which costs more than the copy where others use the cores."""
    if rows.is_cuda:
        rows.copy_(block)
    else:
        np.copyto(rows.numpy(), block.detach().numpy())


class Rows:
    """The first rows of a table with room for more. Rows that a `Rows` shows never change.

    Appending writes behind them and gives a new `Rows`; whoever holds the old one sees what it saw. So readers need no
    lock, but only the newest `Rows` of a table may be appended to, by one thread at a time.

    Attributes:
        shown: the rows, without a copy.
    """

    def __init__(self, table: torch.Tensor, count: int) -> None:
        self.table = table
        self.count = count
        self.shown = table[:count]

    @classmethod
    def empty(cls, width: int | None, dtype: torch.dtype, device: torch.device) -> Rows:
        """No rows of a width and dtype."""
        return cls(allocate(0, width, dtype, device), 0)

    def appended(self, block: torch.Tensor) -> Rows:
        """These rows and then those of a block of the same dtype.

        A full table is copied into one of twice the size: each row is copied about once more, however small the blocks
        are, and memory that no row was written to is not taken from the machine.
        """
        count = self.count + len(block)
        table = self.table
        if count > len(table):
            room = count if self.count == 0 else max(count, 2 * self.count)
            table = allocate(room, None if table.dim() == 1 else table.shape[1], table.dtype, table.device)
            _write(table[: self.count], self.shown)
        _write(table[self.count : count], block)
        return Rows(table, count)

    def kept(self, keep: torch.Tensor) -> Rows:
        """The rows where a mask (count,) is True, in a table of their own."""
        count = int(keep.sum())
        table = allocate(
            count, None if self.table.dim() == 1 else self.table.shape[1], self.table.dtype, self.table.device
        )
        at = 0
        for first in range(0, self.count, _BLOCK):  # so that little memory is needed beside the two tables
            rows, mask = self.shown[first : first + _BLOCK], keep[first : first + _BLOCK]
            block = rows[mask] if rows.is_cuda else torch.from_numpy(rows.numpy()[mask.numpy()])
            _write(table[at : at + len(block)], block)
            at += len(block)
        return Rows(table, count)

    def shared(self) -> Rows:
        """The same rows for another owner: without room, so that what it appends goes into a table of its own."""
        return Rows(self.shown, self.count)

    def to(self, device: torch.device, *, copy: bool) -> Rows:
        """The rows on a device, in any case copied or only where they are elsewhere."""
        return Rows(self.shown.to(device, copy=copy), self.count)
