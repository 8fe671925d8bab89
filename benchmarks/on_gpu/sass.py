"""Which machine instructions a compiled CUDA loop consists of: proof that a loop measures what its name says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from collections import Counter
from pathlib import Path

INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*);")
FUNCTION = re.compile(r"^\s*Function : (\S+)")
PACKAGED = ("nvidia/*/bin/cuobjdump", "triton/backends/nvidia/bin/cuobjdump")  # wheels that bring one


def cuobjdump() -> str | None:
    """The disassembler, where nvdisasm, which it calls, is there too: on the path, beside nvcc, or in a package."""
    home = cuda_home()
    packages = Path(sysconfig.get_paths()["purelib"])
    found = [shutil.which("cuobjdump"), home and home / "bin" / "cuobjdump"]
    found += [path for pattern in PACKAGED for path in packages.glob(pattern)]
    for tool in found:
        if tool and Path(tool).exists() and (shutil.which("nvdisasm") or Path(tool).with_name("nvdisasm").exists()):
            return str(tool)
    return None


def cuda_home() -> Path | None:
    """The folder of the toolkit that nvcc belongs to."""
    compiler = shutil.which("nvcc")
    if compiler is None:
        return None
    text = subprocess.run([compiler, "--dryrun", "-E", "-x", "cu", "/dev/null"], capture_output=True, text=True).stderr
    top = re.search(r"^#\$ TOP=(.+)$", text, re.MULTILINE)
    return Path(top[1]).resolve() if top else Path(compiler).resolve().parent.parent


def disassemble(path: Path) -> str:
    """Machine code of a library or cubin, as text."""
    tool = cuobjdump()
    if tool is None:
        raise FileNotFoundError("cuobjdump is not installed")
    return subprocess.run([tool, "-sass", str(path)], capture_output=True, text=True, check=True).stdout


def loops(sass: str) -> dict[str, Counter[str]]:
    """For each function the instructions of its largest loop: from a backward branch's target to the branch.

    Names are those of the machine code without what follows a dot, but for IMAD, which also moves and adds.
    """
    result: dict[str, Counter[str]] = {}
    code: dict[str, list[tuple[int, str, str]]] = {}
    for line in sass.splitlines():
        if match := FUNCTION.match(line):
            instructions = code.setdefault(match[1], [])
        elif match := INSTRUCTION.match(line):
            instructions.append((int(match[1], 16), match[2], match[3]))
    for function, listing in code.items():
        result[function] = Counter()
        for address, name, operands in listing:
            target = re.search(r"0x([0-9a-f]+)\s*$", operands)
            if name.split(".")[0] != "BRA" or target is None or int(target[1], 16) >= address:
                continue
            body = [other for at, other, _ in listing if int(target[1], 16) <= at <= address]
            if len(body) > result[function].total():
                result[function] = Counter(_short(other) for other in body)
    return result


def _short(name: str) -> str:
    return ".".join(name.split(".")[: 2 if name.startswith("IMAD") else 1])
