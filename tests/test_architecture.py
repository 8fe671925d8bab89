"""The rooms of the house: who may import whom, and what `import fasthash` pulls in."""

from __future__ import annotations

import ast
import importlib.metadata
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fasthash

PACKAGE = Path(fasthash.__file__).parent

# A room may import itself, the rooms named here, and what those may import.
MAY_IMPORT = {
    "_native": set(),
    "ops": {"_native"},
    "losses": {"ops"},
    "teachers": {"ops"},
    "evaluation": {"ops"},
    "index": {"ops"},
    "distributed": {"index", "ops"},
    "networks": set(),
    "data": set(),
    "methods": {"losses", "teachers", "networks", "data", "ops"},
    "training": {"methods", "evaluation", "teachers", "data", "networks", "ops"},
    "report": {"training", "evaluation", "data", "ops"},
    "cli": {"report", "index", "training", "methods", "evaluation", "data", "ops", "_native"},
}


def _room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0] if parts != ("__init__",) else ""


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "fasthash":
                names = [f"fasthash.{alias.name}" for alias in node.names]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("fasthash.")}
    return rooms


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    room = _room(path)
    if room == "":
        return  # the public list
    found = {name for name in _imported_rooms(path) if name in MAY_IMPORT}
    assert room in MAY_IMPORT, f"{path}: a room that no rule knows"
    assert found <= MAY_IMPORT[room] | {room}


def test_only_native_and_library_touch_the_compiled_module() -> None:
    users = {str(path.relative_to(PACKAGE)) for path in SOURCES if "_C" in _imported_rooms(path)}
    assert users == {"_native.py"}
    touching = {
        str(path.relative_to(PACKAGE))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == "fasthash._native"
        and any(alias.name == "_C" for alias in node.names)
    }
    assert touching == {"ops/_library.py"}


def test_import_is_lean() -> None:
    heavy = ["torchvision", "lightning_fabric", "matplotlib", "sklearn", "tyro", "yaml", "faiss", "safetensors"]
    code = (
        "import sys, fasthash, torch\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
        "print(torch.cuda.is_initialized())\n"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["[]", "False"]


def test_version_stands_once() -> None:
    assert fasthash.__version__ == fasthash.build_info()["version"] == importlib.metadata.version("fasthash")


def test_every_module_imports_and_says_what_it_is() -> None:
    for module in pkgutil.walk_packages([str(PACKAGE)], "fasthash."):
        if module.name in ("fasthash._C", "fasthash._emulated"):
            continue
        __import__(module.name)
        assert sys.modules[module.name].__doc__, f"{module.name} has no docstring"
