"""Stage scripts as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_stage(project: Path, name: str) -> ModuleType:
    """Import the script of a stage."""
    spec = importlib.util.spec_from_file_location(f"stage_{name}", project / f"stages/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path  # a stage puts its own code first
    return module
