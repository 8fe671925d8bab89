"""What this machine can do at best: instruction rates, the bare inner step of a search, memory bandwidth.

    python benchmarks/ceilings.py [--threads 2] [--level avx512] [--json FILE]

A search meets every pair of codes with the same few instructions. With AVX-512, for eight codes of w 64-bit words, they
are w times xor, popcount and add, then one compare: 3w + 1. How many of them a core starts in a clock differs between
processors, so it is measured: each instruction alone and the step as a whole, from registers, without a load or a
hit, by loops in assembly that are written here and compiled when the script runs. The ceiling of a code length is what
those rates allow: all instructions of the step at the best rate of any of them, or one kind of them (popcount,
compare) at its own rate, if that takes longer.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from machine import card
from tables import table
from timing import seconds_of

import fasthash

HERE = Path(__file__).parent
WORDS = (1, 2, 3, 4, 8, 16)  # of the steps that are measured as a whole
SECONDS = 0.02  # of each loop, three times


class Unavailable(Exception):
    """Why ceilings cannot be measured here."""


class Step(NamedTuple):
    """The instructions of a level. {t}, {u}: scratch; {s}: a sum; {f}: what is added to; capitals are written."""

    register_bits: int
    word: tuple[str, ...]  # 64 bits of each code in a register
    close: tuple[str, ...]  # after the last word
    registers: tuple[str, ...]  # all that may be written

    def count(self, words: int) -> Counter[str]:
        """How often the step for codes of `words` words has each instruction."""
        return Counter(_name(text) for text in (*self.word * words, *self.close))

    def whole(self, words: int) -> list[str]:
        """The step for eight registers of codes, four side by side. Registers 0 to 3 hold constants."""
        lines = []
        for _ in range(2):
            for part, texts in (*((word, self.word) for word in range(words)), (-1, self.close)):
                for lane in range(4):
                    t, u, s, f = 12 + lane, 4 + lane, 8 + lane, 2 if part == 0 else 8 + lane
                    lines += [text.format(t=t, T=t, u=u, U=u, s=s, S=s, f=f, K=1 + lane) for text in texts]
        return lines

    def alone(self) -> dict[str, list[str]]:
        """Each instruction by itself, 84 times, none waiting for another."""
        places = [{"T": 4 + i % 12, "U": 4 + i % 12, "S": 4 + i % 12, "K": 1 + i % 7} for i in range(84)]
        return {
            _name(text): [text.format(t=0, u=1, s=0, f=1, **place) for place in places]
            for text in (*self.word, *self.close)
        }


def _name(text: str) -> str:
    return text.split()[0]


STEPS = {
    "avx512": Step(
        512,
        (
            "vpxorq %zmm0, %zmm1, %zmm{T}",
            "vpopcntq %zmm{t}, %zmm{T}",
            "vpaddq %zmm{t}, %zmm{f}, %zmm{S}",
        ),
        ("vpcmpgtq %zmm{s}, %zmm3, %k{K}",),
        (*(f"xmm{i}" for i in range(16)), *(f"k{i}" for i in range(1, 8))),
    ),
    # Bits of a byte by a table of 16, sums in bytes.
    "avx2": Step(
        256,
        (
            "vpxor %ymm0, %ymm1, %ymm{T}",
            "vpand %ymm{t}, %ymm3, %ymm{U}",
            "vpsrlw $4, %ymm{t}, %ymm{T}",
            "vpand %ymm{t}, %ymm3, %ymm{T}",
            "vpshufb %ymm{u}, %ymm2, %ymm{U}",
            "vpshufb %ymm{t}, %ymm2, %ymm{T}",
            "vpaddb %ymm{t}, %ymm{u}, %ymm{T}",
            "vpaddb %ymm{t}, %ymm{f}, %ymm{S}",
        ),
        (
            "vpsadbw %ymm{s}, %ymm2, %ymm{T}",
            "vpaddq %ymm{t}, %ymm1, %ymm{T}",
            "vpcmpgtq %ymm{t}, %ymm3, %ymm{U}",
        ),
        tuple(f"xmm{i}" for i in range(16)),
    ),
    "neon": Step(
        128,
        (
            "eor v{T}.16b, v0.16b, v1.16b",
            "cnt v{T}.16b, v{t}.16b",
            "add v{S}.16b, v{f}.16b, v{t}.16b",
        ),
        (
            "uaddlp v{T}.8h, v{s}.16b",
            "uaddlp v{T}.4s, v{t}.8h",
            "uaddlp v{T}.2d, v{t}.4s",
            "cmhi v{U}.2d, v3.2d, v{t}.2d",
        ),
        tuple(f"v{i}" for i in range(16)),
    ),
}
CLOCK = {"x86": "add %rdx, %rcx", "arm": "add x9, x9, x10"}  # each waits for the one before


class Loops:
    """The loops and the passes over memory, compiled for this machine."""

    def __init__(self, level: str) -> None:
        self.level, self.step = level, STEPS.get(level)
        arm = platform.machine() in ("aarch64", "arm64")
        bodies = {"clock": 64 * [CLOCK["arm" if arm else "x86"]]}
        registers = ["x9", "cc"] if arm else ["rcx", "cc"]
        if self.step is not None:
            bodies |= self.step.alone()
            bodies |= {f"step of {words}": self.step.whole(words) for words in WORDS}
            registers += self.step.registers
        self.sizes = {name: len(lines) for name, lines in bodies.items()}
        self._library = _compile(_source(bodies, registers, arm))

    def per_second(self, name: str, threads: int) -> float:
        """Instructions a second of a loop, all threads together."""
        size = self.sizes[name]
        window = max(1, 400_000 // size)  # about 0.1 ms, so that most windows are undisturbed
        rounds = self._library.rounds_per_second(list(self.sizes).index(name), window, SECONDS, threads)
        return float(rounds) * size

    def read(self, array: np.ndarray, threads: int, ahead: int = 0) -> None:
        """Adds up the bytes of an array, which reads all of them once."""
        self._library.read_bytes(array.ctypes.data, array.nbytes, ahead, threads)

    def fill(self, array: np.ndarray, threads: int, streaming: bool) -> None:
        """Writes all bytes of an array (which begins at a cache line) once."""
        self._library.fill_bytes(array.ctypes.data, array.nbytes, streaming, threads)

    def fill_fresh(self, size: int, huge_pages: bool, streaming: bool, threads: int) -> float:
        """Seconds to get `size` bytes of memory, write them once and give them back."""
        return float(self._library.fill_fresh(size, huge_pages, streaming, threads))


def _source(bodies: dict[str, list[str]], registers: list[str], arm: bool) -> str:
    """loops.h: a function for each body, which runs it a number of times."""
    end = "subs %0, %0, #1\\n b.ne 1b" if arm else "sub $1, %0\\n jnz 1b"
    clobbers = ", ".join(f'"{register}"' for register in registers)
    lines = ["#include <cstdint>"]
    for number, body in enumerate(bodies.values()):
        text = "".join(line.replace("%", "%%") + "\\n " for line in body)
        lines.append(f"static void loop{number}(int64_t rounds) {{")
        lines.append(f'  asm volatile("1: {text}{end}" : "+r"(rounds) : : {clobbers});\n}}')
    names = ", ".join(f"loop{number}" for number in range(len(bodies)))
    return "\n".join([*lines, f"static void (*const kLoops[])(int64_t) = {{{names}}};\n"])


def _compile(loops: str) -> ctypes.CDLL:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise Unavailable("no C++ compiler")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "loops.h").write_text(loops)
        command = [compiler, "-std=c++20", "-O3", "-march=native", "-shared", "-fPIC", "-pthread", f"-I{folder}"]
        library = Path(folder) / "ceilings.so"
        result = subprocess.run(
            [*command, str(HERE / "ceilings.cpp"), "-o", str(library)], capture_output=True, text=True
        )
        if result.returncode != 0:
            raise Unavailable(f"{compiler} does not compile benchmarks/ceilings.cpp: {result.stderr[:500]}")
        loaded = ctypes.CDLL(str(library))
    loaded.rounds_per_second.restype = ctypes.c_double
    loaded.rounds_per_second.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_double, ctypes.c_int]
    loaded.read_bytes.restype = ctypes.c_uint64
    loaded.read_bytes.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int]
    loaded.fill_bytes.restype = None
    loaded.fill_bytes.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_int]
    loaded.fill_fresh.restype = ctypes.c_double
    loaded.fill_fresh.argtypes = [ctypes.c_int64, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    return loaded


def rates(loops: Loops, threads: int) -> dict[str, float]:
    """Instructions a second of each loop, all threads together."""
    rounds = [{name: loops.per_second(name, threads) for name in loops.sizes} for _ in range(3)]
    return {name: max(found[name] for found in rounds) for name in loops.sizes}


def pairs_per_second(level: str, measured: dict[str, float], bits: int) -> float:
    """The ceiling: pairs of codes of `bits` bits that those rates allow.

    Codes of up to 32 bits can share a lane of 64: the step of one word, with two, four or eight times the pairs.
    """
    step = STEPS[level]
    count = step.count((bits + 63) // 64)
    alone = {name: measured[name] for name in count}
    seconds = max(count.total() / max(alone.values()), *(times / alone[name] for name, times in count.items()))
    lane_bits = next((narrow for narrow in (8, 16, 32) if bits <= narrow), 64)
    return step.register_bits / lane_bits / seconds


def bandwidth(loops: Loops, threads: int, megabytes: int = 512, repeats: int = 5) -> dict[str, float]:
    """Bytes a second of reading and writing an array much larger than the caches, the best of a few passes."""
    size = megabytes << 20
    array = np.zeros(size + 64, np.uint8)
    array = array[-array.ctypes.data % 64 :][:size]
    array.fill(1)
    passes = {
        "read": [lambda ahead=ahead: loops.read(array, threads, ahead) for ahead in (0, 2048, 8192)],
        "write": [lambda: loops.fill(array, threads, False)],
        "write, past the caches": [lambda: loops.fill(array, threads, True)],
    }
    result = {
        name: size / min(seconds_of(call) for _ in range(repeats) for call in calls) for name, calls in passes.items()
    }
    for huge in (False, True):
        seconds = [loops.fill_fresh(size, huge, streaming, threads) for _ in range(3) for streaming in (False, True)]
        result[f"write, fresh {'huge' if huge else 'small'} pages"] = size / min(seconds)
    return result


def measure(loops: Loops, threads: int, megabytes: int = 512) -> dict[str, Any]:
    """All of it, by one thread and by `threads`, as it is kept beside the results of a run."""
    result: dict[str, Any] = {"level": loops.level, "threads": {}}
    for count in sorted({1, threads}):
        measured = rates(loops, count)
        result["threads"][str(count)] = {
            "instructions_per_second": measured,
            "bytes_per_second": bandwidth(loops, count, megabytes),
        }
    return result


def ceiling(measured: dict[str, Any], bits: int, threads: int) -> float | None:
    """Pairs a second of codes of `bits` bits, of what `measure` returned. None: the level has no known step."""
    if measured["level"] not in STEPS:
        return None
    return pairs_per_second(measured["level"], measured["threads"][str(threads)]["instructions_per_second"], bits)


def show(measured: dict[str, Any]) -> str:
    """The measurements as Markdown tables, a column for each number of threads."""
    of = measured["threads"]
    clock = of["1"]["instructions_per_second"]["clock"]
    heads = [f"{count} thread{'s' if count != '1' else ''}" for count in of]
    parts = [f"Level {measured['level']}, {clock / 1e9:.2f} GHz (a chain of additions)."]

    def rows(group: str, scale: float, form: str, names: Iterable[str]) -> list[list[str]]:
        return [[name, *(format(entry[group][name] / scale, form) for entry in of.values())] for name in names]

    if measured["level"] in STEPS:
        step = STEPS[measured["level"]]
        parts.append(
            table(["instructions a clock", *heads], rows("instructions_per_second", clock, ".2f", step.count(1)))
        )
        lines = []
        for words in WORDS:
            lanes, size, line = step.register_bits // 64, step.count(words).total(), [f"{64 * words} bits"]
            for count, entry in of.items():
                bound = ceiling(measured, 64 * words, int(count))
                bare = entry["instructions_per_second"][f"step of {words}"] / size * lanes
                line += [f"{bound / 1e9:.1f}", f"{64 * words * bound / 1e9:.0f}", f"{bare / bound:.0%}"]
            lines.append(line)
        columns = [f"{text}, {head}" for head in heads for text in ("Gpair/s", "Gbit-pair/s", "bare step")]
        parts.append(table(["ceiling", *columns], lines))
    names = of["1"]["bytes_per_second"]
    parts.append(table(["GB/s", *heads], rows("bytes_per_second", 1e9, ".1f", names)))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--level", choices=fasthash.cpu_levels(), help="default: the one in use")
    parser.add_argument("--megabytes", type=int, default=512, help="of the array that is read and written")
    parser.add_argument("--json", type=Path, help="also writes the figures there")
    options = parser.parse_args()
    try:
        loops = Loops(options.level or fasthash._native._C.cpu_level())
    except Unavailable as reason:
        raise SystemExit(f"not measured: {reason}") from None
    measured = measure(loops, options.threads, options.megabytes)
    print(show(measured))
    if options.json:
        options.json.write_text(json.dumps({"machine": card(), **measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()
