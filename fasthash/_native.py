"""Loads the compiled module `fasthash._C`; all others take it from here."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, cast

try:
    from fasthash import _C as _C
except ImportError as error:
    if str(error).startswith("cannot import name '_C'"):
        raise ImportError(
            f"fasthash: the compiled module fasthash._C is missing beside {Path(__file__).parent}. If this is a clone "
            "of the sources, build it with `pip install -e .` (a C++20 compiler is enough); if fasthash is installed, "
            "start Python outside of the clone or use the `fasthash` command."
        ) from error
    raise ImportError(f"fasthash: the compiled module fasthash._C does not load: {error}") from error


class BuildInfo(TypedDict):
    """What this build is made of."""

    version: str
    compiler: str
    cpu_levels: list[str]
    cuda: str
    cuda_architectures: str


def build_info() -> BuildInfo:
    """Version, compiler, CPU levels of this machine, and whether the CUDA kernels are built in (or why not).

    >>> import fasthash
    >>> sorted(fasthash.build_info())
    ['compiler', 'cpu_levels', 'cuda', 'cuda_architectures', 'version']
    """
    return cast(BuildInfo, _C.build_info())


def cpu_levels() -> list[str]:
    """CPU levels of this machine, slowest first: of "scalar", "avx2", "avx512".

    >>> import fasthash
    >>> fasthash.cpu_levels()[0]
    'scalar'
    """
    return _C.cpu_levels()


def cpu_level() -> str:
    """The CPU level in use.

    >>> from fasthash._native import cpu_level, cpu_levels
    >>> cpu_level() in cpu_levels()
    True
    """
    return _C.cpu_level()


def set_cpu_level(name: str) -> None:
    """Sets the CPU level of all later calls in this process (at start: the fastest, or `FASTHASH_CPU_LEVEL`).

    Results are the same at every level.

    Raises:
        TypeError: name is not a string.
        ValueError: the machine lacks the level.

    >>> import fasthash
    >>> fasthash.set_cpu_level("scalar")
    >>> fasthash.set_cpu_level(fasthash.cpu_levels()[-1])
    """
    if not isinstance(name, str):
        raise TypeError(f"set_cpu_level: name: expected a string, got {type(name).__name__}")
    try:
        _C.set_cpu_level(name)
    except ValueError as error:
        raise ValueError(f"set_cpu_level: name: {error}") from None


def set_cuda_path(name: str) -> None:
    """Sets how searches on CUDA go about it, for all later calls in this process: for benchmarks and tests.

    Results are the same on every path. At start it is "auto", or what `FASTHASH_CUDA_PATH` says.

    Args:
        name: "auto" (by device, bits, queries, codes and k), "counting" (two scans by popcount), "popcount" (one scan
            by popcount) or "tensor" (one scan on the b1 tensor cores, for codes of up to 1,024 bits on compute
            capability 8 and 9). A call that cannot take the path goes on as with "auto".

    Raises:
        TypeError: name is not a string.
        ValueError: no such path.
        RuntimeError: this build has no CUDA kernels.

    >>> import fasthash
    >>> if fasthash.build_info()["cuda"].startswith("on"):
    ...     fasthash.set_cuda_path("auto")
    """
    if not isinstance(name, str):
        raise TypeError(f"set_cuda_path: name: expected a string, got {type(name).__name__}")
    if not hasattr(_C, "cuda"):
        raise RuntimeError(f"set_cuda_path: this build has no CUDA kernels (CUDA {build_info()['cuda']})")
    try:
        getattr(_C, "cuda").set_path(name)  # noqa: B009 (not every build has it, so the stubs do not)
    except ValueError as error:
        raise ValueError(f"set_cuda_path: {error}") from None
