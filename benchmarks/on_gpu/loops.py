"""The loops of ceilings.cu: compiled, called, and what each of them computes and consists of."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ceilings import Unavailable
from on_gpu import sass

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "csrc"

# As in ceilings.cu.
THREADS, CHAINS, UNROLL, BINS = 256, 8, 8, 1025
PER_ROUND = CHAINS * UNROLL

GROUPED = {f"b1 wgmma n{columns}": columns for columns in (64, 128, 256)}  # products of a warpgroup

# What an instruction is called in machine code. One of three inputs counts as one.
INSTRUCTIONS = {
    "popcount": ("POPC",),
    "logic": ("LOP3",),
    "add": ("IADD3", "IADD", "VIADD", "IMAD.IADD"),
    "float add": ("FADD",),
    "compare": ("ISETP",),
    "max": ("VIMNMX", "IMNMX"),
    "max of three": ("VIMNMX3",),
    "pair": ("POPC",),
    "histogram": ("ATOMS",),
    "b1 k256": ("BMMA",),
    "b1 k128": ("BMMA",),
    **dict.fromkeys(GROUPED, ("BGMMA",)),
}
KERNELS = {
    "popcount": "Popcount",
    "logic": "Logic",
    "add": "3Add",
    "float add": "FloatAdd",
    "compare": "Compare",
    "max": "MaxOfTwo",
    "max of three": "MaxOfThree",
    "pair": "Pair",
    "histogram": "9histogram",
    "b1 k256": "8productsILi256",
    "b1 k128": "8productsILi128",
    **{name: f"14group_productsILi{columns}" for name, columns in GROUPED.items()},
}  # a part of their names in machine code
SPREADS = (64, 256, 1024)  # bits of random codes whose distances the histogram counts


def loop_names(capability: tuple[int, int]) -> list[str]:
    """The loops of a device: binary products only where they are instructions."""
    names = [name for name in INSTRUCTIONS if name != "histogram" and not name.startswith("b1")]
    names += [f"histogram {bits}" for bits in SPREADS]
    names += ["b1 k256", "b1 k128"] if (8, 0) <= capability < (10, 0) else []
    return names + (list(GROUPED) if capability == (9, 0) else [])


def loop_of(name: str) -> str:
    """The kernel's own name: "histogram" for all spreads."""
    return "histogram" if name.startswith("histogram") else name


@dataclass(frozen=True)
class Library:
    """ceilings.cu, compiled. instructions: of each loop, by sass.py, where they could be looked at."""

    functions: Any
    instructions: dict[str, Counter[str]]

    def call(self, function: str, *arguments: Any) -> None:
        """On torch's current stream. Raises RuntimeError with what CUDA says."""
        stream = torch.cuda.current_stream().cuda_stream if torch.cuda.is_available() else 0
        converted = [_argument(value) for value in arguments]
        if (error := getattr(self.functions, function)(*converted, ctypes.c_void_p(stream))) is not None:
            raise RuntimeError(error.decode())

    def run(
        self, name: str, rounds: int, blocks: int, seeds: torch.Tensor, out: torch.Tensor, watch: torch.Tensor
    ) -> None:
        self.call("run_loop", loop_of(name).encode(), rounds, blocks, seeds, out, watch)


