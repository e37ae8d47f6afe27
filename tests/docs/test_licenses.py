import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def test_the_page_of_licenses_lists_every_dependency_that_is_pinned(project: Path) -> None:
    page = (project / "docs/licenses.md").read_text(encoding="utf-8")
    listed = {canonicalize_name(name) for name in re.findall(r"^\| ([\w.-]+) \| \d", page, re.MULTILINE)}
    described = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    extras = described["optional-dependencies"]
    of_other_machines = {Requirement(line).name for line in extras["gpu"]}
    needed = [*described["dependencies"], *(line for lines in extras.values() for line in lines)]
    names = {canonicalize_name(Requirement(line).name) for line in needed} - of_other_machines - {"onelook"}
    assert names <= listed
