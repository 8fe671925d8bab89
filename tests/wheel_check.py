"""Builds the source distribution, a wheel from it, and runs the tests against the wheel where no sources are.

python tests/wheel_check.py [--python PYTHON] [--with torch==2.6.0 --with numpy==2.0.0] [-- pytest arguments]

Everything happens in a temporary folder. The wheel has no CUDA kernels. Without pytest arguments, the tests that are
not slow run. It ends with a row for the table of docs/install.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Of a wheel, beside the Python sources.
IN_WHEEL = [r"fasthash/_C\.\S+\.so", r"fasthash/_C\.pyi", r"fasthash/py\.typed"]
IN_DIST_INFO = [r"METADATA", r"WHEEL", r"entry_points\.txt", r"licenses/LICENSE", r"RECORD"]
# Folders and files of the clone that a source distribution has whole, and what it leaves out.
IN_SDIST = ["benchmarks", "cmake", "csrc", "docs", "examples", "fasthash", "tests"]
IN_SDIST += ["CHANGELOG.md", "CITATION.cff", "CMakeLists.txt", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md"]
IN_SDIST += ["PKG-INFO", "pyproject.toml"]
# What the tests read beside the package.
FOR_TESTS = [name for name in IN_SDIST if name not in ("fasthash", "PKG-INFO")]


def main() -> None:
    """Build, look inside, install, test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter to build and test with")
    parser.add_argument("--with", dest="pins", action="append", default=[], help="requirement that pip must keep to")
    parser.add_argument("tests", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fasthash-") as name:
        folder = Path(name)
        run(options.python, "-m", "venv", folder / "venv")
        python = folder / "venv" / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet"]
        run(*pip, "build")
        settings = "--config-setting=cmake.define.FASTHASH_CUDA=OFF"
        run(python, "-m", "build", settings, "--outdir", folder / "dist", ROOT)  # the wheel is made from the sdist
        (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
        check_wheel(wheel)
        away = unpack_tests(sdist, folder / "away")
        run(*pip, f"fasthash[test] @ {wheel.as_uri()}", *options.pins)
        tests = options.tests or ["-m", "not slow"]
        result = run(python.with_name("pytest"), "-p", "no:cacheprovider", *tests, cwd=away, check=False, capture=True)
        print(row(python, result))
        sys.exit(result.returncode)


def run(
    *command: str | Path, cwd: Path | None = None, check: bool = True, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    """A command, told before it runs; its output passes by, and is kept when asked for."""
    print("+", *command, flush=True)
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE if capture else None, text=True) as process:
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if check and process.returncode:
        sys.exit(f"wheel_check: {command[0]} ended with {process.returncode}")
    return subprocess.CompletedProcess(command, process.returncode, "".join(lines))


def check_wheel(wheel: Path) -> None:
    """The files of a wheel: the package's sources, the compiled module, its description, and no other."""
    sources = [re.escape(str(path.relative_to(ROOT))) for path in (ROOT / "fasthash").rglob("*.py")]
    information = [rf"fasthash-[^/]+\.dist-info/{name}" for name in IN_DIST_INFO]
    compare("wheel", [*sources, *IN_WHEEL, *information], zipfile.ZipFile(wheel).namelist())


def unpack_tests(sdist: Path, folder: Path) -> Path:
    """What the tests need from a source distribution; its first level is what it should be."""
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
        compare("sdist", [re.escape(name) for name in IN_SDIST], sorted({name.split("/")[0] for name in names} - {""}))
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
        if tracked.returncode == 0:
            expected = {name for name in tracked.stdout.split("\n") if name.split("/")[0] in IN_SDIST}
            compare("sdist", [re.escape(name) for name in expected | {"PKG-INFO"}], [name for name in names if name])
        root = archive.getnames()[0].split("/")[0]
        archive.extractall(folder, [m for m in archive if m.name.split("/")[1] in FOR_TESTS], filter="data")
    return folder / root


def compare(kind: str, expected: list[str], found: list[str]) -> None:
    """Exits where a pattern has no file, or a file no pattern."""
    missing = [pattern for pattern in expected if not any(re.fullmatch(pattern, name) for name in found)]
    others = [name for name in found if not any(re.fullmatch(pattern, name) for pattern in expected)]
    if missing or others:
        sys.exit(f"wheel_check: {kind}: missing {missing}, not expected {others}")
    print(f"{kind}: {len(found)} files, all as expected", flush=True)


def row(python: Path, result: subprocess.CompletedProcess[str]) -> str:
    """Versions and counts, as a row of Markdown."""
    ask = (
        "import platform, torch, numpy, fasthash as f; "
        "print(platform.python_version(), torch.__version__, numpy.__version__, f.build_info()['compiler'], sep=' | ')"
    )
    versions = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True, cwd="/").stdout.strip()
    last = result.stdout.strip().splitlines()[-1].strip("= ")
    return f"| {versions} | {re.sub(r' in .*', '', last)} | {datetime.date.today()} |"


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    main()
