"""What the site does with the pages as they lie: mkdocs.yml names this file."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files, InclusionLevel

ROOMS = ("data", "distributed", "evaluation", "losses", "methods", "networks", "report", "teachers", "training")
OUTSIDE = re.compile(r"(!?)\[([^]]*)\]\(((?:\.\./)+[^)\s]+)\)")
PICTURES = {"../benchmarks/results/peers.png": "images/peers.png"}


class Examples(griffe.Extension):
    """Docstrings say "Example:", which griffe knows in the plural only."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for everything that has a name."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """The map of the documents is the first page, so that of the index moves; the API gets a page a room."""
    docs, site, folders = config["docs_dir"], config["site_dir"], config["use_directory_urls"]
    for page, address in (("README.md", "index.html"), ("index.md", "hamming-index/index.html")):
        if (there := files.get_file_from_path(page)) is not None:
            files.remove(there)
        files.append(File(page, docs, site, folders, dest_uri=address, inclusion=InclusionLevel.INCLUDED))
    package = Path(docs).parent / "fasthash"
    for room in ("", *ROOMS):
        files.append(File.generated(config, f"api/{room or 'fasthash'}.md", content=_api(package, room)))
    for source, place in PICTURES.items():
        files.append(File.generated(config, place, abs_src_path=str((Path(docs) / source).resolve())))
    return files


def _api(package: Path, room: str) -> str:
    """A page of the public names of a room: what its `__init__` imports, each from where it is defined.

    They are asked for one by one, since some have the name of their file.
    """
    module = f"fasthash.{room}".rstrip(".")
    lines = [f"# {module}", "", f"::: {module}", "    options: {show_root_heading: false, members: false}", ""]
    body = ast.parse((package / room / "__init__.py").read_text()).body
    imports = [node for node in body if isinstance(node, ast.ImportFrom)]
    found = {name.name: node.module for node in imports for name in node.names if name.asname is None}
    for name in sorted(found, key=str.lower):
        if name != "annotations":
            lines += [f"::: {found[name]}.{name}", ""]
    return "\n".join(lines)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links out of the documents keep their words: the site has no other file of the repository."""

    def plain(link: re.Match[str]) -> str:
        target = (Path("/docs") / page.file.src_uri).parent.joinpath(link[3]).as_posix()
        inside = Path(re.sub(r"[^/]+/\.\./", "", target)).is_relative_to("/docs")
        if inside:
            return link[0]
        return f"![{link[2]}]({PICTURES[link[3]]})" if link[1] else f"`{link[2]}`" if "/" in link[2] else link[2]

    return OUTSIDE.sub(plain, markdown)
