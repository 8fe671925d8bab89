"""Compiles every CUDA kernel for every architecture of a wheel and prints what each takes; fails where one spills.

python cmake/cuda_archs.py [file.cu ...]: all of csrc/cuda when none is named. Needs nvcc and c++filt, but no GPU.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Usage(NamedTuple):
    """Of a kernel on an architecture: registers a thread, bytes of static shared memory, bytes of stack and spills."""

    registers: int
    shared: int
    stack: int
    spills: int


def architectures(cmake: str) -> list[str]:
    """The architectures of a wheel, as cmake/cuda.cmake lists them: 80-real .. 120-virtual."""
    found = re.search(r'STREQUAL "wheel"\)\s*set\(CMAKE_CUDA_ARCHITECTURES ([^)]*)\)', cmake)
    if found is None:
        raise SystemExit("cuda_archs: cmake/cuda.cmake: expected a list of architectures for wheels")
    return found[1].split()


def flags(architecture: str) -> str:
    """What nvcc wants to hear of one."""
    number, kind = architecture.split("-")
    return f"-gencode=arch=compute_{number},code={'sm' if kind == 'real' else 'compute'}_{number}"


def parse(log: str) -> dict[tuple[str, str], Usage]:
    """Usage by mangled name and architecture, from what nvcc prints with -Xptxas -v."""
    usage = {}
    for entry in log.split("Compiling entry function '")[1:]:
        name, _, rest = entry.partition("' for '")
        stack, stores, loads = re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", rest
        ).groups()
        registers = re.search(r"Used (\d+) registers", rest)[1]
        shared = re.search(r"(\d+) bytes smem", rest)
        sizes = (registers, shared[1] if shared else 0, stack, int(stores) + int(loads))
        usage[name, rest.partition("'")[0]] = Usage(*map(int, sizes))
    return usage


def plain_names(mangled: list[str]) -> dict[str, str]:
    """Names as in the sources, without namespaces, parameters and the result."""
    out = subprocess.run(["c++filt"], input="\n".join(mangled), capture_output=True, text=True, check=True).stdout
    names = {}
    for name, text in zip(mangled, out.splitlines(), strict=True):
        text = re.sub(r"\(anonymous namespace\)::|fasthash::(cuda::)?|^void ", "", text)
        names[name] = re.sub(r"\(.*", "", re.sub(r"\((int|bool|Share)\)", "", text))
    return names


def table(usage: dict[tuple[str, str], Usage]) -> str:
    """Markdown: a row a kernel, a column an architecture."""
    names = plain_names(sorted({name for name, _ in usage}))
    columns = sorted({architecture for _, architecture in usage}, key=lambda x: int(re.sub(r"\D", "", x)))
    lines = ["| kernel | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for mangled, name in sorted(names.items(), key=lambda item: item[1]):
        cells = [f"`{name}`"]
        for column in columns:
            one = usage[mangled, column]
            more = f", {one.stack} stack" if one.stack else ""
            more += f", {one.spills} SPILLED" if one.spills else ""
            cells.append(f"{one.registers}, {one.shared}{more}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def compiled(nvcc: str, source: Path, targets: list[str]) -> str:
    """What the compiler says of one file."""
    includes = [f"-I{ROOT / folder}" for folder in ("csrc/include", "csrc/cuda")]
    command = [nvcc, "-std=c++17", "-O3", "-Xptxas=-v", *map(flags, targets), *includes, "-c", str(source), "-o"]
    run = subprocess.run([*command, os.devnull], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise SystemExit(f"cuda_archs: {source.name} does not compile:\n{run.stderr}")
    print(f"compiled {source.name}", file=sys.stderr, flush=True)
    return run.stderr


def main() -> None:
    """Prints the table."""
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if nvcc is None:
        raise SystemExit("cuda_archs: expected nvcc on the path")
    targets = architectures((ROOT / "cmake/cuda.cmake").read_text())
    sources = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "csrc/cuda").glob("*.cu"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        logs = pool.map(lambda source: compiled(nvcc, source, targets), sources)
        usage = {key: one for log in logs for key, one in parse(log).items()}
    print("Registers a thread, bytes of static shared memory; bytes of stack and spills where there are any.\n")
    print(table(usage))
    spilled = sorted({name for (name, _), one in usage.items() if one.spills})
    if spilled:
        raise SystemExit("cuda_archs: these kernels spill: " + ", ".join(plain_names(spilled).values()))


if __name__ == "__main__":
    main()
