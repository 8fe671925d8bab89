"""Packed codes of all training items, rewritten as the items pass."""

from __future__ import annotations

from collections.abc import MutableMapping

import torch
from torch import Tensor

from fasthash.ops import hamming_topk, unpack


class CodeBank:
    """Codes of a whole training set: n * ceil(bits / 8) bytes, of which neighbours are found by Hamming distance.

    Rows that no item has written yet are never found.

    Args:
        tensors: where the bank lies, so that it is saved with what else lies there: "bank" uint8 (n, ceil(bits / 8))
            and "bank_seen" bool (n,); made here when they are missing.
        items: n.
        bits: width of the codes.
        device: of the tensors that are made.

    Example:
        >>> import torch
        >>> from fasthash.ops import pack
        >>> from fasthash.teachers import CodeBank
        >>> bank = CodeBank({}, items=4, bits=2)
        >>> bank.write(torch.tensor([3, 1]), pack(torch.tensor([[1.0, 1.0], [1.0, -1.0]])))
        >>> bank.nearest(pack(torch.tensor([[1.0, 1.0]])), k=3)[1].tolist()
        [[3, 1, -1]]
        >>> bank.outputs(torch.tensor([[1, -1]])).tolist()
        [[[1.0, -1.0], [0.0, 0.0]]]
    """

    def __init__(
        self, tensors: MutableMapping[str, Tensor], items: int, bits: int, device: torch.device | str = "cpu"
    ) -> None:
        if "bank" not in tensors:
            tensors["bank"] = torch.zeros(items, -(-bits // 8), dtype=torch.uint8, device=device)
            tensors["bank_seen"] = torch.zeros(items, dtype=torch.bool, device=device)
        self.codes, self.seen, self.bits = tensors["bank"], tensors["bank_seen"], bits

    def write(self, index: Tensor, codes: Tensor) -> None:
        """Set the rows at `index` int64 (b,) to packed codes (b, bytes); the last one where a row is named twice."""
        # Which of several a device writes last is its own affair: all write the last one.
        ordered, places = index.sort(stable=True)
        self.codes[index] = codes[places[torch.searchsorted(ordered, index, right=True) - 1]]
        self.seen[index] = True

    def nearest(self, codes: Tensor, k: int, *, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The k nearest rows of each code, by Hamming distance, then by lower place.

        Args:
            codes: packed (b, bytes).
            k: rows a code.
            exclude: int64 (b,), one row to leave out for each code, such as its own.

        Returns:
            distances int32 (b, k) and rows int64 (b, k); row -1 where too few have been written.
        """
        return hamming_topk(codes, self.codes, k, mask=self.seen, exclude=exclude)

    def outputs(self, rows: Tensor) -> Tensor:
        """Codes at `rows` int64 (...) as (..., bits) of -1 and +1, in float32; zeros where a row is -1."""
        values = unpack(self.codes[rows.clamp(min=0)], self.bits)
        return values.masked_fill((rows < 0)[..., None], 0)
