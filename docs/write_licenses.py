"""Rewrite the table of docs/licenses.md from the metadata of the installed packages: `make licenses`."""

import re
import sys
from collections import deque
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).with_name("licenses.md")
EXTRAS = ("", "page", "api", "milvus", "ray", "mesh", "fast", "train", "docs", "dev")
"""In this order, a package is listed under the first extra that needs it; the empty one is the base installation."""
_START, _END = "<!-- licenses -->", "<!-- end -->"


def find_packages() -> Iterator[tuple[Distribution, str]]:
    """Yield the installed packages that onelook needs, directly or through others, with the extra that needs them."""
    seen: set[str] = set()
    for extra in EXTRAS:
        pending = deque(_requirements(distribution("onelook"), {extra}))
        while pending:
            requirement = pending.popleft()
            name = canonicalize_name(requirement.name)
            if name in seen or name == "onelook":
                continue
            try:
                package = distribution(name)
            except PackageNotFoundError:  # of another system, or not installed
                continue
            seen.add(name)
            yield package, extra
            pending += _requirements(package, {"", *requirement.extras})


def read_license(package: Distribution) -> str:
    """Read the license of a package: its SPDX expression, else its classifiers, else the first words of its text."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    text = " ".join((metadata.get("License") or "").split())
    classifiers = [each.split(" :: ")[-1] for each in metadata.get_all("Classifier") or [] if "License ::" in each]
    named = [each for each in classifiers if each != "OSI Approved"]
    if 0 < len(text) <= 40 and text != "UNKNOWN":
        return text.replace("|", "/")
    return ", ".join(named) or _first_line(package)


def write_table() -> None:
    """Rewrite the lines between the two comments of the page."""
    rows = sorted((package.metadata["Name"].lower(), package, extra) for package, extra in find_packages())
    lines = [
        f"| {package.metadata['Name']} | {package.version.partition('+')[0]} | {read_license(package)} "
        f"| {extra or 'onelook'} |"
        for _, package, extra in rows
    ]
    table = "\n".join(["| package | version | license | needed by |", "|---|---|---|---|", *lines])
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(_START)}.*{re.escape(_END)}", re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: f"{_START}\n\n{table}\n\n{_END}", page), encoding="utf-8")
    print(f"{PAGE}: {len(lines)} packages", file=sys.stderr)


def _requirements(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for line in package.requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def _first_line(package: Distribution) -> str:
    for file in package.files or []:
        if re.match(r"(licen[sc]e|copying)", file.name, re.IGNORECASE):
            words = file.read_text(encoding="utf-8").split("\n\n")[0].split()
            return " ".join(words)[:60]
    return "not stated"


if __name__ == "__main__":
    write_table()
