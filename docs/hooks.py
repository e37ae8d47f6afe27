"""MkDocs hooks: copy pages from elsewhere in the repository, generate the API reference, rewrite links."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "onelook"

# Files that have their place outside docs/, and the page that each becomes.
PAGES = {
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "src/onelook/released/MODEL_CARD.md": "model_card.md",
}
HOME = "README.md"
"""Its place is taken by index.md."""

LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the API reference to the navigation: a page for each room of the package."""
    config.nav = [*(config.nav or []), {"API reference": [{title: page} for title, page in _reference_pages()]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the copied pages and the API reference; nothing is written into docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for title, page in _reference_pages():
        files.append(File.generated(config, page, content=_reference(title)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links between files of the repository to links between pages of the site."""
    origins = {copied: source for source, copied in PAGES.items()}
    origin = origins.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def rewrite(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), match[1]))
        if target == HOME:
            return "index.md"
        if target in PAGES:
            return PAGES[target]
        return posixpath.relpath(target, "docs") if target.startswith("docs/") else match[1]

    return LINK.sub(rewrite, markdown)


def _rooms() -> dict[str, list[str]]:
    """Return the modules of each room by dotted name; modules at the top of the package are the room `onelook`."""
    rooms: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if file.stat().st_size == 0 or any(part.startswith("_") for part in parts):
            continue
        is_top_level = file.parent == PACKAGE
        room = "onelook" if is_top_level else parts[1]
        rooms.setdefault(room, []).append(".".join(parts))
    return dict(sorted(rooms.items(), key=lambda each: (each[0] != "onelook", each[0])))


def _reference_pages() -> list[tuple[str, str]]:
    return [(room, f"reference/{room}.md") for room in _rooms()]


def _reference(room: str) -> str:
    options = "    options:\n      show_submodules: false\n      show_if_no_docstring: false\n"
    blocks = [f"::: {module}\n{options}" for module in _rooms()[room]]
    return "\n".join([f"# `{room}`\n", *blocks])
