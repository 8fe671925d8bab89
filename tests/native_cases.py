"""Op cases for fasthash_runner, which replays them without Python: `python tests/native_cases.py FILE` writes them all.

The format is described in csrc/runner/case_file.h. Results are those of fasthash.ops.reference, with one exception: a
float result is this machine's own, once it has been found close enough to the reference, which may add in another
order. So every level has to equal it bit for bit.
"""

from __future__ import annotations

import hashlib
import inspect
import struct
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from large_cases import large_cases
from op_cases import BYTES, CODES, OPS, Op, as_tuple, assert_equal

from fasthash.ops import reference

# Op, what kind of inputs (for messages), arguments.
Case = tuple[Op, str, tuple[Any, ...], dict[str, Any]]


def small_cases(ops: Iterable[Op], widths: Iterable[int] = BYTES) -> Iterator[Case]:
    """The cases that every op is tried on (tests/ops/test_values.py)."""
    rng = np.random.default_rng(0)
    for op in ops:
        for bytes_ in widths:
            for m in CODES:
                for q in (0, 5):
                    for args, kwargs in op.inputs(rng, q, m, bytes_):
                        yield op, "", args, kwargs


class Writer:
    """Writes records; an array that comes again is written once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._numbers: dict[bytes, int] = {}
        file.write(b"fasthash cases 1\n")

    def case(self, op: str, about: str, inputs: dict[str, np.ndarray], outputs: Iterable[np.ndarray]) -> None:
        named = [(name, self._array(x)) for name, x in inputs.items()]
        numbers = [self._array(x) for x in outputs]
        self._file.write(b"C" + _text(op) + _text(about) + struct.pack("<I", len(named)))
        for name, number in named:
            self._file.write(_text(name) + struct.pack("<I", number))
        self._file.write(struct.pack(f"<I{len(numbers)}I", len(numbers), *numbers))

    def close(self) -> None:
        self._file.write(b"E")

    def _array(self, x: np.ndarray | torch.Tensor) -> int:
        if isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16:
            dtype, x = "bfloat16", x.view(torch.int16).numpy()
        else:
            x = np.asarray(x)
            x = x.astype(x.dtype.newbyteorder("<"))
            dtype = x.dtype.str
        head = _text(dtype) + struct.pack(f"<I{x.ndim}q", x.ndim, *x.shape)
        content = head + x.tobytes()
        key = hashlib.sha256(content).digest()
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers)
            self._file.write(b"A" + content)
        return self._numbers[key]


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


def _inputs(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as arrays that kernels take: multi-hot labels packed, None left out."""
    result = {}
    for name, value in arguments.items():
        if isinstance(value, float):
            result[name] = np.asarray(value, dtype=np.float32)
        elif name.endswith("_labels") and value.ndim == 2:
            result[name] = reference.pack(value)
        elif value is not None:
            result[name] = np.asarray(value) if isinstance(value, int) else value
    return result


def _in_numpy(value: Any) -> Any:
    """An argument as the reference takes it."""
    if not isinstance(value, torch.Tensor):
        return value
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def _about(kind: str, inputs: dict[str, Any]) -> str:
    parts = [f"{name} {x.dtype} {tuple(x.shape)}" if x.ndim else f"{name} {x}" for name, x in inputs.items()]
    return ", ".join([kind, *parts] if kind else parts)


def write(path: Path, cases: Iterable[Case]) -> int:
    """Writes cases with their results to a file; returns how many."""
    count = 0
    with path.open("wb") as file:
        writer = Writer(file)
        for op, kind, args, kwargs in cases:
            bound = inspect.signature(getattr(reference, op.name)).bind(*args, **kwargs)
            bound.apply_defaults()
            inputs = _inputs(bound.arguments)
            expected = as_tuple(op.expected(*map(_in_numpy, args), **kwargs))
            if any(x.dtype.kind == "f" for x in expected):
                got = op(*args, **kwargs)
                assert_equal(got, expected, (op.name, kind))
                expected = as_tuple(got)
            outputs = [np.asarray(x) for x in expected]
            writer.case(op.name, _about(kind, inputs), inputs, outputs)
            count += 1
            if op.name == "hamming_topk" and inputs["database"].shape[1] <= 8:  # which is no op, but gives the same
                bits = {"bits": np.asarray(8 * inputs["database"].shape[1])}
                writer.case("multi_index_topk", _about(kind, inputs), inputs | bits, outputs)
                count += 1
        writer.close()
    return count


if __name__ == "__main__":
    number = write(Path(sys.argv[1]), chain(small_cases(OPS), large_cases(OPS)))
    print(f"{number} cases")
