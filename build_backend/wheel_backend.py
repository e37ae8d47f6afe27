"""PEP 517 build backend: setuptools, and the exported network in the wheel.

The released weights cannot be exported where torch is not installed. So a wheel contains their graph, and building one
needs torch; an editable installation and a source distribution do not.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.build_py import build_py

__all__ = [
    "BuildPyWithGraph",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_ROOT = Path(__file__).resolve().parents[1]
_GRAPH = "onelook/released/model.onnx"
_EXPORTER = re.compile(r"(torch|onnx)\b")


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return the packages that a wheel is built with: setuptools', and those of `onelook export-model`."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    exporter = filter(_EXPORTER.match, project["optional-dependencies"]["train"])
    return [*build_meta.get_requires_for_build_wheel(config_settings), *project["dependencies"], *exporter]


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel in a temporary folder: setuptools would keep files of earlier builds in `build/`."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"--global-option": ["build", f"--build-base={folder}"], **(config_settings or {})}
        return build_meta.build_wheel(wheel_directory, settings, metadata_directory)


class BuildPyWithGraph(build_py):
    """Copy the package, then export the released weights into the copy, unless the installation is editable."""

    def run(self) -> None:
        """Run the command."""
        super().run()
        if not self.editable_mode:
            command = [sys.executable, "-m", "onelook", "export-model", str(Path(self.build_lib).resolve() / _GRAPH)]
            environment = {**os.environ, "PYTHONPATH": str(_ROOT / "src")}
            subprocess.run(command, env=environment, cwd=self.build_lib, check=True, stdout=subprocess.DEVNULL)