def _argument(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_int64(value)


def build(capability: tuple[int, int]) -> Library:
    """For a GPU of that compute capability."""
    compiler = shutil.which("nvcc")
    if compiler is None:
        raise Unavailable("nvcc is not installed")
    options = ["-Xcompiler", "-fPIC", "-cudart", "static"]
    return _build([compiler, *nvcc_options(capability), *options], [HERE / "ceilings.cu"], True)


def nvcc_options(capability: tuple[int, int]) -> list[str]:
    """For machine code of that compute capability alone; of 9.0 with what only that has."""
    name = f"{capability[0]}{capability[1]}" + ("a" if capability == (9, 0) else "")
    return ["-std=c++17", "-O3", f"-gencode=arch=compute_{name},code=sm_{name}"]


def build_emulated() -> Library:
    """For the CPU, against the emulation that the tests use: the same results, no rates."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise Unavailable("no C++ compiler")
    options = ["-std=c++20", "-O1", "-fPIC", "-DFASTHASH_EMULATION", f"-I{SOURCES / 'emulation'}", "-x", "c++"]
    parts = sorted(path for path in (SOURCES / "emulation").glob("*.cpp") if path.name != "module.cpp")
    return _build([compiler, *options], [HERE / "ceilings.cu", *parts], False)


def _build(command: list[str], sources: list[Path], look_inside: bool) -> Library:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ceilings.so"
        includes = [f"-I{SOURCES / name}" for name in ("include", "cuda")]
        arguments = [*command, "-shared", *includes, *map(str, sources), "-o", str(path)]
        done = subprocess.run(arguments, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(f"{command[0]} does not compile benchmarks/on_gpu/ceilings.cu: {done.stderr[:500]}")
        functions = ctypes.CDLL(str(path))
        found = inner_loops(path) if look_inside and sass.cuobjdump() else {}
    for name in ("run_loop", "read_all", "launch_nothing", "naive_distance"):
        getattr(functions, name).restype = ctypes.c_char_p
    return Library(functions, found)


def inner_loops(compiled: Path) -> dict[str, Counter[str]]:
    """The instructions in the loop of each kernel of a library or cubin."""
    loops = sass.loops(sass.disassemble(compiled))
    return {name: count for name, part in KERNELS.items() for function, count in loops.items() if part in function}


def misses(name: str, instructions: Counter[str]) -> str:
    """What is wrong with a loop that should have 64 instructions of its kind, or nothing.

    A few belong to the loop itself, hence one round of chains more or less. A maximum of three may be two of two, a
    product of a warpgroup is one a step.
    """
    wanted = UNROLL if name in GROUPED else PER_ROUND
    own = sum(instructions[instruction] for instruction in INSTRUCTIONS[name])
    if name == "max of three" and own == 0:
        wanted, own = 2 * PER_ROUND, sum(instructions[instruction] for instruction in INSTRUCTIONS["max"])
    if abs(own - wanted) <= (0 if name.startswith("b1") else CHAINS):
        return ""
    return f"{own} instructions of its kind instead of {wanted}: {dict(instructions)}"


# What the loops compute.


def seeds_of(name: str) -> np.ndarray:
    """Numbers of each thread that a loop starts from: uint32 (rows, THREADS)."""
    rng = np.random.default_rng(0)
    if name.startswith("histogram"):
        bits = int(name.split()[1])
        return rng.binomial(bits, 0.5, (CHAINS, THREADS)).astype(np.uint32)
    if name == "float add":
        return rng.standard_normal((2 * CHAINS, THREADS), dtype=np.float32).view(np.uint32)
    rows = 4 + 2 * CHAINS if name.startswith("b1") else 2 * CHAINS
    return rng.integers(0, 1 << 32, (rows, THREADS), dtype=np.uint32)


def expected(name: str, seeds: np.ndarray, rounds: int) -> np.ndarray:
    """What every block has to write: uint32."""
    steps = rounds * UNROLL
    if name.startswith("histogram"):
        return (steps * np.bincount(seeds.ravel(), minlength=BINS)).astype(np.uint32)
    if name in GROUPED:
        return (steps * _group_products(seeds, GROUPED[name])).astype(np.uint32)
    if name.startswith("b1"):
        return (steps * _products(seeds, int(name[4:]))).astype(np.uint32)
    x, y = seeds[:CHAINS].copy(), seeds[CHAINS:].copy()
    if name.startswith("max"):
        for step in range(steps):
            _choose(x, np.maximum if step % 2 == 0 else np.minimum, 2 if name == "max" else 3)
        return x
    for _ in range(steps):
        STEPS[name](x, y)
    return x


def _choose(x: np.ndarray, of: np.ufunc, inputs: int) -> None:
    signed = x.view(np.int32)
    for i in range(CHAINS):
        signed[i] = of.reduce([signed[(i + j) % CHAINS] for j in (0, 1, 3)[:inputs]])


def _popcount(x: np.ndarray, y: np.ndarray) -> None:
    x[:] = np.bitwise_count(x) ^ y


def _logic(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(CHAINS):
        x[i] ^= x[(i + 1) % CHAINS] & x[(i + 2) % CHAINS]


def _add(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(CHAINS):
        x[i] += x[(i + 1) % CHAINS]


def _float_add(x: np.ndarray, y: np.ndarray) -> None:
    floats = x.view(np.float32)
    floats += y.view(np.float32)


def _compare(x: np.ndarray, y: np.ndarray) -> None:
    x[0] += (y.view(np.int32) < x[1].view(np.int32)).any(axis=0)
    x[1] += x[2]


def _pair(x: np.ndarray, y: np.ndarray) -> None:
    x[1:] += np.bitwise_count(y[0] ^ y[1:])
    x[0] += np.bitwise_count(y[0])
    y[0] += np.uint32(0x9E3779B9)


STEPS: dict[str, Callable[[np.ndarray, np.ndarray], None]] = {
    "popcount": _popcount,
    "logic": _logic,
    "add": _add,
    "float add": _float_add,
    "compare": _compare,
    "pair": _pair,
}


def _products(seeds: np.ndarray, depth: int) -> np.ndarray:
    """One step of all warps: (4 * CHAINS, THREADS), by the layout of fragments in NVIDIA's PTX manual, m16n8k<depth>.

    Lane l holds row l / 4 of a and column l % 4 of its words, rows of a 8 further on in every second register, and
    words 128 bits further on in the next two; b likewise with columns; of c rows l / 4 and 8 more, columns 2 (l % 4)
    and the next.
    """
    lanes = np.arange(32)
    group, within = lanes // 4, lanes % 4
    halves = depth // 128
    out = np.zeros((4 * CHAINS, THREADS), np.int64)
    for warp in range(THREADS // 32):
        own = seeds[:, 32 * warp : 32 * warp + 32]
        a = np.zeros((16, 4 * halves), np.uint32)
        for register in range(2 * halves):
            a[group + 8 * (register % 2), within + 4 * (register // 2)] = own[register]
        for chain in range(CHAINS):
            b = np.zeros((8, 4 * halves), np.uint32)
            for register in range(halves):
                b[group, within + 4 * register] = own[4 + 2 * chain + register]
            c = np.bitwise_count(a[:, None] & b[None]).sum(axis=2, dtype=np.int64)
            for register in range(4):
                values = c[group + 8 * (register // 2), 2 * within + register % 2]
                out[4 * chain + register, 32 * warp : 32 * warp + 32] = values
    return out


def _group_products(seeds: np.ndarray, columns: int) -> np.ndarray:
    """One step of all warpgroups, as `_products` of their warps: a is laid out alike, and columns of b are all one."""
    same = np.bitwise_count(seeds[:4] & seeds[4, 0]).astype(np.int64)
    of_row = [same[half] + same[half + 2] for half in range(2)]  # a thread's words of its two rows
    sums = [part.reshape(-1, 4).sum(axis=1).repeat(4) for part in of_row]  # four threads share a row
    return np.stack([sums[register // 2 % 2] for register in range(columns // 2)])
