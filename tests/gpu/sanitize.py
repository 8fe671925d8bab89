"""The small GPU tests under compute-sanitizer: memcheck, racecheck and synccheck. Says why where that does not work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import torch

from fasthash.ops import has_cuda_kernels

TOOLS = ("memcheck", "racecheck", "synccheck")
TRY = "import torch, fasthash; x = torch.zeros((2, 8), dtype=torch.uint8).cuda(); fasthash.hamming_topk(x, x, 1)"
TESTS = ["tests/gpu", "-q", "-p", "no:cacheprovider", "-k", "cuda and (op_list or nothing_in or odd_address)"]


def skipped(reason: str) -> None:
    print(f"gpu-sanitize is skipped: {reason}")
    sys.exit(0)


def main() -> None:
    if not torch.cuda.is_available():
        skipped("no GPU, as torch sees it")
    if not has_cuda_kernels():
        skipped("this build has no CUDA kernels")
    sanitizer = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if sanitizer is None:
        skipped("there is no compute-sanitizer")
    # Every tensor an allocation of its own, so that its end is known.
    environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    failed = []
    for tool in TOOLS:
        command = [sanitizer, "--tool", tool, "--error-exitcode", "9", sys.executable]
        tried = subprocess.run([*command, "-c", TRY], capture_output=True, text=True, env=environment, check=False)
        if tried.returncode not in (0, 9):
            print(f"{tool} is skipped: it does not work here: {(tried.stdout + tried.stderr).strip()[-500:]}")
            continue
        if subprocess.run([*command, "-m", "pytest", *TESTS], env=environment, check=False).returncode != 0:
            failed.append(tool)
    if failed:
        sys.exit(f"gpu-sanitize: {', '.join(failed)} failed")


if __name__ == "__main__":
    main()
